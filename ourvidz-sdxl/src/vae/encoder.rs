use ourvidz_runtime::nn::{self, Conv2d};
use ourvidz_runtime::{Graph, Weights};

use super::{mid, norm};
use crate::Result;
use crate::config::VaeConfig;
use crate::unet::resnet_block;

pub(super) fn build(g: &mut Graph, root: &Weights<'_>, config: &VaeConfig) -> Result<()> {
    let shape = vec!["batch".into(), config.in_channels.into(), "height".into(), "width".into()];
    let mut x = nn::feature_map_input(g, "sample", shape)?;
    let w = root.at("encoder");
    let levels = config.block_out_channels.len();
    let first = config.block_out_channels.first().copied().unwrap_or_default();
    x = nn::conv2d(g, &w.at("conv_in"), x, Conv2d::same(first, 3))?;
    for (i, c) in config.block_out_channels.iter().enumerate() {
        let w = w.at("down_blocks").at(i);
        for j in 0..config.layers_per_block {
            x = resnet_block(g, &w.at("resnets").at(j), x, None, *c, norm(config))?;
        }
        if i + 1 < levels {
            // Zeros at the bottom and on the right only, as the original does.
            let halve = Conv2d { out_channels: *c, kernel: 3, stride: 2, padding: (0, 1) };
            x = nn::conv2d(g, &w.at("downsamplers.0.conv"), x, halve)?; // [B, C, H/2, W/2]
        }
    }
    x = mid(g, &w.at("mid_block"), x, config)?;
    x = nn::group_norm(g, &w.at("conv_norm_out"), x, norm(config))?;
    let moments = 2 * config.latent_channels;
    x = nn::conv2d(g, &w.at("conv_out"), x, Conv2d::same(moments, 3))?;
    if config.use_quant_conv {
        x = nn::conv2d(g, &root.at("quant_conv"), x, Conv2d::same(moments, 1))?;
    }
    Ok(nn::feature_map_output(g, "latent_parameters", x)?)
}
