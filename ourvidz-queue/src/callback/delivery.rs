use std::fmt;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::Duration;

use tokio::time::Instant;

use super::decision::Decision;
use super::{CallbackSender, DeliverySchedule, Outcome};
use crate::{CallbackEntry, Outbox, RetryPolicy};

/// What a deliverer has done since it was made.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, serde::Serialize)]
pub struct DeliveryCounts {
    /// Callbacks that the receiver accepted.
    pub delivered: u64,
    /// Deliveries that were not accepted, also those that were tried again later.
    pub failed: u64,
    /// Callbacks that were given up and are among the outbox's dead letters.
    pub buried: u64,
    /// Callbacks saying that a job has begun that were given up.
    pub dropped: u64,
}

/// What all deliveries of one deliverer share.
pub(super) struct Shared {
    pub(super) outbox: Arc<dyn Outbox>,
    pub(super) sender: CallbackSender,
    pub(super) schedule: DeliverySchedule,
    pub(super) counters: Counters,
    /// Whether wrong credentials were logged since the last success.
    unauthorized: AtomicBool,
}

#[derive(Debug, Default)]
pub(super) struct Counters {
    delivered: AtomicU64,
    failed: AtomicU64,
    buried: AtomicU64,
    dropped: AtomicU64,
}

/// How one delivery ended for the deliverer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Ended {
    /// It is no longer due.
    Gone,
    /// It waits in the outbox.
    Due(Duration),
    /// The outbox could not be told: it shows the callback again when the time it is hidden for is over.
    Untold,
}

/// Between two tries to tell the outbox.
const REPORT_BACKOFF: RetryPolicy =
    RetryPolicy { max_attempts: u32::MAX, base: Duration::from_millis(500), cap: Duration::from_secs(30) };
/// The wait is random from 0; not to ask in a tight loop, it is at least this.
pub(super) const MIN_BACKOFF: Duration = Duration::from_millis(100);

impl Shared {
    pub(super) fn new(outbox: Arc<dyn Outbox>, sender: CallbackSender, schedule: DeliverySchedule) -> Self {
        let (counters, unauthorized) = Default::default();
        Self { outbox, sender, schedule, counters, unauthorized }
    }

    /// Sends one callback and tells the outbox; `hidden_until` is when the outbox shows it to others again.
    pub(super) async fn deliver(self: Arc<Self>, entry: CallbackEntry, hidden_until: Instant) -> Ended {
        let outcome = self.sender.send(&entry.callback).await;
        let decision = Decision::of(&self.schedule, &entry, &outcome, rand::random());
        self.log(&entry, &outcome, &decision);
        self.counters.count(&decision);
        let told = self.tell(&entry.callback.id, &decision, hidden_until).await;
        match decision {
            _ if !told => Ended::Untold,
            Decision::Again { after, .. } => Ended::Due(after),
            // After `Disable` too: it waits, but no longer for this deliverer.
            _ => Ended::Gone,
        }
    }

    /// Repeats the report while the backend is not available: without end that a callback has arrived, for
    /// otherwise it would be sent again; the others until the outbox shows the callback again anyway.
    async fn tell(&self, id: &str, decision: &Decision, hidden_until: Instant) -> bool {
        let mut tries = 0_u32;
        loop {
            let Err(error) = decision.report(self.outbox.as_ref(), id).await else { return true };
            tries = tries.saturating_add(1);
            let wait = REPORT_BACKOFF.delay_after(tries.min(32), rand::random()).unwrap_or_default();
            let wait = wait.max(MIN_BACKOFF);
            let in_time = *decision == Decision::Delivered || Instant::now() + wait < hidden_until;
            if !error.retryable() || !in_time {
                tracing::error!(id, tries, %error, "callback: the outbox cannot be told what became of it");
                return false;
            }
            tracing::warn!(id, tries, ?wait, %error, "callback: telling the outbox again");
            tokio::time::sleep(wait).await;
        }
    }

    fn log(&self, entry: &CallbackEntry, outcome: &Outcome, decision: &Decision) {
        let (id, attempt, status) = (entry.callback.id.as_str(), entry.attempts, outcome.status());
        match outcome {
            Outcome::Accepted { .. } => self.unauthorized.store(false, Ordering::Relaxed),
            Outcome::Unauthorized { .. } if !self.unauthorized.swap(true, Ordering::Relaxed) => {
                tracing::error!(status, "callback: the receiver does not accept the key or the signature");
            }
            _ => {}
        }
        match decision {
            Decision::Delivered => tracing::info!(id, attempt, status, "callback: delivered"),
            Decision::Again { after, error } => {
                tracing::warn!(id, attempt, status, next_in = ?after, error, "callback: not delivered");
            }
            Decision::Drop { error } => {
                tracing::warn!(id, attempt, status, error, "callback: dropped, it is no longer news");
            }
            Decision::Bury { error } => tracing::error!(id, attempt, status, error, "callback: given up"),
            Decision::Disable { .. } => tracing::error!(
                id,
                attempt,
                status,
                "callback: the receiver wants no more; deliveries stop until the outbox is enabled"
            ),
        }
    }
}

/// Without the outbox: one in memory would show the bodies.
impl fmt::Debug for Shared {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Shared").field("sender", &self.sender).finish_non_exhaustive()
    }
}

impl Counters {
    pub(super) fn read(&self) -> DeliveryCounts {
        DeliveryCounts {
            delivered: self.delivered.load(Ordering::Relaxed),
            failed: self.failed.load(Ordering::Relaxed),
            buried: self.buried.load(Ordering::Relaxed),
            dropped: self.dropped.load(Ordering::Relaxed),
        }
    }

    fn count(&self, decision: &Decision) {
        let (accepted, ended) = match decision {
            Decision::Delivered => (true, None),
            Decision::Bury { .. } => (false, Some(&self.buried)),
            Decision::Drop { .. } => (false, Some(&self.dropped)),
            Decision::Again { .. } | Decision::Disable { .. } => (false, None),
        };
        let tries = if accepted { &self.delivered } else { &self.failed };
        for counter in [Some(tries), ended].into_iter().flatten() {
            counter.fetch_add(1, Ordering::Relaxed);
        }
    }
}
