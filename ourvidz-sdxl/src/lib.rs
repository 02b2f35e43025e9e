//! Text-to-image with Stable Diffusion XL on ONNX Runtime.
//!
//! ```no_run
//! use ourvidz_sdxl::{Device, SdxlPipeline, TextToImage};
//!
//! fn main() -> Result<(), ourvidz_sdxl::Error> {
//!     let mut sdxl = SdxlPipeline::builder("models/stable-diffusion-xl-base-1.0").device(Device::Cuda(0)).load()?;
//!     let request = TextToImage {
//!         negative_prompt: Some("blurry, low quality".into()),
//!         seed: Some(42),
//!         ..TextToImage::new("a red fox in fresh snow, golden hour")
//!     };
//!     for (i, image) in sdxl.text_to_image(&request)?.iter().enumerate() {
//!         image.save(format!("fox-{i}.png"))?;
//!     }
//!     Ok(())
//! }
//! ```
//!
//! The graphs are built in Rust from the checkpoint's own tensors; no export step, no Python. A pipeline is
//! synchronous and belongs to one thread. With a device of 16 bits the VAE decodes in fp32 where its configuration
//! says `force_upcast`, because its activations leave fp16's range; what is not finite is an error, never a black
//! picture.

#![forbid(unsafe_code)]

mod builder;
mod checkpoint;
mod config;
mod error;
mod export;
pub mod graphs;
mod image;
mod models;
mod pipeline;
mod prompt_embeds;
mod text_embedder;
mod text_encoder;
mod tokenizer;
mod unet;
mod vae;

pub use builder::{SdxlPipelineBuilder, export};
pub use error::{Error, Result};
pub use image::Image;
pub use ourvidz_core::denoise::Step;
pub use ourvidz_core::noise::NoiseSource;
pub use ourvidz_core::request::TextToImage;
pub use ourvidz_runtime::{Device, Embedding, Precision};
pub use pipeline::{SdxlPipeline, images, random_seed};
pub use prompt_embeds::PromptEmbeds;
pub use text_embedder::{ClipTextEncoder, TextEmbedder, TextEmbedderBuilder};
pub use tokenizer::ClipTokenizer;
