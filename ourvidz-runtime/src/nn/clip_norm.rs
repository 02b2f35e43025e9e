use super::clip::clip_channels;
use crate::graph::{Attribute, Dim, Graph, Value};
use crate::{DType, Result, Weights, cuda};

/// The length below which `torch.nn.functional.normalize` does not divide.
const LEAST_LENGTH: f32 = 1e-12;

/// x / |x| * sqrt(C) over the channels, times a weight: [1, C, F, H, W] -> [1, C, F, H, W]. Reads `gamma`, stored
/// with the shape `gamma`: C and as many axes of one element as the checkpoint gives it.
///
/// # Errors
/// Missing or wrongly shaped weights.
pub fn rms_norm_channels(g: &mut Graph, w: &Weights<'_>, x: Value, gamma: &[usize]) -> Result<Value> {
    let c = clip_channels(g, x)?;
    let like = (g.dtype_of(x), g.shape(x).to_vec());
    if g.channels_last() {
        let inputs = [Some(x), Some(gamma_f32(g, w, gamma, c)?)];
        return Ok(g.operator(cuda::DOMAIN, "RmsNorm", &inputs, norm_attributes(c), like));
    }
    let gamma = g.weight_viewed(w, "gamma", gamma, &[c, 1, 1, 1])?;
    let mut shape = like.1;
    shape[1] = Dim::Fixed(1);
    let out = (like.0, shape);
    let axes = g.constant_i64(&[1], &[1]);
    let length = g.operator("", "ReduceL2", &[Some(x), Some(axes)], vec![], out.clone());
    let least = g.constant_float(&[], &[LEAST_LENGTH]);
    let length = g.operator("", "Max", &[Some(length), Some(least)], vec![], out.clone());
    let root = g.constant_float(&[], &[(c as f32).sqrt()]);
    let scale = g.operator("", "Div", &[Some(root), Some(length)], vec![], out);
    let scaled = g.mul(x, scale)?;
    g.mul(scaled, gamma)
}

/// `gamma` as our kernels take it: `[c]` in f32.
pub(super) fn gamma_f32(g: &mut Graph, w: &Weights<'_>, gamma: &[usize], c: usize) -> Result<Value> {
    g.weight_viewed_as(w, "gamma", [gamma, &[c]], DType::F32)
}

/// Under the root a least length becomes a sum; they differ for vectors of about that length only.
pub(super) fn norm_attributes(c: usize) -> Vec<(&'static str, Attribute)> {
    vec![("epsilon", Attribute::Float(LEAST_LENGTH * LEAST_LENGTH / c as f32))]
}
