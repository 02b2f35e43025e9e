use ourvidz_runtime::nn::{self, Attention, Conv2d, GroupNorm};
use ourvidz_runtime::{Graph, Value, Weights};

use crate::Result;
use crate::config::UNetConfig;

/// `Transformer2DModel`: x [B, C, H, W], text [B, L, D] -> [B, C, H, W]
pub(super) fn transformer(
    g: &mut Graph,
    w: &Weights<'_>,
    x: Value,
    text: Value,
    layers: usize,
    num_heads: usize,
    config: &UNetConfig,
) -> Result<Value> {
    let c = nn::channels(g, x)?;
    let norm = GroupNorm { num_groups: config.norm_num_groups, eps: 1e-6, silu: false };
    let normed = nn::group_norm(g, &w.at("norm"), x, norm)?;
    let mut tokens = if config.use_linear_projection {
        let tokens = nn::to_tokens(g, normed)?; // [B, H*W, C]
        nn::linear(g, &w.at("proj_in"), tokens, c)?
    } else {
        let projected = nn::conv2d(g, &w.at("proj_in"), normed, Conv2d::same(c, 1))?;
        nn::to_tokens(g, projected)?
    };
    for i in 0..layers {
        tokens = block(g, &w.at("transformer_blocks").at(i), tokens, text, num_heads)?;
    }
    let out = if config.use_linear_projection {
        let tokens = nn::linear(g, &w.at("proj_out"), tokens, c)?;
        nn::to_feature_map(g, tokens, x)?
    } else {
        let map = nn::to_feature_map(g, tokens, x)?;
        nn::conv2d(g, &w.at("proj_out"), map, Conv2d::same(c, 1))?
    };
    Ok(g.add(out, x)?)
}

/// `BasicTransformerBlock`: x [B, H*W, C], text [B, L, D] -> [B, H*W, C]
fn block(g: &mut Graph, w: &Weights<'_>, x: Value, text: Value, num_heads: usize) -> Result<Value> {
    const EPS: f32 = 1e-5;
    let c = g.fixed(x, -1)?;
    let normed = nn::layer_norm(g, &w.at("norm1"), x, EPS)?;
    let attended = attend(g, &w.at("attn1"), normed, normed, num_heads)?;
    let x = g.add(x, attended)?;
    let normed = nn::layer_norm(g, &w.at("norm2"), x, EPS)?;
    let attended = attend(g, &w.at("attn2"), normed, text, num_heads)?;
    let x = g.add(x, attended)?;
    let normed = nn::layer_norm(g, &w.at("norm3"), x, EPS)?;
    let wide = nn::geglu(g, &w.at("ff.net.0.proj"), normed, 4 * c)?; // [B, H*W, 4 C]
    let out = nn::linear(g, &w.at("ff.net.2"), wide, c)?;
    Ok(g.add(x, out)?)
}

/// x: [B, L, C] looks at context: [B, S, D] -> [B, L, C]
fn attend(g: &mut Graph, w: &Weights<'_>, x: Value, context: Value, num_heads: usize) -> Result<Value> {
    let c = g.fixed(x, -1)?;
    let q = nn::linear_without_bias(g, &w.at("to_q"), x, c)?;
    let k = nn::linear_without_bias(g, &w.at("to_k"), context, c)?;
    let v = nn::linear_without_bias(g, &w.at("to_v"), context, c)?;
    let y = nn::attention(g, q, k, v, Attention { num_heads, causal: false })?;
    Ok(nn::linear(g, &w.at("to_out.0"), y, c)?)
}
