//! Graph of BERT's and XLM-RoBERTa's encoder (`BertModel`, `XLMRobertaModel` of transformers).

mod config;
#[cfg(test)]
mod tests;

use ourvidz_runtime::{DType, Graph, TensorSet, Value, Weights, nn};

use crate::Result;

pub use config::BertConfig;

/// Prefixes of checkpoints that were saved with a head around the encoder.
const PREFIXES: [&str; 3] = ["bert", "roberta", "xlm_roberta"];

/// Adds an encoder to `g`.
///
/// Inputs `input_ids` i64 [B, L], `positions` i64 `[L]` that count from [`BertConfig::first_position`], and `lengths`
/// i32 `[B]`: rows are padded on the right, and what comes out behind a row's tokens means nothing. Output
/// `last_hidden_state` [B, L, D].
///
/// The pooler behind the encoder and the heads of training are not read.
///
/// # Errors
/// Tensors that are missing, of the wrong shape, or never read.
pub fn build(g: &mut Graph, tensors: &TensorSet, config: &BertConfig) -> Result<()> {
    config.check()?;
    let root = tensors.root();
    let table = "embeddings.word_embeddings.weight";
    let w = PREFIXES.iter().map(|prefix| root.at(prefix)).find(|w| w.shape(table).is_some());
    let w = w.unwrap_or_else(|| root.clone());
    for name in ["embeddings.position_ids", "embeddings.token_type_ids"] {
        tensors.skip(&w.name(name)); // buffers of old files: 0, 1, 2, ... and zeros
    }
    let unused = ["pooler.", "cls.", "lm_head."].map(|head| (head, w.name(head)));
    let is_unused = |name: &str| unused.iter().any(|(a, b)| name.starts_with(a) || name.starts_with(b));
    tensors.iter().filter(|(name, _)| is_unused(name)).for_each(|(name, _)| tensors.skip(name));

    let ids = g.input("input_ids", DType::I64, vec!["batch".into(), "length".into()]);
    let positions = g.input("positions", DType::I64, vec!["length".into()]);
    let lengths = g.input("lengths", DType::I32, vec!["batch".into()]);
    let mut hidden = embeddings(g, &w.at("embeddings"), [ids, positions], config)?;
    for i in 0..config.num_hidden_layers {
        hidden = layer(g, &w.at("encoder.layer").at(i), hidden, lengths, config)?;
    }
    g.output("last_hidden_state", hidden);
    Ok(tensors.finish()?)
}

/// ids: [B, L], positions: `[L]` -> [B, L, D]
fn embeddings(g: &mut Graph, w: &Weights<'_>, [ids, positions]: [Value; 2], c: &BertConfig) -> Result<Value> {
    let d = c.hidden_size;
    let tokens = nn::embedding(g, &w.at("word_embeddings"), ids, c.vocab_size, d)?;
    let rows = c.max_position_embeddings;
    let places = nn::embedding(g, &w.at("position_embeddings"), positions, rows, d)?; // [L, D]
    let segments = g.weight(&w.at("token_type_embeddings"), "weight", &[c.type_vocab_size, d])?;
    let segment = g.slice(segments, 0, 0, 1)?; // one text: all of it is the first segment
    let places = g.add(places, segment)?;
    let sum = g.add(tokens, places)?;
    Ok(nn::layer_norm(g, &w.at("LayerNorm"), sum, c.layer_norm_eps)?)
}

/// x: [B, L, D] -> [B, L, D]
fn layer(g: &mut Graph, w: &Weights<'_>, x: Value, lengths: Value, c: &BertConfig) -> Result<Value> {
    let own = w.at("attention.self");
    let [q, k, v] = ["query", "key", "value"].map(|name| nn::linear(g, &own.at(name), x, c.hidden_size));
    let attended = nn::masked_attention(g, [q?, k?, v?], lengths, c.num_attention_heads)?;
    let out = w.at("attention.output");
    let (dense, norm) = (out.at("dense"), out.at("LayerNorm"));
    let x = nn::linear_add_layer_norm(g, (&dense, &norm), attended, x, c.layer_norm_eps)?;

    let wide = nn::linear_gelu(g, &w.at("intermediate.dense"), x, c.intermediate_size)?;
    let (dense, norm) = (w.at("output.dense"), w.at("output.LayerNorm"));
    Ok(nn::linear_add_layer_norm(g, (&dense, &norm), wide, x, c.layer_norm_eps)?)
}
