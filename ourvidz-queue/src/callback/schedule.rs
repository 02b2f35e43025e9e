use std::time::Duration;

use crate::{Error, Result};

/// When a callback is tried again.
///
/// The default is that of Standard Webhooks: at once, then 5 s, 5 min, 30 min, 2 h, 5 h, 10 h, 14 h, 20 h and
/// 24 h after the try before; 10 tries in 75 h 35 min. To every wait up to a tenth of it is added at random, so
/// that callbacks that failed together do not come back together.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DeliverySchedule {
    delays: Vec<Duration>,
}

const MINUTE: u64 = 60;
const HOUR: u64 = 3600;
/// Standard Webhooks, in seconds, without the first try's zero.
const STANDARD: [u64; 9] =
    [5, 5 * MINUTE, 30 * MINUTE, 2 * HOUR, 5 * HOUR, 10 * HOUR, 14 * HOUR, 20 * HOUR, 24 * HOUR];
const MAX_DELAYS: usize = 100;
const MAX_DELAY: Duration = Duration::from_secs(7 * 24 * HOUR);
/// What is added to a wait at most, as a part of it.
const JITTER: f64 = 0.1;

impl Default for DeliverySchedule {
    fn default() -> Self {
        Self { delays: STANDARD.map(Duration::from_secs).to_vec() }
    }
}

impl DeliverySchedule {
    /// The waits after the first, second, ... failed try; none: each callback is tried once.
    ///
    /// # Errors
    /// [`Error::InvalidOption`] if there are more than 100 or one is longer than 7 days.
    pub fn new(delays: Vec<Duration>) -> Result<Self> {
        let name = "delivery schedule";
        if delays.len() > MAX_DELAYS {
            let value = format!("{} waits", delays.len());
            return Err(Error::InvalidOption { name, rule: "must have at most 100 waits", value });
        }
        if let Some(long) = delays.iter().find(|delay| **delay > MAX_DELAY) {
            let value = format!("{long:?}");
            return Err(Error::InvalidOption { name, rule: "must have no wait over 7 days", value });
        }
        Ok(Self { delays })
    }

    /// Tries in all, the first included.
    pub fn tries(&self) -> usize {
        self.delays.len() + 1
    }

    /// How long to wait after try `attempt` (from 1) has failed; `None` when it was the last. `random` is the
    /// caller's number in [0, 1); outside it is clamped, and NaN is 0.
    pub fn delay_after(&self, attempt: u32, random: f64) -> Option<Duration> {
        let index = usize::try_from(attempt.max(1) - 1).ok()?;
        let delay = *self.delays.get(index)?;
        let share = if random.is_nan() { 0.0 } else { random.clamp(0.0, 1.0) };
        Some(delay + delay.mul_f64(JITTER * share))
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    #[test]
    fn the_default_takes_75_hours_and_35_minutes() {
        let schedule = DeliverySchedule::default();
        let waits: Vec<_> = (1..).map_while(|attempt| schedule.delay_after(attempt, 0.0)).collect();
        let expected = [5, 300, 1800, 7200, 18_000, 36_000, 50_400, 72_000, 86_400];
        assert_eq!(waits, expected.map(Duration::from_secs));
        let total: Duration = waits.iter().sum();
        assert_eq!(total, Duration::from_secs(75 * HOUR + 35 * MINUTE + 5));
        assert_eq!(schedule.tries(), 10);
        assert_eq!(schedule.delay_after(10, 0.0), None);
        assert_eq!(schedule.delay_after(u32::MAX, 0.0), None);
    }

    #[test]
    fn at_most_a_tenth_is_added() {
        let schedule = DeliverySchedule::new(vec![Duration::from_secs(100)]).unwrap();
        let seconds = |random| schedule.delay_after(1, random).unwrap().as_secs_f64();
        let waits = [0.0, 0.5, 1.0, 7.0, -1.0, f64::NAN].map(seconds);
        assert_eq!(waits, [100.0, 105.0, 110.0, 110.0, 100.0, 100.0]);
        assert_eq!(schedule.delay_after(0, 0.0), schedule.delay_after(1, 0.0));
    }

    #[test]
    fn unusable_lists_are_refused() {
        assert_eq!(DeliverySchedule::new(Vec::new()).unwrap().delay_after(1, 0.0), None);
        assert!(DeliverySchedule::new(vec![MAX_DELAY; MAX_DELAYS]).is_ok());
        let long = DeliverySchedule::new(vec![MAX_DELAY + Duration::from_secs(1)]).unwrap_err();
        assert_eq!(long.to_string(), "delivery schedule: must have no wait over 7 days, got 604801s");
        assert!(DeliverySchedule::new(vec![Duration::ZERO; MAX_DELAYS + 1]).is_err());
    }
}
