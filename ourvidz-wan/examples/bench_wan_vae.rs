//! Times the VAE at full size on random weights: decoding and encoding, in all and by chunks.
//!
//! `cargo run --release -p ourvidz-wan --example bench_wan_vae -- [DEVICE] [PRECISIONS] [KERNELS] [CHUNKS]
//! [LATENT_FRAMES] [HEIGHT] [WIDTH] [PROFILE_FOLDER]`
//!
//! PRECISIONS is a list, KERNELS one of `taps`, `3d`, `transposed`; CHUNKS one of latent frames per run. All of them
//! are run, and each video is compared with the first one: `fp32,fp16` says what 16 bits cost. Names and shapes come from
//! `tests/golden/wan_keys/vae.json.gz` below the working folder. With a profile folder, ONNX Runtime writes a trace of
//! every node there.
#![allow(clippy::print_stdout)]

use std::collections::BTreeMap;
use std::fs::File;
use std::io::{BufWriter, Write};
use std::ops::ControlFlow;
use std::path::Path;
use std::time::Instant;

use anyhow::{Context, Result, bail, ensure};
use flate2::read::GzDecoder;
use ourvidz_runtime::nn::ClipKernels;
use ourvidz_runtime::{
    Device, Precision, SessionOptions, Target, Tensor, TensorSet, WeightCache, open_safetensors,
};
use ourvidz_wan::graphs::{self, AutoencoderKLWanConfig, VaeDecoder, VaeEncoder, VaeOptions};

const REPEATS: usize = 3;
const KEYS: &str = "tests/golden/wan_keys/vae.json.gz";

fn main() -> Result<()> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let argument = |i: usize, default: &str| arguments.get(i).cloned().unwrap_or_else(|| default.to_owned());
    let device: Device = argument(0, "cpu").parse()?;
    let precisions = argument(1, &device.default_precision().to_string());
    let precisions = precisions.split(',').map(|p| Ok(p.parse()?)).collect::<Result<Vec<Precision>>>()?;
    let kernels = argument(2, "taps").split(',').map(kernels_of).collect::<Result<Vec<_>>>()?;
    let chunks = argument(3, "4").split(',').map(|n| Ok(n.parse()?)).collect::<Result<Vec<usize>>>()?;
    let [frames, height, width] = [(4, "21"), (5, "480"), (6, "832")].map(|(i, d)| argument(i, d).parse());
    let shape = [1, 16, frames?, height? / 8, width? / 8];
    let profile = arguments.get(7).map(Into::into);

    let folder = tempfile::tempdir()?;
    let start = Instant::now();
    let file = folder.path().join("vae.safetensors");
    write_checkpoint(&file)?;
    println!("random checkpoint: {:.2} s", start.elapsed().as_secs_f64());
    let config = AutoencoderKLWanConfig::default();
    let latents = Tensor::f32(&shape, numbers(7, shape.iter().product(), 3f32.sqrt()))?;
    let options = SessionOptions { device, profile, ..SessionOptions::default() };
    let cache = WeightCache::new(folder.path().join("cache"));
    let mut first = None;
    for (precision, kernels) in precisions.iter().flat_map(|p| kernels.iter().map(move |k| (*p, *k))) {
        let target = if kernels == ClipKernels::Transposed { Target::Cuda } else { device.target() };
        let set = TensorSet::new("vae", open_safetensors(&file)?);
        let models = graphs::vae(&set, &config, VaeOptions { target, dtype: precision.dtype(), kernels })?;
        let start = Instant::now();
        let mut decoder = VaeDecoder::load(&models, &options, &cache, &mut |_| ())?;
        let mut encoder = VaeEncoder::load(&models, &options, &cache, &mut |_| ())?;
        println!("{kernels:?} {device} {precision}: loading {:.2} s", start.elapsed().as_secs_f64());
        for chunk in &chunks {
            let name = format!("{kernels:?} {device} {precision}, {shape:?} by {chunk}");
            decoder = decoder.with_chunk(*chunk);
            encoder = encoder.with_chunk(*chunk);
            let video = decode(&name, &mut decoder, &latents)?;
            encode(&name, &mut encoder, &video)?;
            match &first {
                Some(first) => println!("{name}: relative difference {:.1e}", difference(&video, first)?),
                None => first = Some(video),
            }
        }
    }
    Ok(())
}

fn decode(name: &str, decoder: &mut VaeDecoder, latents: &Tensor) -> Result<Tensor> {
    for repeat in 0..=REPEATS {
        let (mut times, start) = (Vec::new(), Instant::now());
        let mut last = start;
        let _whole = decoder.decode_chunks(latents, |_| {
            times.push(format!("{:.0}", last.elapsed().as_secs_f64() * 1e3));
            last = Instant::now();
            Ok::<_, anyhow::Error>(ControlFlow::Continue(()))
        })?;
        let what = if repeat == 0 { "first decode" } else { "decode" };
        println!("{name}: {what} {:.3} s, chunks {} ms", start.elapsed().as_secs_f64(), times.join(" "));
    }
    let video = decoder.decode(latents)?;
    ensure!(video.clone().into_f32().iter().all(|x| x.is_finite()), "{name}: not finite");
    Ok(video)
}

fn encode(name: &str, encoder: &mut VaeEncoder, video: &Tensor) -> Result<()> {
    for what in ["first encode", "encode"] {
        let start = Instant::now();
        let latents = encoder.encode(video)?;
        println!("{name}: {what} {:.3} s", start.elapsed().as_secs_f64());
        ensure!(latents.into_f32().iter().all(|x| x.is_finite()), "{name}: not finite");
    }
    Ok(())
}

fn kernels_of(name: &str) -> Result<ClipKernels> {
    Ok(match name {
        "taps" => ClipKernels::Taps,
        "3d" => ClipKernels::ChannelsLast3d,
        "transposed" => ClipKernels::Transposed,
        _ => bail!("KERNELS must be taps, 3d or transposed, got {name}"),
    })
}

/// Weights that keep the variance from layer to layer, in f32 as published.
fn write_checkpoint(path: &Path) -> Result<()> {
    type Listed = BTreeMap<String, (String, Vec<usize>)>;
    let keys = File::open(KEYS).context(KEYS)?;
    let listed: Listed = serde_json::from_reader(GzDecoder::new(keys))?;
    let mut header = serde_json::Map::new();
    let mut at = 0;
    for (name, (_, shape)) in &listed {
        let end = at + 4 * shape.iter().product::<usize>();
        let entry = serde_json::json!({ "dtype": "F32", "shape": shape, "data_offsets": [at, end] });
        header.insert(name.clone(), entry);
        at = end;
    }
    let mut header = serde_json::to_vec(&header)?;
    header.resize(header.len().next_multiple_of(8), b' ');
    let mut out = BufWriter::new(File::create(path)?);
    out.write_all(&(header.len() as u64).to_le_bytes())?;
    out.write_all(&header)?;
    for (i, (name, (_, shape))) in listed.iter().enumerate() {
        let count = shape.iter().product();
        let fan_in: usize = shape[1..].iter().product();
        let values = match name.rsplit('.').next() {
            Some("gamma") => vec![1.0; count],
            Some("bias") => vec![0.0; count],
            _ => numbers(i as u64, count, (3.0 / fan_in as f32).sqrt()),
        };
        let bytes: Vec<u8> = values.iter().flat_map(|x| x.to_le_bytes()).collect();
        out.write_all(&bytes)?;
    }
    Ok(out.flush()?)
}

/// Evenly distributed in -`most` to `most` (splitmix64).
fn numbers(seed: u64, count: usize, most: f32) -> Vec<f32> {
    let number = |i: usize| {
        let mut x = (seed << 40).wrapping_add(i as u64 + 1).wrapping_mul(0x9E37_79B9_7F4A_7C15);
        x = (x ^ (x >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        x = (x ^ (x >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        most * (((x ^ (x >> 31)) >> 40) as f32 / (1u64 << 23) as f32 - 1.0)
    };
    (0..count).map(number).collect()
}

fn difference(found: &Tensor, expected: &Tensor) -> Result<f64> {
    ensure!(found.shape() == expected.shape(), "{:?}, not {:?}", found.shape(), expected.shape());
    let (found, expected) = (found.clone().into_f32(), expected.clone().into_f32());
    let square = |x: f64| x * x;
    let pairs = found.iter().zip(&expected);
    let distance: f64 = pairs.map(|(a, b)| square(f64::from(*a) - f64::from(*b))).sum();
    let size: f64 = expected.iter().map(|b| square(f64::from(*b))).sum();
    Ok((distance / size).sqrt())
}
