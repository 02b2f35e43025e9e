use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use async_trait::async_trait;
use ourvidz_core::job;
use ourvidz_queue::{
    Beat, CallbackEntry, ClaimId, Claimed, Counts, DeadLetter, Delayed, Delivery, DueCallbacks, InFlight,
    JobQueue, Outbox, PendingCallback, QueueAdmin, RedisQueue, Result, Settled, Settlement, WorkerId,
};

use crate::log::{Log, Record, What, now_ms};

/// A queue that writes down what it is asked and what it answers.
#[derive(Debug)]
pub(crate) struct Recorded {
    queue: RedisQueue,
    log: Arc<Log>,
    /// The last claim asked for, and when for the first time: its lease cannot have begun earlier.
    asked: Mutex<Option<(ClaimId, u64)>>,
}

impl Recorded {
    pub(crate) fn new(queue: RedisQueue, log: Arc<Log>) -> Self {
        Self { queue, log, asked: Mutex::default() }
    }

    fn first_asked(&self, claim: &ClaimId) -> u64 {
        let mut asked = self.asked.lock().unwrap_or_else(PoisonError::into_inner);
        match asked.as_ref() {
            Some((last, at)) if last == claim => *at,
            _ => asked.insert((claim.clone(), now_ms())).1,
        }
    }

    fn write(&self, what: What, begun_ms: u64, claim: &ClaimId, job: &str, detail: &str) {
        let (claim, job, detail) = (claim.as_str().to_owned(), job.to_owned(), detail.to_owned());
        self.log.write(&Record { what, begun_ms, at_ms: now_ms(), claim, job, detail });
    }
}

#[async_trait]
impl JobQueue for Recorded {
    fn name(&self) -> &str {
        self.queue.name()
    }

    async fn push(&self, element: &str) -> Result<()> {
        self.queue.push(element).await
    }

    async fn push_once(&self, job_id: &str, element: &str) -> Result<bool> {
        self.queue.push_once(job_id, element).await
    }

    async fn claim(&self, claim: &ClaimId, worker: &WorkerId) -> Result<Claimed> {
        let begun = self.first_asked(claim);
        let claimed = self.queue.claim(claim, worker).await?;
        if let Claimed::Job(Delivery { element, attempt, .. }) = &claimed {
            let job = job::parse(element).map_or_else(|rejected| rejected.job_id, |job| Some(job.id));
            self.write(What::Claimed, begun, claim, job.as_deref().unwrap_or("-"), &attempt.to_string());
        }
        Ok(claimed)
    }

    async fn wait(&self, at_most: Duration) -> Result<()> {
        self.queue.wait(at_most).await
    }

    async fn beat(&self, claim: &ClaimId, job_id: &str) -> Result<Beat> {
        let begun = now_ms();
        let beat = self.queue.beat(claim, job_id).await?;
        let what = if beat == Beat::Lost { What::Lost } else { What::Held };
        self.write(what, begun, claim, job_id, "beat");
        Ok(beat)
    }

    async fn cancelled(&self, job_id: &str) -> Result<bool> {
        self.queue.cancelled(job_id).await
    }

    async fn settle(&self, claim: &ClaimId, settlement: &Settlement) -> Result<Settled> {
        let begun = now_ms();
        let kind = match settlement {
            Settlement::Done { .. } => "done",
            Settlement::Failed { .. } => "failed",
            Settlement::Retry { .. } => "retry",
            Settlement::GiveBack => "give_back",
            Settlement::Transfer { .. } => "transfer",
        };
        self.write(What::Settling, begun, claim, "-", kind);
        let settled = self.queue.settle(claim, settlement).await;
        let what = match settled {
            Ok(Settled::Applied) => What::Applied,
            Ok(Settled::Already) => What::Already,
            Ok(Settled::Lost) => What::Lost,
            Err(_) => What::Unsettled,
        };
        self.write(what, begun, claim, "-", kind);
        settled
    }

    fn lease(&self) -> Duration {
        self.queue.lease()
    }

    fn cancel_interval(&self) -> Duration {
        self.queue.cancel_interval()
    }
}

#[async_trait]
impl Outbox for Recorded {
    async fn announce(&self, claim: &ClaimId, callback: &PendingCallback) -> Result<bool> {
        let begun = now_ms();
        let held = self.queue.announce(claim, callback).await?;
        if !held {
            self.write(What::Lost, begun, claim, &callback.job_id, "announce");
        }
        Ok(held)
    }

    async fn take_due(&self, limit: usize, hide: Duration) -> Result<DueCallbacks> {
        self.queue.take_due(limit, hide).await
    }

    async fn delivered(&self, id: &str) -> Result<()> {
        self.queue.delivered(id).await
    }

    async fn postpone(&self, id: &str, after: Duration, error: &str) -> Result<()> {
        self.queue.postpone(id, after, error).await
    }

    async fn bury(&self, id: &str, error: &str) -> Result<()> {
        self.queue.bury(id, error).await
    }

    async fn disable(&self, reason: &str) -> Result<()> {
        self.queue.disable(reason).await
    }

    async fn enable(&self) -> Result<()> {
        self.queue.enable().await
    }

    async fn disabled(&self) -> Result<Option<String>> {
        self.queue.disabled().await
    }

    async fn waiting_callbacks(&self, limit: usize) -> Result<Vec<CallbackEntry>> {
        self.queue.waiting_callbacks(limit).await
    }

    async fn dead_callbacks(&self, limit: usize) -> Result<Vec<CallbackEntry>> {
        self.queue.dead_callbacks(limit).await
    }

    async fn retry_callback(&self, id: &str) -> Result<bool> {
        self.queue.retry_callback(id).await
    }
}

#[async_trait]
impl QueueAdmin for Recorded {
    async fn counts(&self) -> Result<Counts> {
        self.queue.counts().await
    }

    async fn waiting(&self, limit: usize) -> Result<Vec<String>> {
        self.queue.waiting(limit).await
    }

    async fn in_flight(&self) -> Result<Vec<InFlight>> {
        self.queue.in_flight().await
    }

    async fn delayed(&self, limit: usize) -> Result<Vec<Delayed>> {
        self.queue.delayed(limit).await
    }

    async fn dead(&self, limit: usize) -> Result<Vec<DeadLetter>> {
        self.queue.dead(limit).await
    }

    async fn retry_dead(&self, job_id: &str) -> Result<usize> {
        self.queue.retry_dead(job_id).await
    }

    async fn remove(&self, job_id: &str) -> Result<usize> {
        self.queue.remove(job_id).await
    }

    async fn cancel(&self, job_id: &str) -> Result<()> {
        self.queue.cancel(job_id).await
    }

    async fn pause(&self) -> Result<()> {
        self.queue.pause().await
    }

    async fn resume(&self) -> Result<()> {
        self.queue.resume().await
    }

    async fn release_worker(&self, worker: &WorkerId) -> Result<usize> {
        self.queue.release_worker(worker).await
    }

    async fn warnings(&self) -> Result<Vec<String>> {
        self.queue.warnings().await
    }
}
