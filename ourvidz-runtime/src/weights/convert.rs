use std::fs::{self, File};
use std::io::{BufWriter, Write};
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::UNIX_EPOCH;

use half::slice::HalfFloatSliceExt;
use half::{bf16, f16};
use sha2::{Digest, Sha256};

use super::int4;
use crate::{DType, Error, Result, TensorView};

/// Order of a weight's axes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Layout {
    /// As the checkpoint has it.
    AsStored,
    /// Convolution kernels [O, I, kH, kW] -> [O, kH, kW, I].
    ChannelsLast,
    /// One time step of kernels [O, I, kT, kH, kW] -> [O, kH, kW, I].
    Tap(usize),
    /// Matrices [out, in] -> [in, out].
    Transposed,
    /// Part of a matrix of four-bit integers, whose scales are of this type.
    Int4(int4::Part, DType),
}

/// A tensor that the graph wants otherwise than the checkpoint stores it.
#[derive(Debug, Clone)]
pub(crate) struct Conversion {
    pub(crate) name: String,
    pub(crate) view: TensorView,
    pub(crate) dtype: DType,
    pub(crate) layout: Layout,
}

impl Conversion {
    fn len(&self) -> u64 {
        self.shape().iter().product::<usize>() as u64 * self.dtype.size() as u64
    }

    /// Shape after the change of layout.
    pub(crate) fn shape(&self) -> Vec<usize> {
        let s = &self.view.shape;
        match (self.layout, &s[..]) {
            (Layout::ChannelsLast, [o, i, h, w]) | (Layout::Tap(_), [o, i, _, h, w]) => {
                vec![*o, *h, *w, *i]
            }
            (Layout::Transposed, [a, b]) => vec![*b, *a],
            (Layout::Int4(int4::Part::Packed, _), [n, k]) => vec![*n, k / int4::BLOCK, int4::BLOCK / 2],
            (Layout::Int4(int4::Part::Scales, _), [n, k]) => vec![n * k / int4::BLOCK],
            _ => s.clone(),
        }
    }
}

/// How far loading has come.
#[derive(Debug, Clone, Copy)]
pub struct LoadProgress<'a> {
    /// What is being done, e.g. `converting unet to F32`.
    pub what: &'a str,
    /// Bytes done.
    pub done: u64,
    /// Bytes in all.
    pub total: u64,
}

/// Folder of weights that were converted to another data type or layout, once per checkpoint.
///
/// A file's name holds a hash of the sources' paths, sizes and times, so a changed checkpoint is converted anew.
/// Files are whole: written under another name, then renamed. The folder may be deleted at any time.
#[derive(Debug, Clone)]
pub struct WeightCache {
    folder: PathBuf,
}

impl WeightCache {
    /// Uses `folder`, which is made when it is first needed.
    pub fn new(folder: impl Into<PathBuf>) -> WeightCache {
        WeightCache { folder: folder.into() }
    }

    /// The user's cache folder: `$XDG_CACHE_HOME/ourvidz/weights`, else `~/.cache/ourvidz/weights`.
    pub fn user() -> WeightCache {
        let base = dirs::cache_dir().unwrap_or_else(std::env::temp_dir);
        WeightCache::new(base.join("ourvidz").join("weights"))
    }

    /// The file that holds all of `wanted`, made if it is not there, and each tensor's offset in it.
    pub(crate) fn file_for(
        &self,
        component: &str,
        wanted: &[Conversion],
        progress: &mut dyn FnMut(LoadProgress<'_>),
    ) -> Result<(PathBuf, Vec<u64>)> {
        let (header, offsets, total) = header_of(wanted);
        let path = self.folder.join(format!("{component}-{}.safetensors", key_of(wanted)?));
        let expected = header.len() as u64 + total;
        if fs::metadata(&path).is_ok_and(|m| m.len() == expected) {
            return Ok((path.canonicalize().map_err(Error::io(&path, "opening"))?, offsets));
        }
        fs::create_dir_all(&self.folder).map_err(Error::io(&self.folder, "making the folder"))?;
        // One name for each writing: other threads and processes may be converting into the same folder.
        static WRITINGS: AtomicU64 = AtomicU64::new(0);
        let number = WRITINGS.fetch_add(1, Ordering::Relaxed);
        let part = self.folder.join(format!(".{component}-{}-{number}.part", std::process::id()));
        let written = self.write(&part, component, &header, wanted, total, progress);
        if let Err(error) = written {
            // The error that matters is the first one.
            let _ = fs::remove_file(&part);
            return Err(error);
        }
        fs::rename(&part, &path).map_err(Error::io(&path, "renaming into place"))?;
        Ok((path.canonicalize().map_err(Error::io(&path, "opening"))?, offsets))
    }

    fn write(
        &self,
        part: &Path,
        component: &str,
        header: &[u8],
        wanted: &[Conversion],
        total: u64,
        progress: &mut dyn FnMut(LoadProgress<'_>),
    ) -> Result<()> {
        let what = format!("converting {component}");
        let file = File::create(part).map_err(Error::io(part, "making"))?;
        let mut out = BufWriter::with_capacity(1 << 20, file);
        out.write_all(header).map_err(Error::io(part, "writing"))?;
        let mut done = 0;
        for conversion in wanted {
            progress(LoadProgress { what: &what, done, total });
            copy_tensor(conversion, part, &mut out)?;
            done += conversion.len();
        }
        progress(LoadProgress { what: &what, done, total });
        let file = out.into_inner().map_err(|e| Error::io(part, "writing")(e.into_error()))?;
        file.sync_all().map_err(Error::io(part, "writing"))
    }
}

/// Writes one tensor, converted, to `out`. Holds one tensor in memory at most, and only where axes move.
pub(crate) fn copy_tensor(conversion: &Conversion, path: &Path, out: &mut impl Write) -> Result<()> {
    const CHUNK: usize = 4 << 20;
    let view = &conversion.view;
    let file = File::open(&view.file).map_err(Error::io(&*view.file, "opening"))?;
    let chunk = match conversion.layout {
        Layout::AsStored => CHUNK,
        // Blocks are cut nowhere, and every thread has enough to do.
        Layout::Int4(..) => 16 * CHUNK,
        _ => view.len().max(1) as usize,
    };
    let mut at = 0;
    let mut bytes = Vec::new();
    while at < view.len() {
        let n = chunk.min((view.len() - at) as usize);
        bytes.resize(n, 0);
        file.read_exact_at(&mut bytes, view.offset + at).map_err(Error::io(&*view.file, "reading"))?;
        let moved = rearrange(&bytes, conversion);
        let converted = match conversion.layout {
            Layout::Int4(part, scale_type) => int4::quantise(&bytes, view.dtype, scale_type, part),
            _ => cast(moved.as_deref().unwrap_or(&bytes), view.dtype, conversion.dtype),
        };
        out.write_all(&converted).map_err(Error::io(path, "writing"))?;
        at += n as u64;
    }
    Ok(())
}

fn rearrange(bytes: &[u8], conversion: &Conversion) -> Option<Vec<u8>> {
    let size = conversion.view.dtype.size();
    // [outer, a, steps, b] at one step -> [outer, b, a]
    let (outer, a, b, steps, step) = match (conversion.layout, &conversion.view.shape[..]) {
        (Layout::ChannelsLast, [o, i, h, w]) => (*o, *i, h * w, 1, 0),
        (Layout::Tap(step), [o, i, t, h, w]) => (*o, *i, h * w, *t, step),
        (Layout::Transposed, [a, b]) => (1, *a, *b, 1, 0),
        _ => return None,
    };
    let mut moved = vec![0; outer * a * b * size];
    for o in 0..outer {
        for i in 0..a {
            for j in 0..b {
                let from = (((o * a + i) * steps + step) * b + j) * size;
                let to = ((o * b + j) * a + i) * size;
                moved[to..to + size].copy_from_slice(&bytes[from..from + size]);
            }
        }
    }
    Some(moved)
}

/// Element-wise change of type, round to nearest even; little-endian on both sides.
pub(crate) fn cast(bytes: &[u8], from: DType, to: DType) -> Vec<u8> {
    if from == to {
        return bytes.to_vec();
    }
    let pairs = || bytes.as_chunks::<2>().0.iter().map(|b| u16::from_le_bytes(*b));
    let floats: Vec<f32> = match from {
        DType::F16 => pairs().map(f16::from_bits).map(f32::from).collect(),
        DType::Bf16 => pairs().map(bf16::from_bits).map(f32::from).collect(),
        _ => floats(bytes),
    };
    match to {
        DType::F16 => {
            let mut halves = vec![f16::ZERO; floats.len()];
            halves.convert_from_f32_slice(&floats);
            bytemuck::cast_slice(&halves).to_vec()
        }
        DType::Bf16 => {
            let mut halves = vec![bf16::ZERO; floats.len()];
            halves.convert_from_f32_slice(&floats);
            bytemuck::cast_slice(&halves).to_vec()
        }
        _ => bytemuck::cast_slice(&floats).to_vec(),
    }
}

fn floats(bytes: &[u8]) -> Vec<f32> {
    bytes.as_chunks::<4>().0.iter().map(|b| f32::from_le_bytes(*b)).collect()
}

/// The header of a safetensors file with these tensors in this order, where each begins in the file, and the bytes
/// of data.
fn header_of(wanted: &[Conversion]) -> (Vec<u8>, Vec<u64>, u64) {
    let mut entries = serde_json::Map::new();
    let mut relative = Vec::new();
    let mut at = 0;
    for conversion in wanted {
        relative.push(at);
        let end = at + conversion.len();
        let entry = serde_json::json!({
            "dtype": conversion.dtype.safetensors(), "shape": conversion.shape(), "data_offsets": [at, end],
        });
        entries.insert(conversion.name.clone(), entry);
        at = end;
    }
    let mut json = serde_json::Value::Object(entries).to_string().into_bytes();
    // Data begins at a multiple of 64 bytes.
    json.resize((json.len() + 8).next_multiple_of(64) - 8, b' ');
    let mut header = (json.len() as u64).to_le_bytes().to_vec();
    header.extend(json);
    let start = header.len() as u64;
    (header, relative.into_iter().map(|offset| start + offset).collect(), at)
}

fn key_of(wanted: &[Conversion]) -> Result<String> {
    let mut hash = Sha256::new();
    let mut last: Option<&Path> = None;
    for conversion in wanted {
        let view = &conversion.view;
        if last != Some(&view.file) {
            let meta = fs::metadata(&view.file).map_err(Error::io(&*view.file, "reading the size"))?;
            let modified =
                meta.modified().ok().and_then(|t| t.duration_since(UNIX_EPOCH).ok()).unwrap_or_default();
            hash.update(format!("{:?} {} {}\n", view.file, meta.len(), modified.as_nanos()));
            last = Some(&view.file);
        }
        hash.update(format!(
            "{} {} {:?} {:?} {:?} {:?}\n",
            conversion.name, view.offset, view.shape, view.dtype, conversion.dtype, conversion.layout
        ));
    }
    Ok(hash.finalize().iter().take(12).map(|byte| format!("{byte:02x}")).collect())
}
