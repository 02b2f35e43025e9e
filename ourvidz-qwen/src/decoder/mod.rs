//! Graph of Qwen 2, 2.5 and 3 (`Qwen2ForCausalLM`, `Qwen3ForCausalLM` of transformers).

mod attention;
mod config;
mod head;
mod session;

use std::str::FromStr;

use ourvidz_runtime::nn::Norm;
use ourvidz_runtime::{DType, Device, Graph, Precision, Target, TensorSet, Value, Weights, nn};

use crate::{Error, Result};
use attention::Attention;

pub use config::QwenConfig;
pub use ourvidz_runtime::nn::Matrices;
pub use session::Decoder;

/// What a decoder's graph gives.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Output {
    /// `last_hidden_state` [B, L, D] behind the final norm, without logits and without a cache.
    HiddenStates,
    /// `logits` [B, P, V] in f32 at the positions asked for, and the key/value cache.
    ///
    /// On `Target::Cuda` also the 64 highest of each, `top_logits` [B, P, 64], and their tokens, `top_tokens`, in f32,
    /// highest first.
    Logits,
}

/// How a decoder's graph is built.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct DecoderOptions {
    /// What it gives.
    pub output: Output,
    /// Positions that the rotary tables and, on `Target::Cuda`, the cache have room for.
    pub capacity: usize,
    /// The type of matrices.
    pub matrices: Matrices,
    /// What attends to the cache on `Target::Cuda`.
    pub cache_attention: CacheAttention,
}

/// What attends to the cache on CUDA; the cache lies the same in both.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
pub enum CacheAttention {
    /// `GroupQueryAttention` of ONNX Runtime: quicker with long prompts, slower with each token after them
    /// (docs/PERFORMANCE.md).
    GroupQuery,
    /// `CachedAttention`, an operator of our own: one kernel for one token, products of matrices for prompts.
    /// Where heads are not multiples of 8 numbers, 256 at most, `GroupQuery` all the same.
    #[default]
    Own,
}

impl FromStr for CacheAttention {
    type Err = Error;

    fn from_str(text: &str) -> Result<CacheAttention> {
        match text {
            "group-query" => Ok(CacheAttention::GroupQuery),
            "own" => Ok(CacheAttention::Own),
            _ => {
                let rule = "group-query or own".into();
                Err(Error::Request { field: "cache_attention", rule, value: text.into() })
            }
        }
    }
}

/// The operators that a decoder computes with on a device. In fp32 the standard ones run, with a cache that grows:
/// `GroupQueryAttention` does not take it.
pub(crate) fn target(device: Device, precision: Precision) -> Target {
    match precision {
        Precision::Fp32 => Target::Portable,
        _ => device.target(),
    }
}

/// Adds a decoder to `g`.
///
/// Inputs on both targets: `input_ids` i64 [B, L], and with logits `logit_positions` i64 `[P]`, which of the L.
///
/// - `Target::Portable`: `positions` i64 `[L]`, and with logits also `key_positions` i64 `[T]`, those of the cache and
///   of the new tokens; `past.{i}.key` and `.value` [B, K, T - L, H] go in and `present.{i}.key` and `.value`
///   [B, K, T, H] come out, one longer per token.
/// - `Target::Cuda`: `seqlens_k` i32 `[B]`, positions in use behind this run less one, and `total_sequence_length` i32
///   `[1]` on the host, the same for the longest row (the capacity where only `seqlens_k` shall change). The caches
///   are [B, K, capacity, H], and one buffer is bound to `past.{i}.key` and to `present.{i}.key`. With
///   [`CacheAttention::Own`] B is 1.
///
/// Rows of hidden states may be padded on the right: a token does not see what comes behind it.
///
/// # Errors
/// Tensors that are missing, of the wrong shape, or never read.
pub fn build(
    g: &mut Graph,
    tensors: &TensorSet,
    config: &QwenConfig,
    options: &DecoderOptions,
) -> Result<()> {
    config.check()?;
    let root = tensors.root();
    // Embedding checkpoints hold the model without the class around it.
    let model = if root.shape("embed_tokens.weight").is_some() { root.clone() } else { root.at("model") };
    let ids = g.input("input_ids", DType::I64, vec!["batch".into(), "length".into()]);
    let logits = options.output == Output::Logits;
    let attention = Attention::new(g, config, options, logits)?;
    let layers = model.at("layers");

    let table = model.at("embed_tokens");
    let mut x = nn::embedding(g, &table, ids, config.vocab_size, config.hidden_size)?; // [B, L, D]
    for i in 0..config.num_hidden_layers {
        let w = layers.at(i);
        x = attention.layer(g, &w, x, i)?;
        x = feed_forward(g, &w, x, config, options.matrices)?;
    }
    let norm = model.at("norm");
    let norm = Norm { weights: &norm, eps: config.rms_norm_eps };
    match options.output {
        Output::HiddenStates => {
            let normed = nn::rms_norm(g, norm.weights, x, norm.eps)?;
            g.output("last_hidden_state", normed);
            tensors.skip("lm_head.weight");
        }
        Output::Logits => {
            let w = if config.tie_word_embeddings { table } else { root.at("lm_head") };
            head::logits(g, &w, x, norm, config, options.matrices)?;
            if config.tie_word_embeddings {
                // Some files repeat the table under this name.
                tensors.skip("lm_head.weight");
            }
        }
    }
    Ok(tensors.finish()?)
}

/// x: [B, L, D] -> [B, L, D]: `x + down(silu(gate(y)) * up(y))` of the norm y of x.
fn feed_forward(
    g: &mut Graph,
    w: &Weights<'_>,
    x: Value,
    config: &QwenConfig,
    matrices: Matrices,
) -> Result<Value> {
    let (norm, w) = (w.at("post_attention_layernorm"), w.at("mlp"));
    let norm = Norm { weights: &norm, eps: config.rms_norm_eps };
    let places = [&w.at("gate_proj"), &w.at("up_proj")];
    let hidden = nn::swiglu(g, places, x, Some(norm), config.intermediate_size, matrices)?;
    Ok(nn::project_residual(g, &w.at("down_proj"), hidden, x, false, matrices)?)
}

/// Names of the cache's tensors of layer `i`, before and after a run: keys, then values.
pub(crate) fn cache_names(i: usize) -> [(String, String); 2] {
    ["key", "value"].map(|part| (format!("past.{i}.{part}"), format!("present.{i}.{part}")))
}
