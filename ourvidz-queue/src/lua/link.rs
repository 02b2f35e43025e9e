use std::future::Future;
use std::time::Duration;

use async_trait::async_trait;
use tokio::time::Instant;

use super::reply::Reply;
use super::script::Script;
use crate::{Claimed, Error, PopSide, Result};

/// How scripts and commands reach a server.
#[async_trait]
pub trait Link: Clone + std::fmt::Debug + Send + Sync + 'static {
    /// What one queue keeps between two waits.
    type Waiter: std::fmt::Debug + Send + Sync;

    /// For the queue of this name.
    fn waiter(&self, name: &str) -> Self::Waiter;

    /// The time as the scripts take it: milliseconds since 1970, or empty for the server's clock.
    async fn now(&self) -> Result<String>;

    /// Runs a script; repeats it after transport errors.
    async fn script(
        &self,
        action: &'static str,
        script: Script,
        keys: &[String],
        args: &[String],
    ) -> Result<Reply>;

    /// Runs one command. After an error that leaves open whether it took place, it is repeated only if the
    /// repetition changes nothing.
    async fn command(&self, action: &'static str, words: &[&str], step: Step) -> Result<Reply>;

    /// As [`JobQueue::wait`](crate::JobQueue::wait).
    async fn wait(&self, waiter: &Self::Waiter, list: &str, side: PopSide, at_most: Duration) -> Result<()>;

    /// A claim was answered.
    fn claimed(&self, waiter: &Self::Waiter, claimed: &Claimed);

    /// As [`JobQueue::cancel_interval`](crate::JobQueue::cancel_interval).
    fn cancel_interval(&self) -> Duration;

    /// As [`QueueAdmin::warnings`](crate::QueueAdmin::warnings).
    async fn warnings(&self) -> Result<Vec<String>>;
}

/// Whether a command may be sent again when nobody knows whether it took place.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Step {
    Repeatable,
    Once,
}

pub(crate) type Source = Box<dyn std::error::Error + Send + Sync>;

/// Why one try failed.
#[derive(Debug)]
pub(crate) enum Failure {
    /// It did not take place; soon it may.
    NotDone(Source),
    /// Nobody knows whether it took place.
    Unknown(Source),
    /// It did not take place, and will not within seconds: memory or a quota is used up.
    Later(Source),
    /// It never will.
    Refused(Source),
    /// The server does not know the script; nothing took place.
    NoScript(Source),
}

impl Failure {
    pub(crate) fn into_error(self, action: &'static str) -> Error {
        match self {
            Failure::NotDone(source) | Failure::Unknown(source) | Failure::Later(source) => {
                Error::Unavailable { action, source }
            }
            Failure::Refused(source) | Failure::NoScript(source) => Error::Refused { action, source },
        }
    }
}

/// How long a call goes on trying. Back-off with full jitter, doubling from 100 ms to 800 ms.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Patience {
    /// Tries in all.
    pub(crate) tries: u32,
    /// No new try after this.
    pub(crate) total: Duration,
}

impl Patience {
    /// At most six tries, which wait 2.3 s at most in between; none begins once a request that hung for
    /// `response_timeout` has been repeated.
    pub(crate) fn for_timeout(response_timeout: Duration) -> Self {
        Self { tries: 6, total: response_timeout + Duration::from_secs(2) }
    }

    pub(crate) async fn run<T, F>(
        self,
        action: &'static str,
        step: Step,
        mut attempt: impl FnMut() -> F + Send,
    ) -> Result<T>
    where
        F: Future<Output = Result<T, Failure>> + Send,
        T: Send,
    {
        let begun = Instant::now();
        let mut tries = 0;
        loop {
            let failure = match attempt().await {
                Ok(value) => return Ok(value),
                Err(failure) => failure,
            };
            tries += 1;
            let again = match failure {
                Failure::NotDone(_) => true,
                Failure::Unknown(_) => step == Step::Repeatable,
                Failure::Later(_) | Failure::Refused(_) | Failure::NoScript(_) => false,
            };
            if !again || tries >= self.tries || begun.elapsed() >= self.total {
                return Err(failure.into_error(action));
            }
            tracing::debug!(action, tries, ?failure, "trying again");
            let longest = Duration::from_millis(100 << (tries - 1).min(3));
            tokio::time::sleep(longest.mul_f64(rand::random())).await;
        }
    }
}

/// What an error reply of the server means for the command.
pub(crate) fn failure_of_text(text: &str, source: Source) -> Failure {
    // Errors of commands inside a script begin with `ERR` before Redis 7 and quote the command's own.
    let has = |code: &str| {
        text.starts_with(code)
            || (text.starts_with("ERR")
                && [": -", "@-", " -"].iter().any(|mark| text.contains(&format!("{mark}{code}"))))
    };
    if ["LOADING", "READONLY", "CLUSTERDOWN", "MASTERDOWN", "BUSY", "TRYAGAIN", "UNBLOCKED"]
        .iter()
        .any(|c| has(c))
    {
        return Failure::NotDone(source);
    }
    if has("NOSCRIPT") {
        return Failure::NoScript(source);
    }
    if text.contains("max number of clients reached") || text.contains("max concurrent connections exceeded")
    {
        return Failure::NotDone(source);
    }
    let quota = ["max daily request limit", "max requests limit", "DB capacity quota"];
    if ["OOM", "MISCONF", "NOREPLICAS"].iter().any(|c| has(c))
        || quota.iter().any(|words| text.contains(words))
    {
        return Failure::Later(source);
    }
    Failure::Refused(source)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn kind(text: &str) -> &'static str {
        match failure_of_text(text, text.into()) {
            Failure::NotDone(_) => "soon",
            Failure::Unknown(_) => "unknown",
            Failure::Later(_) => "later",
            Failure::Refused(_) => "refused",
            Failure::NoScript(_) => "no script",
        }
    }

    #[test]
    fn replies_say_whether_to_come_back() {
        for text in [
            "LOADING Redis is loading the dataset in memory",
            "READONLY You can't write against a read only replica.",
            "BUSY Redis is busy running a script.",
            "ERR max number of clients reached",
            "ERR Error running script (call to f_1): @user_script:9: @user_script: 9: -READONLY You can't write",
        ] {
            assert_eq!(kind(text), "soon", "{text}");
        }
        for text in [
            "OOM command not allowed when used memory > 'maxmemory'.",
            "ERR Error running script (call to f_1): @user_script:9: -OOM command not allowed when used memory",
            "MISCONF Redis is configured to save RDB snapshots",
            "ERR max daily request limit exceeded. Limit: 10000, Usage: 10000.",
            "ERR DB capacity quota exceeded",
        ] {
            assert_eq!(kind(text), "later", "{text}");
        }
        for text in [
            "NOAUTH Authentication required.",
            "WRONGPASS invalid username-password pair or user is disabled.",
            "NOPERM this user has no permissions to run the 'evalsha' command",
            "WRONGTYPE Operation against a key holding the wrong kind of value",
            "ERR max request size exceeded",
            "ERR wrong number of arguments for 'get' command",
        ] {
            assert_eq!(kind(text), "refused", "{text}");
        }
    }

    #[tokio::test(start_paused = true)]
    async fn an_open_question_is_asked_again_only_where_that_is_safe() {
        for (step, expected) in [(Step::Repeatable, 6), (Step::Once, 1)] {
            let mut tries = 0;
            let result: Result<()> = Patience::for_timeout(Duration::from_secs(5))
                .run("test", step, || {
                    tries += 1;
                    async { Err(Failure::Unknown("no reply".into())) }
                })
                .await;
            assert!(matches!(result, Err(Error::Unavailable { .. })));
            assert_eq!(tries, expected, "{step:?}");
        }
    }

    #[tokio::test(start_paused = true)]
    async fn hanging_requests_do_not_add_up() {
        let begun = Instant::now();
        let result: Result<()> = Patience::for_timeout(Duration::from_secs(5))
            .run("test", Step::Repeatable, || async {
                tokio::time::sleep(Duration::from_secs(5)).await;
                Err(Failure::Unknown("no reply".into()))
            })
            .await;
        assert!(result.is_err());
        assert!(begun.elapsed() < Duration::from_secs(11), "{:?}", begun.elapsed());
    }
}
