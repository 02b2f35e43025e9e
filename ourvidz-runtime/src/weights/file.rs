use std::collections::BTreeMap;
use std::fs::File;
use std::io::Read;
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use safetensors::tensor::Metadata;

use crate::{DType, Error, Result};

/// Where one tensor lies: a range of a file, with its type and shape. Holds no data.
#[derive(Debug, Clone)]
pub struct TensorView {
    /// The file, without symbolic links (ONNX Runtime refuses them for external data).
    pub file: Arc<Path>,
    /// First byte of the data in the file.
    pub offset: u64,
    /// Element type in the file.
    pub dtype: DType,
    /// Shape as the model means it, row-major.
    pub shape: Vec<usize>,
    /// The two axes are stored the other way round: `shape` is [out, in], the file holds [in, out]. Axes of one
    /// element may follow.
    pub stored_transposed: bool,
}

impl TensorView {
    /// A tensor that has a name, a type and a shape but no data: for building graphs without a checkpoint.
    pub fn without_data(dtype: DType, shape: Vec<usize>) -> TensorView {
        TensorView { file: Path::new("").into(), offset: 0, dtype, shape, stored_transposed: false }
    }

    /// Bytes of data.
    pub fn len(&self) -> u64 {
        (self.shape.iter().product::<usize>() * self.dtype.size()) as u64
    }

    /// True for a tensor without elements.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Part `index` of `count` equal parts along the first axis: [count * n, ...] -> [n, ...].
    ///
    /// Nothing where the axis does not divide.
    pub fn chunk(&self, index: usize, count: usize) -> Option<TensorView> {
        let rows = *self.shape.first()?;
        if self.stored_transposed || rows % count != 0 || index >= count {
            return None;
        }
        let mut part = self.clone();
        part.shape[0] = rows / count;
        part.offset += part.len() * index as u64;
        Some(part)
    }

    /// The same data under another shape with as many elements.
    pub fn reshaped(&self, shape: Vec<usize>) -> Option<TensorView> {
        let same = shape.iter().product::<usize>() == self.shape.iter().product::<usize>();
        // With swapped axes, only axes of one element may come or go behind them.
        let matrix =
            |s: &[usize]| s.get(..2).map(<[usize]>::to_vec).filter(|_| s[2..].iter().all(|n| *n == 1));
        let keeps = !self.stored_transposed || matrix(&shape) == matrix(&self.shape);
        (same && keeps).then(|| TensorView { shape, ..self.clone() })
    }

    /// The same data in the order of the file: [in, out] where `stored_transposed` says so.
    pub(crate) fn as_stored(&self) -> TensorView {
        match self.shape[..] {
            [a, b, ..] if self.stored_transposed => {
                TensorView { shape: vec![b, a], stored_transposed: false, ..self.clone() }
            }
            _ => self.clone(),
        }
    }

    /// Two axes swapped, without touching the data: [a, b] -> [b, a].
    pub fn transposed(&self) -> Option<TensorView> {
        let [a, b] = self.shape[..] else { return None };
        Some(TensorView { shape: vec![b, a], stored_transposed: !self.stored_transposed, ..self.clone() })
    }
}

/// Names and places of all tensors of one `.safetensors` file. Reads the header only.
///
/// # Errors
/// [`Error::Io`], [`Error::Safetensors`] for a damaged or cut file, [`Error::TensorType`] for element types other
/// than F32, F16, BF16, I64, I32 and BOOL.
pub fn open_safetensors(path: &Path) -> Result<BTreeMap<String, TensorView>> {
    open_safetensors_except(path, &[])
}

/// [`open_safetensors`] without the tensors of these names, which may be of any type: bytes that are no weights.
///
/// # Errors
/// As `open_safetensors`.
pub fn open_safetensors_except(path: &Path, except: &[&str]) -> Result<BTreeMap<String, TensorView>> {
    let (real, size, start, metadata) = header(path)?;
    let file: Arc<Path> = real.into();
    metadata
        .tensors()
        .into_iter()
        .filter(|(name, _)| !except.contains(&name.as_str()))
        .map(|(name, info)| {
            if start + info.data_offsets.1 as u64 > size {
                return Err(cut(path));
            }
            let dtype = dtype_of(info.dtype).ok_or_else(|| Error::TensorType {
                path: path.to_owned(),
                tensor: name.clone(),
                dtype: format!("{:?}", info.dtype),
            })?;
            let view = TensorView {
                file: file.clone(),
                offset: start + info.data_offsets.0 as u64,
                dtype,
                shape: info.shape.clone(),
                stored_transposed: false,
            };
            Ok((name, view))
        })
        .collect()
}

/// The bytes of one tensor of a `.safetensors` file, whatever its type; nothing where there is no such tensor.
///
/// # Errors
/// [`Error::Io`], [`Error::Safetensors`].
pub fn read_safetensors_bytes(path: &Path, name: &str) -> Result<Option<Vec<u8>>> {
    let (real, size, start, metadata) = header(path)?;
    let Some(info) = metadata.info(name) else { return Ok(None) };
    let (from, to) = (info.data_offsets.0 as u64, info.data_offsets.1 as u64);
    if to < from || start + to > size {
        return Err(cut(path));
    }
    let mut bytes = vec![0; (to - from) as usize];
    let file = File::open(real).map_err(Error::io(path, "opening"))?;
    file.read_exact_at(&mut bytes, start + from).map_err(Error::io(path, "reading"))?;
    Ok(Some(bytes))
}

fn cut(path: &Path) -> Error {
    Error::Safetensors {
        path: path.to_owned(),
        source: safetensors::SafeTensorError::MetadataIncompleteBuffer,
    }
}

/// The file without links, its size, where the data begins, and what the header says.
fn header(path: &Path) -> Result<(PathBuf, u64, u64, Metadata)> {
    let real = path.canonicalize().map_err(Error::io(path, "opening"))?;
    let mut file = File::open(&real).map_err(Error::io(path, "opening"))?;
    let size = file.metadata().map_err(Error::io(path, "reading the size"))?.len();
    let damaged = |source| Error::Safetensors { path: path.to_owned(), source };
    let mut length = [0u8; 8];
    if size < length.len() as u64 {
        return Err(damaged(safetensors::SafeTensorError::HeaderTooSmall));
    }
    file.read_exact(&mut length).map_err(Error::io(path, "reading the header"))?;
    let header_len = u64::from_le_bytes(length);
    if header_len > size.saturating_sub(8) {
        return Err(damaged(safetensors::SafeTensorError::InvalidHeaderLength));
    }
    let mut header = vec![0; header_len as usize];
    file.read_exact(&mut header).map_err(Error::io(path, "reading the header"))?;
    let metadata: Metadata = serde_json::from_slice(&header)
        .map_err(|e| damaged(safetensors::SafeTensorError::InvalidHeaderDeserialization(e)))?;
    Ok((real, size, 8 + header_len, metadata))
}

/// Tensors of a component's folder: `{stem}[.{variant}].safetensors`, or the shards that
/// `{stem}[.{variant}].safetensors.index[.{variant}].json` lists.
///
/// Without a variant asked for, a plain file wins over an `fp16` one, and `fp16` is taken where it is all there is.
///
/// # Errors
/// [`Error::NotFound`] with every name that was tried.
pub fn open_weights(
    folder: &Path,
    stem: &str,
    variant: Option<&str>,
) -> Result<BTreeMap<String, TensorView>> {
    let mut looked_for = Vec::new();
    let choices = match variant {
        Some(v) => vec![Some(v)],
        None => vec![None, Some("fp16")],
    };
    for variant in choices {
        let dot = variant.map(|v| format!(".{v}")).unwrap_or_default();
        let single = folder.join(format!("{stem}{dot}.safetensors"));
        if single.is_file() {
            return open_safetensors(&single);
        }
        looked_for.push(single.display().to_string());
        let indices =
            [format!("{stem}.safetensors.index{dot}.json"), format!("{stem}{dot}.safetensors.index.json")];
        for index in indices.iter().map(|name| folder.join(name)) {
            if index.is_file() {
                return open_shards(folder, &index);
            }
        }
        looked_for.push(folder.join(&indices[0]).display().to_string());
    }
    Err(Error::NotFound { what: format!("weights of {}", folder.display()), looked_for })
}

fn open_shards(folder: &Path, index: &Path) -> Result<BTreeMap<String, TensorView>> {
    #[derive(serde::Deserialize)]
    struct Index {
        weight_map: BTreeMap<String, String>,
    }
    let text = std::fs::read_to_string(index).map_err(Error::io(index, "reading"))?;
    let parsed: Index =
        serde_json::from_str(&text).map_err(|source| Error::Json { path: index.to_owned(), source })?;
    let mut files: BTreeMap<String, BTreeMap<String, TensorView>> = BTreeMap::new();
    let mut tensors = BTreeMap::new();
    for (name, file) in parsed.weight_map {
        let path = shard_path(folder, index, &file)?;
        if !files.contains_key(&file) {
            files.insert(file.clone(), open_safetensors(&path)?);
        }
        let view = files.get_mut(&file).and_then(|shard| shard.remove(&name));
        let view = view.ok_or_else(|| Error::NotFound {
            what: format!("tensor {name} of {}", index.display()),
            looked_for: vec![path.display().to_string()],
        })?;
        tensors.insert(name, view);
    }
    // What a shard holds beyond the index is kept: the check for unread tensors then names it. Where another shard
    // has the same name, the index has decided.
    for (name, view) in files.into_values().flatten() {
        tensors.entry(name).or_insert(view);
    }
    Ok(tensors)
}

/// A shard lies beside its index: a name with a folder in it could lead anywhere.
fn shard_path(folder: &Path, index: &Path, file: &str) -> Result<PathBuf> {
    let name = Path::new(file);
    if name.file_name().is_some_and(|base| base == name.as_os_str()) {
        return Ok(folder.join(name));
    }
    Err(Error::Config {
        file: index.display().to_string(),
        field: "weight_map".into(),
        rule: "must hold plain file names".into(),
        value: file.into(),
    })
}

fn dtype_of(dtype: safetensors::Dtype) -> Option<DType> {
    Some(match dtype {
        safetensors::Dtype::F32 => DType::F32,
        safetensors::Dtype::F16 => DType::F16,
        safetensors::Dtype::BF16 => DType::Bf16,
        safetensors::Dtype::I64 => DType::I64,
        safetensors::Dtype::I32 => DType::I32,
        safetensors::Dtype::BOOL => DType::Bool,
        _ => return None,
    })
}
