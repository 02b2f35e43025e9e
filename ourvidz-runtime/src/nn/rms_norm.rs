use super::norm::vector;
use super::rotary::{check_tables, rotary_embedding};
use crate::graph::{Attribute, Dim, Graph, Target, Value};
use crate::{DType, Result, Weights, cuda};

/// x / sqrt(mean(x^2) + eps) over the last axis, times a weight: x [..., D] -> [..., D]. Reads `weight` `[D]`.
///
/// Squares and their mean are f32 on every target.
///
/// # Errors
/// Missing or wrongly shaped weights.
pub fn rms_norm(g: &mut Graph, w: &Weights<'_>, x: Value, eps: f32) -> Result<Value> {
    let d = g.fixed(x, -1)?;
    let weight = vector(g, w, "weight", d)?;
    if g.target() == Target::Cuda {
        let out = (g.dtype_of(x), g.shape(x).to_vec());
        let eps = vec![("epsilon", Attribute::Float(eps))];
        return Ok(g.operator(cuda::DOMAIN, "RmsNorm", &[Some(x), Some(weight)], eps, out));
    }
    let wide = g.cast(x, DType::F32);
    let squares = g.mul(wide, wide)?;
    let mut shape = g.shape(x).to_vec();
    let last = shape.len() - 1;
    shape[last] = Dim::Fixed(1);
    let axes = g.constant_i64(&[1], &[-1]);
    let keep = vec![("keepdims", Attribute::Int(1))];
    let mean = g.operator("", "ReduceMean", &[Some(squares), Some(axes)], keep, (DType::F32, shape));
    let eps = g.constant_f32(&[], &[eps]);
    let shifted = g.add(mean, eps)?;
    let root = g.unary("Sqrt", shifted);
    let scale = g.unary("Reciprocal", root);
    let normed = g.mul(wide, scale)?;
    let normed = g.cast(normed, g.dtype());
    g.mul(normed, weight)
}

/// Tables of a rotary embedding: cos and sin [L, H / 2] in f32, the same for every head.
#[derive(Debug, Clone, Copy)]
pub struct RotaryTables {
    /// Cosines of the angles.
    pub cos: Value,
    /// Sines of the angles.
    pub sin: Value,
    /// Heads of width H that share the tables.
    pub num_heads: usize,
}

/// [`rms_norm`] over all heads, then [`rotary_embedding`]: x [B, L, N * H] -> [B, L, N * H]. Reads `weight` `[N * H]`.
///
/// # Errors
/// Those of the two.
pub fn rms_norm_rotary(
    g: &mut Graph,
    w: &Weights<'_>,
    x: Value,
    eps: f32,
    tables: &RotaryTables,
) -> Result<Value> {
    let RotaryTables { cos, sin, num_heads } = *tables;
    if g.target() != Target::Cuda {
        let y = rms_norm(g, w, x, eps)?;
        return rotary_embedding(g, y, cos, sin, num_heads);
    }
    let d = check_tables(g, x, cos, sin, num_heads)?;
    let weight = vector(g, w, "weight", d)?;
    let [cos, sin] = [cos, sin].map(|table| Some(g.cast(table, DType::F32)));
    let out = (g.dtype_of(x), g.shape(x).to_vec());
    let eps = vec![("epsilon", Attribute::Float(eps))];
    Ok(g.operator(cuda::DOMAIN, "RmsNormRotary", &[Some(x), Some(weight), cos, sin], eps, out))
}
