//! Graphs of CLIP ViT-L and OpenCLIP ViT-bigG (`CLIPTextModel`, `CLIPTextModelWithProjection` of transformers).

use std::str::FromStr;

use ourvidz_runtime::nn::{self, Activation, Attention};
use ourvidz_runtime::{Attribute, DType, Dim, Error, Graph, TensorSet, Value, Weights};

use crate::Result;
use crate::config::ClipTextConfig;

/// Adds a text encoder to `g`.
///
/// Input `input_ids` i64 [B, 77]. Outputs `hidden_states.0` (the embeddings) to `hidden_states.{N}` (after the last
/// layer, before the final norm), `last_hidden_state` [B, 77, D], and `text_embeds` [B, P] with a projection or
/// `pooler_output` [B, D] without.
///
/// # Errors
/// Tensors that are missing, of the wrong shape, or never read.
pub fn build(g: &mut Graph, tensors: &TensorSet, config: &ClipTextConfig) -> Result<()> {
    let root = tensors.root();
    // transformers 5 saves `CLIPTextModel` without the prefix that the published files have.
    let prefixed = root.shape("text_model.embeddings.token_embedding.weight").is_some();
    let w = if prefixed { root.at("text_model") } else { root.clone() };
    // A buffer of old files: 0, 1, 2, ...
    tensors.skip(&w.name("embeddings.position_ids"));
    let length = config.max_position_embeddings;
    let ids = g.input("input_ids", DType::I64, vec!["batch".into(), length.into()]);
    let mut hidden = embeddings(g, &w.at("embeddings"), ids, config)?;
    g.output("hidden_states.0", hidden);
    for i in 0..config.num_hidden_layers {
        hidden = layer(g, &w.at("encoder.layers").at(i), hidden, config)?;
        g.output(&format!("hidden_states.{}", i + 1), hidden);
    }
    let last = nn::layer_norm(g, &w.at("final_layer_norm"), hidden, config.layer_norm_eps)?;
    g.output("last_hidden_state", last);
    let pooled = pool(g, ids, last, config)?;
    if config.has_projection() {
        let projected =
            nn::linear_without_bias(g, &root.at("text_projection"), pooled, config.projection_dim)?;
        g.output("text_embeds", projected);
    } else {
        g.output("pooler_output", pooled);
    }
    Ok(tensors.finish()?)
}

/// ids: [B, L] -> [B, L, D]
fn embeddings(g: &mut Graph, w: &Weights<'_>, ids: Value, c: &ClipTextConfig) -> Result<Value> {
    let tokens = nn::embedding(g, &w.at("token_embedding"), ids, c.vocab_size, c.hidden_size)?;
    let positions =
        g.weight(&w.at("position_embedding"), "weight", &[c.max_position_embeddings, c.hidden_size])?;
    Ok(g.add(tokens, positions)?)
}

/// x: [B, L, D] -> [B, L, D]
fn layer(g: &mut Graph, w: &Weights<'_>, x: Value, c: &ClipTextConfig) -> Result<Value> {
    let a = w.at("self_attn");
    let normed = nn::layer_norm(g, &w.at("layer_norm1"), x, c.layer_norm_eps)?;
    let [q, k, v] =
        ["q_proj", "k_proj", "v_proj"].map(|name| nn::linear(g, &a.at(name), normed, c.hidden_size));
    let attended =
        nn::attention(g, q?, k?, v?, Attention { num_heads: c.num_attention_heads, causal: true })?;
    let attended = nn::linear(g, &a.at("out_proj"), attended, c.hidden_size)?;
    let x = g.add(x, attended)?;

    let normed = nn::layer_norm(g, &w.at("layer_norm2"), x, c.layer_norm_eps)?;
    let wide = nn::linear(g, &w.at("mlp.fc1"), normed, c.intermediate_size)?;
    let wide = nn::activation(g, Activation::from_str(&c.hidden_act)?, wide)?;
    let out = nn::linear(g, &w.at("mlp.fc2"), wide, c.hidden_size)?;
    Ok(g.add(x, out)?)
}

/// The hidden state of the first end token: ids [B, L], hidden [B, L, D] -> [B, D]
fn pool(g: &mut Graph, ids: Value, hidden: Value, c: &ClipTextConfig) -> Result<Value> {
    let batch = g.shape(ids).first().cloned().unwrap_or(Dim::Fixed(1));
    // Token ids are exact in f32, and CUDA has no ArgMax of integers.
    let scores = if c.eos_token_id == 2 {
        g.cast(ids, DType::F32)
    } else {
        let eos = g.constant_i64(&[], &[c.eos_token_id]);
        let shape = g.shape(ids).to_vec();
        let equal = g.operator("", "Equal", &[Some(ids), Some(eos)], vec![], (DType::Bool, shape));
        g.cast(equal, DType::F32)
    };
    let attributes = vec![("axis", Attribute::Int(1)), ("keepdims", Attribute::Int(1))];
    let at =
        g.operator("", "ArgMax", &[Some(scores)], attributes, (DType::I64, vec![batch.clone(), 1.into()]));
    let width = g.shape(hidden).last().cloned().ok_or_else(|| Error::Shape {
        op: "pool".into(),
        rule: "needs [B, L, D]".into(),
        found: "a scalar".into(),
    })?;
    let out = (g.dtype_of(hidden), vec![batch, width]);
    Ok(g.operator("", "GatherND", &[Some(hidden), Some(at)], vec![("batch_dims", Attribute::Int(1))], out))
}
