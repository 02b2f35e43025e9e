//! Layers as functions: read weights, add operators, give back the result. One kind per file.
//!
//! Feature maps are written [B, C, H, W]; on [`Target::Cuda`](crate::Target::Cuda) they lie as [B, H, W, C], and
//! only the functions here know it.

mod activation;
mod attention;
mod cached_attention;
mod clip;
mod clip_norm;
mod clip_sum;
mod clip_tokens;
mod conv;
mod conv3d;
mod embedding;
mod feature_map;
mod linear;
mod masked_attention;
mod modulation;
mod norm;
mod patches;
mod project;
mod residual;
mod rms_norm;
mod rotary;

pub use activation::{Activation, activation, geglu, silu};
pub use attention::{Attention, attention};
pub use cached_attention::{CachedAttention, cached_attention, cached_attention_fits};
pub use clip::{
    CausalClip, after_frames, after_nothing, clip_channels, clip_input, clip_output, clip_state,
    first_channels, interleave_frames, last_frames, resize_frames_twice, zero_frames,
};
pub use clip_norm::rms_norm_channels;
pub use clip_sum::ClipSum;
pub use clip_tokens::{clip_to_tokens, pointwise, tokens_to_clip};
pub use conv::{Conv2d, conv2d};
pub use conv3d::{ClipKernels, Conv3d, conv_frames, conv_frames_sum, conv3d, conv3d_sum};
pub use embedding::{embedding, sinusoidal_embedding};
pub use feature_map::{
    add_channels, channels, concat_channels, feature_map_input, feature_map_output, resize_nearest_like,
    resize_nearest_twice, to_feature_map, to_tokens,
};
pub use linear::{
    linear, linear_f32, linear_gelu, linear_gelu_tanh, linear_int4, linear_residual, linear_without_bias,
};
pub use masked_attention::masked_attention;
pub use modulation::{Residual, gated_residual, modulated_layer_norm};
pub use norm::{GroupNorm, group_norm, layer_norm, layer_norm_weights};
pub use patches::{Patches, patch_embedding, patches, unpatchify};
pub use project::{Matrices, Norm, project, project_residual, project_three, swiglu, top_logits};
pub use residual::linear_add_layer_norm;
pub use rms_norm::{RotaryTables, rms_norm, rms_norm_rotary};
pub use rotary::{rotary_embedding, rotary_halves};
