//! Tiny random checkpoints through the whole pipeline, against diffusers 0.42.1 in fp32 on the processor.
//!
//! The goldens are made by `scripts/goldens/sdxl_tiny.py`; every tensor is compared whole.

mod common;

use std::ops::ControlFlow;
use std::path::Path;

use anyhow::{Context, Result, ensure};
use common::{FP32, golden, read_tensors, relative_l2};
use ourvidz_runtime::Tensor;
use ourvidz_sdxl::{PromptEmbeds, SdxlPipeline};

/// Linear projection, epsilon, leading spacing, fp32 files, zeros for the absent negative prompt.
#[test]
fn linear_projection_epsilon() -> Result<()> {
    matches_diffusers(&golden("sdxl/linear_eps"))
}

/// Projection by convolution, v-prediction, trailing spacing with zero terminal SNR, fp16 variant files.
#[test]
fn conv_projection_v_prediction() -> Result<()> {
    matches_diffusers(&golden("sdxl/conv_vpred"))
}

/// Linspace spacing with Karras sigmas, bf16 files, a sharded UNet.
#[test]
fn linspace_karras_shards() -> Result<()> {
    matches_diffusers(&golden("sdxl/linspace_bf16"))
}

/// One file with the original names.
#[test]
fn single_file() -> Result<()> {
    let folder = golden("sdxl/single_file");
    compare(&folder, &folder.join("model.safetensors"))
}

/// Written as ONNX and loaded again, a checkpoint gives the same numbers.
#[test]
fn exported_folder() -> Result<()> {
    let out = tempfile::tempdir()?;
    let folder = golden("sdxl/linear_eps");
    ourvidz_sdxl::export(&folder, out.path(), ourvidz_sdxl::Precision::Fp32, |_| ())?;
    compare(&folder, out.path())
}

fn matches_diffusers(folder: &Path) -> Result<()> {
    compare(folder, folder)
}

/// Runs the request of `folder` on `checkpoint` and compares every tensor of the golden file.
fn compare(folder: &Path, checkpoint: &Path) -> Result<()> {
    let expected = read_tensors(&folder.join("golden.safetensors"))?;
    let request = common::request(folder)?;
    let cache = tempfile::tempdir()?;
    let mut sdxl = SdxlPipeline::builder(checkpoint).cache_folder(cache.path()).load()?;
    let mut found: Vec<(String, Tensor)> = Vec::new();

    let embeds = sdxl.encode_prompt(&request)?;
    let PromptEmbeds { prompt_embeds, pooled_prompt_embeds, negative } = embeds.clone();
    found.push(("prompt_embeds".into(), prompt_embeds));
    found.push(("pooled_prompt_embeds".into(), pooled_prompt_embeds));
    let (negative, negative_pooled) = negative.context("guided runs have a negative half")?;
    found.push(("negative_prompt_embeds".into(), negative));
    found.push(("negative_pooled_prompt_embeds".into(), negative_pooled));

    let (shape, values) = expected.get("initial_latents").context("initial_latents")?;
    let initial = Tensor::f32(shape, values.clone())?;
    let mut steps = Vec::new();
    let latents = sdxl.denoise(&request, &embeds, Some(initial), |step| {
        steps.push((step.index, step.noise_pred.to_vec(), step.latents.to_vec()));
        ControlFlow::Continue(())
    })?;
    for (i, noise_pred, latents) in steps {
        found.push((format!("noise_pred.{i}"), Tensor::f32(shape, noise_pred)?));
        found.push((format!("latents.{i}"), Tensor::f32(shape, latents)?));
    }
    found.push(("image".into(), sdxl.decode(&latents)?));
    found.push(("latents".into(), latents));

    ensure!(found.len() == 4 + 2 * request.num_inference_steps + 2, "steps are missing");
    let mut worst = Vec::new();
    for (name, tensor) in &found {
        let reference = expected.get(name).with_context(|| format!("{name} is not in the golden file"))?;
        let error = relative_l2(tensor, reference).with_context(|| name.clone())?;
        if error > FP32 {
            worst.push(format!("{name}: {error:.2e}"));
        }
    }
    ensure!(worst.is_empty(), "beyond {FP32:e}: {}", worst.join(", "));
    Ok(())
}
