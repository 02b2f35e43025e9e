//! Graph of `UNet2DConditionModel` as Stable Diffusion XL uses it.

mod blocks;
mod resnet;
mod transformer;

use ourvidz_runtime::nn::{self, Conv2d, GroupNorm};
use ourvidz_runtime::{DType, Graph, TensorSet, Value, Weights};

use crate::Result;
use crate::config::UNetConfig;

pub(crate) use resnet::resnet_block;

/// Adds the UNet to `g`.
///
/// Inputs `sample` [B, 4, h, w], `timestep` f32 `[1]`, `encoder_hidden_states` [B, L, D], `text_embeds` [B, P],
/// `time_ids` [B, 6] (original height and width, crop top and left, target height and width; f32 in a graph of f32,
/// otherwise the graph's type). Output `out_sample` [B, 4, h, w].
///
/// # Errors
/// A configuration that cannot be built; tensors that are missing, of the wrong shape, or never read.
pub fn build(g: &mut Graph, tensors: &TensorSet, config: &UNetConfig) -> Result<()> {
    config.check()?;
    let w = tensors.root();
    let dtype = g.dtype();
    let (batch, c) = (|| "batch".into(), config.block_out_channels[0]);
    let sample_shape = vec![batch(), config.in_channels.into(), "height".into(), "width".into()];
    let sample = nn::feature_map_input(g, "sample", sample_shape)?;
    let timestep = g.input("timestep", DType::F32, vec![1.into()]);
    let text = vec![batch(), "sequence".into(), config.cross_attention_dim.into()];
    let text = g.input("encoder_hidden_states", dtype, text);
    let time_embedding = time_embedding(g, &w, timestep, config)?; // [B, 4 C]

    let mut x = nn::conv2d(g, &w.at("conv_in"), sample, Conv2d::same(c, 3))?;
    let mut skips = vec![x];
    for i in 0..config.levels() {
        x = blocks::down(g, &w, i, config, (x, time_embedding, text), &mut skips)?;
    }
    x = blocks::mid(g, &w.at("mid_block"), config, (x, time_embedding, text))?;
    for i in 0..config.levels() {
        x = blocks::up(g, &w, i, config, (x, time_embedding, text), &mut skips)?;
    }
    let norm = GroupNorm { num_groups: config.norm_num_groups, eps: config.norm_eps, silu: true };
    x = nn::group_norm(g, &w.at("conv_norm_out"), x, norm)?;
    x = nn::conv2d(g, &w.at("conv_out"), x, Conv2d::same(config.out_channels, 3))?;
    nn::feature_map_output(g, "out_sample", x)?;
    Ok(tensors.finish()?)
}

/// Time, pooled text and time ids in one vector, through the SiLU that every residual block begins with: [B, 4 C]
fn time_embedding(g: &mut Graph, w: &Weights<'_>, timestep: Value, c: &UNetConfig) -> Result<Value> {
    let dtype = g.dtype();
    let pooled_width = c.projection_class_embeddings_input_dim.saturating_sub(6 * c.addition_time_embed_dim);
    let text_embeds = g.input("text_embeds", dtype, vec!["batch".into(), pooled_width.into()]);
    let time_ids = g.input("time_ids", DType::F32, vec!["batch".into(), 6.into()]);

    let timestep = g.reshape(timestep, &[1, 1], vec![1.into(), 1.into()])?;
    let t = nn::sinusoidal_embedding(g, timestep, c.block_out_channels[0])?; // [1, C]
    let t = g.cast(t, dtype);
    let t = mlp(g, &w.at("time_embedding"), t, c)?; // [1, 4 C]

    let ids = g.reshape(time_ids, &[0, 6, 1], vec!["batch".into(), 6.into(), 1.into()])?;
    let ids = nn::sinusoidal_embedding(g, ids, c.addition_time_embed_dim)?; // [B, 6, 256]
    let width = 6 * c.addition_time_embed_dim;
    let ids = g.reshape(ids, &[0, width as i64], vec!["batch".into(), width.into()])?;
    let ids = g.cast(ids, dtype);
    let added = g.concat(&[text_embeds, ids], 1)?; // [B, 2816]
    let added = mlp(g, &w.at("add_embedding"), added, c)?; // [B, 4 C]
    let both = g.add(added, t)?;
    Ok(nn::silu(g, both)?)
}

/// `TimestepEmbedding`: [B, D] -> [B, 4 C]
fn mlp(g: &mut Graph, w: &Weights<'_>, x: Value, c: &UNetConfig) -> Result<Value> {
    let x = nn::linear(g, &w.at("linear_1"), x, c.time_embed_dim())?;
    let x = nn::silu(g, x)?;
    Ok(nn::linear(g, &w.at("linear_2"), x, c.time_embed_dim())?)
}
