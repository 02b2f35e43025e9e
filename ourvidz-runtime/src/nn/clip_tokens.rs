use super::clip::{channels_first, frames_first, not_a_clip};
use super::linear::matmul_transposed;
use crate::graph::{Graph, Value};
use crate::{Result, Weights};

/// The pixels of each frame as tokens: [1, C, F, H, W] -> [F, H*W, C].
///
/// # Errors
/// [`Error::Shape`](crate::Error::Shape) for what is not a clip.
pub fn clip_to_tokens(g: &mut Graph, x: Value) -> Result<Value> {
    let x = if g.channels_last() { x } else { frames_first(g, x)? };
    let shape = g.shape(x).to_vec();
    let [f, h, w, c] = &shape[..] else { return Err(not_a_clip(&shape)) };
    let width = g.fixed(x, -1)? as i64;
    g.reshape(x, &[0, -1, width], vec![f.clone(), h.times(w), c.clone()])
}

/// tokens: [F, H*W, C] -> [1, C, F, H, W], the sizes being those of `like`.
///
/// # Errors
/// [`Error::Shape`](crate::Error::Shape) where `like` is not a clip.
pub fn tokens_to_clip(g: &mut Graph, tokens: Value, like: Value) -> Result<Value> {
    if g.channels_last() {
        return Ok(g.reshape_like(tokens, like));
    }
    let like = frames_first(g, like)?;
    let frames = g.reshape_like(tokens, like);
    channels_first(g, frames)
}

/// A convolution of 1 x 1 on tokens: [..., C] -> [..., `out`]. Reads `weight` [out, C, 1, 1] and `bias` `[out]`.
///
/// # Errors
/// Missing or wrongly shaped weights.
pub fn pointwise(g: &mut Graph, w: &Weights<'_>, x: Value, out: usize) -> Result<Value> {
    let c = g.fixed(x, -1)?;
    let weight = g.weight_viewed(w, "weight", &[out, c, 1, 1], &[out, c])?;
    let y = matmul_transposed(g, x, weight, out)?;
    let bias = g.weight(w, "bias", &[out])?;
    g.add(y, bias)
}
