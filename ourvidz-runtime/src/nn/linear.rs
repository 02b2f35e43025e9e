use crate::graph::{Attribute, Graph, Target, Value};
use crate::{Result, Weights};

/// x: [..., D_in] -> [..., `out`], with a bias. Reads `weight` [out, in] and `bias` `[out]`.
///
/// # Errors
/// Missing or wrongly shaped weights.
pub fn linear(g: &mut Graph, w: &Weights<'_>, x: Value, out: usize) -> Result<Value> {
    let y = linear_without_bias(g, w, x, out)?;
    let bias = g.weight(w, "bias", &[out])?;
    g.add(y, bias)
}

/// x: [..., D_in] -> [..., `out`]. Reads `weight` [out, in].
///
/// # Errors
/// Missing or wrongly shaped weights.
pub fn linear_without_bias(g: &mut Graph, w: &Weights<'_>, x: Value, out: usize) -> Result<Value> {
    let input = g.fixed(x, -1)?;
    let (weight, ready) = g.matrix(w, out, input)?;
    if ready {
        return g.matmul(x, weight);
    }
    if g.target() == Target::Cuda {
        let mut shape = g.shape(x).to_vec();
        shape.pop();
        shape.push(out.into());
        let out = (g.dtype_of(x), shape);
        let transposed = vec![("transB", Attribute::Int(1))];
        return Ok(g.operator("com.microsoft", "FusedMatMul", &[Some(x), Some(weight)], transposed, out));
    }
    // ONNX Runtime fuses the two, so that the matrix stays in the mapped file as it is.
    let weight = g.transpose(weight, &[1, 0])?;
    g.matmul(x, weight)
}
