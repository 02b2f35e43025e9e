//! The encoder of the VAE on tiny random checkpoints: `vae_image` to `vae_moments` of the goldens.
//!
//! The goldens are made by `scripts/goldens/sdxl_tiny.py` and `sdxl_optimum.py` with diffusers 0.42.1 in fp32.

mod common;

use std::fs::File;
use std::path::Path;

use anyhow::{Context, Result};
use common::{FP32, golden, read_tensors};
use ourvidz_runtime::{
    DType, Graph, Session, SessionOptions, Target, Tensor, TensorSet, WeightCache, open_safetensors,
    open_weights,
};
use ourvidz_sdxl::Precision;
use ourvidz_sdxl::graphs::{self, VaeConfig};

#[test]
fn fp32_files() -> Result<()> {
    diffusers_layout("linear_eps")
}

#[test]
fn fp16_variant_files() -> Result<()> {
    diffusers_layout("conv_vpred")
}

#[test]
fn bf16_files() -> Result<()> {
    diffusers_layout("linspace_bf16")
}

#[test]
fn single_file() -> Result<()> {
    let folder = golden("sdxl/single_file");
    let configs: serde_json::Value = serde_json::from_reader(File::open(folder.join("configs.json"))?)?;
    let unet = serde_json::from_value(configs["unet"].clone())?;
    let vae = serde_json::from_value(configs["vae"].clone())?;
    let tensors = open_safetensors(&folder.join("model.safetensors"))?;
    let named = graphs::original_to_diffusers(tensors, &unet, &vae)?;
    compare(&folder, &mut session(&TensorSet::new("vae", named.vae), &vae)?)
}

/// `vae_encoder/model.onnx` as optimum writes it.
#[test]
fn exported_by_optimum() -> Result<()> {
    let folder = golden("sdxl/optimum_export");
    compare(&folder, &mut exported(&folder)?)
}

/// `vae_encoder/model.onnx` as our own export writes it.
#[test]
fn exported_here() -> Result<()> {
    let folder = golden("sdxl/linear_eps");
    let out = tempfile::tempdir()?;
    ourvidz_sdxl::export(&folder, out.path(), Precision::Fp32, |_| ())?;
    compare(&folder, &mut exported(out.path())?)
}

fn diffusers_layout(name: &str) -> Result<()> {
    let folder = golden("sdxl").join(name);
    let vae = folder.join("vae");
    let config = serde_json::from_reader(File::open(vae.join("config.json"))?)?;
    let tensors = TensorSet::new("vae", open_weights(&vae, "diffusion_pytorch_model", None)?);
    compare(&folder, &mut session(&tensors, &config)?)
}

fn session(tensors: &TensorSet, config: &VaeConfig) -> Result<Session> {
    let cache = tempfile::tempdir()?;
    let graph = |name| Graph::new(name, Target::Portable, DType::F32);
    let (mut decoder, mut encoder) = (graph("vae_decoder"), graph("vae_encoder"));
    graphs::vae(&mut decoder, &mut encoder, tensors, config)?;
    // The weights stay mapped after the folder of the cache is gone.
    let (options, cache) = (SessionOptions::default(), WeightCache::new(cache.path()));
    Ok(Session::load(&encoder.finish(), &options, &cache, &mut |_| ())?)
}

fn exported(folder: &Path) -> Result<Session> {
    let path = folder.join("vae_encoder/model.onnx");
    Ok(Session::load_file("vae_encoder", &path, &SessionOptions::default())?)
}

fn compare(folder: &Path, encoder: &mut Session) -> Result<()> {
    let expected = read_tensors(&folder.join("golden.safetensors"))?;
    let (shape, image) = expected.get("vae_image").context("vae_image")?;
    let image = Tensor::f32(shape, image.clone())?;
    let moments = encoder.run(&[("sample", &image)], &["latent_parameters"])?.remove(0);
    common::all_close(&[("vae_moments".into(), moments)], &expected, FP32)
}
