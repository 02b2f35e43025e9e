use std::str::FromStr;

use super::linear::linear;
use crate::graph::{Attribute, Graph, Target, Value};
use crate::{Error, Result, Weights, cuda};

/// Activations by the names of `config.json`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Activation {
    /// x * Phi(x), exact (`gelu`).
    Gelu,
    /// x * sigmoid(1.702 x) (`quick_gelu`).
    QuickGelu,
    /// x * sigmoid(x) (`silu`, `swish`).
    Silu,
}

impl FromStr for Activation {
    type Err = Error;

    fn from_str(name: &str) -> Result<Self> {
        match name {
            "gelu" => Ok(Activation::Gelu),
            "quick_gelu" => Ok(Activation::QuickGelu),
            "silu" | "swish" => Ok(Activation::Silu),
            _ => Err(Error::Invalid {
                field: "hidden_act".into(),
                rule: "must be gelu, quick_gelu, silu or swish".into(),
                value: name.into(),
            }),
        }
    }
}

/// Applies an activation element by element.
///
/// # Errors
/// None in practice; the shapes are x's own.
pub fn activation(g: &mut Graph, kind: Activation, x: Value) -> Result<Value> {
    match kind {
        Activation::Gelu => Ok(g.unary("Gelu", x)),
        Activation::Silu => silu(g, x),
        Activation::QuickGelu if g.target() == Target::Cuda => Ok(quick_gelu(g, x, 1.702)),
        Activation::QuickGelu => {
            let alpha = g.constant_float(&[], &[1.702]);
            let scaled = g.mul(x, alpha)?;
            let gate = g.sigmoid(scaled);
            g.mul(x, gate)
        }
    }
}

/// x * sigmoid(x)
///
/// # Errors
/// None in practice; the shapes are x's own.
pub fn silu(g: &mut Graph, x: Value) -> Result<Value> {
    if g.target() == Target::Cuda {
        return Ok(quick_gelu(g, x, 1.0));
    }
    let gate = g.sigmoid(x);
    g.mul(x, gate)
}

/// Gated linear unit with GELU: x [B, L, D] -> [B, L, `inner`]. Reads `weight` [2 * inner, D] and `bias`.
///
/// The first half is multiplied by the GELU of the second (Shazeer 2020, arXiv 2002.05202).
///
/// # Errors
/// Missing or wrongly shaped weights.
pub fn geglu(g: &mut Graph, w: &Weights<'_>, x: Value, inner: usize) -> Result<Value> {
    let both = linear(g, w, x, 2 * inner)?;
    if g.target() == Target::Cuda {
        let mut shape = g.shape(both).to_vec();
        shape.pop();
        shape.push(inner.into());
        let out = (g.dtype_of(both), shape);
        return Ok(g.operator(cuda::DOMAIN, "Geglu", &[Some(both)], vec![], out));
    }
    let axis = g.shape(both).len() - 1;
    let hidden = g.slice(both, axis, 0, inner)?;
    let gate = g.slice(both, axis, inner, 2 * inner)?;
    let gate = activation(g, Activation::Gelu, gate)?;
    g.mul(hidden, gate)
}

fn quick_gelu(g: &mut Graph, x: Value, alpha: f32) -> Value {
    let out = (g.dtype_of(x), g.shape(x).to_vec());
    g.operator("com.microsoft", "QuickGelu", &[Some(x)], vec![("alpha", Attribute::Float(alpha))], out)
}
