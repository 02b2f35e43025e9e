//! Graph of umT5's encoder (`UMT5EncoderModel` of transformers): every layer has a position bias of its own.

mod buckets;
mod config;
mod session;
#[cfg(test)]
mod tests;

use ourvidz_runtime::{Attribute, DType, Dim, Graph, Target, TensorSet, Value, Weights, nn};

use crate::Result;

pub use config::Umt5Config;
pub use session::TextEncoder;

/// Adds the text encoder to `g`.
///
/// Inputs `input_ids` i64 [B, L] and `position_buckets` i64 [L, L], the bucket of each pair of tokens. Output
/// `last_hidden_state` [B, L, D]. All rows have one length and no padding: what padding does to the reference, its
/// mask undoes.
///
/// # Errors
/// Tensors that are missing, of the wrong shape, or never read.
pub fn build(g: &mut Graph, tensors: &TensorSet, config: &Umt5Config) -> Result<()> {
    let root = tensors.root();
    let ids = g.input("input_ids", DType::I64, vec!["batch".into(), "length".into()]);
    let buckets = g.input("position_buckets", DType::I64, vec!["length".into(), "length".into()]);
    // One table under two names; a file has either or both.
    let names = ["shared", "encoder.embed_tokens"];
    let table = names.iter().find(|name| root.at(name).shape("weight").is_some()).unwrap_or(&names[0]);
    let mut hidden = nn::embedding(g, &root.at(table), ids, config.vocab_size, config.d_model)?;
    tensors.skip("encoder.embed_tokens.weight");
    let encoder = root.at("encoder");
    for i in 0..config.num_layers {
        let block = encoder.at("block").at(i).at("layer");
        hidden = attend(g, &block.at(0), hidden, buckets, config)?;
        hidden = feed_forward(g, &block.at(1), hidden, config)?;
    }
    let last = nn::rms_norm(g, &encoder.at("final_layer_norm"), hidden, config.layer_norm_epsilon)?;
    g.output("last_hidden_state", last);
    Ok(tensors.finish()?)
}

/// x: [B, L, D], buckets: [L, L] -> [B, L, D]
fn attend(g: &mut Graph, w: &Weights<'_>, x: Value, buckets: Value, c: &Umt5Config) -> Result<Value> {
    let a = w.at("SelfAttention");
    let normed = nn::rms_norm(g, &w.at("layer_norm"), x, c.layer_norm_epsilon)?;
    let [q, k, v] =
        ["q", "k", "v"].map(|name| nn::linear_without_bias(g, &a.at(name), normed, c.inner_dim()));
    let q = heads(g, q?, c, &[0, 2, 1, 3])?; // [B, N, L, W]
    let k = heads(g, k?, c, &[0, 2, 3, 1])?; // [B, N, W, L]
    let v = heads(g, v?, c, &[0, 2, 1, 3])?; // [B, N, L, W]
    // The products are not divided by the root of the width: umT5 was trained without.
    let scores = g.matmul(q, k)?; // [B, N, L, L]
    let bias = position_bias(g, &a.at("relative_attention_bias"), buckets, c)?;
    let scores = g.add(scores, bias)?;
    let probabilities = g.softmax(scores);
    let y = g.matmul(probabilities, v)?; // [B, N, L, W]
    let y = g.transpose(y, &[0, 2, 1, 3])?; // [B, L, N, W]
    let shape = vec!["batch".into(), "length".into(), c.inner_dim().into()];
    let y = g.reshape(y, &[0, 0, c.inner_dim() as i64], shape)?;
    let out = nn::linear_without_bias(g, &a.at("o"), y, c.d_model)?;
    Ok(g.add(x, out)?)
}

/// x: [B, L, N * W] -> [B, L, N, W], its axes then in the order `perm`.
fn heads(g: &mut Graph, x: Value, c: &Umt5Config, perm: &[usize]) -> Result<Value> {
    let shape = vec!["batch".into(), "length".into(), c.num_heads.into(), c.d_kv.into()];
    let split = g.reshape(x, &[0, 0, c.num_heads as i64, c.d_kv as i64], shape)?;
    Ok(g.transpose(split, perm)?)
}

/// What is added to the scores of every pair of tokens: buckets [L, L] -> [1, N, L, L]. Reads `weight` [buckets, N].
fn position_bias(g: &mut Graph, w: &Weights<'_>, buckets: Value, c: &Umt5Config) -> Result<Value> {
    let (rows, n) = (c.relative_attention_num_buckets, c.num_heads);
    let table = g.weight(w, "weight", &[rows, n])?;
    // The small table is turned round, so that the large result need not be.
    let table = g.transpose(table, &[1, 0])?;
    let table = g.reshape(table, &[1, n as i64, rows as i64], vec![1.into(), n.into(), rows.into()])?;
    let shape: Vec<Dim> = vec![1.into(), n.into(), "length".into(), "length".into()];
    let out = (g.dtype_of(table), shape);
    Ok(g.operator("", "Gather", &[Some(table), Some(buckets)], vec![("axis", Attribute::Int(2))], out))
}

/// x: [B, L, D] -> [B, L, D]: a linear layer times the GELU of another.
fn feed_forward(g: &mut Graph, w: &Weights<'_>, x: Value, c: &Umt5Config) -> Result<Value> {
    let d = w.at("DenseReluDense");
    let normed = nn::rms_norm(g, &w.at("layer_norm"), x, c.layer_norm_epsilon)?;
    let gate = nn::linear_without_bias(g, &d.at("wi_0"), normed, c.d_ff)?;
    let gate = gelu_new(g, gate);
    let hidden = nn::linear_without_bias(g, &d.at("wi_1"), normed, c.d_ff)?;
    let hidden = g.mul(gate, hidden)?;
    let out = nn::linear_without_bias(g, &d.at("wo"), hidden, c.d_model)?;
    Ok(g.add(x, out)?)
}

/// GELU by its approximation with tanh, which transformers calls `gelu_new`.
fn gelu_new(g: &mut Graph, x: Value) -> Value {
    let out = (g.dtype_of(x), g.shape(x).to_vec());
    if g.target() == Target::Cuda {
        // The standard operator has no kernel for bfloat16 there.
        return g.operator("com.microsoft", "FastGelu", &[Some(x)], vec![], out);
    }
    let tanh = vec![("approximate", Attribute::Text("tanh".into()))];
    g.operator("", "Gelu", &[Some(x)], tanh, out)
}
