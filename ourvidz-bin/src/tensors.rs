//! Reading and writing `.safetensors` files of f32 numbers.

use std::path::Path;

use anyhow::{Context, Result, bail};
use ourvidz_runtime::{DType, Tensor};
use safetensors::tensor::TensorView;
use safetensors::{Dtype, SafeTensors};

/// One tensor of a file, which must be f32.
pub(crate) fn read(path: &Path, name: &str) -> Result<Tensor> {
    let bytes = std::fs::read(path).with_context(|| path.display().to_string())?;
    let file = SafeTensors::deserialize(&bytes).with_context(|| path.display().to_string())?;
    let view = file.tensor(name).with_context(|| format!("{}: tensor {name}", path.display()))?;
    if view.dtype() != Dtype::F32 {
        bail!("{}: tensor {name} must be F32, got {:?}", path.display(), view.dtype());
    }
    let values = view.data().as_chunks::<4>().0.iter().map(|bytes| f32::from_le_bytes(*bytes)).collect();
    Ok(Tensor::f32(view.shape(), values)?)
}

/// Writes tensors as f32, and those of whole numbers as i64.
pub(crate) fn write(path: &Path, tensors: Vec<(String, Tensor)>) -> Result<()> {
    let bytes: Vec<(String, Dtype, Vec<usize>, Vec<u8>)> = tensors
        .into_iter()
        .map(|(name, tensor)| {
            let (shape, whole) = (tensor.shape().to_vec(), tensor.dtype() == DType::I64);
            match whole {
                true => {
                    // Ids of tokens and their like: exact as f32.
                    let numbers = tensor.into_f32().into_iter().map(|n| n as i64);
                    (name, Dtype::I64, shape, numbers.flat_map(i64::to_le_bytes).collect())
                }
                false => {
                    let numbers = tensor.into_f32().into_iter();
                    (name, Dtype::F32, shape, numbers.flat_map(f32::to_le_bytes).collect())
                }
            }
        })
        .collect();
    let views: Result<Vec<_>, _> = bytes
        .iter()
        .map(|(name, dtype, shape, data)| Ok((name, TensorView::new(*dtype, shape.clone(), data)?)))
        .collect();
    let views = views.map_err(|e: safetensors::SafeTensorError| e)?;
    safetensors::serialize_to_file(views, None, path).with_context(|| path.display().to_string())
}
