//! The body a worker posts when a job starts, completes or fails.

mod asset;
mod code;
mod metadata;
mod wan;

use serde::Serialize;
use serde_json::Value;

pub use asset::{Asset, AssetMetadata};
pub use code::ErrorCode;
pub use metadata::{
    EnhancementStrategy, FailedMetadata, FinalPromptType, Metadata, ProcessingMetadata, SdxlMetadata,
};
pub use wan::WanMetadata;

use super::{Job, Media, Rejected};

/// One callback. As serialised it has the newest shape, with one object per asset; [`Callback::body`] writes
/// either shape.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Callback {
    /// The job's id.
    pub job_id: String,
    /// What has become of it.
    pub status: Status,
    /// One sentence for people, without secrets or prompts; `null` unless failed.
    pub error_message: Option<String>,
    /// The finished files, in order of their index; empty unless completed.
    pub assets: Vec<Asset>,
    /// What was done, or what went wrong.
    pub metadata: Metadata,
    /// The prompt as rewritten by Qwen, when it was.
    #[serde(rename = "enhancedPrompt", skip_serializing_if = "Option::is_none")]
    pub enhanced_prompt: Option<String>,
    /// Which worker sent it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub worker_id: Option<String>,
}

/// `status` of a callback.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Status {
    /// Generation has started.
    Processing,
    /// All files are stored.
    Completed,
    /// No further attempt is made.
    Failed,
}

/// The two shapes receivers know.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum CallbackFormat {
    /// `assets: [{"type", "url", "thumbnail_url", "metadata"}]`.
    #[default]
    Assets,
    /// `assets: ["url", ...]`, the older form.
    Urls,
}

impl Callback {
    /// Generation of `job` has started.
    pub fn processing(job: &Job) -> Self {
        let metadata = ProcessingMetadata { job_type: job.job_type, content_type: job.job_type.media() };
        Self::new(&job.id, Status::Processing, Metadata::Processing(metadata))
    }

    /// All files of `job` are stored.
    pub fn completed(job: &Job, assets: Vec<Asset>, metadata: impl Into<Metadata>) -> Self {
        Self { assets, ..Self::new(&job.id, Status::Completed, metadata.into()) }
    }

    /// `job` has failed for good. `message` is shown to the producer's user.
    pub fn failed(job: &Job, code: ErrorCode, message: impl Into<String>) -> Self {
        let job_type = Some(job.job_type.to_string());
        Self::ended(&job.id, FailedMetadata { job_type, ..FailedMetadata::new(code) }, message.into())
    }

    /// `job` has failed with an error of this crate (policy, non-finite numbers, cancellation).
    pub fn failed_with(job: &Job, error: &crate::Error) -> Self {
        let job_type = Some(job.job_type.to_string());
        Self::ended(&job.id, FailedMetadata { job_type, ..FailedMetadata::of(error) }, error.to_string())
    }

    /// An element that is not a job; `None` when it has no id to answer to.
    pub fn rejected(rejected: &Rejected) -> Option<Self> {
        let job_id = rejected.job_id.as_deref()?;
        let metadata =
            FailedMetadata { job_type: rejected.job_type.clone(), ..FailedMetadata::of(&rejected.error) };
        Some(Self::ended(job_id, metadata, rejected.error.to_string()))
    }

    /// The body in the shape the receiver knows. Sign and send exactly what is made of this value once.
    ///
    /// # Errors
    /// [`crate::Error::Json`] if a value has no JSON form; none of this module's types lacks one.
    pub fn body(&self, format: CallbackFormat) -> crate::Result<Value> {
        let mut body = serde_json::to_value(self)
            .map_err(|source| crate::Error::Json { what: "the callback".to_owned(), source })?;
        if let (CallbackFormat::Urls, Some(assets)) = (format, body.get_mut("assets")) {
            *assets = self.assets.iter().map(|asset| asset.url.as_str()).collect();
        }
        Ok(body)
    }

    fn ended(job_id: &str, metadata: FailedMetadata, message: String) -> Self {
        let error_message = Some(message);
        Self { error_message, ..Self::new(job_id, Status::Failed, Metadata::Failed(metadata)) }
    }

    fn new(job_id: &str, status: Status, metadata: Metadata) -> Self {
        let job_id = job_id.to_owned();
        let assets = Vec::new();
        Self { job_id, status, error_message: None, assets, metadata, enhanced_prompt: None, worker_id: None }
    }
}

impl Serialize for Media {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(match self {
            Media::Image => "image",
            Media::Video => "video",
        })
    }
}
