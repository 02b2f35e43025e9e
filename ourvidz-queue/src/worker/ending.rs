use std::time::Duration;

use ourvidz_core::job::callback::{Callback, CallbackFormat, ErrorCode, Metadata, Status};
use ourvidz_core::job::{Job, Rejected};
use time::OffsetDateTime;
use time::format_description::well_known::Rfc3339;

use super::call::chain;
use super::hands::Answer;
use super::{Failure, JobFailure, Outcome, Stop};
use crate::{DeadReason, PendingCallback, RetryPolicy, Settlement, WorkerId};

/// How a claim is to end.
#[derive(Debug)]
pub(super) struct Ending {
    /// `None`: the claim holds nothing any more.
    pub(super) settlement: Option<Settlement>,
    pub(super) outcome: Outcome,
}

/// Decides how claims end, and writes their callbacks.
#[derive(Debug)]
pub(super) struct Endings {
    pub(super) worker: WorkerId,
    pub(super) format: Option<CallbackFormat>,
    pub(super) retry: RetryPolicy,
}

impl Ending {
    pub(super) fn lost() -> Self {
        Self { settlement: None, outcome: Outcome::LeaseLost }
    }

    pub(super) fn given_back() -> Self {
        Self { settlement: Some(Settlement::GiveBack), outcome: Outcome::GivenBack }
    }

    pub(super) fn transferred(queue: &str) -> Self {
        let queue = queue.to_owned();
        Self {
            settlement: Some(Settlement::Transfer { queue: queue.clone() }),
            outcome: Outcome::Transferred { queue },
        }
    }
}

impl Endings {
    /// After the handler's call. A stop counts more than what the handler says of it, but a job that was made is
    /// made, and an error that would come again is an error.
    pub(super) fn answered(
        &self,
        job: &Job,
        attempt: u32,
        answer: Answer,
        stop: Option<Stop>,
        deadline: Duration,
    ) -> Ending {
        if let Answer::Returned(Err(failure)) = &answer {
            log_failure(failure);
        }
        let internal = |message: &str| Failure::new(ErrorCode::Internal, message);
        match (answer, stop) {
            (_, Some(Stop::LeaseLost)) => Ending::lost(),
            (Answer::Returned(Ok(callback)), _) => match misfit(job, &callback) {
                None => self.completed(callback),
                Some(misfit) => {
                    tracing::error!("the handler answered with {misfit}");
                    self.attempt_failed(job, attempt, internal(DEFECT), None)
                }
            },
            (_, Some(Stop::Cancelled)) => self.cancelled(job, attempt),
            (Answer::Returned(Err(JobFailure::Permanent(failure))), _) => {
                self.failed(job, attempt, failure, false)
            }
            (Answer::Panicked, _) => self.attempt_failed(job, attempt, internal(DEFECT), None),
            (_, Some(Stop::Draining)) => Ending::given_back(),
            (_, Some(Stop::Deadline)) => {
                let message = format!("the job took longer than {} s", deadline.as_secs_f64());
                self.attempt_failed(job, attempt, Failure::new(ErrorCode::Timeout, message), None)
            }
            (Answer::Returned(Err(JobFailure::Retry { failure, after })), None) => {
                self.attempt_failed(job, attempt, failure, after)
            }
            (Answer::Returned(Err(JobFailure::Stopped(_))), None) => {
                self.attempt_failed(job, attempt, internal("the job stopped without a reason"), None)
            }
        }
    }

    /// An element that is not a job.
    pub(super) fn rejected(&self, rejected: &Rejected, attempt: u32) -> Ending {
        tracing::warn!(error = chain(rejected), "not a job");
        let code = ErrorCode::from(&rejected.error);
        let callback = Callback::rejected(rejected).map(|callback| dated(callback, attempt));
        self.dead(code, rejected.error.to_string(), callback)
    }

    /// A job whose attempts were used up by workers that died or stalled.
    pub(super) fn exhausted(&self, job: &Job, attempt: u32, reason: &str) -> Ending {
        let message = match reason {
            "" => format!("the job was not finished in {attempt} attempts"),
            reason => format!("the job was not finished in {attempt} attempts: {reason}"),
        };
        self.failed(job, attempt, Failure::new(ErrorCode::Internal, message), true)
    }

    /// A job its producer withdrew.
    pub(super) fn cancelled(&self, job: &Job, attempt: u32) -> Ending {
        let callback = Callback::failed(job, ErrorCode::Cancelled, "the job was cancelled");
        let callback = self.pending(dated(callback, attempt));
        let settlement = Some(Settlement::Failed { callback, dead_letter: None });
        Ending { settlement, outcome: Outcome::Cancelled }
    }

    /// A job of a type nobody on this queue makes.
    pub(super) fn unsupported(&self, job: &Job, attempt: u32) -> Ending {
        let message = format!("this worker makes no {} jobs", job.job_type);
        let failure = Failure {
            field: Some("type".to_owned()),
            ..Failure::new(ErrorCode::UnsupportedJobType, message)
        };
        self.failed(job, attempt, failure, false)
    }

    /// What the outbox takes; `None` when nobody receives callbacks.
    pub(super) fn pending(&self, callback: Callback) -> Option<PendingCallback> {
        let format = self.format?;
        let callback = Callback { worker_id: Some(self.worker.as_str().to_owned()), ..callback };
        let status = match callback.status {
            Status::Processing => "processing",
            Status::Completed => "completed",
            Status::Failed => "failed",
        };
        match callback.body(format) {
            Ok(body) => Some(PendingCallback {
                id: PendingCallback::id_of(&callback.job_id, status),
                job_id: callback.job_id,
                body: body.to_string(),
            }),
            Err(error) => {
                tracing::error!(error = chain(&error), status, "the callback cannot be written");
                None
            }
        }
    }

    fn completed(&self, callback: Callback) -> Ending {
        let settlement = Some(Settlement::Done { callback: self.pending(callback) });
        Ending { settlement, outcome: Outcome::Completed }
    }

    fn attempt_failed(&self, job: &Job, attempt: u32, failure: Failure, after: Option<Duration>) -> Ending {
        match self.retry.delay_after(attempt, rand::random()) {
            None => self.failed(job, attempt, failure, true),
            Some(delay) => {
                let after = delay.max(after.unwrap_or_default());
                let after_ms = u64::try_from(after.as_millis()).unwrap_or(u64::MAX);
                let outcome = Outcome::Retrying { code: failure.code, after_ms };
                Ending { settlement: Some(Settlement::Retry { after, reason: failure.to_string() }), outcome }
            }
        }
    }

    fn failed(&self, job: &Job, attempt: u32, failure: Failure, retryable: bool) -> Ending {
        let Failure { code, message, field, source: _ } = failure;
        let mut callback = dated(Callback::failed(job, code, message.clone()), attempt);
        if let Metadata::Failed(metadata) = &mut callback.metadata {
            metadata.retryable = retryable;
            metadata.field = field;
        }
        self.dead(code, message, Some(callback))
    }

    fn dead(&self, code: ErrorCode, message: String, callback: Option<Callback>) -> Ending {
        let callback = callback.and_then(|callback| self.pending(callback));
        let dead_letter = Some(DeadReason { code: code.as_str().to_owned(), message });
        Ending {
            settlement: Some(Settlement::Failed { callback, dead_letter }),
            outcome: Outcome::Failed { code },
        }
    }
}

/// For the producer: what went wrong inside is in the log.
const DEFECT: &str = "the worker met a defect";

/// What is wrong with the handler's callback.
fn misfit(job: &Job, callback: &Callback) -> Option<&'static str> {
    match callback.status {
        Status::Completed if callback.job_id == job.id => None,
        Status::Completed => Some("another job's callback"),
        _ => Some("a callback that does not say completed"),
    }
}

fn dated(mut callback: Callback, attempt: u32) -> Callback {
    if let Metadata::Failed(metadata) = &mut callback.metadata {
        metadata.timestamp = OffsetDateTime::now_utc().format(&Rfc3339).ok();
        metadata.attempts = Some(attempt);
    }
    callback
}

fn log_failure(failure: &JobFailure) {
    match failure {
        JobFailure::Stopped(stop) => tracing::info!("the handler stopped: {stop}"),
        JobFailure::Retry { failure, .. } | JobFailure::Permanent(failure) => {
            let source = failure.source.as_deref().map(|source| chain(source)).unwrap_or_default();
            tracing::warn!(code = %failure.code, source, "the attempt failed: {}", failure.message);
        }
    }
}
