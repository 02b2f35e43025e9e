//! Configurations of a single-file checkpoint, read off the shapes of its tensors.

use ourvidz_runtime::Error;
use serde_json::{Value, json};

use super::Tensors;
use super::names::{TEXT_1, TEXT_2, UNET, VAE};
use crate::Result;
use crate::config::{ClipTextConfig, OneOrMany, UNetConfig, VaeConfig};

/// Width of an attention head in every model of the family; shapes do not tell it.
const HEAD: usize = 64;

/// `scheduler_config.json` of stable-diffusion-xl-base-1.0, with what the marks `v_pred` and `ztsnr` change.
pub(super) fn scheduler(tensors: &Tensors) -> Result<Value> {
    let velocity = tensors.contains_key("v_pred");
    let zero_snr = tensors.contains_key("ztsnr");
    Ok(json!({
        "_class_name": "EulerDiscreteScheduler",
        "beta_end": 0.012,
        "beta_schedule": "scaled_linear",
        "beta_start": 0.00085,
        "interpolation_type": "linear",
        "num_train_timesteps": 1000,
        "prediction_type": if velocity { "v_prediction" } else { "epsilon" },
        "rescale_betas_zero_snr": zero_snr,
        "steps_offset": 1,
        "timestep_spacing": if zero_snr { "trailing" } else { "leading" },
        "use_karras_sigmas": false,
    }))
}

pub(super) fn unet(tensors: &Tensors) -> Result<UNetConfig> {
    let shape = |name: &str| tensors.get(&format!("{UNET}{name}")).map(|view| view.shape.as_slice());
    let missing = |name: &str| Error::MissingTensor {
        component: "unet".into(),
        tensor: format!("{UNET}{name}"),
        expected: "of a Stable Diffusion XL checkpoint".into(),
    };
    let Some([_, in_channels, ..]) = shape("input_blocks.0.0.weight") else {
        return Err(missing("input_blocks.0.0.weight").into());
    };
    let Some([_, added]) = shape("label_emb.0.0.weight") else {
        return Err(missing("label_emb.0.0.weight").into());
    };
    let mut config = UNetConfig::sdxl_base();
    config.in_channels = *in_channels;
    config.out_channels = shape("out.2.weight").and_then(|s| s.first()).copied().unwrap_or(*in_channels);
    config.projection_class_embeddings_input_dim = *added;
    let pooled = vit_big_g(tensors).projection_dim;
    config.addition_time_embed_dim = added.saturating_sub(pooled) / 6;

    let (mut channels, mut depths, mut attends) = (Vec::new(), Vec::new(), Vec::new());
    let (mut in_level, mut layers) = (0, 0);
    for i in 1.. {
        let resnet = shape(&format!("input_blocks.{i}.0.out_layers.3.weight"));
        let Some([c, ..]) = resnet else {
            if shape(&format!("input_blocks.{i}.0.op.weight")).is_none() {
                break;
            }
            in_level = 0;
            continue;
        };
        let blocks = (0..).take_while(|k| {
            shape(&format!("input_blocks.{i}.1.transformer_blocks.{k}.norm1.weight")).is_some()
        });
        let depth = blocks.count();
        if in_level == 0 {
            channels.push(*c);
            depths.push(depth.max(1));
            attends.push(depth > 0);
        }
        if depth > 0 {
            let first = format!("input_blocks.{i}.1");
            config.use_linear_projection =
                shape(&format!("{first}.proj_in.weight")).is_some_and(|s| s.len() == 2);
            if let Some([_, d]) = shape(&format!("{first}.transformer_blocks.0.attn2.to_k.weight")) {
                config.cross_attention_dim = *d;
            }
        }
        in_level += 1;
        layers = layers.max(in_level);
    }
    let named = |yes: &str, no: &str, list: &mut dyn Iterator<Item = &bool>| {
        list.map(|a| if *a { yes.to_owned() } else { no.to_owned() }).collect()
    };
    config.down_block_types = named("CrossAttnDownBlock2D", "DownBlock2D", &mut attends.iter());
    config.up_block_types = named("CrossAttnUpBlock2D", "UpBlock2D", &mut attends.iter().rev());
    config.layers_per_block = OneOrMany::One(layers);
    config.attention_head_dim = OneOrMany::Many(channels.iter().map(|c| (c / HEAD).max(1)).collect());
    config.transformer_layers_per_block = OneOrMany::Many(depths);
    config.block_out_channels = channels;
    Ok(config)
}

pub(super) fn vae(tensors: &Tensors) -> VaeConfig {
    let shape = |name: &str| tensors.get(&format!("{VAE}{name}")).map(|view| view.shape.as_slice());
    let has_block = |i: usize, j: usize| shape(&format!("encoder.down.{i}.block.{j}.conv2.weight"));
    let mut config = VaeConfig {
        block_out_channels: (0..).map_while(|i| has_block(i, 0)?.first().copied()).collect(),
        layers_per_block: (0..).take_while(|j| has_block(0, *j).is_some()).count(),
        ..VaeConfig::default()
    };
    if let Some([_, latents, ..]) = shape("decoder.conv_in.weight") {
        config.latent_channels = *latents;
    }
    config
}

pub(super) fn vit_l(tensors: &Tensors) -> ClipTextConfig {
    let root = format!("{TEXT_1}text_model.");
    let shape = |name: &str| tensors.get(&format!("{root}{name}")).map(|view| view.shape.as_slice());
    let layer = |i: usize| shape(&format!("encoder.layers.{i}.mlp.fc1.weight"));
    let tables = (shape("embeddings.token_embedding.weight"), shape("embeddings.position_embedding.weight"));
    clip(ClipTextConfig::vit_l(), tables, layer)
}

pub(super) fn vit_big_g(tensors: &Tensors) -> ClipTextConfig {
    let shape = |name: &str| tensors.get(&format!("{TEXT_2}{name}")).map(|view| view.shape.as_slice());
    let layer = |i: usize| shape(&format!("transformer.resblocks.{i}.mlp.c_fc.weight"));
    let tables = (shape("token_embedding.weight"), shape("positional_embedding"));
    let mut config = clip(ClipTextConfig::vit_big_g(), tables, layer);
    if let Some([_, out]) = shape("text_projection") {
        config.projection_dim = *out;
    }
    config
}

fn clip<'a>(
    base: ClipTextConfig,
    (tokens, positions): (Option<&[usize]>, Option<&[usize]>),
    layer: impl Fn(usize) -> Option<&'a [usize]>,
) -> ClipTextConfig {
    // What is missing keeps the published value, and reading the weights then names what is not there.
    let (Some([vocab_size, hidden_size]), Some([length, _]), Some([intermediate_size, _])) =
        (tokens, positions, layer(0))
    else {
        return base;
    };
    ClipTextConfig {
        vocab_size: *vocab_size,
        hidden_size: *hidden_size,
        intermediate_size: *intermediate_size,
        num_hidden_layers: (0..).take_while(|i| layer(*i).is_some()).count(),
        num_attention_heads: (hidden_size / HEAD).max(1),
        max_position_embeddings: *length,
        ..base
    }
}

#[cfg(test)]
mod tests;
