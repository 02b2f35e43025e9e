use std::path::Path;

use ourvidz_core::scheduler::SchedulerConfig;
use ourvidz_runtime::{TensorSet, open_safetensors};

use super::{Checkpoint, Parts, detect, names};
use crate::Result;
use crate::tokenizer::ClipTokenizer;

/// One `.safetensors` file with the original names. It carries neither configurations nor a tokenizer: the former
/// are read off the shapes, the latter is CLIP's, unless folders `tokenizer` and `tokenizer_2` lie beside the file.
pub(super) fn open(path: &Path) -> Result<Checkpoint> {
    let tensors = open_safetensors(path)?;
    let scheduler = detect::scheduler(&tensors)?;
    let unet = detect::unet(&tensors)?;
    let vae = detect::vae(&tensors);
    let (first, second) = (detect::vit_l(&tensors), detect::vit_big_g(&tensors));
    let named = names::original_to_diffusers(tensors, &unet, &vae)?;
    let beside = |name: &str| path.parent().map(|folder| folder.join(name)).filter(|folder| folder.is_dir());
    let tokenizer = |name: &str, pad: &str| match beside(name) {
        Some(folder) => ClipTokenizer::from_folder(&folder),
        None => ClipTokenizer::bundled(pad),
    };
    Ok(Checkpoint {
        parts: Parts::Tensors {
            text_encoder: TensorSet::new("text_encoder", named.text_encoder),
            text_encoder_2: TensorSet::new("text_encoder_2", named.text_encoder_2),
            unet: TensorSet::new("unet", named.unet),
            vae: TensorSet::new("vae", named.vae),
        },
        text_encoder: first,
        text_encoder_2: second,
        unet,
        vae,
        scheduler: SchedulerConfig::from_json(&scheduler.to_string())?,
        tokenizer: tokenizer("tokenizer", "<|endoftext|>")?,
        tokenizer_2: tokenizer("tokenizer_2", "!")?,
        force_zeros_for_empty_prompt: true,
    })
}
