//! Why a job is not made, in the words of the queue.

use ourvidz_core::job::callback::ErrorCode;
use ourvidz_queue::worker::JobFailure;

use crate::failure::Failure;

/// A job of a family this worker does not make; the field to blame is its type.
pub(crate) fn not_made(text: String) -> JobFailure {
    let mut failure = ourvidz_queue::worker::Failure::new(ErrorCode::UnsupportedJobType, text);
    failure.field = Some("type".to_owned());
    JobFailure::Permanent(failure)
}

/// The model cannot be loaded.
pub(crate) fn of_loading(failure: Failure) -> JobFailure {
    match failure {
        Failure::Arguments(error) | Failure::Failed(error) => {
            JobFailure::permanent(ErrorCode::Model, format!("{error:#}")).with_source(error)
        }
        Failure::Reported => JobFailure::permanent(ErrorCode::Model, "loading failed"),
    }
}

/// The model failed while it ran: a full device is worth another try.
pub(crate) fn of_model(error: impl Into<anyhow::Error>) -> JobFailure {
    let text = format!("{:#}", error.into());
    let lower = text.to_lowercase();
    let memory = ["out of memory", "failed to allocate memory"].iter().any(|words| lower.contains(words));
    if memory {
        return JobFailure::retry(ErrorCode::OutOfMemory, "the device has too little free memory")
            .with_source(text);
    }
    JobFailure::permanent(ErrorCode::Model, "the model failed").with_source(text)
}
