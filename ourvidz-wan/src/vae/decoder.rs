use ourvidz_runtime::nn::{self, ClipSum, Conv2d};
use ourvidz_runtime::{Attribute, Dim, Weights};

use super::blocks::Builder;
use super::config::AutoencoderKLWanConfig;
use crate::Result;

/// `latents` [1, z, f, h, w] -> `video` [1, 3, F, 8 h, 8 w] in [-1, 1]; F is 1 for the first frame, else 4 f.
pub(super) fn build(b: &mut Builder<'_>, root: &Weights<'_>, config: &AutoencoderKLWanConfig) -> Result<()> {
    let frames = if b.first { Dim::Fixed(1) } else { "frames".into() };
    let sizes = [frames, "height".into(), "width".into()];
    let mut x = nn::clip_input(b.g, "latents", config.z_dim, sizes)?;
    x = b.conv(&root.at("post_quant_conv"), x, config.z_dim, [1, 1, 1])?.value(b.g)?;
    let w = root.at("decoder");
    let dims = config.decoder_dims();
    let mut sum = b.conv(&w.at("conv_in"), x, dims[0], [3, 3, 3])?;
    sum = b.mid(&w.at("mid_block"), &sum, dims[0])?;
    let mut from = dims[0];
    for (level, c) in dims[1..].iter().enumerate() {
        let w = w.at("up_blocks").at(level);
        for j in 0..config.num_res_blocks + 1 {
            sum = b.residual(&w.at("resnets").at(j), &sum, [from, *c])?;
            from = *c;
        }
        // The encoder's levels backwards: the last one doubles nothing.
        if let Some(in_time) = config.temperal_downsample.iter().rev().nth(level) {
            sum = upsample(b, &w.at("upsamplers.0"), &sum, *in_time)?;
            from = *c / 2;
        }
    }
    x = b.norm_silu(&w.at("norm_out"), &sum, from)?;
    x = b.conv(&w.at("conv_out"), x, config.out_channels, [3, 3, 3])?.value(b.g)?;
    let out = (b.g.dtype_of(x), b.g.shape(x).to_vec());
    let (least, most) = (b.g.constant_float(&[], &[-1.0]), b.g.constant_float(&[], &[1.0]));
    x = b.g.operator("", "Clip", &[Some(x), Some(least), Some(most)], Vec::<(&str, Attribute)>::new(), out);
    Ok(nn::clip_output(b.g, "video", x)?)
}

/// `WanResample` upwards: [1, C, F, H, W] -> [1, C/2, F or 2 F, 2 H, 2 W]; the first frame stays one.
fn upsample(b: &mut Builder<'_>, w: &Weights<'_>, x: &ClipSum, in_time: bool) -> Result<ClipSum> {
    let mut x = x.value(b.g)?;
    let c = nn::clip_channels(b.g, x)?;
    if in_time && b.first {
        b.forget(x);
    } else if in_time {
        let doubled = b.conv(&w.at("time_conv"), x, 2 * c, [3, 1, 1])?.value(b.g)?;
        x = nn::interleave_frames(b.g, doubled)?;
    }
    x = nn::resize_frames_twice(b.g, x)?;
    Ok(nn::conv_frames_sum(b.g, &w.at("resample.1"), x, Conv2d::same(c / 2, 3), b.kernels)?)
}
