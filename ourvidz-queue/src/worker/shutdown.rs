use std::sync::Arc;

use tokio::sync::watch;

/// Asks a worker to end. Clones ask the same; it cannot be taken back.
#[derive(Debug, Clone)]
pub struct Shutdown {
    phase: Arc<watch::Sender<Phase>>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Phase {
    Working,
    Draining,
    Now,
}

impl Default for Shutdown {
    fn default() -> Self {
        Self::new()
    }
}

impl Shutdown {
    /// Nothing asked yet.
    pub fn new() -> Self {
        Self { phase: Arc::new(watch::Sender::new(Phase::Working)) }
    }

    /// First signal: no further job is taken, the running one may finish within
    /// [`WorkerOptions::grace`](super::WorkerOptions::grace).
    pub fn drain(&self) {
        self.raise(Phase::Draining);
    }

    /// Second signal: the running job is stopped and given back at once.
    pub fn now(&self) {
        self.raise(Phase::Now);
    }

    /// Whether the worker was asked to end, either way.
    pub fn is_draining(&self) -> bool {
        *self.phase.borrow() >= Phase::Draining
    }

    /// Completes when the worker was asked to end, either way.
    pub async fn draining(&self) {
        self.reached(Phase::Draining).await;
    }

    /// Completes when the worker was asked to end at once.
    pub async fn at_once(&self) {
        self.reached(Phase::Now).await;
    }

    fn raise(&self, to: Phase) {
        self.phase.send_if_modified(|phase| {
            let raised = to > *phase;
            *phase = to.max(*phase);
            raised
        });
    }

    async fn reached(&self, at_least: Phase) {
        let mut phase = self.phase.subscribe();
        // `self` holds the sender, so the channel cannot close.
        let _reached = phase.wait_for(|phase| *phase >= at_least).await;
    }
}
