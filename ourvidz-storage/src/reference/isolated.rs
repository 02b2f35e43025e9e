use std::thread;
use std::time::Duration;

use tokio::sync::oneshot;
use tokio::time::timeout;

use super::problem::{Failure, ReferenceProblem};

/// Decoders recurse little, but they read what strangers wrote.
const STACK_BYTES: usize = 8 << 20;

/// Runs `work` on a thread of its own, which a panic ends without more damage. A thread cannot be stopped: past
/// the limit it goes on by itself, and its result is dropped.
///
/// # Errors
/// Those of `work`; [`ReferenceProblem::Undecodable`] if it panicked; [`ReferenceProblem::DecodeTimedOut`].
pub(super) async fn isolated<T: Send + 'static>(
    limit: Duration,
    work: impl FnOnce() -> Result<T, Failure> + Send + 'static,
) -> Result<T, Failure> {
    let (sender, result) = oneshot::channel();
    thread::Builder::new()
        .name("reference".to_owned())
        .stack_size(STACK_BYTES)
        // The receiver is gone when the caller gave up.
        .spawn(move || sender.send(work()).is_ok())
        .map_err(|error| Failure::of(ReferenceProblem::NoThread, error))?;
    match timeout(limit, result).await {
        Ok(Ok(result)) => result,
        Ok(Err(_)) => Err(Failure::of(ReferenceProblem::Undecodable, "the decoder panicked")),
        Err(_) => Err(ReferenceProblem::DecodeTimedOut { limit }.into()),
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::panic)]
    use super::*;
    use std::sync::mpsc;

    const LONG: Duration = Duration::from_secs(60);

    #[tokio::test]
    async fn a_panic_is_an_error() {
        let failure = isolated::<()>(LONG, || panic!("a decoder's")).await.unwrap_err();
        assert_eq!(failure.problem, ReferenceProblem::Undecodable);
        assert_eq!(failure.source.unwrap().to_string(), "the decoder panicked");
        assert_eq!(isolated(LONG, || Ok(1)).await.unwrap(), 1);
    }

    #[tokio::test]
    async fn what_takes_too_long_is_given_up() {
        let (release, held) = mpsc::channel::<()>();
        let limit = Duration::from_millis(20);
        let failure = isolated(limit, move || Ok(held.recv().is_ok())).await.unwrap_err();
        assert_eq!(failure.problem, ReferenceProblem::DecodeTimedOut { limit });
        drop(release);
    }
}
