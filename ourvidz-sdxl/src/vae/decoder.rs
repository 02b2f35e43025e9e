use ourvidz_runtime::nn::{self, Conv2d};
use ourvidz_runtime::{Graph, Weights};

use super::{mid, norm};
use crate::Result;
use crate::config::VaeConfig;
use crate::unet::resnet_block;

pub(super) fn build(g: &mut Graph, w: &Weights<'_>, config: &VaeConfig) -> Result<()> {
    let latents = config.latent_channels;
    let shape = vec!["batch".into(), latents.into(), "height".into(), "width".into()];
    let mut x = nn::feature_map_input(g, "latent_sample", shape)?;
    if config.use_post_quant_conv {
        x = nn::conv2d(g, &w.at("post_quant_conv"), x, Conv2d::same(latents, 1))?;
    }
    let w = w.at("decoder");
    let levels = config.block_out_channels.len();
    let innermost = config.block_out_channels.last().copied().unwrap_or_default();
    x = nn::conv2d(g, &w.at("conv_in"), x, Conv2d::same(innermost, 3))?;
    x = mid(g, &w.at("mid_block"), x, config)?;
    for (i, c) in config.block_out_channels.iter().rev().enumerate() {
        let w = w.at("up_blocks").at(i);
        for j in 0..config.layers_per_block + 1 {
            x = resnet_block(g, &w.at("resnets").at(j), x, None, *c, norm(config))?;
        }
        if i + 1 < levels {
            x = nn::resize_nearest_twice(g, x)?; // [B, C, 2 H, 2 W]
            x = nn::conv2d(g, &w.at("upsamplers.0.conv"), x, Conv2d::same(*c, 3))?;
        }
    }
    x = nn::group_norm(g, &w.at("conv_norm_out"), x, norm(config))?;
    x = nn::conv2d(g, &w.at("conv_out"), x, Conv2d::same(config.out_channels, 3))?;
    Ok(nn::feature_map_output(g, "sample", x)?)
}
