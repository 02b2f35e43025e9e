//! The models by themselves, for building, inspecting and measuring them without a pipeline.

pub use crate::bert::{BertConfig, build as bert};
pub use crate::decoder::{
    CacheAttention, Decoder, DecoderOptions, Matrices, Output as DecoderOutput, QwenConfig, build as decoder,
};
