//! What every [`Backend`] does, as functions that panic when one does not.
//!
//! [`all`] runs them one after the other, each on fresh queues of a [`Harness`]. [`random_walk`] does thousands
//! of random things to one queue and compares the queue with a model after each. Where time has to pass, leases
//! and delays are 100 to 200 ms, and every statement holds as well when more time passed than was asked for.

pub mod admin;
pub mod claims;
pub mod leases;
pub mod outbox;
pub mod settlements;
pub mod waits;
mod walk;

use std::sync::{Arc, LazyLock};
use std::time::{Duration, Instant};

use async_trait::async_trait;

use crate::{
    Backend, ClaimId, Claimed, DeadReason, Delivery, Empty, PendingCallback, QueueOptions, Result, Settled,
    Settlement, WorkerId,
};

pub use walk::{Step, follow, random_walk};

/// Makes queues of one kind of backend, and lets their time pass.
#[async_trait]
pub trait Harness: Send + Sync {
    /// Two fresh, empty queues of one backend, with different names and the same options.
    async fn pair(&self, options: QueueOptions) -> Result<[Arc<dyn Backend>; 2]>;

    /// A fresh, empty queue.
    async fn queue(&self, options: QueueOptions) -> Result<Arc<dyn Backend>> {
        let [queue, _] = self.pair(options).await?;
        Ok(queue)
    }

    /// Lets at least this much time pass on the clock of the backends: moves a manual clock, or sleeps.
    async fn advance(&self, by: Duration);

    /// Milliseconds since any moment, on a clock that runs as the backends' does.
    fn now_ms(&self) -> u64 {
        static START: LazyLock<Instant> = LazyLock::new(Instant::now);
        u64::try_from(START.elapsed().as_millis()).unwrap_or(u64::MAX)
    }

    /// Time stands still unless [`Harness::advance`] is called, and [`Harness::now_ms`] shows the very clock of
    /// the backends. Hours pass in a test only then.
    fn manual_clock(&self) -> bool {
        false
    }
}

/// Runs every function of this module's parts, without the random walk.
///
/// # Errors
/// The backend's own, where it should have succeeded.
///
/// # Panics
/// When a backend does something else than the traits say.
pub async fn all(harness: &dyn Harness) -> Result<()> {
    claims::all(harness).await?;
    leases::all(harness).await?;
    settlements::all(harness).await?;
    admin::all(harness).await?;
    outbox::all(harness).await?;
    waits::all(harness).await
}

/// The lease where leases run out.
const SHORT: Duration = Duration::from_millis(150);
/// Longer than [`SHORT`].
const PAST: Duration = Duration::from_millis(200);
/// Never passes in a test.
const LONG: Duration = Duration::from_secs(3600);

/// Leases that do not run out.
fn patient() -> QueueOptions {
    QueueOptions { lease: LONG, reaped_delay: LONG, ..QueueOptions::default() }
}

/// Leases that run out after [`SHORT`]; a job taken back later than its first attempt is delayed.
fn hasty(reaped_delay: Duration) -> QueueOptions {
    QueueOptions { lease: SHORT, reaped_delay, ..QueueOptions::default() }
}

fn element(id: &str) -> String {
    serde_json::json!({"id": id, "type": "video_fast", "user_id": "u1", "prompt": "a fox"}).to_string()
}

fn callback(job_id: &str, status: &str) -> PendingCallback {
    PendingCallback {
        id: PendingCallback::id_of(job_id, status),
        job_id: job_id.to_owned(),
        body: serde_json::json!({"job_id": job_id, "status": status}).to_string(),
    }
}

fn reason(code: &str) -> DeadReason {
    DeadReason { code: code.to_owned(), message: "what happened".to_owned() }
}

fn done(callback: Option<PendingCallback>) -> Settlement {
    Settlement::Done { callback }
}

fn retry(after: Duration) -> Settlement {
    Settlement::Retry { after, reason: "the device was lost".to_owned() }
}

/// Claims under a fresh id; a job is expected.
async fn take(queue: &dyn Backend, worker: &WorkerId) -> Result<Delivery> {
    let claim = ClaimId::new();
    let claimed = queue.claim(&claim, worker).await?;
    assert!(matches!(claimed, Claimed::Job(_)), "a job was waiting, the claim answered {claimed:?}");
    let Claimed::Job(delivery) = claimed else { unreachable!() };
    assert_eq!(delivery.claim, claim, "the delivery names another claim");
    Ok(delivery)
}

/// Claims under a fresh id; nothing is expected.
async fn take_nothing(queue: &dyn Backend) -> Result<Empty> {
    let claimed = queue.claim(&ClaimId::new(), &WorkerId::new("idle")).await?;
    assert!(matches!(claimed, Claimed::Empty(_)), "nothing was to be had, the claim answered {claimed:?}");
    let Claimed::Empty(empty) = claimed else { unreachable!() };
    Ok(empty)
}

async fn settle(queue: &dyn Backend, delivery: &Delivery, settlement: &Settlement) -> Result<()> {
    let settled = queue.settle(&delivery.claim, settlement).await?;
    assert_eq!(settled, Settled::Applied, "the claim held the job: {settlement:?}");
    Ok(())
}

/// Claims, expects the element, and settles it as done.
async fn finish(queue: &dyn Backend, worker: &WorkerId, expected: &str) -> Result<()> {
    let delivery = take(queue, worker).await?;
    assert_eq!(delivery.element, expected, "another element was next");
    settle(queue, &delivery, &done(None)).await
}

/// How many jobs wait, are in flight, delayed, dead; how many ended as done and as failed.
async fn where_jobs_are(queue: &dyn Backend) -> Result<[u64; 6]> {
    let counts = queue.counts().await?;
    Ok([counts.waiting, counts.in_flight, counts.delayed, counts.dead, counts.done, counts.failed])
}
