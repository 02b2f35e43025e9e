use std::time::Duration;

use async_trait::async_trait;

use crate::{ClaimId, DeadReason, JobQueue, Outbox, Result, WorkerId};

/// What people and supervisors do to one queue.
#[async_trait]
pub trait QueueAdmin: Send + Sync + std::fmt::Debug {
    /// How many jobs are where.
    async fn counts(&self) -> Result<Counts>;

    /// Up to `limit` waiting elements, the next to be taken first.
    async fn waiting(&self, limit: usize) -> Result<Vec<String>>;

    /// Every leased job.
    async fn in_flight(&self) -> Result<Vec<InFlight>>;

    /// Up to `limit` jobs that wait for their next attempt, the soonest first.
    async fn delayed(&self, limit: usize) -> Result<Vec<Delayed>>;

    /// Up to `limit` dead letters, the newest first.
    async fn dead(&self, limit: usize) -> Result<Vec<DeadLetter>>;

    /// Makes the dead letters of `job_id` (a producer's id, or the key shown where none could be read) waiting
    /// again, attempts at 0. Says how many there were.
    async fn retry_dead(&self, job_id: &str) -> Result<usize>;

    /// Removes the job from the waiting, delayed and dead ones. Says how many elements were removed. A job in
    /// flight is not touched: [`QueueAdmin::cancel`] stops it.
    async fn remove(&self, job_id: &str) -> Result<usize>;

    /// Marks a job as withdrawn, for 24 hours: a worker that runs it stops within a step, a worker that takes
    /// it does not begin.
    async fn cancel(&self, job_id: &str) -> Result<()>;

    /// No further job is handed out until [`QueueAdmin::resume`]. Running jobs go on.
    async fn pause(&self) -> Result<()>;

    /// Undoes [`QueueAdmin::pause`].
    async fn resume(&self) -> Result<()>;

    /// Takes back at once what a worker held: for who knows that the worker is dead. The attempt counts. Says
    /// how many jobs came back.
    async fn release_worker(&self, worker: &WorkerId) -> Result<usize>;

    /// What a start-up check should warn of, e.g. an eviction policy that can drop jobs.
    async fn warnings(&self) -> Result<Vec<String>>;
}

/// Everything one backend does for one queue.
pub trait Backend: JobQueue + QueueAdmin + Outbox {}

impl<T: JobQueue + QueueAdmin + Outbox> Backend for T {}

/// How many jobs are where, and how many ended. Dead letters are among the failed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, serde::Serialize)]
pub struct Counts {
    /// Ready to be taken: the length of the queue's list.
    pub waiting: u64,
    /// Leased.
    pub in_flight: u64,
    /// Between two attempts.
    pub delayed: u64,
    /// On the dead-letter list now.
    pub dead: u64,
    /// Ended as done, ever.
    pub done: u64,
    /// Ended as failed, ever.
    pub failed: u64,
    /// Callbacks waiting for delivery.
    pub callbacks: u64,
    /// Callbacks given up.
    pub dead_callbacks: u64,
    /// Whether the queue is paused.
    pub paused: bool,
}

/// A leased job.
#[derive(Debug, Clone, PartialEq, Eq, serde::Serialize)]
pub struct InFlight {
    /// The claim that holds it.
    pub claim: ClaimId,
    /// The worker that made the claim.
    pub worker: WorkerId,
    /// The producer's id, or `sha1:` and a hash of the element where none can be read.
    pub job_id: String,
    /// Attempts counted, this one included.
    pub attempt: u32,
    /// When it was claimed, milliseconds since 1970 on the backend's clock.
    pub claimed_ms: u64,
    /// Until the lease runs out; zero when it has.
    #[serde(serialize_with = "as_milliseconds")]
    pub lease_left: Duration,
}

/// A job between two attempts.
#[derive(Debug, Clone, PartialEq, Eq, serde::Serialize)]
pub struct Delayed {
    /// The element.
    pub element: String,
    /// Until it becomes waiting; zero when it is due.
    #[serde(serialize_with = "as_milliseconds")]
    pub due_in: Duration,
}

/// An element that is not tried again.
#[derive(Debug, Clone, PartialEq, Eq, serde::Serialize)]
pub struct DeadLetter {
    /// The producer's id, or `sha1:` and a hash of the element where none can be read.
    pub job_id: String,
    /// The element.
    pub element: String,
    /// Why.
    pub reason: DeadReason,
    /// Attempts made.
    pub attempts: u32,
    /// When, milliseconds since 1970 on the backend's clock.
    pub at_ms: u64,
}

fn as_milliseconds<S: serde::Serializer>(duration: &Duration, serializer: S) -> Result<S::Ok, S::Error> {
    serializer.serialize_u64(u64::try_from(duration.as_millis()).unwrap_or(u64::MAX))
}
