use std::fmt;
use std::time::Duration;

use ourvidz_core::job::Job;
use ourvidz_core::job::callback::{Callback, ErrorCode, FailedMetadata};

use super::JobControl;

/// Makes what jobs ask for. Lives on one thread of its own, with everything it holds: neither it nor its
/// pipelines need be `Send`.
pub trait JobHandler {
    /// Makes one job, stores its files, and answers with its `completed` callback
    /// ([`Callback::completed`]; the worker sets `worker_id`).
    ///
    /// Has to call [`JobControl::step`] or [`JobControl::stage`] more often than the worker's stall timeout,
    /// and to return soon after either says stop. A job may be handled twice: what is stored has to land in the
    /// same place.
    ///
    /// # Errors
    /// [`JobFailure`]. A panic counts as a retryable `INTERNAL` failure; the handler is dropped and made anew.
    fn handle(&mut self, job: &Job, control: &JobControl) -> Result<Callback, JobFailure>;
}

/// Why an attempt did not make its job.
#[derive(Debug)]
#[non_exhaustive]
pub enum JobFailure {
    /// Another attempt can succeed.
    Retry {
        /// What happened.
        failure: Failure,
        /// The earliest time for another attempt, e.g. a server's `Retry-After`; used where it is longer than
        /// the retry policy's wait.
        after: Option<Duration>,
    },
    /// Every attempt would fail like this.
    Permanent(Failure),
    /// The handler stopped because it was told to. The reason in the [`JobControl`] counts.
    Stopped(Stop),
}

/// What happened, for the producer and for the log.
#[derive(Debug)]
pub struct Failure {
    /// For programs.
    pub code: ErrorCode,
    /// For the producer's user: one sentence, without prompts, paths of the machine or secrets.
    pub message: String,
    /// The field of the job that is to blame, as the job spelled it.
    pub field: Option<String>,
    /// For the log only.
    pub source: Option<Box<dyn std::error::Error + Send + Sync>>,
}

/// Why a running job has to stop.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, thiserror::Error)]
#[non_exhaustive]
pub enum Stop {
    /// The producer withdrew it.
    #[error("the job was cancelled")]
    Cancelled,
    /// It belongs to another worker by now: the result would be thrown away.
    #[error("the lease was lost")]
    LeaseLost,
    /// It ran past its deadline.
    #[error("the job ran past its deadline")]
    Deadline,
    /// The worker ends; the job is given back.
    #[error("the worker ends")]
    Draining,
}

impl JobFailure {
    /// Another attempt can succeed. `message` as in [`Failure::message`].
    pub fn retry(code: ErrorCode, message: impl Into<String>) -> Self {
        JobFailure::Retry { failure: Failure::new(code, message), after: None }
    }

    /// Every attempt would fail like this. `message` as in [`Failure::message`].
    pub fn permanent(code: ErrorCode, message: impl Into<String>) -> Self {
        JobFailure::Permanent(Failure::new(code, message))
    }

    /// Retryable or permanent as [`ErrorCode::retryable`] says.
    pub fn by_code(code: ErrorCode, message: impl Into<String>) -> Self {
        if code.retryable() { Self::retry(code, message) } else { Self::permanent(code, message) }
    }

    /// With the error behind it, for the log.
    #[must_use]
    pub fn with_source(mut self, source: impl Into<Box<dyn std::error::Error + Send + Sync>>) -> Self {
        match &mut self {
            JobFailure::Retry { failure, .. } | JobFailure::Permanent(failure) => {
                failure.source = Some(source.into());
            }
            JobFailure::Stopped(_) => {}
        }
        self
    }
}

impl Failure {
    /// Without a field and a source.
    pub fn new(code: ErrorCode, message: impl Into<String>) -> Self {
        Self { code, message: message.into(), field: None, source: None }
    }
}

impl From<Stop> for JobFailure {
    fn from(stop: Stop) -> Self {
        JobFailure::Stopped(stop)
    }
}

impl From<ourvidz_core::Error> for JobFailure {
    /// Permanent, as that crate's errors are; a run that its progress function broke off is a stop.
    fn from(error: ourvidz_core::Error) -> Self {
        if matches!(error, ourvidz_core::Error::Cancelled { .. }) {
            return JobFailure::Stopped(Stop::Cancelled);
        }
        let FailedMetadata { error_code, field, .. } = FailedMetadata::of(&error);
        let message = error.to_string();
        JobFailure::Permanent(Failure {
            field,
            source: Some(error.into()),
            ..Failure::new(error_code, message)
        })
    }
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.code, self.message)
    }
}
