//! Checkpoints on disk: a diffusers folder, a single `.safetensors` file, or a folder of exported ONNX files.

mod detect;
mod diffusers;
mod exported;
mod names;
mod single_file;

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use ourvidz_core::scheduler::SchedulerConfig;
use ourvidz_runtime::{Error, TensorSet, TensorView};

use crate::Result;
use crate::config::{ClipTextConfig, UNetConfig, VaeConfig};
use crate::tokenizer::ClipTokenizer;

pub use names::{Named, original_to_diffusers};

/// Everything a pipeline needs to know of a checkpoint before it builds or loads a model.
#[derive(Debug)]
pub(crate) struct Checkpoint {
    pub(crate) parts: Parts,
    pub(crate) text_encoder: ClipTextConfig,
    pub(crate) text_encoder_2: ClipTextConfig,
    pub(crate) unet: UNetConfig,
    pub(crate) vae: VaeConfig,
    pub(crate) scheduler: SchedulerConfig,
    pub(crate) tokenizer: ClipTokenizer,
    pub(crate) tokenizer_2: ClipTokenizer,
    /// Without a negative prompt, the unconditional embeddings are zeros.
    pub(crate) force_zeros_for_empty_prompt: bool,
}

/// Where the models come from.
#[expect(clippy::large_enum_variant, reason = "there is one while a pipeline loads")]
#[derive(Debug)]
pub(crate) enum Parts {
    /// Tensors, by the names of diffusers and transformers.
    Tensors { text_encoder: TensorSet, text_encoder_2: TensorSet, unet: TensorSet, vae: TensorSet },
    /// `{component}/model.onnx`
    Exported(PathBuf),
}

/// Opens whichever layout lies at `path`. Reads headers and configurations, no weights.
pub(crate) fn open(path: &Path, variant: Option<&str>) -> Result<Checkpoint> {
    if path.is_file() {
        return single_file::open(path);
    }
    if path.join("unet/model.onnx").is_file() {
        return exported::open(path);
    }
    if path.join("unet/config.json").is_file() {
        return diffusers::open(path, variant);
    }
    let looked_for =
        ["unet/config.json", "unet/model.onnx"].map(|name| path.join(name).display().to_string());
    let what = "checkpoint (a diffusers folder, an exported folder, or one .safetensors file)".to_owned();
    Err(Error::NotFound { what, looked_for: looked_for.into() }.into())
}

/// Tensors with their names.
pub(crate) type Tensors = BTreeMap<String, TensorView>;
