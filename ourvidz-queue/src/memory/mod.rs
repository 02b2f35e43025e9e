//! The queue that lives in the process: for tests and for services whose jobs may die with them.

mod outbox;
mod state;
#[cfg(test)]
mod tests;

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use async_trait::async_trait;
use tokio::sync::Notify;

use self::state::{State, millis};
use crate::{
    Beat, CallbackEntry, ClaimId, Claimed, Clock, Counts, DeadLetter, Delayed, DueCallbacks, InFlight,
    JobQueue, Outbox, PendingCallback, PopSide, QueueAdmin, QueueOptions, Result, Settled, Settlement,
    WorkerId,
};

/// A queue in memory. Clones are the same queue; nothing survives the process.
#[derive(Debug, Clone)]
pub struct MemoryQueue {
    name: String,
    options: QueueOptions,
    clock: Clock,
    all: Arc<Mutex<HashMap<String, State>>>,
    pushed: Arc<Notify>,
}

impl MemoryQueue {
    /// An empty queue.
    ///
    /// # Errors
    /// [`Error::InvalidOption`](crate::Error::InvalidOption).
    pub fn new(name: impl Into<String>, options: QueueOptions) -> Result<Self> {
        Self::with_clock(name, options, Clock::System)
    }

    /// An empty queue that reads the given clock.
    ///
    /// # Errors
    /// As [`MemoryQueue::new`].
    pub fn with_clock(name: impl Into<String>, options: QueueOptions, clock: Clock) -> Result<Self> {
        options.validate()?;
        Ok(Self { name: name.into(), options, clock, all: Arc::default(), pushed: Arc::default() })
    }

    /// Another queue of the same backend: jobs can be transferred between the two.
    pub fn sibling(&self, name: impl Into<String>) -> Self {
        Self { name: name.into(), ..self.clone() }
    }

    fn all(&self) -> MutexGuard<'_, HashMap<String, State>> {
        // Every operation leaves the state whole, so a panic elsewhere does not spoil it.
        self.all.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn with<T>(&self, act: impl FnOnce(&mut State, u64) -> T) -> T {
        let now = self.clock.now_ms();
        act(self.all().entry(self.name.clone()).or_default(), now)
    }
}

#[async_trait]
impl JobQueue for MemoryQueue {
    fn name(&self) -> &str {
        &self.name
    }

    async fn push(&self, element: &str) -> Result<()> {
        self.with(|state, _| state.push(&self.options, element.to_owned()));
        self.pushed.notify_waiters();
        Ok(())
    }

    async fn push_once(&self, job_id: &str, element: &str) -> Result<bool> {
        let added = self.with(|state, now| state.push_once(&self.options, job_id, element, now));
        self.pushed.notify_waiters();
        Ok(added)
    }

    async fn claim(&self, claim: &ClaimId, worker: &WorkerId) -> Result<Claimed> {
        Ok(self.with(|state, now| state.claim(&self.options, claim, worker, now)))
    }

    async fn wait(&self, at_most: Duration) -> Result<()> {
        let pushed = self.pushed.notified();
        if self.with(|state, _| state.paused || state.waiting.is_empty()) {
            let _elapsed = tokio::time::timeout(at_most, pushed).await;
        }
        Ok(())
    }

    async fn beat(&self, claim: &ClaimId, job_id: &str) -> Result<Beat> {
        Ok(self.with(|state, now| state.beat(&self.options, claim, job_id, now)))
    }

    async fn cancelled(&self, job_id: &str) -> Result<bool> {
        Ok(self.with(|state, now| state.is_cancelled(job_id, now)))
    }

    async fn settle(&self, claim: &ClaimId, settlement: &Settlement) -> Result<Settled> {
        let now = self.clock.now_ms();
        let mut all = self.all();
        let state = all.entry(self.name.clone()).or_default();
        let (settled, transferred) = state.settle(&self.options, claim, settlement, now);
        if let (Some(element), Settlement::Transfer { queue }) = (transferred, settlement) {
            all.entry(queue.clone()).or_default().push(&self.options, element);
        }
        drop(all);
        self.pushed.notify_waiters();
        Ok(settled)
    }

    fn lease(&self) -> Duration {
        self.options.lease
    }

    fn cancel_interval(&self) -> Duration {
        Duration::ZERO
    }
}

#[async_trait]
impl QueueAdmin for MemoryQueue {
    async fn counts(&self) -> Result<Counts> {
        Ok(self.with(|state, _| state.counts()))
    }

    async fn waiting(&self, limit: usize) -> Result<Vec<String>> {
        Ok(self.with(|state, _| match self.options.pop_side {
            PopSide::Right => state.waiting.iter().rev().take(limit).cloned().collect(),
            PopSide::Left => state.waiting.iter().take(limit).cloned().collect(),
        }))
    }

    async fn in_flight(&self) -> Result<Vec<InFlight>> {
        Ok(self.with(|state, now| {
            let jobs = state.in_flight.iter().map(|(claim, held)| InFlight {
                claim: claim.clone(),
                worker: held.worker.clone(),
                job_id: held.key.clone(),
                attempt: held.attempt.min(self.options.max_attempts),
                claimed_ms: held.claimed_ms,
                lease_left: Duration::from_millis(held.deadline_ms.saturating_sub(now)),
            });
            jobs.collect()
        }))
    }

    async fn delayed(&self, limit: usize) -> Result<Vec<Delayed>> {
        Ok(self.with(|state, now| {
            let mut parked: Vec<_> = state.delayed.values().collect();
            parked.sort_by_key(|parked| parked.due_ms);
            let delayed = parked.into_iter().take(limit).map(|parked| Delayed {
                element: parked.element.clone(),
                due_in: Duration::from_millis(parked.due_ms.saturating_sub(now)),
            });
            delayed.collect()
        }))
    }

    async fn dead(&self, limit: usize) -> Result<Vec<DeadLetter>> {
        Ok(self.with(|state, _| state.dead.iter().take(limit).cloned().collect()))
    }

    async fn retry_dead(&self, job_id: &str) -> Result<usize> {
        let count = self.with(|state, _| state.retry_dead(&self.options, job_id));
        self.pushed.notify_waiters();
        Ok(count)
    }

    async fn remove(&self, job_id: &str) -> Result<usize> {
        Ok(self.with(|state, _| state.remove(job_id)))
    }

    async fn cancel(&self, job_id: &str) -> Result<()> {
        self.with(|state, now| state.cancel(job_id, now));
        Ok(())
    }

    async fn pause(&self) -> Result<()> {
        self.with(|state, _| state.paused = true);
        Ok(())
    }

    async fn resume(&self) -> Result<()> {
        self.with(|state, _| state.paused = false);
        self.pushed.notify_waiters();
        Ok(())
    }

    async fn release_worker(&self, worker: &WorkerId) -> Result<usize> {
        let count = self.with(|state, now| state.release_worker(&self.options, worker, now));
        self.pushed.notify_waiters();
        Ok(count)
    }

    async fn warnings(&self) -> Result<Vec<String>> {
        Ok(vec!["jobs in memory are lost when the process ends".to_owned()])
    }
}

#[async_trait]
impl Outbox for MemoryQueue {
    async fn announce(&self, claim: &ClaimId, callback: &PendingCallback) -> Result<bool> {
        Ok(self.with(|state, now| {
            let held = state.in_flight.contains_key(claim);
            if held {
                state.callbacks.add(callback, now);
            }
            held
        }))
    }

    async fn take_due(&self, limit: usize, hide: Duration) -> Result<DueCallbacks> {
        Ok(self.with(|state, now| state.callbacks.take_due(limit, millis(hide), now)))
    }

    async fn delivered(&self, id: &str) -> Result<()> {
        self.with(|state, _| state.callbacks.delivered(id));
        Ok(())
    }

    async fn postpone(&self, id: &str, after: Duration, error: &str) -> Result<()> {
        self.with(|state, now| state.callbacks.postpone(id, millis(after), error, now));
        Ok(())
    }

    async fn bury(&self, id: &str, error: &str) -> Result<()> {
        self.with(|state, now| state.callbacks.bury(id, error, now));
        Ok(())
    }

    async fn disable(&self, reason: &str) -> Result<()> {
        self.with(|state, _| state.callbacks.disabled = Some(reason.to_owned()));
        Ok(())
    }

    async fn enable(&self) -> Result<()> {
        self.with(|state, _| state.callbacks.disabled = None);
        Ok(())
    }

    async fn disabled(&self) -> Result<Option<String>> {
        Ok(self.with(|state, _| state.callbacks.disabled.clone()))
    }

    async fn waiting_callbacks(&self, limit: usize) -> Result<Vec<CallbackEntry>> {
        Ok(self.with(|state, _| state.callbacks.soonest(limit)))
    }

    async fn dead_callbacks(&self, limit: usize) -> Result<Vec<CallbackEntry>> {
        Ok(self.with(|state, _| state.callbacks.dead.iter().take(limit).cloned().collect()))
    }

    async fn retry_callback(&self, id: &str) -> Result<bool> {
        Ok(self.with(|state, now| state.callbacks.retry(id, now)))
    }
}
