use std::sync::Arc;
use std::time::Duration;

use tokio::sync::watch;
use tokio::time::Instant;

/// Tells the deliverer of callbacks when the next one is due, so that it need not ask the backend while
/// nothing happens. Clones are the same hint; one task waits on it.
#[derive(Debug, Clone)]
pub struct CallbackHint {
    soonest: Arc<watch::Sender<Option<Instant>>>,
}

impl Default for CallbackHint {
    fn default() -> Self {
        Self::new()
    }
}

impl CallbackHint {
    /// Nothing told yet.
    pub fn new() -> Self {
        Self { soonest: Arc::new(watch::Sender::new(None)) }
    }

    /// A callback is due in `after`; zero when one has just been added. Later times than one already told are
    /// dropped.
    pub fn tell(&self, after: Duration) {
        let Some(at) = Instant::now().checked_add(after) else { return };
        self.soonest.send_if_modified(|soonest| {
            let sooner = soonest.is_none_or(|told| at < told);
            if sooner {
                *soonest = Some(at);
            }
            sooner
        });
    }

    /// Waits until the soonest time told has come, and forgets it. Safe to drop: nothing is forgotten before
    /// the time has come.
    pub async fn next(&self) {
        let mut told = self.soonest.subscribe();
        loop {
            let at = *told.borrow_and_update();
            let due = async {
                match at {
                    Some(at) => tokio::time::sleep_until(at).await,
                    None => std::future::pending().await,
                }
            };
            tokio::select! {
                () = due => {
                    self.soonest.send_replace(None);
                    return;
                }
                // `self` holds the sender, so the channel cannot close.
                _changed = told.changed() => {}
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    async fn seconds_until_next(hint: &CallbackHint) -> u64 {
        let start = Instant::now();
        hint.next().await;
        start.elapsed().as_secs()
    }

    #[tokio::test(start_paused = true)]
    async fn the_soonest_time_counts() {
        let hint = CallbackHint::new();
        hint.tell(Duration::from_secs(9));
        hint.tell(Duration::from_secs(3));
        hint.tell(Duration::from_secs(7));
        assert_eq!(seconds_until_next(&hint).await, 3);
    }

    #[tokio::test(start_paused = true)]
    async fn a_wait_under_way_is_shortened_and_nothing_is_told_twice() {
        let hint = CallbackHint::new();
        hint.tell(Duration::from_secs(60));
        let (waited, ()) = tokio::join!(seconds_until_next(&hint), async {
            tokio::task::yield_now().await;
            hint.tell(Duration::from_secs(2));
        });
        assert_eq!(waited, 2);
        let again = tokio::time::timeout(Duration::from_secs(600), hint.next()).await;
        assert!(again.is_err(), "forgotten once it was there");
    }
}
