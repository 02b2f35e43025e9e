use crate::Result;
use crate::graph::{Attribute, Graph, Value};

/// Layer normalisation whose scale and shift are computed by the model: x [..., D], `scale` `[D]`, `shift` `[D]`
/// -> [..., D].
///
/// # Errors
/// None in practice; the kernel checks the sizes of scale and shift.
pub fn modulated_layer_norm(g: &mut Graph, x: Value, scale: Value, shift: Value, eps: f32) -> Result<Value> {
    let out = (g.dtype_of(x), g.shape(x).to_vec());
    let attributes = vec![("axis", Attribute::Int(-1)), ("epsilon", Attribute::Float(eps))];
    Ok(g.operator("", "LayerNormalization", &[Some(x), Some(scale), Some(shift)], attributes, out))
}

/// x + y * gate: x [..., D], y [..., D], gate `[D]` -> [..., D].
///
/// # Errors
/// [`Error::Shape`](crate::Error::Shape) where the shapes differ.
pub fn gated_residual(g: &mut Graph, x: Value, y: Value, gate: Value) -> Result<Value> {
    let gated = g.mul(y, gate)?;
    g.add(x, gated)
}
