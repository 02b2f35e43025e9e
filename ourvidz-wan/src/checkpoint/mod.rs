//! Checkpoints on disk: a diffusers folder, Wan-AI's own folder, or repackaged `.safetensors` files.

mod detect;
mod diffusers;
mod files;
mod names;
mod original;
mod repackaged;
#[cfg(test)]
mod tests;

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use ourvidz_runtime::{Error as Runtime, TensorSet, TensorView};
use serde_json::Value;

use crate::text_encoder::Umt5Config;
use crate::tokenizer::Umt5Tokenizer;
use crate::vae::AutoencoderKLWanConfig;
use crate::{Result, WanTransformerConfig};

pub use names::{transformer_to_diffusers, umt5_to_transformers, vae_to_diffusers};

/// Tensors with their names.
pub type Tensors = BTreeMap<String, TensorView>;

/// Where a checkpoint lies: its folder, or the transformer's file.
#[derive(Debug, Clone, Default)]
pub struct CheckpointSource {
    /// A diffusers folder (with `model_index.json`), Wan-AI's own (with `config.json` and `Wan2.1_VAE.pth`), or the
    /// transformer alone in one `.safetensors` file.
    pub path: PathBuf,
    /// File of umT5, `.safetensors` or `.pth`, instead of the one of the folder or beside the transformer's file.
    pub text_encoder: Option<PathBuf>,
    /// File of the VAE, `.safetensors` or `.pth`, likewise.
    pub vae: Option<PathBuf>,
    /// Folder with `tokenizer.json` or `spiece.model`, likewise.
    pub tokenizer: Option<PathBuf>,
    /// Files of a diffusers folder, e.g. `bf16` for `diffusion_pytorch_model.bf16.safetensors`. Without one the plain
    /// files are taken, and `fp16` where there are no others.
    pub variant: Option<String>,
}

/// A checkpoint whose configurations and headers are read, and no weight. Names are those of diffusers and
/// transformers, whatever the layout.
#[derive(Debug)]
pub struct Checkpoint {
    /// `WanTransformer3DModel` or `WanVACETransformer3DModel`.
    pub transformer: TensorSet,
    /// Configuration of the transformer.
    pub transformer_config: WanTransformerConfig,
    /// `UMT5EncoderModel`.
    pub text_encoder: TensorSet,
    /// Configuration of the text encoder.
    pub text_encoder_config: Umt5Config,
    /// `AutoencoderKLWan`.
    pub vae: TensorSet,
    /// Configuration of the VAE.
    pub vae_config: AutoencoderKLWanConfig,
    /// Tokenizer of the text encoder.
    pub tokenizer: Umt5Tokenizer,
    /// `scheduler/scheduler_config.json`; only a diffusers folder has one.
    pub scheduler: Option<Value>,
}

/// The parts of a checkpoint before they are put together.
struct Parts {
    transformer: (Tensors, WanTransformerConfig),
    text_encoder: (Tensors, Umt5Config),
    vae: (Tensors, AutoencoderKLWanConfig),
    tokenizer: Umt5Tokenizer,
    scheduler: Option<Value>,
}

impl Checkpoint {
    /// Opens whichever layout lies at `source.path`. Reads headers and configurations, no weights.
    ///
    /// # Errors
    /// [`Runtime::NotFound`] with the paths that were tried, for a component that is not there; a file that is
    /// damaged, or of a type that cannot be used (fp8), by its name.
    pub fn open(source: &CheckpointSource) -> Result<Checkpoint> {
        let path = &source.path;
        let parts = if path.is_file() {
            repackaged::open(source)?
        } else if path.join("transformer/config.json").is_file() || path.join("model_index.json").is_file() {
            diffusers::open(source)?
        } else if path.join("config.json").is_file() {
            original::open(source)?
        } else {
            let names = ["model_index.json", "transformer/config.json", "config.json"];
            let looked_for = names.map(|name| path.join(name).display().to_string()).into();
            let what =
                "checkpoint of Wan 2.1 (a diffusers folder, a folder of Wan-AI, or the transformer in one \
                        .safetensors file)"
                    .into();
            return Err(Runtime::NotFound { what, looked_for }.into());
        };
        let Parts { transformer, text_encoder, vae, tokenizer, scheduler } = parts;
        let (tokens, rows) = (tokenizer.vocab_size(), text_encoder.1.vocab_size);
        if tokens > rows {
            return Err(Runtime::Config {
                file: "tokenizer".into(),
                field: "vocab".into(),
                rule: format!("must have at most {rows} tokens, the rows of the text encoder's embedding"),
                value: tokens.to_string(),
            }
            .into());
        }
        Ok(Checkpoint {
            transformer: TensorSet::new("transformer", transformer.0),
            transformer_config: transformer.1,
            text_encoder: TensorSet::new("text_encoder", text_encoder.0),
            text_encoder_config: text_encoder.1,
            vae: TensorSet::new("vae", vae.0),
            vae_config: vae.1,
            tokenizer,
            scheduler,
        })
    }
}

/// The tokenizer's folder: the one asked for, else the one of the layout.
fn tokenizer(source: &CheckpointSource, default: &Path) -> Result<Umt5Tokenizer> {
    Umt5Tokenizer::from_folder(source.tokenizer.as_deref().unwrap_or(default))
}
