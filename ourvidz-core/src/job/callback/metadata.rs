use serde::Serialize;

use super::{ErrorCode, WanMetadata};
use crate::Error;
use crate::job::{Adjusted, Job, JobType, Media, ReferenceMode, SdxlJob};

/// `metadata` of a callback, by what the callback says.
#[derive(Debug, Clone, PartialEq, Serialize)]
#[serde(untagged)]
#[non_exhaustive]
pub enum Metadata {
    /// Of `processing`.
    Processing(ProcessingMetadata),
    /// Of `completed`, SDXL.
    Sdxl(Box<SdxlMetadata>),
    /// Of `completed`, WAN.
    Wan(Box<WanMetadata>),
    /// Of `failed`.
    Failed(FailedMetadata),
}

/// What is known when generation starts.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct ProcessingMetadata {
    /// The job's type.
    pub job_type: JobType,
    /// What will be made.
    pub content_type: Media,
}

/// What was done for an SDXL job.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct SdxlMetadata {
    /// The job's type.
    pub job_type: JobType,
    /// `image`.
    pub content_type: Media,
    /// Seed of the first picture; each asset has its own.
    pub seed: u64,
    /// Seconds from the start of the job to the last stored file.
    pub generation_time: f64,
    /// Pictures stored.
    pub num_images: u32,
    /// Pictures per run of the model.
    pub batch_size: u32,
    /// Pixels.
    pub width: u32,
    /// Pixels.
    pub height: u32,
    /// Denoising steps run.
    pub steps: u32,
    /// Guidance scale used.
    pub guidance_scale: f64,
    /// Whether a negative prompt that is not empty took part.
    pub negative_prompt_used: bool,
    /// The scheduler that ran, e.g. `EulerDiscreteScheduler`.
    pub scheduler: String,
    /// The data type the model ran in, e.g. `fp16`.
    pub precision: String,
    /// Where it ran, e.g. `cpu` or `cuda:0`.
    pub device: String,
    /// The prompt as queued.
    pub original_prompt: String,
    /// The prompt as encoded.
    pub final_prompt: String,
    /// How the final prompt reached the model.
    pub final_prompt_type: FinalPromptType,
    /// As the job asked.
    pub compel_enabled: bool,
    /// As the job asked, or `null`.
    pub compel_weights: Option<String>,
    /// Whether the weights took effect.
    pub compel_success: bool,
    /// What became of the weights.
    pub enhancement_strategy: EnhancementStrategy,
    /// The mode that was applied.
    pub reference_mode: ReferenceMode,
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

/// Why a job failed.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct FailedMetadata {
    /// For programs.
    pub error_code: ErrorCode,
    /// The code as a type's name, where older receivers look.
    pub error_type: String,
    /// Whether the same job can succeed when it is queued again.
    pub retryable: bool,
    /// The field that breaks a rule, as the job spelled it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub field: Option<String>,
    /// The job's type, as far as it could be read.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub job_type: Option<String>,
    /// When it failed, RFC 3339, if the sender has a clock.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub timestamp: Option<String>,
    /// Attempts made, the last one included, if the sender counts them.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub attempts: Option<u32>,
}

/// `final_prompt_type`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum FinalPromptType {
    /// Plain text at weight 1.
    String,
    /// Embeddings with weights applied.
    ConditioningTensor,
}

/// `enhancement_strategy`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum EnhancementStrategy {
    /// No weights were asked for.
    None,
    /// Weights were applied.
    Compel,
    /// Weights were asked for and the plain prompt was used.
    Fallback,
}

impl SdxlMetadata {
    /// What follows from the request, with `seed` as the first picture's. Nothing is claimed that the caller
    /// has to confirm: weights and references count as not applied, `generation_time` is 0, and `scheduler`,
    /// `precision`, `device` are empty; a side that the job does not name is 0. The caller sets those.
    pub fn new(job: &Job, request: &SdxlJob, seed: u64) -> Self {
        let requested = job.requested_reference_mode();
        let weights_asked = request.compel_enabled && request.compel_weights.is_some();
        Self {
            job_type: job.job_type,
            content_type: Media::Image,
            seed,
            generation_time: 0.0,
            num_images: request.num_images,
            batch_size: request.num_images,
            width: request.width.unwrap_or_default(),
            height: request.height.unwrap_or_default(),
            steps: request.num_inference_steps,
            guidance_scale: request.guidance_scale,
            negative_prompt_used: request.negative_prompt_used(),
            scheduler: String::new(),
            precision: String::new(),
            device: String::new(),
            original_prompt: request.prompt.clone(),
            final_prompt: request.prompt.clone(),
            final_prompt_type: FinalPromptType::String,
            compel_enabled: request.compel_enabled,
            compel_weights: request.compel_weights.clone(),
            compel_success: false,
            enhancement_strategy: if weights_asked {
                EnhancementStrategy::Fallback
            } else {
                EnhancementStrategy::None
            },
            reference_mode: ReferenceMode::None,
            requested_reference_mode: (requested != ReferenceMode::None).then_some(requested),
            reference_error: None,
            adjusted: job.adjusted.clone(),
        }
    }
}

impl FailedMetadata {
    /// The code, its type and whether it is worth another try.
    pub fn new(code: ErrorCode) -> Self {
        Self {
            error_code: code,
            error_type: code.type_name().to_owned(),
            retryable: code.retryable(),
            field: None,
            job_type: None,
            timestamp: None,
            attempts: None,
        }
    }

    /// As [`FailedMetadata::new`], with the field the error names.
    pub fn of(error: &Error) -> Self {
        let field = match error {
            Error::Invalid { field, .. }
            | Error::Missing { field, .. }
            | Error::UnsupportedJobType { field, .. } => Some(field.clone()),
            _ => None,
        };
        Self { field, ..Self::new(error.into()) }
    }
}

impl From<SdxlMetadata> for Metadata {
    fn from(metadata: SdxlMetadata) -> Self {
        Metadata::Sdxl(Box::new(metadata))
    }
}
