//! A cache in place, as a decoder has it: prompts in pieces, single tokens, and another text where one was before.

use anyhow::{Result, ensure};
use ourvidz_runtime::{DType, Device, Tensor};

use super::cached_attention::{Sizes, inputs, session};
use super::difference;

/// Tokens behind so many, and the positions that the host says to look at, 0 for all: each piece of two texts.
const PIECES: [(usize, usize, usize); 6] =
    [(0, 200, 200), (200, 33, 0), (233, 1, 0), (234, 2, 236), (0, 57, 100), (57, 1, 58)];

/// The largest error of results and of what is in the cache, beside copies of it on the processor in fp32.
pub(super) fn errors(device: Device, s: Sizes, dtype: DType) -> Result<f64> {
    let (mut reference, mut checked) =
        (session(s, DType::F32, Device::Cpu, true)?, session(s, dtype, device, true)?);
    let mut buffers = checked.buffers()?;
    let mut copies: Vec<Tensor> = Vec::new();
    let mut worst = 0.0f64;
    for (before, tokens, total) in PIECES {
        let mut given = inputs(s, dtype, true, before + tokens, tokens)?;
        let total = if total == 0 { s.capacity } else { total };
        set(&mut given, "total", Tensor::i64(&[1], vec![total as i64])?);
        for (i, name) in ["keys", "values"].into_iter().enumerate() {
            match copies.get(i) {
                Some(copy) => set(&mut given, name, copy.clone()),
                None => {
                    // Numbers of a text that was there before all of these.
                    let Some((_, old)) = given.iter().find(|(n, _)| *n == name) else { continue };
                    buffers.add(name, old.dtype(), old.shape())?;
                    buffers.write(name, old)?;
                }
            }
        }
        let given: Vec<_> = given.iter().map(|(name, tensor)| (*name, tensor)).collect();
        let mut expected = reference.run(&given, &["y", "present.keys", "present.values"])?;
        let others: Vec<_> =
            given.into_iter().filter(|(name, _)| !["keys", "values"].contains(name)).collect();
        let mut bound = checked.bound(&others, &["y"])?;
        for name in ["keys", "values"] {
            checked.set_buffer(&mut bound, name, &buffers, name)?;
            checked.set_output(&mut bound, &format!("present.{name}"), &mut buffers, name)?;
        }
        let mut found = checked.run_bound(&mut bound, &[])?;
        found.extend([buffers.read("keys")?, buffers.read("values")?]);
        for (found, expected) in found.iter().zip(&expected) {
            let error = difference(found, expected)?;
            ensure!(!error.is_nan(), "{s:?} {dtype}, {tokens} behind {before} in place: not a number");
            worst = worst.max(error);
        }
        copies = expected.split_off(1);
    }
    Ok(worst)
}

fn set(inputs: &mut [(&'static str, Tensor)], name: &str, tensor: Tensor) {
    for (_, old) in inputs.iter_mut().filter(|(n, _)| *n == name) {
        *old = tensor.clone();
    }
}
