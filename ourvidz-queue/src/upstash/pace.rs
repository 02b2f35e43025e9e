use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use tokio::time::Instant;

use crate::Claimed;

/// How often one queue is asked for jobs.
#[derive(Debug)]
pub struct Pace {
    busy: Duration,
    idle: Duration,
    last_job: Mutex<Instant>,
}

/// After this long without a job a queue is idle.
const IDLE_AFTER: Duration = Duration::from_secs(60);

impl Pace {
    pub(super) fn new(name: &str, busy: Option<Duration>, idle: Duration) -> Self {
        let seconds = if name == "sdxl_queue" { 2 } else { 5 };
        let busy = busy.unwrap_or(Duration::from_secs(seconds));
        Self { busy, idle, last_job: Mutex::new(Instant::now()) }
    }

    pub(super) fn claimed(&self, claimed: &Claimed) {
        if matches!(claimed, Claimed::Job(_)) {
            *self.last_job.lock().unwrap_or_else(PoisonError::into_inner) = Instant::now();
        }
    }

    /// `random` in [0, 1) keeps workers that began together from asking together.
    pub(super) fn interval(&self, random: f64) -> Duration {
        let idle = self.last_job.lock().unwrap_or_else(PoisonError::into_inner).elapsed() >= IDLE_AFTER;
        let interval = if idle { self.idle } else { self.busy };
        interval.mul_f64(1.0 + 0.2 * random)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(start_paused = true)]
    async fn an_idle_queue_is_asked_less_often() {
        for (name, busy) in [("sdxl_queue", 2.0), ("wan_queue", 5.0)] {
            let pace = Pace::new(name, None, Duration::from_secs(10));
            assert_eq!(pace.interval(0.0).as_secs_f64(), busy);
            assert_eq!(pace.interval(0.5).as_secs_f64(), busy * 1.1);
            tokio::time::advance(Duration::from_secs(60)).await;
            assert_eq!(pace.interval(0.0).as_secs_f64(), 10.0);
            pace.claimed(&Claimed::Spent);
            assert_eq!(pace.interval(0.0).as_secs_f64(), 10.0);
        }
    }
}
