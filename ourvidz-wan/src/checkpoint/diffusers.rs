use ourvidz_runtime::open_weights;

use super::files::{self, quantised};
use super::{CheckpointSource, Parts, Tensors, names, tokenizer};
use crate::text_encoder::Umt5Config;
use crate::vae::AutoencoderKLWanConfig;
use crate::{Result, WanTransformerConfig, checkpoint::detect};

/// A folder with one subfolder for each component.
pub(super) fn open(source: &CheckpointSource) -> Result<Parts> {
    let folder = |component: &str| source.path.join(component);
    let config = |component: &str| files::text(&folder(component).join("config.json"));
    let weights = |component: &str, stem: &str| -> Result<Tensors> {
        let opened = open_weights(&folder(component), stem, source.variant.as_deref());
        Ok(opened.map_err(|error| quantised(error, component))?)
    };
    const DIFFUSERS: &str = "diffusion_pytorch_model";
    let text_encoder = match &source.text_encoder {
        Some(path) => {
            let tensors = names::umt5_to_transformers(files::open(path, "text_encoder")?)?;
            let config = detect::umt5(&tensors)?;
            (tensors, config)
        }
        None => (weights("text_encoder", "model")?, Umt5Config::from_json(&config("text_encoder")?)?),
    };
    let vae = match &source.vae {
        Some(path) => names::vae_with_config(files::open(path, "vae")?)?,
        None => (weights("vae", DIFFUSERS)?, AutoencoderKLWanConfig::from_json(&config("vae")?)?),
    };
    let transformer = names::transformer_to_diffusers(weights("transformer", DIFFUSERS)?)?;
    Ok(Parts {
        transformer: (transformer, WanTransformerConfig::from_json(&config("transformer")?)?),
        text_encoder,
        vae,
        tokenizer: tokenizer(source, &folder("tokenizer"))?,
        scheduler: Some(files::json(&folder("scheduler").join("scheduler_config.json"))?),
    })
}
