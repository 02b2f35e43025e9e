//! Names of the original Stable Diffusion XL files, in terms of diffusers and transformers.

use ourvidz_runtime::{Error, TensorView};

use super::Tensors;
use crate::Result;
use crate::config::{UNetConfig, VaeConfig};

pub(super) const UNET: &str = "model.diffusion_model.";
pub(super) const VAE: &str = "first_stage_model.";
pub(super) const TEXT_1: &str = "conditioner.embedders.0.transformer.";
pub(super) const TEXT_2: &str = "conditioner.embedders.1.model.";

/// Tensors of the four components.
#[derive(Debug, Default)]
pub struct Named {
    /// `CLIPTextModel`
    pub text_encoder: Tensors,
    /// `CLIPTextModelWithProjection`
    pub text_encoder_2: Tensors,
    /// `UNet2DConditionModel`
    pub unet: Tensors,
    /// `AutoencoderKL`
    pub vae: Tensors,
}

/// Sorts the tensors of a single file into components, under diffusers' names. No data moves: fused matrices become
/// ranges, 1 x 1 convolutions matrices, and the one transposed matrix is marked.
///
/// # Errors
/// [`Error::UnreadTensors`] for a name that belongs to no component.
pub fn original_to_diffusers(tensors: Tensors, unet: &UNetConfig, vae: &VaeConfig) -> Result<Named> {
    let mut named = Named::default();
    let mut unknown = Vec::new();
    for (name, view) in tensors {
        let known = if let Some(rest) = name.strip_prefix(UNET) {
            unet_name(rest, unet).map(|name| drop(named.unet.insert(name, view.clone())))
        } else if let Some(rest) = name.strip_prefix(VAE) {
            vae_tensor(rest, &view, vae).map(|(name, view)| drop(named.vae.insert(name, view)))
        } else if let Some(rest) = name.strip_prefix(TEXT_1) {
            named.text_encoder.insert(rest.to_owned(), view.clone());
            Some(())
        } else if let Some(rest) = name.strip_prefix(TEXT_2) {
            big_g_tensors(rest, &view).map(|parts| named.text_encoder_2.extend(parts))
        } else {
            is_unused(&name).then_some(())
        };
        if known.is_none() {
            unknown.push(format!("{name} {:?}", view.shape));
        }
    }
    if unknown.is_empty() {
        return Ok(named);
    }
    let count = unknown.len();
    unknown.truncate(5);
    Err(Error::UnreadTensors { component: "checkpoint".into(), count, first: unknown.join(", ") }.into())
}

/// Schedules and marks that training code leaves in a file; the scheduler computes the former itself.
fn is_unused(name: &str) -> bool {
    const NAMES: [&str; 5] = ["alphas_cumprod", "betas", "denoiser.sigmas", "v_pred", "ztsnr"];
    NAMES.contains(&name) || name.starts_with("alphas_cumprod_") || name.starts_with("sqrt_")
}

fn unet_name(name: &str, config: &UNetConfig) -> Option<String> {
    let top = [
        ("time_embed.0", "time_embedding.linear_1"),
        ("time_embed.2", "time_embedding.linear_2"),
        ("label_emb.0.0", "add_embedding.linear_1"),
        ("label_emb.0.2", "add_embedding.linear_2"),
        ("input_blocks.0.0", "conv_in"),
        ("out.0", "conv_norm_out"),
        ("out.2", "conv_out"),
    ];
    for (was, is) in top {
        if let Some(rest) = name.strip_prefix(was).filter(|rest| rest.starts_with('.')) {
            return Some(format!("{is}{rest}"));
        }
    }
    let layers = config.layers_per_block.at(0)?;
    let (stage, rest) = name.split_once('.')?;
    let (first, rest) = rest.split_once('.')?;
    let first: usize = first.parse().ok()?;
    if stage == "middle_block" {
        let block = ["resnets.0", "attentions.0", "resnets.1"].get(first)?;
        return Some(format!("mid_block.{block}.{}", inner_name(rest)));
    }
    let (part, rest) = rest.split_once('.')?;
    let (side, block, layer) = match stage {
        "input_blocks" => {
            ("down_blocks", first.checked_sub(1)? / (layers + 1), first.checked_sub(1)? % (layers + 1))
        }
        "output_blocks" => ("up_blocks", first / (layers + 1), first % (layers + 1)),
        _ => return None,
    };
    let place = match (part, rest) {
        (_, _) if rest.starts_with("op.") => format!("downsamplers.0.conv.{}", rest.strip_prefix("op.")?),
        ("1" | "2", _) if rest.starts_with("conv.") => format!("upsamplers.0.{rest}"),
        ("0", _) => format!("resnets.{layer}.{}", inner_name(rest)),
        ("1", _) => format!("attentions.{layer}.{rest}"),
        _ => return None,
    };
    Some(format!("{side}.{block}.{place}"))
}

/// Inside a residual block; transformers have the same names in both.
fn inner_name(name: &str) -> String {
    let pairs = [
        ("in_layers.0.", "norm1."),
        ("in_layers.2.", "conv1."),
        ("emb_layers.1.", "time_emb_proj."),
        ("out_layers.0.", "norm2."),
        ("out_layers.3.", "conv2."),
        ("skip_connection.", "conv_shortcut."),
    ];
    let found = pairs.iter().find_map(|(was, is)| Some(format!("{is}{}", name.strip_prefix(was)?)));
    found.unwrap_or_else(|| name.to_owned())
}

fn vae_tensor(name: &str, view: &TensorView, config: &VaeConfig) -> Option<(String, TensorView)> {
    let mut name = name.to_owned();
    if let Some((side, rest)) =
        name.split_once('.').filter(|(side, _)| matches!(*side, "encoder" | "decoder"))
    {
        let (part, inner) = rest.split_once('.')?;
        let renamed = match part {
            "down" | "up" => level_name(part, inner, config)?,
            "mid" => mid_name(inner)?,
            "norm_out" => format!("conv_norm_out.{inner}"),
            _ => rest.to_owned(),
        };
        name = format!("{side}.{renamed}");
    }
    // Attention is written as 1 x 1 convolutions: [C, C, 1, 1].
    let matrix = name.contains(".attentions.") && matches!(view.shape[..], [_, _, 1, 1]);
    let view = if matrix { view.reshaped(view.shape[..2].to_vec())? } else { view.clone() };
    Some((name, view))
}

fn level_name(side: &str, name: &str, config: &VaeConfig) -> Option<String> {
    let (level, rest) = name.split_once('.')?;
    let level: usize = level.parse().ok()?;
    let (side, level) = match side {
        "down" => ("down_blocks", level),
        _ => ("up_blocks", config.block_out_channels.len().checked_sub(level + 1)?),
    };
    let place = if let Some(inner) = rest.strip_prefix("block.") {
        format!("resnets.{}", inner.replace("nin_shortcut", "conv_shortcut"))
    } else if let Some(inner) = rest.strip_prefix("downsample.") {
        format!("downsamplers.0.{inner}")
    } else {
        format!("upsamplers.0.{}", rest.strip_prefix("upsample.")?)
    };
    Some(format!("{side}.{level}.{place}"))
}

fn mid_name(name: &str) -> Option<String> {
    let (part, rest) = name.split_once('.')?;
    let place = match part {
        "block_1" => format!("resnets.0.{rest}"),
        "block_2" => format!("resnets.1.{rest}"),
        "attn_1" => {
            let (layer, leaf) = rest.split_once('.')?;
            let layer = match layer {
                "norm" => "group_norm",
                "q" => "to_q",
                "k" => "to_k",
                "v" => "to_v",
                "proj_out" => "to_out.0",
                _ => return None,
            };
            format!("attentions.0.{layer}.{leaf}")
        }
        _ => return None,
    };
    Some(format!("mid_block.{place}"))
}

/// OpenCLIP's text tower; one fused matrix becomes three.
fn big_g_tensors(name: &str, view: &TensorView) -> Option<Vec<(String, TensorView)>> {
    let one = |name: String| Some(vec![(name, view.clone())]);
    match name {
        "logit_scale" | "attn_mask" => return Some(vec![]),
        "positional_embedding" => return one("text_model.embeddings.position_embedding.weight".into()),
        "token_embedding.weight" => return one("text_model.embeddings.token_embedding.weight".into()),
        "text_projection" => return Some(vec![("text_projection.weight".into(), view.transposed()?)]),
        "text_projection.weight" => return one(name.into()),
        _ => (),
    }
    if let Some(leaf) = name.strip_prefix("ln_final.") {
        return one(format!("text_model.final_layer_norm.{leaf}"));
    }
    let (layer, rest) = name.strip_prefix("transformer.resblocks.")?.split_once('.')?;
    let prefix = format!("text_model.encoder.layers.{layer}");
    if let Some(kind) = rest.strip_prefix("attn.in_proj_") {
        let parts = ["q_proj", "k_proj", "v_proj"].iter().enumerate();
        return parts
            .map(|(i, part)| Some((format!("{prefix}.self_attn.{part}.{kind}"), view.chunk(i, 3)?)))
            .collect();
    }
    let pairs = [
        ("ln_1.", "layer_norm1."),
        ("ln_2.", "layer_norm2."),
        ("attn.out_proj.", "self_attn.out_proj."),
        ("mlp.c_fc.", "mlp.fc1."),
        ("mlp.c_proj.", "mlp.fc2."),
    ];
    let found = pairs.iter().find_map(|(was, is)| Some(format!("{prefix}.{is}{}", rest.strip_prefix(was)?)));
    one(found?)
}
