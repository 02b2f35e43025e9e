//! Text-to-video with Wan 2.1 on ONNX Runtime, with reference frames that condition it.
//!
//! ```no_run
//! use ourvidz_wan::{Device, TextToVideo, WanPipeline};
//!
//! fn main() -> Result<(), ourvidz_wan::Error> {
//!     let mut wan = WanPipeline::builder("models/Wan2.1-T2V-1.3B").device(Device::Cuda(0)).load()?;
//!     let request = TextToVideo {
//!         num_frames: 33,
//!         num_inference_steps: 30,
//!         seed: Some(42),
//!         ..TextToVideo::new("a red fox trots through fresh snow, handheld camera")
//!     };
//!     let video = wan.text_to_video(&request)?;
//!     Ok(println!("{} frames", video.num_frames())) // with the feature `video`: video.save("fox.mp4")
//! }
//! ```
//!
//! The graphs are built in Rust from the checkpoint's own tensors, in any of the published layouts; no export step, no
//! Python. A pipeline is synchronous and belongs to one thread. It decodes a video chunk by chunk, so that memory does
//! not grow with its length. The models are in [`graphs`], each by itself.
#![forbid(unsafe_code)]

mod builder;
pub mod checkpoint;
mod components;
mod config;
mod error;
mod geometry;
pub mod graphs;
mod pipeline;
mod prompt_embeds;
mod reference;
mod rope;
mod text_encoder;
mod tokenizer;
mod transformer;
mod vae;
mod video;

pub use builder::WanPipelineBuilder;
pub use components::Component;
pub use config::WanTransformerConfig;
pub use error::{Error, Result};
pub use geometry::{LATENT_CHANNELS, SPATIAL_COMPRESSION, TEMPORAL_COMPRESSION, VideoGeometry};
pub use image::RgbImage;
pub use ourvidz_core::denoise::Step;
pub use ourvidz_core::noise::NoiseSource;
pub use ourvidz_core::request::TextToVideo;
pub use ourvidz_runtime::{Device, Precision};
pub use pipeline::{DEFAULT_NEGATIVE_PROMPT, WanPipeline, negative_prompt, random_seed};
pub use prompt_embeds::PromptEmbeds;
pub use reference::{Prepared, Reference, ReferenceFrames, ReferenceMethod, cover};
pub use rope::RotaryTables;
pub use tokenizer::{Tokens, Umt5Tokenizer, prompt_clean};
pub use video::Video;
#[cfg(feature = "video")]
pub use video::{VideoEncoder, VideoSettings};
