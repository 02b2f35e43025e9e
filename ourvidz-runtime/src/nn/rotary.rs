use crate::graph::{Attribute, Dim, Graph, Target, Value, show};
use crate::{Error, Result};

/// Rotates pairs of neighbouring numbers by angles of the token's position: x [B, L, N * H] -> [B, L, N * H].
///
/// cos, sin: [L, H / 2] in x's type or f32, the same for every head. Numbers 2i and 2i + 1 of a head become
/// `x0 cos - x1 sin` and `x0 sin + x1 cos`.
///
/// # Errors
/// [`Error::Shape`] where the tables do not fit the heads.
pub fn rotary_embedding(g: &mut Graph, x: Value, cos: Value, sin: Value, num_heads: usize) -> Result<Value> {
    let width = check_tables(g, x, cos, sin, num_heads)?;
    let half = width / num_heads / 2;
    let out = (g.dtype_of(x), g.shape(x).to_vec());
    if g.target() == Target::Cuda {
        let [cos, sin] = [cos, sin].map(|table| g.cast(table, out.0));
        // The tables begin with the first token.
        let first = g.constant_i64(&[1], &[0]);
        let attributes = vec![("interleaved", Attribute::Int(1))];
        let inputs = [Some(x), Some(first), Some(cos), Some(sin)];
        return Ok(g.operator("com.microsoft", "RotaryEmbedding", &inputs, attributes, out));
    }
    let mut shape = g.shape(x).to_vec();
    shape.truncate(2);
    shape.extend([num_heads.into(), half.into(), Dim::Fixed(2)]);
    let x = g.cast(x, g.dtype_of(cos));
    let pairs = g.reshape(x, &[0, 0, num_heads as i64, half as i64, 2], shape)?; // [B, L, N, H / 2, 2]
    let table = |g: &mut Graph, table: Value| {
        let mut shape = g.shape(table).to_vec();
        shape.truncate(1);
        shape.extend([Dim::Fixed(1), half.into(), Dim::Fixed(1)]);
        g.reshape(table, &[0, 1, half as i64, 1], shape) // [L, 1, H / 2, 1]
    };
    let (cos, sin) = (table(g, cos)?, table(g, sin)?);
    let (x0, x1) = (g.slice(pairs, 4, 0, 1)?, g.slice(pairs, 4, 1, 2)?);
    let (x0_cos, x1_sin) = (g.mul(x0, cos)?, g.mul(x1, sin)?);
    let (x0_sin, x1_cos) = (g.mul(x0, sin)?, g.mul(x1, cos)?);
    let (y0, y1) = (g.sub(x0_cos, x1_sin)?, g.add(x0_sin, x1_cos)?);
    let y = g.concat(&[y0, y1], 4)?;
    let y = g.reshape(y, &[0, 0, width as i64], out.1)?;
    Ok(g.cast(y, out.0))
}

/// Width of x [B, L, N * H], after checking that the tables are [L, H / 2].
pub(super) fn check_tables(g: &Graph, x: Value, cos: Value, sin: Value, num_heads: usize) -> Result<usize> {
    let (width, half) = (g.fixed(x, -1)?, g.fixed(cos, -1)?);
    if width != 2 * num_heads * half || g.shape(cos) != g.shape(sin) {
        let rule = format!("tables must be [L, {width} / {num_heads} / 2]");
        return Err(Error::shape("RotaryEmbedding", rule, show(g.shape(cos))));
    }
    Ok(width)
}

/// Rotates each number of a head's first half with its counterpart in the second: x [B, L, N, H] -> [B, L, N, H].
///
/// cos, sin: [L, H / 2] in x's type, the same for every head. Numbers i and i + H / 2 of a head become
/// `x0 cos - x1 sin` and `x0 sin + x1 cos`: `apply_rotary_pos_emb` of transformers. Standard ONNX on every target.
///
/// # Errors
/// [`Error::Shape`] where the tables do not fit the heads.
pub fn rotary_halves(g: &mut Graph, x: Value, cos: Value, sin: Value) -> Result<Value> {
    let (width, half) = (g.fixed(x, -1)?, g.fixed(cos, -1)?);
    if width != 2 * half || g.shape(x).len() != 4 || g.shape(cos) != g.shape(sin) {
        let rule = format!("x must be [B, L, N, H] and tables [L, {width} / 2]");
        return Err(Error::shape("RotaryEmbedding", rule, show(g.shape(cos))));
    }
    let table = |g: &mut Graph, table: Value| {
        let shape = vec![g.shape(table)[0].clone(), Dim::Fixed(1), half.into()];
        g.reshape(table, &[0, 1, half as i64], shape) // [L, 1, H / 2]
    };
    let (cos, sin) = (table(g, cos)?, table(g, sin)?);
    let (x0, x1) = (g.slice(x, 3, 0, half)?, g.slice(x, 3, half, width)?);
    let (x0_cos, x1_sin) = (g.mul(x0, cos)?, g.mul(x1, sin)?);
    let (x0_sin, x1_cos) = (g.mul(x0, sin)?, g.mul(x1, cos)?);
    let (y0, y1) = (g.sub(x0_cos, x1_sin)?, g.add(x0_sin, x1_cos)?);
    g.concat(&[y0, y1], 3)
}
