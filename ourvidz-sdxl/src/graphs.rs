//! The models by themselves, for building, inspecting and exporting graphs without a pipeline.

pub use crate::checkpoint::{Named, original_to_diffusers};
pub use crate::config::{ClipTextConfig, OneOrMany, UNetConfig, VaeConfig};
pub use crate::text_encoder::build as text_encoder;
pub use crate::unet::build as unet;
pub use crate::vae::build as vae;
