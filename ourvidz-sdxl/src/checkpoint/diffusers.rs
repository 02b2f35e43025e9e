use std::path::Path;

use ourvidz_core::scheduler::SchedulerConfig;
use ourvidz_runtime::{TensorSet, open_weights};
use serde::Deserialize;

use super::{Checkpoint, Parts, Tensors};
use crate::Result;
use crate::config::read_json;
use crate::tokenizer::ClipTokenizer;

#[derive(Deserialize)]
struct ModelIndex {
    #[serde(default = "yes")]
    force_zeros_for_empty_prompt: bool,
}

fn yes() -> bool {
    true
}

pub(super) fn open(folder: &Path, variant: Option<&str>) -> Result<Checkpoint> {
    let tensors = |component: &str, stem: &str| open_weights(&folder.join(component), stem, variant);
    const DIFFUSERS: &str = "diffusion_pytorch_model";
    let parts = Parts::Tensors {
        text_encoder: TensorSet::new("text_encoder", tensors("text_encoder", "model")?),
        text_encoder_2: TensorSet::new("text_encoder_2", tensors("text_encoder_2", "model")?),
        unet: TensorSet::new("unet", tensors("unet", DIFFUSERS)?),
        vae: TensorSet::new("vae", today(tensors("vae", DIFFUSERS)?)),
    };
    read(folder, "vae", parts)
}

/// Configurations, tokenizers and the scheduler: the same files in an exported folder, but for the VAE's.
pub(super) fn read(folder: &Path, vae: &str, parts: Parts) -> Result<Checkpoint> {
    let config = |component: &str| folder.join(component).join("config.json");
    let scheduler = folder.join("scheduler/scheduler_config.json");
    let scheduler: serde_json::Value = read_json(&scheduler)?;
    let index: ModelIndex = read_json(&folder.join("model_index.json"))?;
    Ok(Checkpoint {
        parts,
        text_encoder: read_json(&config("text_encoder"))?,
        text_encoder_2: read_json(&config("text_encoder_2"))?,
        unet: read_json(&config("unet"))?,
        vae: read_json(&config(vae))?,
        scheduler: SchedulerConfig::from_json(&scheduler.to_string())?,
        tokenizer: ClipTokenizer::from_folder(&folder.join("tokenizer"))?,
        tokenizer_2: ClipTokenizer::from_folder(&folder.join("tokenizer_2"))?,
        force_zeros_for_empty_prompt: index.force_zeros_for_empty_prompt,
    })
}

/// Files saved before diffusers 0.15 name the VAE's attention otherwise.
fn today(tensors: Tensors) -> Tensors {
    let old =
        [(".query.", ".to_q."), (".key.", ".to_k."), (".value.", ".to_v."), (".proj_attn.", ".to_out.0.")];
    let rename = |name: String| match old.iter().find(|(was, _)| name.contains(was)) {
        Some((was, is)) if name.contains(".attentions.") => name.replace(was, is),
        _ => name,
    };
    tensors.into_iter().map(|(name, view)| (rename(name), view)).collect()
}
