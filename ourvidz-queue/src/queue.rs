use std::time::Duration;

use async_trait::async_trait;
use serde::{Deserialize, Serialize};

use crate::{ClaimId, PendingCallback, Result, WorkerId};

/// The worker's side of one queue: at least once, leased, fenced.
///
/// A claimed job is leased. While its lease is renewed nobody else gets it; when the lease runs out, the next
/// claim of any worker takes it back and hands it out again. Every operation may be repeated with the same
/// arguments after an error or a lost reply: the repetition changes nothing and answers as the first did.
/// Implementations pass the functions of the `conformance` module.
#[async_trait]
pub trait JobQueue: Send + Sync + std::fmt::Debug {
    /// The queue's name on the wire, e.g. `sdxl_queue`.
    fn name(&self) -> &str;

    /// Adds an element at the producers' end, as `LPUSH` does.
    ///
    /// Not safe to repeat: two calls add two elements. [`JobQueue::push_once`] is.
    async fn push(&self, element: &str) -> Result<()>;

    /// Adds an element unless `job_id` was pushed this way within the last 24 hours. Says whether it was added.
    async fn push_once(&self, job_id: &str, element: &str) -> Result<bool>;

    /// Takes the next job, in one atomic step: jobs whose lease ran out come back, delayed jobs that are due
    /// become waiting, the oldest waiting element leaves the list, its attempt is counted and its lease
    /// written.
    async fn claim(&self, claim: &ClaimId, worker: &WorkerId) -> Result<Claimed>;

    /// Waits until a job may be waiting, at most `at_most`. May return early, never loses a wake-up for longer
    /// than the backend's polling interval.
    async fn wait(&self, at_most: Duration) -> Result<()>;

    /// Renews the lease, and learns whether the job was cancelled. `job_id` is the producer's id.
    async fn beat(&self, claim: &ClaimId, job_id: &str) -> Result<Beat>;

    /// Whether the job was cancelled: one cheap read.
    async fn cancelled(&self, job_id: &str) -> Result<bool>;

    /// Ends a claim, in one atomic step with the callback it causes.
    async fn settle(&self, claim: &ClaimId, settlement: &Settlement) -> Result<Settled>;

    /// How long a lease lasts without renewal.
    fn lease(&self) -> Duration;

    /// How often [`JobQueue::cancelled`] may be asked while a job runs; what a read costs decides.
    fn cancel_interval(&self) -> Duration;
}

/// Answer to [`JobQueue::claim`].
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Claimed {
    /// A job, leased to the claim.
    Job(Delivery),
    /// Nothing is waiting.
    Empty(Empty),
    /// The claim held a job before, and was settled or taken back; nothing was taken. Remembered for 10 minutes,
    /// and for as long as the job it held is delayed: one claim never holds two jobs. Happens when a delayed
    /// duplicate of an old request arrives; ask again under a fresh id.
    Spent,
}

/// A leased job.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Delivery {
    /// The claim that holds it.
    pub claim: ClaimId,
    /// The element exactly as the producer pushed it.
    pub element: String,
    /// Attempts counted so far, this one included: 1 to `max_attempts`. Counted under the producer's id, so jobs
    /// of one id share them until one of them ends.
    pub attempt: u32,
    /// Set when all attempts were used up by workers that died or stalled: the job must not be run, only
    /// settled as failed, with this reason.
    pub exhausted: Option<String>,
}

/// What a worker without a job can expect.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Empty {
    /// When a delayed job is due or a lease runs out, if there are any.
    pub next_job_in: Option<Duration>,
    /// When the next callback is due for delivery, if there is any.
    pub callback_in: Option<Duration>,
    /// The queue is paused: jobs may be waiting.
    pub paused: bool,
}

/// Answer to [`JobQueue::beat`].
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Beat {
    /// The lease is renewed.
    Held,
    /// The lease is renewed, and the producer withdrew the job.
    Cancelled,
    /// The claim holds nothing: the lease ran out and was taken back, or the claim was settled.
    Lost,
}

/// How a claim ends.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Settlement {
    /// The job is done.
    Done {
        /// Goes to the outbox in the same step.
        callback: Option<PendingCallback>,
    },
    /// The job has failed for good.
    Failed {
        /// Goes to the outbox in the same step.
        callback: Option<PendingCallback>,
        /// Keeps the element on the dead-letter list; `None` for a job its producer cancelled.
        dead_letter: Option<DeadReason>,
    },
    /// The attempt has failed; the job becomes waiting again after a while.
    Retry {
        /// From now, on the backend's clock.
        after: Duration,
        /// Why, for the dead-letter list should it come to that.
        reason: String,
    },
    /// The attempt was broken off by the worker; it does not count, and the job is the next to be taken.
    GiveBack,
    /// The job belongs in another queue of the same backend; it joins that queue's producers' end with its
    /// attempts at 0.
    Transfer {
        /// The other queue's name, e.g. `wan_queue`.
        queue: String,
    },
}

/// Why an element is on the dead-letter list.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct DeadReason {
    /// The error code of the callback, e.g. `INVALID_JOB`.
    pub code: String,
    /// For people.
    pub message: String,
}

/// Answer to [`JobQueue::settle`].
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Settled {
    /// The claim held the job; now it is settled.
    Applied,
    /// This claim was settled before, by an earlier try whose reply was lost. Nothing was changed. Known for 10
    /// minutes; after that the answer is [`Settled::Lost`].
    Already,
    /// The lease had run out and the job was taken back. Nothing was changed: somebody else settles it.
    Lost,
}
