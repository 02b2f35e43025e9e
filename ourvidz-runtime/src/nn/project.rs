use super::linear::{linear_int4, linear_without_bias};
use super::silu;
use crate::graph::{Attribute, Dim, Graph, Target, Value};
use crate::{DType, Result, Weights, cuda};

/// What the matrix of a projection is stored as.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
pub enum Matrices {
    /// In the graph's data type.
    #[default]
    Float,
    /// Four bits a number, with one scale for each 32 of a row: 4.5 bits in fp16 and bf16. Quantised while loading.
    Int4,
}

/// A linear layer of a language model, made for one token at a time: x [..., D_in] -> [..., `out`].
///
/// Reads `weight` [out, in], and `bias` `[out]` where `bias` says so.
///
/// # Errors
/// Missing or wrongly shaped weights.
pub fn project(
    g: &mut Graph,
    w: &Weights<'_>,
    x: Value,
    out: usize,
    bias: bool,
    matrices: Matrices,
) -> Result<Value> {
    if g.target() == Target::Cuda {
        return fused(g, "Project", std::slice::from_ref(w), x, &[out], out, bias, matrices);
    }
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

/// `silu(gate(x)) * up(x)`: x [..., D_in] -> [..., `out`]. Reads `weight` [out, in] of both places.
///
/// # Errors
/// Missing or wrongly shaped weights.
pub fn swiglu(
    g: &mut Graph,
    [gate, up]: [&Weights<'_>; 2],
    x: Value,
    out: usize,
    matrices: Matrices,
) -> Result<Value> {
    if g.target() == Target::Cuda {
        return fused(g, "SwiGlu", &[gate.clone(), up.clone()], x, &[out, out], out, false, matrices);
    }
    let gate = project(g, gate, x, out, false, matrices)?;
    let up = project(g, up, x, out, false, matrices)?;
    let gate = silu(g, gate)?;
    g.mul(gate, up)
}

/// Three projections side by side: x [..., D_in] -> [..., the sum of `outs`]. On `Target::Cuda` alone.
///
/// # Errors
/// Missing or wrongly shaped weights.
pub fn project_three(
    g: &mut Graph,
    places: [&Weights<'_>; 3],
    x: Value,
    outs: [usize; 3],
    bias: bool,
    matrices: Matrices,
) -> Result<Value> {
    let places = places.map(Clone::clone);
    fused(g, "ProjectThree", &places, x, &outs, outs.iter().sum(), bias, matrices)
}

#[expect(clippy::too_many_arguments, reason = "the three above, in one")]
fn fused(
    g: &mut Graph,
    op: &str,
    places: &[Weights<'_>],
    x: Value,
    outs: &[usize],
    width: usize,
    bias: bool,
    matrices: Matrices,
) -> Result<Value> {
    let input = g.fixed(x, -1)?;
    let mut inputs = vec![Some(x)];
    for (w, out) in places.iter().zip(outs) {
        match matrices {
            Matrices::Float => inputs.push(Some(g.weight(w, "weight", &[*out, input])?)),
            Matrices::Int4 => inputs.extend(g.weight_int4(w, *out, input)?.map(Some)),
        }
    }
    for (w, out) in places.iter().zip(outs).filter(|_| bias) {
        inputs.push(Some(g.weight(w, "bias", &[*out])?));
    }
    let mut shape = g.shape(x).to_vec();
    shape.pop();
    shape.push(Dim::from(width));
    let op = if matrices == Matrices::Int4 { format!("{op}Int4") } else { op.to_owned() };
    let output = (g.dtype_of(x), shape);
    let attributes = vec![("bias", Attribute::Int(bias.into()))];
    Ok(g.operator(cuda::DOMAIN, &op, &inputs, attributes, output))
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
