//! `AutoencoderKLWan`: videos to latents and back, in chunks, so that memory does not grow with the length.

mod blocks;
mod chunks;
mod config;
mod decode;
mod decoder;
mod encode;
mod encoder;

use ourvidz_runtime::nn::ClipKernels;
use ourvidz_runtime::{DType, Error as RuntimeError, Graph, Model, Target, TensorSet};

use crate::Result;
use blocks::Builder;

pub use config::AutoencoderKLWanConfig;
pub use decode::VaeDecoder;
pub use encode::VaeEncoder;

/// Operators and type of the graphs.
#[derive(Debug, Clone, Copy)]
pub struct VaeOptions {
    /// Which operators they may use.
    pub target: Target,
    /// Type of weights and activations: F32, or F16 on CUDA.
    pub dtype: DType,
    /// How convolutions in time become operators on CUDA.
    pub kernels: ClipKernels,
}

/// The graphs of one VAE. One of each pair begins a video, the other goes on with what that one kept.
#[derive(Debug)]
pub struct VaeModels {
    /// What they were built for.
    pub config: AutoencoderKLWanConfig,
    /// `latents` [1, z, 1, h, w] -> `video` [1, 3, 1, 8 h, 8 w] and `next_cache.{i}`.
    pub decoder_first: Model,
    /// `latents` [1, z, f, h, w] and `cache.{i}` -> `video` [1, 3, 4 f, 8 h, 8 w] and `next_cache.{i}`.
    pub decoder_next: Model,
    /// `video` [1, 3, 1, H, W] -> `latents` [1, z, 1, H/8, W/8] and `next_cache.{i}`.
    pub encoder_first: Model,
    /// `video` [1, 3, 4 f, H, W] and `cache.{i}` -> `latents` [1, z, f, H/8, W/8] and `next_cache.{i}`.
    pub encoder_next: Model,
}

/// Builds the four graphs and checks that together they read every tensor.
///
/// # Errors
/// A configuration that cannot be built; tensors that are missing, of the wrong shape, or never read; bf16, for which
/// ONNX Runtime has not the operators on CUDA.
pub fn build(tensors: &TensorSet, config: &AutoencoderKLWanConfig, options: VaeOptions) -> Result<VaeModels> {
    config.check()?;
    if options.dtype == DType::Bf16 {
        let (field, rule) = ("precision".into(), "must be fp32 or fp16 for the VAE".into());
        return Err(RuntimeError::Invalid { field, rule, value: "bf16".into() }.into());
    }
    let graph = |name: &str, first: bool, decodes: bool| -> Result<Model> {
        let mut g = Graph::new(name, options.target, options.dtype);
        let mut b = Builder::new(&mut g, options.kernels, first);
        let part = if decodes { decoder::build } else { encoder::build };
        part(&mut b, &tensors.root(), config)?;
        Ok(g.finish())
    };
    let models = VaeModels {
        config: config.clone(),
        decoder_first: graph("vae_decoder_first", true, true)?,
        decoder_next: graph("vae_decoder_next", false, true)?,
        encoder_first: graph("vae_encoder_first", true, false)?,
        encoder_next: graph("vae_encoder_next", false, false)?,
    };
    tensors.finish()?;
    Ok(models)
}
