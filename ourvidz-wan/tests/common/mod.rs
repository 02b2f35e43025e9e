//! Tiny checkpoints, their goldens, and how alike two tensors are.
#![allow(dead_code)]

use std::collections::BTreeMap;
use std::ops::ControlFlow;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, ensure};
use ourvidz_runtime::Tensor;
use ourvidz_wan::{Prepared, Reference, RgbImage, TextToVideo, WanPipeline};
use safetensors::{Dtype, SafeTensors};

/// Relative L2 error allowed per tensor.
const FP32: f64 = 1e-4;

pub(crate) type Goldens = BTreeMap<String, Tensor>;

/// [F, 3, H, W]
pub(crate) fn decode(wan: &mut WanPipeline, latents: &Tensor, prepared: &Prepared) -> Result<Tensor> {
    let (mut frames, mut sizes) = (Vec::new(), [0; 2]);
    let _whole = wan.decode_chunks(latents, prepared, |chunk| {
        let &[_, 3, count, height, width] = chunk.shape() else { anyhow::bail!("{:?}", chunk.shape()) };
        let area = height * width;
        sizes = [height, width];
        let values = chunk.into_f32();
        for frame in 0..count {
            frames.extend((0..3).flat_map(|c| &values[(c * count + frame) * area..][..area]).copied());
        }
        Ok(ControlFlow::Continue(()))
    })?;
    let [height, width] = sizes;
    Ok(Tensor::f32(&[frames.len() / (3 * height * width), 3, height, width], frames)?)
}

/// Every tensor of a run under the goldens' names with a prefix.
pub(crate) fn same_run(
    what: &str,
    wan: &mut WanPipeline,
    request: &TextToVideo,
    reference: Option<&Reference>,
    initial: Tensor,
    (golden, prefix): (&Goldens, &str),
) -> Result<()> {
    let golden = |name: &str| {
        let name = format!("{prefix}.{name}");
        golden.get(&name).with_context(|| name)
    };
    let prepared = wan.prepare(request, reference)?;
    if let Ok(expected) = golden("conditioning_latents") {
        let control = prepared.control().context("no control")?;
        close(&format!("{what} conditioning_latents"), control, expected)?;
    }
    let embeds = wan.encode_prompt(request)?;
    let mut kept = Vec::new();
    let latents = wan.denoise(request, &embeds, &prepared, Some(initial), |step| {
        kept.push((step.timestep, step.noise_pred.to_vec(), step.latents.to_vec()));
        ControlFlow::Continue(())
    })?;
    let timesteps: Vec<f32> = kept.iter().map(|(timestep, ..)| *timestep).collect();
    let expected = golden("timesteps")?;
    close(&format!("{what} timesteps"), &Tensor::f32(expected.shape(), timesteps)?, expected)?;
    for (i, (_, noise_pred, latents)) in kept.into_iter().enumerate() {
        for (name, values) in [("noise_pred", noise_pred), ("latents", latents)] {
            let expected = golden(&format!("{name}.{i}"))?;
            close(&format!("{what} {name}.{i}"), &Tensor::f32(expected.shape(), values)?, expected)?;
        }
    }
    close(&format!("{what} latents"), &latents, golden("latents")?)?;
    let video = decode(wan, &latents, &prepared)?;
    close(&format!("{what} video"), &video, golden("video")?)
}

/// [H, W, 3] of bytes, read as numbers.
pub(crate) fn image(pixels: &Tensor) -> Result<RgbImage> {
    let &[height, width, 3] = pixels.shape() else { anyhow::bail!("{:?}", pixels.shape()) };
    let bytes = pixels.clone().into_f32().into_iter().map(|x| x as u8).collect();
    RgbImage::from_raw(width as u32, height as u32, bytes).context("pixels")
}

pub(crate) fn load(name: &str) -> Result<(Goldens, TextToVideo, tempfile::TempDir, WanPipeline)> {
    let folder = folder(name);
    let request: serde_json::Value =
        serde_json::from_str(&std::fs::read_to_string(folder.join("request.json"))?)?;
    let number = |field: &str| request[field].as_u64().map(|n| n as usize).context(field.to_owned());
    let request = TextToVideo {
        // diffusers' default is the empty text, ours the model's own.
        negative_prompt: Some(request["negative_prompt"].as_str().unwrap_or_default().to_owned()),
        num_inference_steps: number("num_inference_steps")?,
        guidance_scale: request["guidance_scale"].as_f64().context("guidance_scale")? as f32,
        height: number("height")?,
        width: number("width")?,
        num_frames: number("num_frames")?,
        ..TextToVideo::new(request["prompt"].as_str().context("prompt")?)
    };
    let cache = tempfile::tempdir()?;
    let wan = WanPipeline::builder(&folder).cache_folder(cache.path()).load()?;
    Ok((goldens(&folder.join("golden.safetensors"))?, request, cache, wan))
}

pub(crate) fn folder(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../tests/golden/wan").join(name)
}

pub(crate) fn goldens(path: &Path) -> Result<Goldens> {
    let bytes = std::fs::read(path)?;
    let file = SafeTensors::deserialize(&bytes)?;
    let tensor = |view: safetensors::tensor::TensorView<'_>| -> Result<Tensor> {
        let values = match view.dtype() {
            Dtype::F32 => view.data().as_chunks::<4>().0.iter().map(|b| f32::from_le_bytes(*b)).collect(),
            Dtype::I64 => {
                view.data().as_chunks::<8>().0.iter().map(|b| i64::from_le_bytes(*b) as f32).collect()
            }
            Dtype::U8 => view.data().iter().map(|b| f32::from(*b)).collect(),
            other => anyhow::bail!("{other:?}"),
        };
        Ok(Tensor::f32(view.shape(), values)?)
    };
    file.tensors().into_iter().map(|(name, view)| Ok((name, tensor(view)?))).collect()
}

pub(crate) fn close(name: &str, found: &Tensor, expected: &Tensor) -> Result<()> {
    ensure!(
        found.shape() == expected.shape(),
        "{name}: {:?}, expected {:?}",
        found.shape(),
        expected.shape()
    );
    let error = difference(&found.clone().into_f32(), &expected.clone().into_f32());
    println!("{name}: {error:.1e}");
    ensure!(error <= FP32, "{name}: relative L2 {error:.2e}");
    Ok(())
}

/// Relative L2 of two lists of one length.
pub(crate) fn difference(found: &[f32], expected: &[f32]) -> f64 {
    assert_eq!(found.len(), expected.len());
    let square = |x: f32| f64::from(x).powi(2);
    let difference: f64 = found.iter().zip(expected).map(|(a, b)| square(a - b)).sum();
    let size: f64 = expected.iter().map(|x| square(*x)).sum();
    (difference / size.max(1e-30)).sqrt()
}
