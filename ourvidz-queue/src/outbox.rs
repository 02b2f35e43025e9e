use std::time::Duration;

use async_trait::async_trait;
use serde::{Deserialize, Serialize};

use crate::{ClaimId, Result};

/// Callbacks that wait for delivery, kept beside the queue whose jobs cause them.
///
/// Terminal callbacks enter by [`JobQueue::settle`](crate::JobQueue::settle), in the same atomic step. Several
/// workers may deliver from one outbox: a callback that was taken is hidden for a while, and comes back if
/// nobody reports what became of it. So a receiver may see one callback twice, with the same id.
#[async_trait]
pub trait Outbox: Send + Sync + std::fmt::Debug {
    /// Adds a callback that says a job has begun, if `claim` still holds the job; says whether it did. Settling
    /// the claim with a callback removes it, should it still wait.
    async fn announce(&self, claim: &ClaimId, callback: &PendingCallback) -> Result<bool>;

    /// Takes up to `limit` callbacks that are due and hides them for `hide`; their attempts are counted here.
    async fn take_due(&self, limit: usize, hide: Duration) -> Result<DueCallbacks>;

    /// A callback was accepted. Unknown ids are ignored.
    async fn delivered(&self, id: &str) -> Result<()>;

    /// A delivery failed; the callback is due again after a while. Unknown ids are ignored.
    async fn postpone(&self, id: &str, after: Duration, error: &str) -> Result<()>;

    /// No further delivery is tried: the callback moves to the outbox's dead-letter list. Unknown ids are
    /// ignored.
    async fn bury(&self, id: &str, error: &str) -> Result<()>;

    /// The receiver wants no more callbacks (410): none is due until [`Outbox::enable`].
    async fn disable(&self, reason: &str) -> Result<()>;

    /// Undoes [`Outbox::disable`].
    async fn enable(&self) -> Result<()>;

    /// Why deliveries are stopped, if they are.
    async fn disabled(&self) -> Result<Option<String>>;

    /// Up to `limit` callbacks that wait, the soonest first.
    async fn waiting_callbacks(&self, limit: usize) -> Result<Vec<CallbackEntry>>;

    /// Up to `limit` callbacks whose delivery was given up, the oldest first.
    async fn dead_callbacks(&self, limit: usize) -> Result<Vec<CallbackEntry>>;

    /// Makes one callback due now, attempts at 0, whether it waits or is dead; says whether it was found.
    async fn retry_callback(&self, id: &str) -> Result<bool>;
}

/// A callback to be delivered.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct PendingCallback {
    /// `webhook-id`: the same for every delivery, e.g. `{job_id}:completed`.
    pub id: String,
    /// The producer's id of the job.
    pub job_id: String,
    /// The exact text to sign and send.
    pub body: String,
}

/// A callback in the outbox.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct CallbackEntry {
    /// What to deliver.
    #[serde(flatten)]
    pub callback: PendingCallback,
    /// Deliveries begun so far.
    pub attempts: u32,
    /// When it entered, milliseconds since 1970 on the backend's clock.
    pub created_ms: u64,
    /// When it is due, or when it was given up; milliseconds since 1970 on the backend's clock.
    pub due_ms: u64,
    /// What the last delivery met.
    pub last_error: Option<String>,
}

/// Answer to [`Outbox::take_due`].
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct DueCallbacks {
    /// Taken; the caller delivers them and reports.
    pub entries: Vec<CallbackEntry>,
    /// When the next one is due, if one waits and deliveries are not stopped.
    pub next_in: Option<Duration>,
}

impl PendingCallback {
    /// The id of a job's callback of one status: `{job_id}:{status}`, where every byte of the job's id but
    /// letters, digits, `-` and `_` is written `%XX`. Standard Webhooks allows no dot there.
    pub fn id_of(job_id: &str, status: &str) -> String {
        let mut id = String::with_capacity(job_id.len() + 1 + status.len());
        for byte in job_id.bytes() {
            if byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_') {
                id.push(byte as char);
            } else {
                id.push_str(&format!("%{byte:02X}"));
            }
        }
        id.push(':');
        id.push_str(status);
        id
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ids_hold_no_dot_and_stay_apart() {
        assert_eq!(PendingCallback::id_of("5b1c-4_a", "completed"), "5b1c-4_a:completed");
        assert_eq!(PendingCallback::id_of("a.b", "failed"), "a%2Eb:failed");
        assert_eq!(PendingCallback::id_of("a%2Eb", "failed"), "a%252Eb:failed");
        assert_eq!(PendingCallback::id_of("é", "failed"), "%C3%A9:failed");
    }
}
