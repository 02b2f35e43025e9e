//! Tiny random checkpoints through the whole pipeline, against diffusers 0.42.1 in fp32 on the processor.
//!
//! The goldens are made by `scripts/goldens/sdxl_tiny.py` and `sdxl_optimum.py`; every tensor is compared whole.

mod common;

use std::ops::ControlFlow;
use std::path::Path;

use anyhow::{Context, Result, ensure};
use common::{FP32, golden, read_tensors};
use ourvidz_runtime::Tensor;
use ourvidz_sdxl::{Precision, PromptEmbeds, SdxlPipeline};

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

/// A folder that optimum exported: other names inside the graphs, a scalar timestep, two pictures of 80 x 64.
#[test]
fn exported_by_optimum() -> Result<()> {
    matches_diffusers(&golden("sdxl/optimum_export"))
}

/// Written as ONNX and loaded again, every checkpoint gives the same numbers.
#[test]
fn exported_folders() -> Result<()> {
    for name in ["linear_eps", "conv_vpred", "linspace_bf16", "single_file"] {
        let folder = golden("sdxl").join(name);
        let file = folder.join("model.safetensors");
        let out = tempfile::tempdir()?;
        let checkpoint = if file.is_file() { &file } else { &folder };
        ourvidz_sdxl::export(checkpoint, out.path(), Precision::Fp32, |_| ())?;
        compare(&folder, out.path()).context(name)?;
    }
    Ok(())
}

/// What is exported does not load as a source of another export: there are no weights to read.
#[test]
fn an_exported_folder_cannot_be_exported() -> Result<()> {
    let out = tempfile::tempdir()?;
    let folder = golden("sdxl/optimum_export");
    let error = ourvidz_sdxl::export(&folder, out.path(), Precision::Fp32, |_| ()).err();
    let message = error.context("must be refused")?.to_string();
    ensure!(message.contains("must hold .safetensors weights"), "{message}");
    Ok(())
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
    common::all_close(&found, &expected, FP32)
}
