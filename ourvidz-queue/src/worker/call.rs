use std::future::Future;
use std::time::Duration;

use super::Shutdown;
use crate::{Error, Result, RetryPolicy};

/// How long any call to a backend may take. Clients have shorter limits of their own.
pub(super) const PATIENCE: Duration = Duration::from_secs(30);

/// The call's answer, or that it took too long.
pub(super) async fn within<T>(
    limit: Duration,
    action: &'static str,
    call: impl Future<Output = Result<T>>,
) -> Result<T> {
    match tokio::time::timeout(limit, call).await {
        Ok(answer) => answer,
        Err(_elapsed) => Err(no_answer(action)),
    }
}

/// As [`within`] the usual limit; once the worker is to end, `drain_wait` is the limit.
pub(super) async fn answered<T>(
    shutdown: &Shutdown,
    drain_wait: Duration,
    action: &'static str,
    call: impl Future<Output = Result<T>>,
) -> Result<T> {
    tokio::select! {
        biased;
        answer = within(PATIENCE, action, call) => answer,
        () = draining_for(shutdown, drain_wait) => Err(no_answer(action)),
    }
}

/// Completes when the worker has been ending for `wait` from now.
pub(super) async fn draining_for(shutdown: &Shutdown, wait: Duration) {
    shutdown.draining().await;
    tokio::time::sleep(wait).await;
}

fn no_answer(action: &'static str) -> Error {
    Error::Unavailable { action, source: "it did not answer in time".into() }
}

/// Waits between tries: full jitter, 0.5 s at first, 15 s at most.
#[derive(Debug, Default)]
pub(super) struct Backoff {
    tries: u32,
}

impl Backoff {
    const POLICY: RetryPolicy = RetryPolicy {
        max_attempts: u32::MAX,
        base: Duration::from_millis(500),
        cap: Duration::from_secs(15),
    };

    /// The next wait.
    pub(super) fn next(&mut self) -> Duration {
        self.tries = self.tries.saturating_add(1).min(1000);
        Self::POLICY.delay_after(self.tries, rand::random()).unwrap_or(Self::POLICY.cap)
    }
}

/// An error and its sources, in one line.
pub(super) fn chain(error: &(dyn std::error::Error + 'static)) -> String {
    let mut text = error.to_string();
    let mut source = error.source();
    while let Some(error) = source {
        text.push_str(": ");
        text.push_str(&error.to_string());
        source = error.source();
    }
    text
}
