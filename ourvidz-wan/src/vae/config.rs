use std::path::PathBuf;

use ourvidz_runtime::Error as RuntimeError;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

use crate::Result;

const FILE: &str = "vae/config.json";

/// `AutoencoderKLWan`: `vae/config.json`.
///
/// A field that the file does not name has diffusers' default, which is the VAE of Wan 2.1.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(default)]
pub struct AutoencoderKLWanConfig {
    /// Width that the encoder's levels are multiples of.
    pub base_dim: usize,
    /// The same for the decoder, where it differs.
    pub decoder_base_dim: Option<usize>,
    /// Channels of the latents.
    pub z_dim: usize,
    /// Width of each level over `base_dim`, from the picture inwards; each level but the last halves height and width.
    pub dim_mult: Vec<usize>,
    /// Residual blocks in each level of the encoder; the decoder has one more.
    pub num_res_blocks: usize,
    /// Which levels of the encoder but the last halve the number of frames.
    pub temperal_downsample: Vec<bool>,
    /// Mean of each latent channel.
    pub latents_mean: Vec<f32>,
    /// Standard deviation of each latent channel.
    pub latents_std: Vec<f32>,
    /// Colours.
    pub in_channels: usize,
    /// Colours.
    pub out_channels: usize,
    /// Everything else in the file.
    #[serde(flatten)]
    pub other: Map<String, Value>,
}

impl Default for AutoencoderKLWanConfig {
    fn default() -> Self {
        Self {
            base_dim: 96,
            decoder_base_dim: None,
            z_dim: 16,
            dim_mult: vec![1, 2, 4, 4],
            num_res_blocks: 2,
            temperal_downsample: vec![false, true, true],
            latents_mean: vec![
                -0.7571, -0.7089, -0.9113, 0.1075, -0.1745, 0.9653, -0.1517, 1.5508, 0.4134, -0.0715, 0.5517,
                -0.3632, -0.1922, -0.9497, 0.2503, -0.2921,
            ],
            latents_std: vec![
                2.8184, 1.4541, 2.3275, 2.6558, 1.2196, 1.7708, 2.6052, 2.0743, 3.2687, 2.1526, 2.8652,
                1.5579, 1.6382, 1.1253, 2.8251, 1.916,
            ],
            in_channels: 3,
            out_channels: 3,
            other: Map::new(),
        }
    }
}

impl AutoencoderKLWanConfig {
    /// Reads and checks the text of a `config.json`.
    ///
    /// # Errors
    /// It is not JSON, is of another class, or asks for what the graphs here do not build; the field is named.
    pub fn from_json(text: &str) -> Result<Self> {
        let config: Self = serde_json::from_str(text)
            .map_err(|source| RuntimeError::Json { path: PathBuf::from(FILE), source })?;
        config.check()?;
        Ok(config)
    }

    /// Pixels per latent row and column.
    pub fn spatial_compression(&self) -> usize {
        1 << self.dim_mult.len().saturating_sub(1)
    }

    /// Frames per latent frame; the first latent frame holds one frame only.
    pub fn temporal_compression(&self) -> usize {
        1 << self.temperal_downsample.iter().filter(|halves| **halves).count()
    }

    /// Refuses what the graphs here do not build.
    pub(crate) fn check(&self) -> Result<()> {
        let class = self.other.get("_class_name").and_then(Value::as_str).unwrap_or("AutoencoderKLWan");
        refuse("_class_name", "must be AutoencoderKLWan", class, class == "AutoencoderKLWan")?;
        let is_off = |value: &Value| match value {
            Value::Null => true,
            Value::Bool(on) => !on,
            Value::Array(items) => items.is_empty(),
            Value::Number(n) => n.as_f64() == Some(0.0),
            Value::String(_) | Value::Object(_) => false,
        };
        let absent = [
            ("is_residual", "must be false: the VAE of Wan 2.2 is not supported"),
            ("patch_size", "must be null: the VAE of Wan 2.2 is not supported"),
            ("attn_scales", "must be empty"),
        ];
        for (field, rule) in absent {
            if let Some(value) = self.other.get(field) {
                refuse(field, rule, value, is_off(value))?;
            }
        }
        let sizes = [
            ("base_dim", self.base_dim),
            ("decoder_base_dim", self.decoder_base_dim.unwrap_or(1)),
            ("z_dim", self.z_dim),
            ("num_res_blocks", self.num_res_blocks),
            ("in_channels", self.in_channels),
            ("out_channels", self.out_channels),
        ];
        for (field, size) in sizes {
            refuse(field, "must be at least 1", size, size > 0)?;
        }
        let levels = self.dim_mult.len();
        let named = format!("{:?}", self.dim_mult);
        refuse("dim_mult", "must hold at least two numbers from 1 up", named, {
            levels > 1 && !self.dim_mult.contains(&0)
        })?;
        let halvings = self.temperal_downsample.len();
        let rule = format!("must hold {} values, one less than dim_mult", levels - 1);
        refuse("temperal_downsample", &rule, halvings, halvings == levels - 1)?;
        for (field, list) in [("latents_mean", &self.latents_mean), ("latents_std", &self.latents_std)] {
            let rule = format!("must hold {} numbers, as many as z_dim", self.z_dim);
            refuse(field, &rule, list.len(), list.len() == self.z_dim)?;
        }
        let least = self.latents_std.iter().copied().fold(f32::INFINITY, f32::min);
        refuse("latents_std", "must hold positive numbers", least, least > 0.0)
    }

    /// Widths of the encoder: of its first convolution, then of each level.
    pub(crate) fn encoder_dims(&self) -> Vec<usize> {
        std::iter::once(1).chain(self.dim_mult.iter().copied()).map(|m| m * self.base_dim).collect()
    }

    /// Widths of the decoder: of its first convolution, then of each level.
    pub(crate) fn decoder_dims(&self) -> Vec<usize> {
        let base = self.decoder_base_dim.unwrap_or(self.base_dim);
        let innermost = self.dim_mult.last().copied().unwrap_or(1);
        std::iter::once(innermost).chain(self.dim_mult.iter().rev().copied()).map(|m| m * base).collect()
    }
}

fn refuse(field: &str, rule: &str, value: impl ToString, fits: bool) -> Result<()> {
    if fits {
        return Ok(());
    }
    let (file, field, rule, value) = (FILE.into(), field.into(), rule.into(), value.to_string());
    Err(RuntimeError::Config { file, field, rule, value }.into())
}
