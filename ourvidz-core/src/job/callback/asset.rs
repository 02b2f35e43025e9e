use serde::Serialize;

use crate::job::Media;

/// One stored file.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Asset {
    /// Picture or video.
    #[serde(rename = "type")]
    pub media: Media,
    /// Where it lies: the storage path as the receiver expects it, e.g. `{user}/{job}/0.png`.
    pub url: String,
    /// The thumbnail's path; absent when none was stored.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub thumbnail_url: Option<String>,
    /// How it was made: effective values, not requested ones.
    pub metadata: AssetMetadata,
}

/// How one file was made. Fields that do not apply stay `None` and are left out.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct AssetMetadata {
    /// Pixels.
    pub width: u32,
    /// Pixels.
    pub height: u32,
    /// File format, `png` or `mp4`.
    pub format: String,
    /// Pictures made in the same run.
    pub batch_size: u32,
    /// Denoising steps run.
    pub steps: u32,
    /// Guidance scale used.
    pub guidance_scale: f64,
    /// Seed of this file: the job's first seed plus its index.
    pub seed: u64,
    /// Size of the stored file.
    pub file_size_bytes: u64,
    /// Place in the batch, from 0.
    pub asset_index: u32,
    /// Whether a negative prompt that is not empty took part.
    pub negative_prompt_used: bool,
    /// Lower-case hexadecimal SHA-256 of the stored file.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub sha256: Option<String>,
    /// Denoise strength used; only with a reference that was applied.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub denoise_strength: Option<f64>,
    /// `img2img`; only with a reference that was applied.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub pipeline: Option<String>,
    /// How the reference was fitted to the size; only with a reference that was applied.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub resize_policy: Option<String>,
    /// Frames in the video.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub frames: Option<u32>,
    /// Frames per second of the video.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub fps: Option<u32>,
    /// Frames divided by frames per second.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub duration_seconds: Option<f64>,
}
