use serde::Serialize;

use super::metadata::Metadata;
use crate::job::{Adjusted, Job, JobType, Media, ReferenceMode, WanJob};

/// What was done for a WAN job.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct WanMetadata {
    /// The job's type.
    pub job_type: JobType,
    /// `video` or `image`.
    pub content_type: Media,
    /// Seed of the noise.
    pub seed: u64,
    /// Seconds from the start of the job to the last stored file.
    pub generation_time: f64,
    /// The model that ran, as Wan-AI names its tasks, e.g. `t2v-1.3B`.
    pub wan_task: String,
    /// Frames made.
    pub frame_num: u32,
    /// Frames per second of the video; left out for a picture.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub fps: Option<u32>,
    /// Pixels.
    pub width: u32,
    /// Pixels.
    pub height: u32,
    /// Denoising steps run.
    pub steps: u32,
    /// Guidance scale used.
    pub guidance_scale: f64,
    /// Shift of the noise levels used.
    pub sample_shift: f64,
    /// Whether a negative prompt that is not empty took part.
    pub negative_prompt_used: bool,
    /// The scheduler that ran, e.g. `UniPCMultistepScheduler`.
    pub scheduler: String,
    /// The data type the transformer ran in, e.g. `bf16`.
    pub precision: String,
    /// The data type the VAE ran in, e.g. `fp16`.
    pub vae_precision: String,
    /// Where it ran, e.g. `cpu` or `cuda:0`.
    pub device: String,
    /// The prompt as queued.
    pub original_prompt: String,
    /// The prompt as encoded.
    pub final_prompt: String,
    /// Whether the prompt's end was left out: more than 512 tokens.
    pub prompt_truncated: bool,
    /// Who wrote `final_prompt`: `qwen_instruct` or `qwen_base`, a language model asked by its chat template or given a
    /// text to continue; `original`, the user, because rewriting was tried and gave nothing; `none`: it was not tried.
    pub enhancement_source: String,
    /// Seconds that rewriting took; left out where it was not tried.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub enhancement_seconds: Option<f64>,
    /// Why a prompt that was to be rewritten was not.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub enhancement_error: Option<String>,
    /// What the language model did not see of a prompt that was too long for it; left out where it saw all.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub enhancement_cut: Option<String>,
    /// The mode that was applied.
    pub reference_mode: ReferenceMode,
    /// Whether a reference took part.
    pub reference_applied: bool,
    /// How it did: `latent_init`, `latent_hold` or `vace`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub reference_method: Option<String>,
    /// Share of the noise schedule that was run; only with `latent_init`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub denoise_strength: Option<f64>,
    /// How references were fitted to the size: `center_crop` (resized to cover), or `pad_white` (VACE's single picture).
    #[serde(skip_serializing_if = "Option::is_none")]
    pub resize_policy: Option<String>,
    /// The mode that was asked for; left out when none was.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub requested_reference_mode: Option<ReferenceMode>,
    /// Why a reference that was asked for was not applied.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub reference_error: Option<String>,
    /// Values of the job that were changed to fit a rule; left out when none was.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub adjusted: Vec<Adjusted>,
}

impl WanMetadata {
    /// What follows from the request, with `fps` where it names none. Nothing is claimed that the caller has to
    /// confirm: no enhancement, no reference, no negative prompt, `generation_time` and `steps` 0, and `wan_task`,
    /// `scheduler`, precisions and `device` empty. The caller sets those.
    pub fn new(job: &Job, request: &WanJob, seed: u64, fps: u32) -> Self {
        let requested = job.requested_reference_mode();
        let media = job.job_type.media();
        Self {
            job_type: job.job_type,
            content_type: media,
            seed,
            generation_time: 0.0,
            wan_task: String::new(),
            frame_num: request.num_frames,
            fps: (media == Media::Video).then_some(request.fps.unwrap_or(fps)),
            width: request.width,
            height: request.height,
            steps: 0,
            guidance_scale: request.guidance_scale,
            sample_shift: request.sample_shift,
            negative_prompt_used: false,
            scheduler: String::new(),
            precision: String::new(),
            vae_precision: String::new(),
            device: String::new(),
            original_prompt: request.prompt.clone(),
            final_prompt: request.prompt.clone(),
            prompt_truncated: false,
            enhancement_source: "none".to_owned(),
            enhancement_seconds: None,
            enhancement_error: None,
            enhancement_cut: None,
            reference_mode: ReferenceMode::None,
            reference_applied: false,
            reference_method: None,
            denoise_strength: None,
            resize_policy: None,
            requested_reference_mode: (requested != ReferenceMode::None).then_some(requested),
            reference_error: None,
            adjusted: job.adjusted.clone(),
        }
    }
}

impl From<WanMetadata> for Metadata {
    fn from(metadata: WanMetadata) -> Self {
        Metadata::Wan(Box::new(metadata))
    }
}
