use crate::graph::{Attribute, Dim, Graph, Target, Value, show};
use crate::{DType, Error, Result};

/// Attention among the first tokens of each row: q, k, v [B, L, D], lengths i32 `[B]` -> [B, L, D].
///
/// Row b has `lengths[b]` tokens, at least one; what is behind them is not looked at, and what comes out there means
/// nothing. Each head has width D / N and scale 1/sqrt(D / N).
///
/// # Errors
/// [`Error::Shape`] where the heads do not divide D, or the sizes do not fit.
pub fn masked_attention(
    g: &mut Graph,
    [q, k, v]: [Value; 3],
    lengths: Value,
    num_heads: usize,
) -> Result<Value> {
    let width = g.fixed(q, -1)?;
    if num_heads == 0 || !width.is_multiple_of(num_heads) {
        let rule = format!("width {width} must be divisible by the number of heads");
        return Err(Error::shape("Attention", rule, num_heads.to_string()));
    }
    let shape = g.shape(q).to_vec();
    let [batch, length, _] = &shape[..] else {
        return Err(Error::shape("Attention", "needs [B, L, D]", show(&shape)));
    };
    if g.target() != Target::Portable {
        let heads = vec![("num_heads", Attribute::Int(num_heads as i64))];
        // A mask of lengths, unlike one per token, leaves cuDNN's and the flash kernels in the choice.
        let inputs = [Some(q), Some(k), Some(v), None, Some(lengths)];
        let out = (g.dtype_of(q), shape);
        return Ok(g.operator("com.microsoft", "MultiHeadAttention", &inputs, heads, out));
    }
    let mask = mask(g, lengths, k, batch.clone(), length.clone())?;
    let each = width / num_heads;
    // The scale is shared between q and k, so that fp16 products stay small.
    let scale = g.constant_float(&[], &[(each as f32).powf(-0.25)]);
    let (q, k) = (g.mul(q, scale)?, g.mul(k, scale)?);
    let mut heads = |x: Value, perm: &[usize]| {
        let split = vec![batch.clone(), length.clone(), num_heads.into(), each.into()];
        let split = g.reshape(x, &[0, 0, num_heads as i64, each as i64], split)?;
        g.transpose(split, perm)
    };
    let q = heads(q, &[0, 2, 1, 3])?; // [B, N, L, D/N]
    let k = heads(k, &[0, 2, 3, 1])?; // [B, N, D/N, L]
    let v = heads(v, &[0, 2, 1, 3])?; // [B, N, L, D/N]
    let scores = g.matmul(q, k)?; // [B, N, L, L]
    let scores = g.add(scores, mask)?;
    let probabilities = g.softmax(scores);
    let y = g.matmul(probabilities, v)?; // [B, N, L, D/N]
    let y = g.transpose(y, &[0, 2, 1, 3])?; // [B, L, N, D/N]
    g.reshape(y, &[0, 0, width as i64], shape)
}

/// [B, 1, 1, L]: zero where a token is, the type's lowest value behind the last.
fn mask(g: &mut Graph, lengths: Value, like: Value, batch: Dim, length: Dim) -> Result<Value> {
    let sizes = g.operator("", "Shape", &[Some(like)], vec![], (DType::I64, vec![3.into()]));
    let (at, first, step) = (g.constant_i64(&[], &[1]), g.constant_i64(&[], &[0]), g.constant_i64(&[], &[1]));
    let axis = vec![("axis", Attribute::Int(0))];
    let end = g.operator("", "Gather", &[Some(sizes), Some(at)], axis, (DType::I64, vec![]));
    let inputs = [Some(first), Some(end), Some(step)];
    let positions = g.operator("", "Range", &inputs, vec![], (DType::I64, vec![length.clone()]));
    let rows = g.cast(lengths, DType::I64);
    let rows = g.reshape(rows, &[-1, 1, 1, 1], vec![batch.clone(), 1.into(), 1.into(), 1.into()])?;
    let shape = vec![batch, 1.into(), 1.into(), length];
    let seen = g.operator("", "Less", &[Some(positions), Some(rows)], vec![], (DType::Bool, shape.clone()));
    let lowest = if g.dtype() == DType::F16 { -65504.0 } else { f32::MIN };
    let (zero, lowest) = (g.constant_float(&[], &[0.0]), g.constant_float(&[], &[lowest]));
    Ok(g.operator("", "Where", &[Some(seen), Some(zero), Some(lowest)], vec![], (g.dtype(), shape)))
}
