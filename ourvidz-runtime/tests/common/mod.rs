//! What the tests of the runtime share: small checkpoints, models of one layer, comparison of whole arrays.
#![allow(dead_code, unreachable_pub, clippy::print_stdout)]

use std::path::Path;

use anyhow::{Context, Result, ensure};
use ourvidz_runtime::{Graph, Session, SessionOptions, Tensor, WeightCache};
use safetensors::tensor::{Dtype, TensorView};

/// Relative L2 error allowed for one layer in fp32 on the processor.
pub const FP32: f64 = 1e-5;

/// A tensor for [`write`]: name, type, shape, bytes.
pub type Stored<'a> = (&'a str, Dtype, &'a [usize], Vec<u8>);

pub fn f32_bytes(values: &[f32]) -> Vec<u8> {
    values.iter().flat_map(|x| x.to_le_bytes()).collect()
}

pub fn u16_bytes(values: &[u16]) -> Vec<u8> {
    values.iter().flat_map(|x| x.to_le_bytes()).collect()
}

/// Numbers without a pattern in -1..1.
pub fn noise(count: usize, seed: u64) -> Vec<f32> {
    let mut state = seed.wrapping_mul(0x9E37_79B9_7F4A_7C15) | 1;
    let mut next = || {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        (state >> 40) as f32 / (1 << 23) as f32 - 1.0
    };
    (0..count).map(|_| next()).collect()
}

/// Writes a `.safetensors` file and the folders it lies in.
pub fn write(path: &Path, tensors: &[Stored<'_>]) -> Result<()> {
    std::fs::create_dir_all(path.parent().context("a folder")?)?;
    let views = tensors
        .iter()
        .map(|(name, dtype, shape, bytes)| Ok((*name, TensorView::new(*dtype, shape.to_vec(), bytes)?)));
    let views = views.collect::<Result<Vec<_>>>()?;
    Ok(safetensors::serialize_to_file(views, None, path)?)
}

/// A session on the processor; converted weights go to `cache`.
pub fn load(graph: Graph, cache: &Path) -> Result<Session> {
    let cache = WeightCache::new(cache);
    Ok(Session::load(&graph.finish(), &SessionOptions::default(), &cache, &mut |_| ())?)
}

/// The one output `y` of a model.
pub fn run(session: &mut Session, inputs: &[(&str, &Tensor)]) -> Result<Tensor> {
    Ok(session.run(inputs, &["y"])?.remove(0))
}

/// Relative L2 error of whole arrays of the same shape.
pub fn difference(found: &Tensor, expected: &Tensor) -> Result<f64> {
    ensure!(found.shape() == expected.shape(), "{:?}, expected {:?}", found.shape(), expected.shape());
    let (found, expected) = (found.clone().into_f32(), expected.clone().into_f32());
    ensure!(!expected.is_empty(), "nothing to compare");
    let square = |x: f64| x * x;
    let pairs = found.iter().zip(&expected);
    let distance: f64 = pairs.map(|(a, b)| square(f64::from(*a) - f64::from(*b))).sum();
    let size: f64 = expected.iter().map(|b| square(f64::from(*b))).sum();
    Ok((distance / size).sqrt())
}

/// Shape and relative L2 error; `tolerance` 0 asks for the same numbers.
pub fn close(name: &str, found: &Tensor, expected: &Tensor, tolerance: f64) -> Result<()> {
    let error = difference(found, expected).with_context(|| name.to_owned())?;
    println!("{name}: {error:.1e}");
    ensure!(error <= tolerance, "{name}: relative error {error:.2e}, allowed {tolerance:e}");
    Ok(())
}
