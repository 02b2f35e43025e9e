use super::linear::{linear_int4, linear_without_bias, product_shape};
use super::{rms_norm, silu};
use crate::graph::{Attribute, Dim, Graph, Target, Value, show};
use crate::{DType, Error, Result, Weights, cuda};

/// What the matrix of a projection is stored as.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
pub enum Matrices {
    /// In the graph's data type.
    #[default]
    Float,
    /// Four bits a number, with one scale for each 32 of a row: 4.5 bits in fp16 and bf16. Quantised while loading.
    Int4,
}

/// An [`rms_norm`] that a projection begins with. Reads `weight` `[D_in]`.
#[derive(Debug, Clone, Copy)]
pub struct Norm<'a, 'w> {
    /// Where its weight is.
    pub weights: &'a Weights<'w>,
    /// Added to the mean of squares.
    pub eps: f32,
}

/// A linear layer of a language model, made for one token at a time: x [..., D_in] -> [..., `out`], of the norm of x
/// where there is one.
///
/// Reads `weight` [out, in], and `bias` `[out]` where `bias` says so.
///
/// # Errors
/// Missing or wrongly shaped weights.
pub fn project(
    g: &mut Graph,
    w: &Weights<'_>,
    x: Value,
    norm: Option<Norm<'_, '_>>,
    out: usize,
    bias: bool,
    matrices: Matrices,
) -> Result<Value> {
    if g.target() == Target::Cuda {
        let fused = Fused { bias, norm, residual: None, matrices };
        return fused.add_to(g, "Project", &[w], x, &[out]);
    }
    let x = normed(g, x, norm)?;
    let y = match matrices {
        Matrices::Float => linear_without_bias(g, w, x, out)?,
        Matrices::Int4 => linear_int4(g, w, x, out)?,
    };
    if !bias {
        return Ok(y);
    }
    let bias = g.weight(w, "bias", &[out])?;
    g.add(y, bias)
}

/// residual + [`project`] of x: x [..., D_in], residual [..., D] -> [..., D].
///
/// # Errors
/// Missing or wrongly shaped weights; [`Error::Shape`] where the residual has another shape.
pub fn project_residual(
    g: &mut Graph,
    w: &Weights<'_>,
    x: Value,
    residual: Value,
    bias: bool,
    matrices: Matrices,
) -> Result<Value> {
    let out = g.fixed(residual, -1)?;
    let shape = product_shape(g, x, out);
    if g.shape(residual) != shape {
        let found = show(g.shape(residual));
        return Err(Error::shape("project_residual", format!("needs a residual {}", show(&shape)), found));
    }
    if g.target() == Target::Cuda {
        let fused = Fused { bias, norm: None, residual: Some(residual), matrices };
        return fused.add_to(g, "Project", &[w], x, &[out]);
    }
    let y = project(g, w, x, None, out, bias, matrices)?;
    g.add(residual, y)
}

/// `silu(gate(x)) * up(x)`: x [..., D_in] -> [..., `out`], of the norm of x where there is one. Reads `weight`
/// [out, in] of both places.
///
/// # Errors
/// Missing or wrongly shaped weights.
pub fn swiglu(
    g: &mut Graph,
    [gate, up]: [&Weights<'_>; 2],
    x: Value,
    norm: Option<Norm<'_, '_>>,
    out: usize,
    matrices: Matrices,
) -> Result<Value> {
    if g.target() == Target::Cuda {
        let fused = Fused { bias: false, norm, residual: None, matrices };
        return fused.add_to(g, "SwiGlu", &[gate, up], x, &[out, out]);
    }
    let x = normed(g, x, norm)?;
    let gate = project(g, gate, x, None, out, false, matrices)?;
    let up = project(g, up, x, None, out, false, matrices)?;
    let gate = silu(g, gate)?;
    g.mul(gate, up)
}

/// Three projections side by side: x [..., D_in] -> [..., the sum of `outs`], of the norm of x where there is one. On
/// `Target::Cuda` alone.
///
/// # Errors
/// Missing or wrongly shaped weights.
pub fn project_three(
    g: &mut Graph,
    places: [&Weights<'_>; 3],
    x: Value,
    norm: Option<Norm<'_, '_>>,
    outs: [usize; 3],
    bias: bool,
    matrices: Matrices,
) -> Result<Value> {
    Fused { bias, norm, residual: None, matrices }.add_to(g, "ProjectThree", &places, x, &outs)
}

fn normed(g: &mut Graph, x: Value, norm: Option<Norm<'_, '_>>) -> Result<Value> {
    match norm {
        Some(norm) => rms_norm(g, norm.weights, x, norm.eps),
        None => Ok(x),
    }
}

/// What one operator does beside its products.
struct Fused<'a, 'w> {
    bias: bool,
    norm: Option<Norm<'a, 'w>>,
    residual: Option<Value>,
    matrices: Matrices,
}

impl Fused<'_, '_> {
    /// Adds `op` with the matrices [outs, in] of `places`.
    fn add_to(
        self,
        g: &mut Graph,
        op: &str,
        places: &[&Weights<'_>],
        x: Value,
        outs: &[usize],
    ) -> Result<Value> {
        let input = g.fixed(x, -1)?;
        let mut inputs = vec![Some(x)];
        for (w, out) in places.iter().zip(outs) {
            match self.matrices {
                Matrices::Float => inputs.push(Some(g.weight(w, "weight", &[*out, input])?)),
                Matrices::Int4 => inputs.extend(g.weight_int4(w, *out, input)?.map(Some)),
            }
        }
        for (w, out) in places.iter().zip(outs).filter(|_| self.bias) {
            inputs.push(Some(g.weight(w, "bias", &[*out])?));
        }
        inputs.extend(self.residual.map(Some));
        let flag = |set: bool| Attribute::Int(set.into());
        let mut attributes = vec![("bias", flag(self.bias)), ("residual", flag(self.residual.is_some()))];
        if let Some(norm) = self.norm {
            // In x's type: an input that may be left out stands where others of that type may.
            inputs.push(Some(g.weight(norm.weights, "weight", &[input])?));
            attributes.extend([("norm", flag(true)), ("epsilon", Attribute::Float(norm.eps))]);
        }
        let width = if op == "SwiGlu" { outs[0] } else { outs.iter().sum() };
        let output = (g.dtype_of(x), product_shape(g, x, width));
        let op = if self.matrices == Matrices::Int4 { format!("{op}Int4") } else { op.to_owned() };
        Ok(g.operator(cuda::DOMAIN, &op, &inputs, attributes, output))
    }
}

/// The 64 highest numbers of each row, highest first, and their places, both in f32: x [..., V] in f32 -> two of
/// [..., 64]. Of equal numbers the first comes first. On `Target::Cuda` alone; a row has at least 64 and less than 2^24.
pub fn top_logits(g: &mut Graph, x: Value) -> [Value; 2] {
    let mut shape = g.shape(x).to_vec();
    shape.pop();
    shape.push(Dim::from(cuda::TOP));
    let output = (DType::F32, shape);
    g.operator_with_outputs(cuda::DOMAIN, "TopLogits", &[Some(x)], vec![], [output.clone(), output])
}
