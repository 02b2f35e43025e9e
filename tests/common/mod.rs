//! What the integration tests share: goldens and tolerances.
#![allow(dead_code, missing_docs)]

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, ensure};
use ourvidz_runtime::Tensor;
use ourvidz_sdxl::TextToImage;
use safetensors::{Dtype, SafeTensors};

/// Relative L2 error allowed in fp32 on the processor.
pub const FP32: f64 = 1e-4;

/// Shape and numbers of each tensor of a file.
pub type Tensors = BTreeMap<String, (Vec<usize>, Vec<f32>)>;

pub fn golden(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/golden").join(name)
}

/// f32 and i64 tensors of a file, the latter as f32.
pub fn read_tensors(path: &Path) -> Result<Tensors> {
    let bytes = std::fs::read(path).with_context(|| path.display().to_string())?;
    let file = SafeTensors::deserialize(&bytes)?;
    let mut tensors = BTreeMap::new();
    for (name, view) in file.tensors() {
        let values = match view.dtype() {
            Dtype::F32 => view.data().as_chunks::<4>().0.iter().map(|b| f32::from_le_bytes(*b)).collect(),
            Dtype::I64 => {
                view.data().as_chunks::<8>().0.iter().map(|b| i64::from_le_bytes(*b) as f32).collect()
            }
            other => anyhow::bail!("{name} has type {other:?}"),
        };
        tensors.insert(name, (view.shape().to_vec(), values));
    }
    Ok(tensors)
}

/// |found - expected| / |expected|; compares whole arrays and their shapes.
pub fn relative_l2(found: &Tensor, expected: &(Vec<usize>, Vec<f32>)) -> Result<f64> {
    ensure!(found.shape() == expected.0, "shape {:?}, expected {:?}", found.shape(), expected.0);
    let found = found.clone().into_f32();
    let square = |x: f64| x * x;
    let difference: f64 =
        found.iter().zip(&expected.1).map(|(a, b)| square(f64::from(*a) - f64::from(*b))).sum();
    let size: f64 = expected.1.iter().map(|b| square(f64::from(*b))).sum();
    ensure!(difference.is_finite(), "not finite");
    // A reference of zeros (no negative prompt) must be met exactly.
    Ok(if size == 0.0 { difference } else { (difference / size).sqrt() })
}

/// Compares every tensor of `found` with the one of its name; the worst error is printed.
pub fn all_close(found: &[(String, Tensor)], expected: &Tensors, tolerance: f64) -> Result<()> {
    let (mut worst, mut beyond) = ((0.0, ""), Vec::new());
    for (name, tensor) in found {
        let reference = expected.get(name).with_context(|| format!("{name} is not in the golden file"))?;
        let error = relative_l2(tensor, reference).with_context(|| name.clone())?;
        if error >= worst.0 {
            worst = (error, name);
        }
        if error > tolerance {
            beyond.push(format!("{name}: {error:.2e}"));
        }
    }
    println!("{} tensors, worst {:.1e} ({})", found.len(), worst.0, worst.1);
    ensure!(beyond.is_empty(), "beyond {tolerance:e}: {}", beyond.join(", "));
    Ok(())
}

/// The request of a golden folder, as `scripts/goldens/sdxl_tiny.py` writes it.
pub fn request(folder: &Path) -> Result<TextToImage> {
    let json: serde_json::Value =
        serde_json::from_str(&std::fs::read_to_string(folder.join("request.json"))?)?;
    let number = |name: &str| json[name].as_u64().with_context(|| name.to_owned());
    Ok(TextToImage {
        negative_prompt: json["negative_prompt"].as_str().map(str::to_owned),
        num_inference_steps: number("num_inference_steps")? as usize,
        guidance_scale: json["guidance_scale"].as_f64().context("guidance_scale")? as f32,
        width: number("width")? as usize,
        height: number("height")? as usize,
        num_images: number("num_images")? as usize,
        seed: Some(0),
        ..TextToImage::new(json["prompt"].as_str().context("prompt")?)
    })
}
