use ourvidz_runtime::nn::{self, Activation};
use ourvidz_runtime::{Graph, Value, Weights};

use super::Tap;
use crate::{Result, WanTransformerConfig};

/// `FP32LayerNorm` of the image embedding has torch's epsilon, whatever the configuration says.
const IMAGE_EPS: f32 = 1e-5;

/// Keys and values of every cross-attention.
pub(super) fn build(
    g: &mut Graph,
    w: &Weights<'_>,
    config: &WanTransformerConfig,
    tap: &mut Tap<'_>,
) -> Result<()> {
    let (dtype, d) = (g.dtype(), config.inner_dim());
    let shape = vec!["batch".into(), "sequence".into(), config.text_dim.into()];
    let text = g.input("encoder_hidden_states", dtype, shape);
    let embedder = w.at("condition_embedder");
    let text = nn::linear_gelu_tanh(g, &embedder.at("text_embedder.linear_1"), text, d)?;
    let text = nn::linear(g, &embedder.at("text_embedder.linear_2"), text, d)?; // [B, S, D]
    tap(g, "text", text);
    let image = match config.image_dim {
        Some(width) => Some(image_embedding(g, &embedder.at("image_embedder"), width, config)?),
        None => None,
    };
    for block in super::blocks(config) {
        let attn2 = w.at(&block).at("attn2");
        let (key, value) = projections(g, &attn2, text, ["to_k", "norm_k", "to_v"], config)?;
        g.output(&format!("{block}.key"), key);
        g.output(&format!("{block}.value"), value);
        if let Some(image) = image {
            let names = ["add_k_proj", "norm_added_k", "add_v_proj"];
            let (key, value) = projections(g, &attn2, image, names, config)?;
            g.output(&format!("{block}.added_key"), key);
            g.output(&format!("{block}.added_value"), value);
        }
    }
    Ok(())
}

/// x: [B, S, D] -> normalised keys and values [B, S, D].
fn projections(
    g: &mut Graph,
    w: &Weights<'_>,
    x: Value,
    [key, norm, value]: [&str; 3],
    config: &WanTransformerConfig,
) -> Result<(Value, Value)> {
    let d = config.inner_dim();
    let k = nn::linear(g, &w.at(key), x, d)?;
    let k = nn::rms_norm(g, &w.at(norm), k, config.eps as f32)?;
    Ok((k, nn::linear(g, &w.at(value), x, d)?))
}

/// `WanImageEmbedding`: the states of one image, or of the first and the last frame behind one another -> [B, S, D].
fn image_embedding(
    g: &mut Graph,
    w: &Weights<'_>,
    width: usize,
    config: &WanTransformerConfig,
) -> Result<Value> {
    let dtype = g.dtype();
    let shape = |batch: &str, length| vec![batch.into(), length, width.into()];
    let mut x = match config.pos_embed_seq_len {
        None => g.input("encoder_hidden_states_image", dtype, shape("batch", "image_sequence".into())),
        Some(length) => {
            let of_one = shape("images", (length / 2).into());
            let frames = g.input("encoder_hidden_states_image", dtype, of_one);
            let (pattern, of_both) = ([-1, length as i64, width as i64], shape("batch", length.into()));
            let both = g.reshape(frames, &pattern, of_both)?;
            let positions = g.weight(w, "pos_embed", &[1, length, width])?;
            g.add(both, positions)?
        }
    };
    x = nn::layer_norm(g, &w.at("norm1"), x, IMAGE_EPS)?;
    x = nn::linear(g, &w.at("ff.net.0.proj"), x, width)?;
    x = nn::activation(g, Activation::Gelu, x)?;
    x = nn::linear(g, &w.at("ff.net.2"), x, config.inner_dim())?;
    Ok(nn::layer_norm(g, &w.at("norm2"), x, IMAGE_EPS)?)
}
