use ourvidz_runtime::nn::{self, Conv2d, GroupNorm};
use ourvidz_runtime::{Graph, Value, Weights};

use crate::Result;

/// `ResnetBlock2D`: two convolutions with a residual connection, shifted by the time embedding where there is one.
///
/// x: [B, C_in, H, W], time_embedding: [B, T] after SiLU -> [B, `out_channels`, H, W]
pub(crate) fn resnet_block(
    g: &mut Graph,
    w: &Weights<'_>,
    x: Value,
    time_embedding: Option<Value>,
    out_channels: usize,
    norm: GroupNorm,
) -> Result<Value> {
    let norm = GroupNorm { silu: true, ..norm };
    let mut h = nn::group_norm(g, &w.at("norm1"), x, norm)?;
    h = nn::conv2d(g, &w.at("conv1"), h, Conv2d::same(out_channels, 3))?; // [B, C_out, H, W]
    if let Some(t) = time_embedding {
        let t = nn::linear(g, &w.at("time_emb_proj"), t, out_channels)?; // [B, C_out]
        h = nn::add_channels(g, h, t)?;
    }
    h = nn::group_norm(g, &w.at("norm2"), h, norm)?;
    h = nn::conv2d(g, &w.at("conv2"), h, Conv2d::same(out_channels, 3))?;
    let x = if nn::channels(g, x)? == out_channels {
        x
    } else {
        nn::conv2d(g, &w.at("conv_shortcut"), x, Conv2d::same(out_channels, 1))?
    };
    Ok(g.add(x, h)?)
}
