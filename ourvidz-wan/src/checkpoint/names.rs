//! Original names in terms of diffusers and transformers. Names that are theirs already, or nobody's, stay.

use ourvidz_runtime::Error as Runtime;

use super::{Tensors, detect};
use crate::Result;
use crate::vae::AutoencoderKLWanConfig;

const PREFIX: &str = "model.diffusion_model.";

/// Names of `WanModel` and `VaceWanModel`, with or without `model.diffusion_model.`, as `WanTransformer3DModel` and
/// `WanVACETransformer3DModel` have them.
///
/// # Errors
/// Two names that become one.
pub fn transformer_to_diffusers(tensors: Tensors) -> Result<Tensors> {
    let bare = |name: &str| name.strip_prefix(PREFIX).unwrap_or(name).to_owned();
    let original = tensors.keys().any(|name| bare(name).starts_with("text_embedding."));
    let named = |name: &str| {
        let name = bare(name);
        if original { transformer_name(&name).unwrap_or(name) } else { name }
    };
    let mut renamed = rename("transformer", tensors, named)?;
    // Files of image-to-video models may carry a norm that no model applies.
    renamed.retain(|name, _| !name.contains(".attn2.norm_added_q."));
    Ok(renamed)
}

/// Names of `models_t5_umt5-xxl-enc-bf16.pth` as `UMT5EncoderModel` has them.
///
/// # Errors
/// Two names that become one.
pub fn umt5_to_transformers(tensors: Tensors) -> Result<Tensors> {
    if !tensors.contains_key("token_embedding.weight") {
        return Ok(tensors);
    }
    rename("text_encoder", tensors, |name| umt5_name(name).unwrap_or_else(|| name.to_owned()))
}

/// Names of `Wan2.1_VAE.pth` as `AutoencoderKLWan` has them. Levels are flat in the original: `num_res_blocks` tells
/// where they end.
///
/// # Errors
/// Two names that become one.
pub fn vae_to_diffusers(tensors: Tensors, num_res_blocks: usize) -> Result<Tensors> {
    if !tensors.contains_key("encoder.conv1.weight") {
        return Ok(tensors);
    }
    rename("vae", tensors, |name| vae_name(name, num_res_blocks).unwrap_or_else(|| name.to_owned()))
}

/// A VAE of either naming with the configuration that its shapes tell.
pub(super) fn vae_with_config(tensors: Tensors) -> Result<(Tensors, AutoencoderKLWanConfig)> {
    let blocks = detect::vae_res_blocks(&tensors);
    let tensors = vae_to_diffusers(tensors, blocks)?;
    let config = detect::vae(&tensors, blocks)?;
    Ok((tensors, config))
}

fn rename(component: &str, tensors: Tensors, name: impl Fn(&str) -> String) -> Result<Tensors> {
    let mut renamed = Tensors::new();
    for (old, view) in tensors {
        let new = name(&old);
        if renamed.insert(new, view).is_some() {
            let (component, first) = (component.to_owned(), format!("{old}, whose name is another's too"));
            return Err(Runtime::UnreadTensors { component, count: 1, first }.into());
        }
    }
    Ok(renamed)
}

/// Replaces the first part of `name` that one of `pairs` begins with, at the end of a part.
fn replaced(name: &str, pairs: &[(&str, &str)]) -> Option<String> {
    pairs.iter().find_map(|(was, is)| {
        let rest = name.strip_prefix(was)?;
        (rest.is_empty() || rest.starts_with('.')).then(|| format!("{is}{rest}"))
    })
}

fn transformer_name(name: &str) -> Option<String> {
    if let Some((blocks @ ("blocks" | "vace_blocks"), rest)) = name.split_once('.') {
        let (index, rest) = rest.split_once('.')?;
        return Some(format!("{blocks}.{index}.{}", replaced(rest, &BLOCK)?));
    }
    replaced(name, &TRANSFORMER)
}

const TRANSFORMER: [(&str, &str); 12] = [
    ("time_embedding.0", "condition_embedder.time_embedder.linear_1"),
    ("time_embedding.2", "condition_embedder.time_embedder.linear_2"),
    ("time_projection.1", "condition_embedder.time_proj"),
    ("text_embedding.0", "condition_embedder.text_embedder.linear_1"),
    ("text_embedding.2", "condition_embedder.text_embedder.linear_2"),
    ("img_emb.proj.0", "condition_embedder.image_embedder.norm1"),
    ("img_emb.proj.1", "condition_embedder.image_embedder.ff.net.0.proj"),
    ("img_emb.proj.3", "condition_embedder.image_embedder.ff.net.2"),
    ("img_emb.proj.4", "condition_embedder.image_embedder.norm2"),
    ("img_emb.emb_pos", "condition_embedder.image_embedder.pos_embed"),
    ("head.head", "proj_out"),
    ("head.modulation", "scale_shift_table"),
];

const BLOCK: [(&str, &str); 24] = [
    ("self_attn.q", "attn1.to_q"),
    ("self_attn.k", "attn1.to_k"),
    ("self_attn.v", "attn1.to_v"),
    ("self_attn.o", "attn1.to_out.0"),
    ("self_attn.norm_q", "attn1.norm_q"),
    ("self_attn.norm_k", "attn1.norm_k"),
    ("cross_attn.q", "attn2.to_q"),
    ("cross_attn.k", "attn2.to_k"),
    ("cross_attn.v", "attn2.to_v"),
    ("cross_attn.o", "attn2.to_out.0"),
    ("cross_attn.norm_q", "attn2.norm_q"),
    ("cross_attn.norm_k", "attn2.norm_k"),
    ("cross_attn.k_img", "attn2.add_k_proj"),
    ("cross_attn.v_img", "attn2.add_v_proj"),
    ("cross_attn.norm_k_img", "attn2.norm_added_k"),
    ("cross_attn.norm_q_img", "attn2.norm_added_q"),
    ("ffn.0", "ffn.net.0.proj"),
    ("ffn.2", "ffn.net.2"),
    // The original has its norms in the order 1, 3, 2.
    ("norm1", "norm1"),
    ("norm3", "norm2"),
    ("norm2", "norm3"),
    ("modulation", "scale_shift_table"),
    ("before_proj", "proj_in"),
    ("after_proj", "proj_out"),
];

fn umt5_name(name: &str) -> Option<String> {
    const TOP: [(&str, &str); 2] = [("token_embedding", "shared"), ("norm", "encoder.final_layer_norm")];
    const LAYER: [(&str, &str); 10] = [
        ("norm1", "layer.0.layer_norm"),
        ("attn.q", "layer.0.SelfAttention.q"),
        ("attn.k", "layer.0.SelfAttention.k"),
        ("attn.v", "layer.0.SelfAttention.v"),
        ("attn.o", "layer.0.SelfAttention.o"),
        ("pos_embedding.embedding", "layer.0.SelfAttention.relative_attention_bias"),
        ("norm2", "layer.1.layer_norm"),
        ("ffn.gate.0", "layer.1.DenseReluDense.wi_0"),
        ("ffn.fc1", "layer.1.DenseReluDense.wi_1"),
        ("ffn.fc2", "layer.1.DenseReluDense.wo"),
    ];
    let Some(rest) = name.strip_prefix("blocks.") else { return replaced(name, &TOP) };
    let (index, rest) = rest.split_once('.')?;
    Some(format!("encoder.block.{index}.{}", replaced(rest, &LAYER)?))
}

fn vae_name(name: &str, num_res_blocks: usize) -> Option<String> {
    let top = replaced(name, &[("conv1", "quant_conv"), ("conv2", "post_quant_conv")]);
    let Some((side @ ("encoder" | "decoder"), rest)) = name.split_once('.') else { return top };
    const ENDS: [(&str, &str); 3] = [("conv1", "conv_in"), ("head.0", "norm_out"), ("head.2", "conv_out")];
    if let Some(rest) = replaced(rest, &ENDS) {
        return Some(format!("{side}.{rest}"));
    }
    let (stage, rest) = rest.split_once('.')?;
    let (index, rest) = rest.split_once('.')?;
    let index: usize = index.parse().ok()?;
    Some(match (side, stage, index) {
        (_, "middle", 1) => format!("{side}.mid_block.attentions.0.{rest}"),
        (_, "middle", 0 | 2) => format!("{side}.mid_block.resnets.{}.{}", index / 2, residual(rest)),
        ("encoder", "downsamples", _) => format!("encoder.down_blocks.{index}.{}", residual(rest)),
        ("decoder", "upsamples", _) => {
            // A level of the decoder: one residual block more than the encoder's, then what makes it larger.
            let (level, place) = (index / (num_res_blocks + 2), index % (num_res_blocks + 2));
            let part =
                if place > num_res_blocks { "upsamplers.0".into() } else { format!("resnets.{place}") };
            format!("decoder.up_blocks.{level}.{part}.{}", residual(rest))
        }
        _ => return None,
    })
}

/// Inside a residual block; what changes sizes has the same names in both.
fn residual(name: &str) -> String {
    const PAIRS: [(&str, &str); 5] = [
        ("residual.0", "norm1"),
        ("residual.2", "conv1"),
        ("residual.3", "norm2"),
        ("residual.6", "conv2"),
        ("shortcut", "conv_shortcut"),
    ];
    replaced(name, &PAIRS).unwrap_or_else(|| name.to_owned())
}
