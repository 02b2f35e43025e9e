//! The models by themselves, for building, inspecting and measuring them without a pipeline.

pub use crate::text_encoder::{TextEncoder, Umt5Config, build as text_encoder};
pub use crate::transformer::{
    Conditioning, ConditioningInputs, Control, Transformer, build as transformer,
    build_tapped as transformer_tapped,
};
pub use crate::vae::{AutoencoderKLWanConfig, VaeDecoder, VaeEncoder, VaeModels, VaeOptions, build as vae};
