use std::time::{Duration, SystemTime};

use crate::{Error, Result};

/// How often a remote store is asked again, and after which pauses. Every request of this crate may be sent
/// twice: keys are deterministic and a second write replaces the first.
///
/// The pause before try n + 1 is random between 0 and `base * 2^(n - 1)`, at most `max`; or what the server
/// asks for in `Retry-After`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct RetryPolicy {
    /// Tries of one request, the first included; at least 1. Default 5.
    pub attempts: u32,
    /// Longest pause before the second try. Default 500 ms.
    pub base: Duration,
    /// Longest pause before any later one. Default 20 s.
    pub max: Duration,
    /// Longest `Retry-After` that is waited out; with a longer one the error goes to the caller at once.
    /// Default 60 s.
    pub max_retry_after: Duration,
}

impl Default for RetryPolicy {
    fn default() -> Self {
        Self {
            attempts: 5,
            base: Duration::from_millis(500),
            max: Duration::from_secs(20),
            max_retry_after: Duration::from_secs(60),
        }
    }
}

impl RetryPolicy {
    /// One try.
    pub fn none() -> Self {
        Self { attempts: 1, ..Self::default() }
    }

    /// The pause after `failed` tries (from 1), or none when there is no other try.
    pub(crate) fn pause(&self, failed: u32, retry_after: Option<Duration>) -> Option<Duration> {
        if failed >= self.attempts {
            return None;
        }
        match retry_after {
            Some(asked) => (asked <= self.max_retry_after).then_some(asked),
            None => Some(self.ceiling(failed).mul_f64(rand::random())),
        }
    }

    fn ceiling(&self, failed: u32) -> Duration {
        let doubled = 2u32.saturating_pow(failed.saturating_sub(1));
        self.base.saturating_mul(doubled).min(self.max)
    }

    /// Calls until it succeeds, fails for good, or the tries are used up.
    pub(crate) async fn run<T, F>(&self, mut call: impl FnMut() -> F) -> Result<T>
    where
        F: Future<Output = Result<T>> + Send,
    {
        let mut failed = 0;
        loop {
            let error = match call().await {
                Ok(value) => return Ok(value),
                Err(error) => error,
            };
            failed += 1;
            self.wait(failed, error).await?;
        }
    }

    /// Waits before the next try, or gives `error` back when there is none.
    pub(crate) async fn wait(&self, failed: u32, error: Error) -> Result<()> {
        if !error.retryable() {
            return Err(error);
        }
        let Some(pause) = self.pause(failed, error.retry_after()) else { return Err(error) };
        tracing::warn!(failed, attempts = self.attempts, ?pause, %error, "storage: trying again");
        tokio::time::sleep(pause).await;
        Ok(())
    }
}

/// `Retry-After`: seconds, or the time of an HTTP date from now.
pub(crate) fn retry_after(headers: &reqwest::header::HeaderMap) -> Option<Duration> {
    let value = headers.get(reqwest::header::RETRY_AFTER)?.to_str().ok()?.trim();
    match value.parse() {
        Ok(seconds) => Some(Duration::from_secs(seconds)),
        Err(_) => {
            let until = httpdate::parse_http_date(value).ok()?;
            Some(until.duration_since(SystemTime::now()).unwrap_or_default())
        }
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;
    use reqwest::header::{HeaderMap, HeaderValue, RETRY_AFTER};

    #[test]
    fn ceilings_double_up_to_the_longest() {
        let policy = RetryPolicy::default();
        let ceilings: Vec<_> = (1..8).map(|failed| policy.ceiling(failed).as_millis()).collect();
        assert_eq!(ceilings, [500, 1000, 2000, 4000, 8000, 16000, 20000]);
        assert_eq!(policy.ceiling(u32::MAX), policy.max);
        for failed in 1..policy.attempts {
            for _ in 0..100 {
                assert!(policy.pause(failed, None).unwrap() <= policy.ceiling(failed));
            }
        }
        assert_eq!(policy.pause(policy.attempts, None), None);
        assert_eq!(RetryPolicy::none().pause(1, None), None);
    }

    #[test]
    fn what_the_server_asks_for_is_waited_out_if_it_is_short() {
        let policy = RetryPolicy::default();
        let seconds = Duration::from_secs;
        assert_eq!(policy.pause(1, Some(seconds(7))), Some(seconds(7)));
        assert_eq!(policy.pause(1, Some(seconds(61))), None);
        assert_eq!(policy.pause(5, Some(seconds(0))), None);
    }

    #[test]
    fn retry_after_is_seconds_or_a_date() {
        let read = |value: &str| {
            let value = HeaderValue::from_str(value).unwrap();
            retry_after(&HeaderMap::from_iter([(RETRY_AFTER, value)]))
        };
        assert_eq!(read("3"), Some(Duration::from_secs(3)));
        assert_eq!(read("Sun, 06 Nov 1994 08:49:37 GMT"), Some(Duration::ZERO));
        let soon = httpdate::fmt_http_date(SystemTime::now() + Duration::from_secs(30));
        let wait = read(&soon).unwrap();
        assert!(wait <= Duration::from_secs(30) && wait > Duration::from_secs(20), "{wait:?}");
        assert_eq!(read("later"), None);
        assert_eq!(read("-1"), None);
        assert_eq!(retry_after(&HeaderMap::new()), None);
    }
}
