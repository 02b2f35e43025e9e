use super::linear::{linear, linear_without_bias};
use super::norm::layer_norm;
use crate::graph::{Attribute, Graph, Target, Value};
use crate::{Result, Weights};

/// A linear layer, a residual and the norm behind it: x [..., D_in], residual [..., D] -> [..., D].
///
/// Reads `weight` [D, D_in] and `bias` `[D]` of `w`, and `weight` and `bias` `[D]` of `norm`.
///
/// # Errors
/// Missing or wrongly shaped weights; shapes that differ.
pub fn linear_add_layer_norm(
    g: &mut Graph,
    (w, norm): (&Weights<'_>, &Weights<'_>),
    x: Value,
    residual: Value,
    eps: f32,
) -> Result<Value> {
    let d = g.fixed(residual, -1)?;
    if g.target() == Target::Portable {
        let y = linear(g, w, x, d)?;
        let y = g.add(y, residual)?;
        return layer_norm(g, norm, y, eps);
    }
    let y = linear_without_bias(g, w, x, d)?;
    let [bias, gamma, beta] =
        [(w, "bias"), (norm, "weight"), (norm, "bias")].map(|(w, name)| g.weight(w, name, &[d]));
    let inputs = [Some(y), Some(residual), Some(gamma?), Some(beta?), Some(bias?)];
    let like = (g.dtype_of(residual), g.shape(residual).to_vec());
    let eps = vec![("epsilon", Attribute::Float(eps))];
    Ok(g.operator("com.microsoft", "SkipLayerNormalization", &inputs, eps, like))
}
