use crate::graph::{Attribute, Dim, Graph, Target, Value};
use crate::{DType, Error, Result};

/// Shape of a scaled dot-product attention.
#[derive(Debug, Clone, Copy)]
pub struct Attention {
    /// Heads that the width is split into.
    pub num_heads: usize,
    /// A token sees only itself and earlier ones.
    pub causal: bool,
}

/// q: [B, L, D], k: [B, S, D], v: [B, S, D] -> [B, L, D]; each head has width D / N and scale 1/sqrt(D / N).
///
/// # Errors
/// [`Error::Shape`] where the heads do not divide D, or a causal attention has no fixed length.
pub fn attention(g: &mut Graph, q: Value, k: Value, v: Value, a: Attention) -> Result<Value> {
    let width = g.fixed(q, -1)?;
    if a.num_heads == 0 || width % a.num_heads != 0 {
        let rule = format!("width {width} must be divisible by the number of heads");
        return Err(Error::shape("Attention", rule, a.num_heads.to_string()));
    }
    if g.target() != Target::Portable {
        let out = (g.dtype_of(q), g.shape(q).to_vec());
        let attributes = vec![
            ("num_heads", Attribute::Int(a.num_heads as i64)),
            ("unidirectional", Attribute::Int(a.causal.into())),
        ];
        // No mask and no bias inputs: either would take cuDNN's and the flash kernels out of the choice. The processor's
        // kernel needs no memory for the scores, which for a video of 32,760 tokens are gigabytes.
        let inputs = [Some(q), Some(k), Some(v)];
        return Ok(g.operator("com.microsoft", "MultiHeadAttention", &inputs, attributes, out));
    }
    let scale = ((width / a.num_heads) as f32).powf(-0.25);
    let scale = g.constant_float(&[], &[scale]);
    // The scale is shared between q and k, so that fp16 products stay small.
    let (q, k) = (g.mul(q, scale)?, g.mul(k, scale)?);
    let q = heads(g, q, a.num_heads, &[0, 2, 1, 3])?; // [B, N, L, D/N]
    let k = heads(g, k, a.num_heads, &[0, 2, 3, 1])?; // [B, N, D/N, S]
    let v = heads(g, v, a.num_heads, &[0, 2, 1, 3])?; // [B, N, S, D/N]
    let mut scores = g.matmul(q, k)?; // [B, N, L, S]
    if a.causal {
        let mask = causal_mask(g, scores)?;
        scores = g.add(scores, mask)?;
    }
    let probabilities = g.softmax(scores);
    let y = g.matmul(probabilities, v)?; // [B, N, L, D/N]
    let y = g.transpose(y, &[0, 2, 1, 3])?; // [B, L, N, D/N]
    let mut shape = g.shape(y).to_vec();
    shape.truncate(2);
    shape.push(width.into());
    g.reshape(y, &[0, 0, width as i64], shape)
}

fn heads(g: &mut Graph, x: Value, n: usize, perm: &[usize]) -> Result<Value> {
    let width = g.fixed(x, -1)? / n;
    let mut shape = g.shape(x).to_vec();
    shape.truncate(2);
    shape.extend([Dim::from(n), Dim::from(width)]);
    let split = g.reshape(x, &[0, 0, n as i64, width as i64], shape)?;
    g.transpose(split, perm)
}

/// [L, L]: zero where a token may look, the type's lowest value elsewhere.
fn causal_mask(g: &mut Graph, scores: Value) -> Result<Value> {
    let n = g.fixed(scores, -1)?;
    let lowest = if g.dtype() == DType::F16 { -65504.0 } else { f32::MIN };
    let mask: Vec<f32> = (0..n * n).map(|i| if i % n > i / n { lowest } else { 0.0 }).collect();
    Ok(g.constant_float(&[n, n], &mask))
}
