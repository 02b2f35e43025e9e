use std::collections::{HashMap, VecDeque};
use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use async_trait::async_trait;
use tokio::sync::{Notify, watch};

use crate::*;

/// What happens to one call.
#[derive(Debug, Clone, Copy)]
pub(super) enum Fault {
    /// It does not arrive.
    Unavailable,
    /// It takes effect; its answer does not arrive.
    LostReply,
    /// The backend refuses it.
    Refused,
    /// Neither does it arrive nor an answer.
    Hangs,
    /// Its answer arrives when the test lets it.
    Late,
}

/// A queue whose calls fail on demand, and are counted.
#[derive(Debug)]
pub(super) struct Faulty {
    pub(super) queue: MemoryQueue,
    pub(super) cancel_interval: Duration,
    faults: Mutex<HashMap<&'static str, VecDeque<Fault>>>,
    down: AtomicBool,
    calls: watch::Sender<Vec<&'static str>>,
    /// Lets one late answer arrive.
    pub(super) late: Notify,
}

impl Faulty {
    pub(super) fn new(queue: MemoryQueue) -> Self {
        let (faults, down) = (Mutex::default(), AtomicBool::new(false));
        let (calls, late) = (watch::Sender::new(Vec::new()), Notify::new());
        Self { queue, cancel_interval: Duration::ZERO, faults, down, calls, late }
    }

    /// The next call of `name` that has no fault yet gets this one.
    pub(super) fn fail(&self, name: &'static str, fault: Fault) {
        self.faults.lock().unwrap().entry(name).or_default().push_back(fault);
    }

    /// All calls fail, or none but those with faults of their own.
    pub(super) fn set_down(&self, down: bool) {
        self.down.store(down, Ordering::SeqCst);
    }

    pub(super) fn count(&self, name: &str) -> usize {
        self.calls.borrow().iter().filter(|call| **call == name).count()
    }

    /// Waits until `name` was called `times` times.
    pub(super) async fn called(&self, name: &str, times: usize) {
        let enough = |calls: &Vec<&str>| calls.iter().filter(|call| **call == name).count() >= times;
        self.calls.subscribe().wait_for(enough).await.unwrap();
    }

    async fn meet<T>(&self, name: &'static str, call: impl Future<Output = Result<T>>) -> Result<T> {
        self.calls.send_modify(|calls| calls.push(name));
        let fault = self.faults.lock().unwrap().get_mut(name).and_then(VecDeque::pop_front);
        let down = self.down.load(Ordering::SeqCst).then_some(Fault::Unavailable);
        match fault.or(down) {
            None => call.await,
            Some(Fault::Unavailable) => Err(unavailable(name)),
            Some(Fault::LostReply) => call.await.and_then(|_| Err(unavailable(name))),
            Some(Fault::Refused) => Err(Error::Refused { action: name, source: "by order".into() }),
            Some(Fault::Late) => {
                let answer = call.await;
                self.late.notified().await;
                answer
            }
            Some(Fault::Hangs) => std::future::pending().await,
        }
    }
}

fn unavailable(action: &'static str) -> Error {
    Error::Unavailable { action, source: "by order".into() }
}

#[async_trait]
impl JobQueue for Faulty {
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
        self.meet("claim", self.queue.claim(claim, worker)).await
    }
    async fn wait(&self, at_most: Duration) -> Result<()> {
        self.meet("wait", self.queue.wait(at_most)).await
    }
    async fn beat(&self, claim: &ClaimId, job_id: &str) -> Result<Beat> {
        self.meet("beat", self.queue.beat(claim, job_id)).await
    }
    async fn cancelled(&self, job_id: &str) -> Result<bool> {
        self.meet("cancelled", self.queue.cancelled(job_id)).await
    }
    async fn settle(&self, claim: &ClaimId, settlement: &Settlement) -> Result<Settled> {
        self.meet("settle", self.queue.settle(claim, settlement)).await
    }
    fn lease(&self) -> Duration {
        self.queue.lease()
    }
    fn cancel_interval(&self) -> Duration {
        self.cancel_interval
    }
}

#[async_trait]
impl Outbox for Faulty {
    async fn announce(&self, claim: &ClaimId, callback: &PendingCallback) -> Result<bool> {
        self.meet("announce", self.queue.announce(claim, callback)).await
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
        Outbox::bury(&self.queue, id, error).await
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
impl QueueAdmin for Faulty {
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
