use ourvidz_runtime::nn::{self, ClipSum, Conv2d};
use ourvidz_runtime::{Dim, Weights};

use super::blocks::Builder;
use super::config::AutoencoderKLWanConfig;
use crate::Result;

/// `video` [1, 3, F, H, W] in [-1, 1] -> `latents` [1, z, f, H/8, W/8], the mean of their distribution; f is 1 for the
/// first frame, else F / 4.
pub(super) fn build(b: &mut Builder<'_>, root: &Weights<'_>, config: &AutoencoderKLWanConfig) -> Result<()> {
    let frames = if b.first { Dim::Fixed(1) } else { "frames".into() };
    let sizes = [frames, "height".into(), "width".into()];
    let mut x = nn::clip_input(b.g, "video", config.in_channels, sizes)?;
    let w = root.at("encoder");
    let dims = config.encoder_dims();
    let mut sum = b.conv(&w.at("conv_in"), x, dims[0], [3, 3, 3])?;
    let mut from = dims[0];
    let mut place = 0;
    for (level, c) in dims[1..].iter().enumerate() {
        for _ in 0..config.num_res_blocks {
            sum = b.residual(&w.at("down_blocks").at(place), &sum, [from, *c])?;
            from = *c;
            place += 1;
        }
        if let Some(in_time) = config.temperal_downsample.get(level) {
            sum = downsample(b, &w.at("down_blocks").at(place), &sum, *in_time)?;
            place += 1;
        }
    }
    sum = b.mid(&w.at("mid_block"), &sum, from)?;
    x = b.norm_silu(&w.at("norm_out"), &sum, from)?;
    x = b.conv(&w.at("conv_out"), x, 2 * config.z_dim, [3, 3, 3])?.value(b.g)?;
    x = b.conv(&root.at("quant_conv"), x, 2 * config.z_dim, [1, 1, 1])?.value(b.g)?;
    let mean = nn::first_channels(b.g, x, config.z_dim)?;
    Ok(nn::clip_output(b.g, "latents", mean)?)
}

/// `WanResample` downwards: [1, C, F, H, W] -> [1, C, F or F / 2, H/2, W/2]; the first frame stays one.
fn downsample(b: &mut Builder<'_>, w: &Weights<'_>, x: &ClipSum, in_time: bool) -> Result<ClipSum> {
    let x = x.value(b.g)?;
    let c = nn::clip_channels(b.g, x)?;
    // Zeros below and on the right only.
    let halve = Conv2d { out_channels: c, kernel: 3, stride: 2, padding: (0, 1) };
    let sum = nn::conv_frames_sum(b.g, &w.at("resample.1"), x, halve, b.kernels)?;
    if !in_time {
        return Ok(sum);
    }
    let x = sum.value(b.g)?;
    let clip = b.follow(x, 1)?;
    if b.first { Ok(x.into()) } else { b.conv_of(&w.at("time_conv"), clip, c, [3, 1, 1], 2) }
}
