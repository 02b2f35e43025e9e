use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use async_trait::async_trait;
use ourvidz_queue::{
    CallbackEntry, ClaimId, DueCallbacks, Error, MemoryQueue, Outbox, PendingCallback, Result,
};
use tokio::sync::{Semaphore, watch};

/// An outbox that counts what it is asked, and fails when told to.
#[derive(Debug)]
pub(crate) struct Spy {
    queue: MemoryQueue,
    /// How many callbacks were taken.
    pub(crate) taken: watch::Sender<usize>,
    /// How often something was asked or told.
    pub(crate) calls: AtomicUsize,
    /// So many calls of `take_due` to come fail.
    pub(crate) failing_takes: AtomicUsize,
    /// What was told, in order, also what failed.
    pub(crate) told: watch::Sender<Vec<String>>,
    reports: Mutex<Reports>,
}

/// What happens to reports.
#[derive(Debug, Clone)]
pub(crate) enum Reports {
    Arrive,
    /// So many fail; from the first on, time is the test's, so that nobody waits.
    Fail(usize),
    /// Each waits for a permit and takes it.
    Gate(Arc<Semaphore>),
    /// The backend refuses them, for good.
    Refused,
    /// They never return: what a crash between sending and reporting looks like.
    Hang,
}

impl Spy {
    pub(crate) fn new(queue: &MemoryQueue, reports: Reports) -> Arc<Self> {
        Arc::new(Self {
            queue: queue.clone(),
            taken: watch::Sender::default(),
            calls: AtomicUsize::new(0),
            failing_takes: AtomicUsize::new(0),
            told: watch::Sender::default(),
            reports: Mutex::new(reports),
        })
    }

    pub(crate) fn calls(&self) -> usize {
        self.calls.load(Ordering::SeqCst)
    }

    pub(crate) async fn wait_told(&self, count: usize) -> Vec<String> {
        let mut told = self.told.subscribe();
        let told = told.wait_for(|told| told.len() >= count).await.unwrap();
        told.clone()
    }

    pub(crate) async fn wait_taken(&self, count: usize) {
        let mut taken = self.taken.subscribe();
        taken.wait_for(|taken| *taken >= count).await.unwrap();
    }

    async fn report(&self, what: String) -> Result<()> {
        self.calls.fetch_add(1, Ordering::SeqCst);
        self.told.send_modify(|told| told.push(what));
        let reports = self.reports.lock().unwrap().clone();
        match reports {
            Reports::Arrive | Reports::Fail(0) => Ok(()),
            Reports::Fail(left) => {
                *self.reports.lock().unwrap() = Reports::Fail(left - 1);
                if left == 1 {
                    tokio::time::pause();
                }
                Err(unavailable())
            }
            Reports::Gate(gate) => {
                gate.acquire().await.unwrap().forget();
                Ok(())
            }
            Reports::Refused => {
                Err(Error::Refused { action: "report a callback", source: "no permission".into() })
            }
            Reports::Hang => std::future::pending().await,
        }
    }
}

fn unavailable() -> Error {
    Error::Unavailable { action: "use the outbox", source: "connection refused".into() }
}

#[async_trait]
impl Outbox for Spy {
    async fn announce(&self, claim: &ClaimId, callback: &PendingCallback) -> Result<bool> {
        self.queue.announce(claim, callback).await
    }

    async fn take_due(&self, limit: usize, hide: Duration) -> Result<DueCallbacks> {
        self.calls.fetch_add(1, Ordering::SeqCst);
        let failing = &self.failing_takes;
        if failing.try_update(Ordering::SeqCst, Ordering::SeqCst, |left| left.checked_sub(1)).is_ok() {
            return Err(unavailable());
        }
        let due = self.queue.take_due(limit, hide).await?;
        self.taken.send_modify(|taken| *taken += due.entries.len());
        Ok(due)
    }

    async fn delivered(&self, id: &str) -> Result<()> {
        self.report(format!("delivered {id}")).await?;
        self.queue.delivered(id).await
    }

    async fn postpone(&self, id: &str, after: Duration, error: &str) -> Result<()> {
        self.report(format!("postpone {id}")).await?;
        self.queue.postpone(id, after, error).await
    }

    async fn bury(&self, id: &str, error: &str) -> Result<()> {
        self.report(format!("bury {id}")).await?;
        self.queue.bury(id, error).await
    }

    async fn disable(&self, reason: &str) -> Result<()> {
        self.report("disable".to_owned()).await?;
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
