//! Wan 2.1 on ONNX Runtime: the models, and what can be known before a weight is read.
//!
//! ```
//! use ourvidz_wan::{RotaryTables, VideoGeometry, WanTransformerConfig};
//!
//! # fn main() -> ourvidz_wan::Result<()> {
//! let config = WanTransformerConfig::from_json(r#"{"num_attention_heads": 12, "num_layers": 30}"#)?;
//! let geometry = VideoGeometry::new(83, 480, 832, &config)?;
//! assert_eq!(geometry.num_frames(), 81); // 4n + 1, rounded down
//! assert_eq!(geometry.latents_shape(), [16, 21, 60, 104]);
//! assert_eq!(geometry.tokens(), 32_760);
//! let rotary = RotaryTables::new(&config, geometry.grid())?;
//! assert_eq!(rotary.cos.len(), 32_760 * config.attention_head_dim);
//! # Ok(())
//! # }
//! ```
//!
//! No pipeline is in this version; the models are in [`graphs`], each by itself.
//! Field names are those of diffusers' `config.json`, and the tables are those of its `WanRotaryPosEmbed`.
#![forbid(unsafe_code)]

pub mod checkpoint;
mod config;
mod error;
mod geometry;
pub mod graphs;
mod rope;
mod text_encoder;
mod tokenizer;
mod transformer;
mod vae;
mod video;

pub use config::WanTransformerConfig;
pub use error::{Error, Result};
pub use geometry::{LATENT_CHANNELS, SPATIAL_COMPRESSION, TEMPORAL_COMPRESSION, VideoGeometry};
pub use rope::RotaryTables;
pub use tokenizer::{Tokens, Umt5Tokenizer, prompt_clean};
pub use video::Video;
#[cfg(feature = "video")]
pub use video::{VideoEncoder, VideoSettings};
