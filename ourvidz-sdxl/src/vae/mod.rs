//! Graphs of `AutoencoderKL`: images to latents and back.

mod decoder;
mod encoder;

use ourvidz_runtime::nn::{self, Attention, GroupNorm};
use ourvidz_runtime::{Graph, TensorSet, Value, Weights};

use crate::Result;
use crate::config::VaeConfig;
use crate::unet::resnet_block;

/// Adds the decoder to `decode` and the encoder to `encode`, and checks that together they read every tensor.
///
/// Decoder: `latent_sample` [B, 4, h, w] (already divided by `scaling_factor`) -> `sample` [B, 3, 8 h, 8 w], about
/// -1 to 1. Encoder: `sample` [B, 3, H, W] -> `latent_parameters` [B, 8, H/8, W/8], mean and log-variance.
///
/// # Errors
/// A configuration that cannot be built; tensors that are missing, of the wrong shape, or never read.
pub fn build(decode: &mut Graph, encode: &mut Graph, tensors: &TensorSet, config: &VaeConfig) -> Result<()> {
    config.check()?;
    decoder::build(decode, &tensors.root(), config)?;
    encoder::build(encode, &tensors.root(), config)?;
    Ok(tensors.finish()?)
}

fn norm(config: &VaeConfig) -> GroupNorm {
    GroupNorm { num_groups: config.norm_num_groups, eps: 1e-6, silu: true }
}

/// `UNetMidBlock2D`: residual block, attention with one head, residual block. x: [B, C, H, W] -> [B, C, H, W]
fn mid(g: &mut Graph, w: &Weights<'_>, x: Value, config: &VaeConfig) -> Result<Value> {
    let c = nn::channels(g, x)?;
    let x = resnet_block(g, &w.at("resnets.0"), x, None, c, norm(config))?;
    let x = attend(g, &w.at("attentions.0"), x, config)?;
    resnet_block(g, &w.at("resnets.1"), x, None, c, norm(config))
}

fn attend(g: &mut Graph, w: &Weights<'_>, x: Value, config: &VaeConfig) -> Result<Value> {
    let c = nn::channels(g, x)?;
    let plain = GroupNorm { silu: false, ..norm(config) };
    let normed = nn::group_norm(g, &w.at("group_norm"), x, plain)?;
    let tokens = nn::to_tokens(g, normed)?; // [B, H*W, C]
    let [q, k, v] = ["to_q", "to_k", "to_v"].map(|name| nn::linear(g, &w.at(name), tokens, c));
    let y = nn::attention(g, q?, k?, v?, Attention { num_heads: 1, causal: false })?;
    let y = nn::linear(g, &w.at("to_out.0"), y, c)?;
    let y = nn::to_feature_map(g, y, x)?;
    Ok(g.add(y, x)?)
}
