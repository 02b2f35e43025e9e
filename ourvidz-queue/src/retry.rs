use std::time::Duration;

/// When a failed job is tried again: exponential back-off with full jitter.
///
/// The wait after attempt n is drawn evenly from 0 to `base * 2^(n - 1)`, at most `cap`. Spread over the whole
/// range, jobs that failed together do not come back together.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct RetryPolicy {
    /// Attempts in all, the first included. Default 3; 0 counts as 1.
    pub max_attempts: u32,
    /// Longest wait after the first attempt. Default 1 s.
    pub base: Duration,
    /// Longest wait after any attempt. Default 60 s.
    pub cap: Duration,
}

impl Default for RetryPolicy {
    fn default() -> Self {
        Self { max_attempts: 3, base: Duration::from_secs(1), cap: Duration::from_secs(60) }
    }
}

impl RetryPolicy {
    /// How long to wait after attempt `attempt` (from 1) has failed; `None` when it was the last. `random` is
    /// the caller's number in [0, 1); outside it is clamped, and NaN is 0.
    pub fn delay_after(&self, attempt: u32, random: f64) -> Option<Duration> {
        if attempt >= self.max_attempts {
            return None;
        }
        let share = if random.is_nan() { 0.0 } else { random.clamp(0.0, 1.0) };
        let longest = self.longest_delay_after(attempt);
        // Whole nanoseconds through f64 can round up past the bound.
        Some(Duration::try_from_secs_f64(longest.as_secs_f64() * share).unwrap_or(longest).min(longest))
    }

    /// The upper bound of the wait after attempt `attempt` (from 1).
    pub fn longest_delay_after(&self, attempt: u32) -> Duration {
        let doublings = attempt.saturating_sub(1);
        let factor = 1_u32.checked_shl(doublings).unwrap_or(u32::MAX);
        self.base.saturating_mul(factor).min(self.cap)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn three_attempts_by_default() {
        let policy = RetryPolicy::default();
        assert_eq!(policy.delay_after(1, 0.5), Some(Duration::from_millis(500)));
        assert_eq!(policy.delay_after(2, 0.5), Some(Duration::from_secs(1)));
        assert_eq!(policy.delay_after(3, 0.5), None);
        assert_eq!(policy.delay_after(u32::MAX, 0.5), None);
        assert_eq!(RetryPolicy { max_attempts: 0, ..policy }.delay_after(1, 0.5), None);
    }

    #[test]
    fn bounds_double_up_to_the_cap() {
        let policy = RetryPolicy::default();
        let bounds =
            [0, 1, 2, 3, 6, 7, 8, 32, 33, 40, u32::MAX].map(|n| policy.longest_delay_after(n).as_secs());
        assert_eq!(bounds, [1, 1, 2, 4, 32, 60, 60, 60, 60, 60, 60]);
    }

    #[test]
    fn odd_random_numbers_stay_in_range() {
        let policy = RetryPolicy::default();
        let delays = [f64::NAN, -1.0, 2.0, f64::INFINITY].map(|random| policy.delay_after(1, random));
        let (zero, one) = (Some(Duration::ZERO), Some(Duration::from_secs(1)));
        assert_eq!(delays, [zero, zero, one, one]);
    }

    proptest! {
        #[test]
        fn a_wait_is_between_zero_and_its_bound(
            max_attempts in 0_u32..100, attempt in 1_u32..100, random in 0.0..1.0_f64,
            base in 0_u64..100_000_000_000, cap in any::<u64>(),
        ) {
            let (base, cap) = (Duration::from_nanos(base), Duration::from_nanos(cap));
            let policy = RetryPolicy { max_attempts, base, cap };
            match policy.delay_after(attempt, random) {
                None => prop_assert!(attempt >= max_attempts),
                Some(wait) => {
                    prop_assert!(attempt < max_attempts);
                    prop_assert!(wait <= cap && wait <= policy.longest_delay_after(attempt));
                    prop_assert!(wait <= base.saturating_mul(1 << (attempt - 1).min(31)) || attempt > 32);
                }
            }
        }

        #[test]
        fn the_random_number_spreads_the_wait(a in 0.0..1.0_f64, b in 0.0..1.0_f64) {
            let policy = RetryPolicy::default();
            let (wait_a, wait_b) = (policy.delay_after(2, a), policy.delay_after(2, b));
            if (a - b).abs() > 1e-6 {
                prop_assert_eq!(a < b, wait_a < wait_b);
            }
        }
    }
}
