//! Jobs as producers queue them: every spelling of every field in, one typed [`Job`] out.
//!
//! ```
//! use ourvidz_core::job::{self, JobRequest};
//!
//! let job = job::parse(
//!     r#"{"id": "j1", "type": "sdxl_image_fast", "user_id": "u1", "prompt": "a red fox",
//!         "config": {"resolution": "1024x576", "sample_steps": 80}}"#,
//! )
//! .map_err(|rejected| rejected.error)?;
//! let JobRequest::Sdxl(request) = &job.request else { unreachable!() };
//! assert_eq!((request.width, request.height), (Some(1024), Some(576)));
//! assert_eq!(request.num_inference_steps, 50); // clamped, and said so:
//! assert_eq!(job.adjusted[0].field, "config.sample_steps");
//! # Ok::<(), ourvidz_core::Error>(())
//! ```
//!
//! Values outside a documented range are clamped and listed in [`Job::adjusted`]. Refused are: text that is
//! not a job, a missing or unsafe id, an unknown type, numbers that are not numbers, and sizes a model
//! cannot make. Unknown keys are ignored; `null` counts as absent.

pub mod callback;
mod envelope;
mod fields;
mod job_type;
mod parse;
mod reference;
mod sdxl;
mod size;
mod wan;

#[cfg(test)]
mod tests;

pub use envelope::MAX_ENVELOPE_DEPTH;
pub use fields::{Adjusted, MAX_PROMPT_CHARS};
pub use job_type::{Family, JobType, Media, Quality};
pub use parse::{MAX_ID_LEN, Rejected, parse};
pub use reference::{ReferenceMode, ReferenceType, SdxlReference, WanFrames, WanReference};
pub use sdxl::{DEFAULT_NEGATIVE_PROMPT, SdxlJob};
pub use wan::WanJob;

/// One accepted job.
#[derive(Debug, Clone, PartialEq)]
pub struct Job {
    /// The producer's id. Safe as one segment of a path: letters, digits, `-`, `_`, `.`, at most 128 long.
    pub id: String,
    /// Whose job it is. Safe as one segment of a path, like `id`.
    pub user_id: String,
    /// What is asked for, prefix `wan_video_` already turned into `video_`.
    pub job_type: JobType,
    /// The request of that type, with effective values.
    pub request: JobRequest,
    /// Values that were changed to fit a rule, in the order they were read.
    pub adjusted: Vec<Adjusted>,
}

impl Job {
    /// The prompt as the producer wrote it.
    pub fn prompt(&self) -> &str {
        match &self.request {
            JobRequest::Sdxl(request) => &request.prompt,
            JobRequest::Wan(request) => &request.prompt,
        }
    }

    /// The seed the job asks for; `None` when the worker is to draw one.
    pub fn seed(&self) -> Option<u64> {
        match &self.request {
            JobRequest::Sdxl(request) => request.seed,
            JobRequest::Wan(request) => request.seed,
        }
    }

    /// The reference mode the job asks for; [`ReferenceMode::None`] without a reference.
    pub fn requested_reference_mode(&self) -> ReferenceMode {
        match &self.request {
            JobRequest::Sdxl(request) => request.reference.as_ref().map(SdxlReference::mode),
            JobRequest::Wan(request) => request.reference.as_ref().map(WanReference::mode),
        }
        .unwrap_or(ReferenceMode::None)
    }
}

/// What a job asks a model for.
#[derive(Debug, Clone, PartialEq)]
#[non_exhaustive]
pub enum JobRequest {
    /// Pictures by Stable Diffusion XL.
    Sdxl(SdxlJob),
    /// A video or one picture by WAN 2.1.
    Wan(WanJob),
}
