use ourvidz_runtime::nn::{self, Conv2d, GroupNorm};
use ourvidz_runtime::{Graph, Value, Weights};

use super::resnet::resnet_block;
use super::transformer::transformer;
use crate::Result;
use crate::config::UNetConfig;

/// A feature map [B, C, H, W], the time embedding [B, T] and the text [B, L, D].
type Inputs = (Value, Value, Value);

/// `DownBlock2D` or `CrossAttnDownBlock2D` number `i`; pushes what the way up needs.
pub(super) fn down(
    g: &mut Graph,
    w: &Weights<'_>,
    i: usize,
    config: &UNetConfig,
    (mut x, time, text): Inputs,
    skips: &mut Vec<Value>,
) -> Result<Value> {
    let w = w.at("down_blocks").at(i);
    let c = config.block_out_channels[i];
    for j in 0..config.layers_per_block.at(i).unwrap_or(1) {
        x = resnet_block(g, &w.at("resnets").at(j), x, Some(time), c, norm(config))?;
        if config.down_block_types[i].starts_with("CrossAttn") {
            let layers = config.transformer_layers_per_block.at(i).unwrap_or(1);
            x = transformer(g, &w.at("attentions").at(j), x, text, layers, heads(config, i), config)?;
        }
        skips.push(x);
    }
    if i + 1 < config.levels() {
        let padding = (config.downsample_padding, config.downsample_padding);
        let halve = Conv2d { out_channels: c, kernel: 3, stride: 2, padding };
        x = nn::conv2d(g, &w.at("downsamplers.0.conv"), x, halve)?; // [B, C, H/2, W/2]
        skips.push(x);
    }
    Ok(x)
}

/// `UNetMidBlock2DCrossAttn`
pub(super) fn mid(
    g: &mut Graph,
    w: &Weights<'_>,
    config: &UNetConfig,
    (x, time, text): Inputs,
) -> Result<Value> {
    let last = config.levels() - 1;
    let c = config.block_out_channels[last];
    let layers = config.transformer_layers_per_block.at(last).unwrap_or(1);
    let x = resnet_block(g, &w.at("resnets.0"), x, Some(time), c, norm(config))?;
    let x = transformer(g, &w.at("attentions.0"), x, text, layers, heads(config, last), config)?;
    resnet_block(g, &w.at("resnets.1"), x, Some(time), c, norm(config))
}

/// `UpBlock2D` or `CrossAttnUpBlock2D` number `i`; takes what the way down left.
pub(super) fn up(
    g: &mut Graph,
    w: &Weights<'_>,
    i: usize,
    config: &UNetConfig,
    (mut x, time, text): Inputs,
    skips: &mut Vec<Value>,
) -> Result<Value> {
    let w = w.at("up_blocks").at(i);
    let level = config.levels() - 1 - i;
    let c = config.block_out_channels[level];
    let layers = match &config.reverse_transformer_layers_per_block {
        Some(list) => list.get(i).copied(),
        None => config.transformer_layers_per_block.at(level),
    };
    for j in 0..config.layers_per_block.at(level).unwrap_or(1) + 1 {
        if let Some(skip) = skips.pop() {
            x = nn::concat_channels(g, x, skip)?;
        }
        x = resnet_block(g, &w.at("resnets").at(j), x, Some(time), c, norm(config))?;
        if config.up_block_types[i].starts_with("CrossAttn") {
            let (layers, heads) = (layers.unwrap_or(1), heads(config, level));
            x = transformer(g, &w.at("attentions").at(j), x, text, layers, heads, config)?;
        }
    }
    if let (true, Some(skip)) = (i + 1 < config.levels(), skips.last()) {
        // To the size of the next skip connection: an odd size was rounded up on the way down.
        x = nn::resize_nearest_like(g, x, *skip)?;
        x = nn::conv2d(g, &w.at("upsamplers.0.conv"), x, Conv2d::same(c, 3))?;
    }
    Ok(x)
}

fn norm(config: &UNetConfig) -> GroupNorm {
    GroupNorm { num_groups: config.norm_num_groups, eps: config.norm_eps, silu: true }
}

fn heads(config: &UNetConfig, level: usize) -> usize {
    config.num_attention_heads.as_ref().unwrap_or(&config.attention_head_dim).at(level).unwrap_or(1)
}
