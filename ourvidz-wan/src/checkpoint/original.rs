use std::path::Path;

use ourvidz_runtime::{Error as Runtime, open_weights};
use serde::Deserialize;

use super::files::{self, quantised};
use super::{CheckpointSource, Parts, detect, names, tokenizer};
use crate::{Result, WanTransformerConfig};

/// `config.json` of `WanModel` and `VaceWanModel`.
#[derive(Deserialize)]
struct WanModel {
    #[serde(rename = "_class_name")]
    class_name: String,
    num_heads: usize,
    #[serde(default = "eps")]
    eps: f64,
    vace_layers: Option<Vec<usize>>,
}

fn eps() -> f64 {
    1e-6
}

/// The folder that Wan-AI publishes.
pub(super) fn open(source: &CheckpointSource) -> Result<Parts> {
    let folder = &source.path;
    let file = |given: &Option<_>, name: &str| given.clone().unwrap_or_else(|| folder.join(name));
    let weights = open_weights(folder, "diffusion_pytorch_model", source.variant.as_deref());
    let tensors = names::transformer_to_diffusers(weights.map_err(|e| quantised(e, "transformer"))?)?;
    let config = configured(detect::transformer(&tensors)?, &folder.join("config.json"))?;
    let path = file(&source.text_encoder, "models_t5_umt5-xxl-enc-bf16.pth");
    let text_encoder = names::umt5_to_transformers(files::open(&path, "text_encoder")?)?;
    let umt5 = detect::umt5(&text_encoder)?;
    let path = file(&source.vae, "Wan2.1_VAE.pth");
    Ok(Parts {
        transformer: (tensors, config),
        text_encoder: (text_encoder, umt5),
        vae: names::vae_with_config(files::open(&path, "vae")?)?,
        tokenizer: tokenizer(source, &folder.join("google/umt5-xxl"))?,
        scheduler: None,
    })
}

/// What shapes do not tell: the number of heads, epsilon, and after which blocks a hint is added.
fn configured(mut config: WanTransformerConfig, file: &Path) -> Result<WanTransformerConfig> {
    let value = files::json(file)?;
    let refuse = |field: &str, rule: String, value: String| {
        let file = file.display().to_string();
        Err(Runtime::Config { file, field: field.into(), rule, value }.into())
    };
    let found: WanModel =
        serde_json::from_value(value).map_err(|source| Runtime::Json { path: file.into(), source })?;
    if !["WanModel", "VaceWanModel"].contains(&found.class_name.as_str()) {
        return refuse("_class_name", "must be WanModel or VaceWanModel".into(), found.class_name);
    }
    let width = config.inner_dim();
    if found.num_heads == 0 || !width.is_multiple_of(found.num_heads) {
        return refuse("num_heads", format!("must divide the width {width}"), found.num_heads.to_string());
    }
    config.num_attention_heads = found.num_heads;
    config.attention_head_dim = width / found.num_heads;
    config.eps = found.eps;
    if let (Some(layers), Some(detected)) = (found.vace_layers, &config.vace_layers) {
        if layers.len() != detected.len() {
            let rule = format!("must name {} blocks, as many as there are", detected.len());
            return refuse("vace_layers", rule, format!("{layers:?}"));
        }
        config.vace_layers = Some(layers);
    }
    config.check()?;
    Ok(config)
}
