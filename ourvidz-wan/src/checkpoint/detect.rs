//! Configurations read off the shapes of tensors, under the names of diffusers and transformers.

use ourvidz_runtime::Error as Runtime;

use super::Tensors;
use crate::text_encoder::Umt5Config;
use crate::vae::AutoencoderKLWanConfig;
use crate::{Result, WanTransformerConfig};

/// Width of an attention head of every published transformer; shapes do not tell it.
const HEAD: usize = 128;

/// Shape of a tensor that every such model has.
fn shape<'a>(tensors: &'a Tensors, component: &str, name: &str) -> Result<&'a [usize]> {
    match tensors.get(name) {
        Some(view) if !view.shape.is_empty() => Ok(&view.shape),
        _ => Err(Runtime::MissingTensor {
            component: component.into(),
            tensor: name.into(),
            expected: "of Wan 2.1".into(),
        }
        .into()),
    }
}

/// How many of `{list}.{n}` there are, counted from 0.
fn count(tensors: &Tensors, list: &str, within: &str) -> usize {
    (0..).take_while(|i| tensors.contains_key(&format!("{list}.{i}.{within}"))).count()
}

pub(super) fn transformer(tensors: &Tensors) -> Result<WanTransformerConfig> {
    let at = |name: &str| shape(tensors, "transformer", name);
    let axis = |name: &str, axis: usize| tensors.get(name).and_then(|view| view.shape.get(axis)).copied();
    let [width, in_channels, patch @ ..] = at("patch_embedding.weight")? else {
        return Err(unlike("patch_embedding.weight"));
    };
    let &[p_f, p_h, p_w] = patch else { return Err(unlike("patch_embedding.weight")) };
    let patch_size = [p_f, p_h, p_w];
    const IMAGE: &str = "condition_embedder.image_embedder";
    let num_layers = count(tensors, "blocks", "attn1.to_q.weight");
    let controls = count(tensors, "vace_blocks", "attn1.to_q.weight");
    // 15 of 30 blocks and 8 of 40: evenly spread from the first on.
    let stride = num_layers.checked_div(controls).unwrap_or(0).max(1);
    let text = "condition_embedder.text_embedder.linear_1.weight";
    let time = "condition_embedder.time_embedder.linear_1.weight";
    let config = WanTransformerConfig {
        patch_size,
        num_attention_heads: (width / HEAD).max(1),
        attention_head_dim: if *width < HEAD { *width } else { HEAD },
        in_channels: *in_channels,
        out_channels: at("proj_out.weight")?[0] / patch_size.iter().product::<usize>().max(1),
        text_dim: axis(text, 1).ok_or_else(|| unlike(text))?,
        freq_dim: axis(time, 1).ok_or_else(|| unlike(time))?,
        ffn_dim: at("blocks.0.ffn.net.0.proj.weight")?[0],
        num_layers,
        cross_attn_norm: tensors.contains_key("blocks.0.norm2.weight"),
        eps: 1e-6,
        image_dim: axis(&format!("{IMAGE}.ff.net.0.proj.weight"), 1),
        added_kv_proj_dim: axis("blocks.0.attn2.add_k_proj.weight", 0),
        pos_embed_seq_len: axis(&format!("{IMAGE}.pos_embed"), 1),
        vace_layers: (controls > 0).then(|| (0..controls).map(|i| i * stride).collect()),
        vace_in_channels: axis("vace_patch_embedding.weight", 1).unwrap_or(96),
        ..WanTransformerConfig::default()
    };
    config.check()?;
    Ok(config)
}

fn unlike(tensor: &str) -> crate::Error {
    let (component, tensor) = ("transformer".into(), tensor.into());
    Runtime::MissingTensor { component, tensor, expected: "of Wan 2.1".into() }.into()
}

pub(super) fn umt5(tensors: &Tensors) -> Result<Umt5Config> {
    let at = |name: &str| shape(tensors, "text_encoder", name);
    let axis = |name: &str, axis: usize| at(name).map(|shape| shape.get(axis).copied().unwrap_or(0));
    let table =
        if tensors.contains_key("shared.weight") { "shared.weight" } else { "encoder.embed_tokens.weight" };
    const LAYER: &str = "encoder.block.0.layer";
    let bias = format!("{LAYER}.0.SelfAttention.relative_attention_bias.weight");
    let num_heads = axis(&bias, 1)?;
    let config = Umt5Config {
        vocab_size: axis(table, 0)?,
        d_model: axis(table, 1)?,
        d_kv: axis(&format!("{LAYER}.0.SelfAttention.q.weight"), 0)?.checked_div(num_heads).unwrap_or(0),
        d_ff: axis(&format!("{LAYER}.1.DenseReluDense.wi_0.weight"), 0)?,
        num_heads,
        num_layers: count(tensors, "encoder.block", "layer.0.layer_norm.weight"),
        relative_attention_num_buckets: axis(&bias, 0)?,
        ..Umt5Config::umt5_xxl()
    };
    config.check()?;
    Ok(config)
}

/// Residual blocks in a level of the encoder, of either naming: as many as come before the first that changes sizes.
pub(super) fn vae_res_blocks(tensors: &Tensors) -> usize {
    let changes = |i: &usize| {
        ["downsamples", "down_blocks"]
            .iter()
            .any(|stage| tensors.contains_key(&format!("encoder.{stage}.{i}.resample.1.weight")))
    };
    (0..64).find(changes).unwrap_or(2)
}

pub(super) fn vae(tensors: &Tensors, num_res_blocks: usize) -> Result<AutoencoderKLWanConfig> {
    let at = |name: &str| shape(tensors, "vae", name);
    let base_dim = at("encoder.conv_in.weight")?[0].max(1);
    let step = num_res_blocks + 1;
    let width = |level: usize| tensors.get(&format!("encoder.down_blocks.{}.conv1.weight", level * step));
    let dim_mult: Vec<usize> =
        (0..).map_while(|level| Some(width(level)?.shape.first()? / base_dim)).collect();
    let halves = |level| {
        let place = level * step + num_res_blocks;
        tensors.contains_key(&format!("encoder.down_blocks.{place}.time_conv.weight"))
    };
    let config = AutoencoderKLWanConfig {
        base_dim,
        z_dim: at("post_quant_conv.weight")?[0],
        temperal_downsample: (0..dim_mult.len().saturating_sub(1)).map(halves).collect(),
        dim_mult,
        num_res_blocks,
        ..AutoencoderKLWanConfig::default()
    };
    config.check()?;
    Ok(config)
}
