use crate::graph::{Attribute, Dim, Graph, Target, Value, show};
use crate::{DType, Error, Result, Weights, cuda};

/// x: [..., D_in] -> [..., `out`], with a bias. Reads `weight` [out, in] and `bias` `[out]`.
///
/// # Errors
/// Missing or wrongly shaped weights.
pub fn linear(g: &mut Graph, w: &Weights<'_>, x: Value, out: usize) -> Result<Value> {
    if g.target() == Target::Cuda {
        return fused(g, w, x, out, false, None);
    }
    let y = linear_without_bias(g, w, x, out)?;
    let bias = g.weight(w, "bias", &[out])?;
    g.add(y, bias)
}

/// residual + linear(x): x [..., D_in], residual [..., D] -> [..., D]. Reads `weight` [D, in] and `bias` `[D]`.
///
/// # Errors
/// Missing or wrongly shaped weights; [`Error::Shape`] where the residual has another shape.
pub fn linear_residual(g: &mut Graph, w: &Weights<'_>, x: Value, residual: Value) -> Result<Value> {
    let out = g.fixed(residual, -1)?;
    let shape = product_shape(g, x, out);
    if g.shape(residual) != shape {
        let found = show(g.shape(residual));
        return Err(Error::shape("linear_residual", format!("needs a residual {}", show(&shape)), found));
    }
    if g.target() == Target::Cuda {
        return fused(g, w, x, out, false, Some(residual));
    }
    let y = linear(g, w, x, out)?;
    g.add(residual, y)
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
    matmul_transposed(g, x, weight, out)
}

/// [`linear_without_bias`] with `weight` [out, in] quantised while it is loaded: four bits a number, a scale for each
/// 32 of a row. `MatMulNBits` of ONNX Runtime on every target: standard ONNX has no such product.
///
/// # Errors
/// Missing or wrongly shaped weights; rows that are no multiple of 32.
pub fn linear_int4(g: &mut Graph, w: &Weights<'_>, x: Value, out: usize) -> Result<Value> {
    let input = g.fixed(x, -1)?;
    let [packed, scales] = g.weight_int4(w, out, input)?;
    let mut shape = g.shape(x).to_vec();
    shape.pop();
    shape.push(out.into());
    let attributes = vec![
        ("K", Attribute::Int(input as i64)),
        ("N", Attribute::Int(out as i64)),
        ("bits", Attribute::Int(4)),
        ("block_size", Attribute::Int(32)),
    ];
    let output = (g.dtype_of(x), shape);
    let inputs = [Some(x), Some(packed), Some(scales)];
    Ok(g.operator("com.microsoft", "MatMulNBits", &inputs, attributes, output))
}

/// x: [..., D_in] in f32 -> [..., `out`] in f32, with a bias, whatever the graph's data type. Reads `weight` [out, in]
/// and `bias` `[out]`. For the few numbers that steer a model and cost nothing.
///
/// # Errors
/// Missing or wrongly shaped weights.
pub fn linear_f32(g: &mut Graph, w: &Weights<'_>, x: Value, out: usize) -> Result<Value> {
    let input = g.fixed(x, -1)?;
    let x = g.cast(x, DType::F32);
    let weight = g.weight_f32(w, "weight", &[out, input])?;
    let y = matmul_transposed(g, x, weight, out)?;
    let bias = g.weight_f32(w, "bias", &[out])?;
    g.add(y, bias)
}

/// A linear layer and GELU by its tanh approximation: x [..., D_in] -> [..., `out`]. Reads `weight` and `bias`.
///
/// # Errors
/// Missing or wrongly shaped weights.
pub fn linear_gelu_tanh(g: &mut Graph, w: &Weights<'_>, x: Value, out: usize) -> Result<Value> {
    if g.target() == Target::Cuda {
        return fused(g, w, x, out, true, None);
    }
    let y = linear(g, w, x, out)?;
    let like = (g.dtype_of(y), g.shape(y).to_vec());
    Ok(g.operator("", "Gelu", &[Some(y)], vec![("approximate", Attribute::Text("tanh".into()))], like))
}

/// A linear layer and exact GELU: x [..., D_in] -> [..., `out`]. Reads `weight` and `bias`.
///
/// # Errors
/// Missing or wrongly shaped weights.
pub fn linear_gelu(g: &mut Graph, w: &Weights<'_>, x: Value, out: usize) -> Result<Value> {
    let y = linear_without_bias(g, w, x, out)?;
    let bias = g.weight(w, "bias", &[out])?;
    if g.target() != Target::Portable {
        let like = (g.dtype_of(y), g.shape(y).to_vec());
        return Ok(g.operator("com.microsoft", "BiasGelu", &[Some(y), Some(bias)], vec![], like));
    }
    let y = g.add(y, bias)?;
    Ok(g.unary("Gelu", y))
}

/// The product and all that follows it as one operator.
fn fused(
    g: &mut Graph,
    w: &Weights<'_>,
    x: Value,
    out: usize,
    gelu_tanh: bool,
    residual: Option<Value>,
) -> Result<Value> {
    let input = g.fixed(x, -1)?;
    let (weight, input_first) = g.matrix(w, out, input)?;
    let bias = g.weight(w, "bias", &[out])?;
    let mut inputs = vec![Some(x), Some(weight), Some(bias)];
    inputs.extend(residual.map(Some));
    let attributes = vec![
        ("out_first", Attribute::Int((!input_first).into())),
        ("gelu_tanh", Attribute::Int(gelu_tanh.into())),
    ];
    let out = (g.dtype_of(x), product_shape(g, x, out));
    Ok(g.operator(cuda::DOMAIN, "Linear", &inputs, attributes, out))
}

/// [..., K] -> [..., `out`]
pub(super) fn product_shape(g: &Graph, x: Value, out: usize) -> Vec<Dim> {
    let mut shape = g.shape(x).to_vec();
    shape.pop();
    shape.push(out.into());
    shape
}

/// x: [..., K], weight: [`out`, K] -> [..., `out`]
pub(super) fn matmul_transposed(g: &mut Graph, x: Value, weight: Value, out: usize) -> Result<Value> {
    if g.target() != Target::Portable {
        let out = (g.dtype_of(x), product_shape(g, x, out));
        let transposed = vec![("transB", Attribute::Int(1))];
        return Ok(g.operator("com.microsoft", "FusedMatMul", &[Some(x), Some(weight)], transposed, out));
    }
    // ONNX Runtime fuses the two, so that the matrix stays in the mapped file as it is.
    let weight = g.transpose(weight, &[1, 0])?;
    g.matmul(x, weight)
}
