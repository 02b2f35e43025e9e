use crate::graph::{Attribute, Dim, Graph, Value, show};
use crate::{Error, Result, cuda};

/// What [`cached_attention`] takes.
#[derive(Debug, Clone, Copy)]
pub struct CachedAttention {
    /// Queries [1, L, N * H], keys and values [1, L, K * H], before any rotation; or all three side by side in the first.
    pub qkv: (Value, Option<[Value; 2]>),
    /// Keys and values before these tokens: [1, K, C, H] each, with room for C tokens.
    pub cache: [Value; 2],
    /// Position of the newest token: i32 `[1]`.
    pub last: Value,
    /// How many positions of the cache are looked at, on the host: i32 `[1]`, at least `last` + 1 and C at most. What
    /// the cache has up to there must be finite, and so must the new values: on CUDA products multiply with 0 what a
    /// token does not see. `last` + 1 is fastest. Fewer are an error; on CUDA only below L, otherwise NaN where they
    /// are missed.
    pub total: Value,
    /// Cosines and sines [P, H / 2] of each position in the graph's type; P is at least C.
    pub tables: [Value; 2],
    /// Heads N of queries.
    pub num_heads: usize,
    /// Heads K of keys and values; divides N.
    pub kv_num_heads: usize,
}

/// Attention of L new tokens to themselves and to what is in the cache, with rotary embedding of halves as
/// [`rotary_halves`](super::rotary_halves): [1, L, N * H], and the cache with their keys and values at positions
/// `last` - L + 1 to `last`.
///
/// Where an output of the cache is bound to its input's buffer, only the new keys and values are written. On
/// `Target::Cuda` alone, for heads that [`cached_attention_fits`].
///
/// # Errors
/// [`Error::Shape`] for heads that do not divide one another, or of a width that does not fit.
pub fn cached_attention(g: &mut Graph, attention: CachedAttention) -> Result<[Value; 3]> {
    let CachedAttention { qkv: (first, others), cache, last, total, tables, num_heads, kv_num_heads } =
        attention;
    let width = g.fixed(cache[0], -1)?;
    if !cached_attention_fits(width) || kv_num_heads == 0 || !num_heads.is_multiple_of(kv_num_heads) {
        let rule =
            format!("{num_heads} heads must be a multiple of {kv_num_heads}, of 8 to 256 numbers by eights");
        return Err(Error::shape("CachedAttention", rule, show(g.shape(cache[0]))));
    }
    let op = if others.is_some() { "CachedAttention" } else { "CachedAttentionPacked" };
    let inputs: Vec<_> = [first]
        .into_iter()
        .chain(others.into_iter().flatten())
        .chain(cache)
        .chain([last])
        .chain(tables)
        .chain([total])
        .map(Some)
        .collect();
    let attributes = vec![
        ("num_heads", Attribute::Int(num_heads as i64)),
        ("kv_num_heads", Attribute::Int(kv_num_heads as i64)),
    ];
    let mut shape = g.shape(first).to_vec();
    shape.pop();
    shape.push(Dim::from(num_heads * width));
    let outputs = [shape, g.shape(cache[0]).to_vec(), g.shape(cache[1]).to_vec()];
    let outputs = outputs.map(|shape| (g.dtype(), shape));
    Ok(g.operator_with_outputs(cuda::DOMAIN, op, &inputs, attributes, outputs))
}

/// Whether [`cached_attention`] takes heads of `width` numbers: multiples of 8 to 256.
pub fn cached_attention_fits(width: usize) -> bool {
    cuda::fits_cached_attention(width)
}
