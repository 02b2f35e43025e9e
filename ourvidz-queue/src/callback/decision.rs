use std::time::Duration;

use super::{DeliverySchedule, Outcome};
use crate::{CallbackEntry, Outbox, PendingCallback, Result};

/// What the outbox is told after one delivery.
#[derive(Debug, Clone, PartialEq)]
pub(super) enum Decision {
    /// The receiver has it.
    Delivered,
    /// It was not delivered and is no longer worth it.
    Drop { error: String },
    /// Another try follows.
    Again { after: Duration, error: String },
    /// No other try follows.
    Bury { error: String },
    /// Deliveries stop; this callback waits with the others.
    Disable { error: String },
}

/// Refusals in a row before a callback is given up.
const MAX_REFUSALS: u32 = 3;
/// Tries of a callback that says that a job has begun.
const MAX_PROCESSING_TRIES: u32 = 3;

impl Decision {
    /// `entry.attempts` counts the delivery that `outcome` is of. `random` as for
    /// [`DeliverySchedule::delay_after`].
    pub(super) fn of(
        schedule: &DeliverySchedule,
        entry: &CallbackEntry,
        outcome: &Outcome,
        random: f64,
    ) -> Self {
        let attempt = entry.attempts.max(1);
        let brief = is_processing(&entry.callback);
        let give_up = |error: String| if brief { Decision::Drop { error } } else { Decision::Bury { error } };
        let (error, least) = match outcome {
            Outcome::Accepted { .. } => return Decision::Delivered,
            Outcome::Gone => return Decision::Disable { error: "410 Gone".to_owned() },
            Outcome::Invalid { reason } => return give_up(reason.clone()),
            Outcome::Refused { status } => {
                let count = refusals(entry.last_error.as_deref()).saturating_add(1);
                let error = refusal(*status, count);
                if count >= MAX_REFUSALS {
                    return give_up(error);
                }
                (error, Duration::ZERO)
            }
            Outcome::Unauthorized { status } => {
                (format!("{status}: the receiver does not accept the credentials"), Duration::ZERO)
            }
            Outcome::Failed { retry_after, reason, .. } => (reason.clone(), retry_after.unwrap_or_default()),
        };
        match schedule.delay_after(attempt, random) {
            Some(delay) if !(brief && attempt >= MAX_PROCESSING_TRIES) => {
                Decision::Again { after: delay.max(least), error }
            }
            _ => give_up(error),
        }
    }

    /// May be repeated.
    pub(super) async fn report(&self, outbox: &dyn Outbox, id: &str) -> Result<()> {
        match self {
            Decision::Delivered | Decision::Drop { .. } => outbox.delivered(id).await,
            Decision::Again { after, error } => outbox.postpone(id, *after, error).await,
            Decision::Bury { error } => outbox.bury(id, error).await,
            Decision::Disable { error } => {
                // In this order, or it would be taken again at once.
                outbox.disable(&format!("the receiver answered {error}")).await?;
                outbox.postpone(id, Duration::ZERO, error).await
            }
        }
    }
}

/// Whether the callback says that a job has begun, not how it ended.
pub(super) fn is_processing(callback: &PendingCallback) -> bool {
    callback.id.ends_with(":processing")
}

const REFUSAL_MARK: &str = ": refused, in a row: ";

/// The count is kept in the outbox's text, so that it survives the process and is every worker's.
fn refusal(status: u16, count: u32) -> String {
    format!("{status}{REFUSAL_MARK}{count}")
}

/// How many refusals the last error ends; 0 for any other text.
fn refusals(last_error: Option<&str>) -> u32 {
    let count = last_error.and_then(|text| text.rsplit_once(REFUSAL_MARK)?.1.parse().ok());
    count.unwrap_or(0)
}

#[cfg(test)]
mod tests;
