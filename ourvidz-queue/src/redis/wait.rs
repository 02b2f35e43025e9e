use std::fmt;
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use super::connection::Connection;
use super::server::RedisServer;
use crate::lua::{Failure, Reply, Step};
use crate::{Claimed, PopSide, Result};

/// What waiting on one queue keeps.
#[derive(Default)]
pub struct Waiter {
    /// Only for `BLMOVE`. It is taken out while it blocks, so a wait that is dropped closes it.
    idle: Mutex<Option<Connection>>,
    /// Wake-ups after which no claim got a job.
    in_vain: AtomicU32,
}

/// Longest time one command blocks; proxies close connections that are silent for longer.
const LONGEST: Duration = Duration::from_secs(30);
const SHORTEST: Duration = Duration::from_millis(10);
/// How much longer than the command the client waits for its reply.
const GRACE: Duration = Duration::from_secs(2);
/// Longest pause while wake-ups are in vain.
const PAUSE: Duration = Duration::from_millis(500);

impl fmt::Debug for Waiter {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Waiter").field("in_vain", &self.in_vain).finish_non_exhaustive()
    }
}

impl Waiter {
    pub(super) fn claimed(&self, claimed: &Claimed) {
        if matches!(claimed, Claimed::Job(_)) {
            self.in_vain.store(0, Ordering::Relaxed);
        }
    }

    pub(super) async fn wait(
        &self,
        server: &RedisServer,
        list: &str,
        side: PopSide,
        at_most: Duration,
    ) -> Result<()> {
        let mut left = at_most;
        // Jobs that wait in a paused queue wake at once, and nobody gets them.
        let in_vain = self.in_vain.load(Ordering::Relaxed);
        if in_vain > 1 {
            let pause = Duration::from_millis(10 << in_vain.min(10)).min(PAUSE).min(left);
            tokio::time::sleep(pause).await;
            left -= pause;
        }
        if left.is_zero() {
            return Ok(());
        }
        let kept = self.idle.lock().unwrap_or_else(PoisonError::into_inner).take();
        let mut connection = match kept {
            Some(connection) => connection,
            None => {
                let open =
                    || Connection::open(&server.shared.client, server.shared.settings.connect_timeout, None);
                server.patience().run("wait for a job", Step::Repeatable, open).await?
            }
        };
        let end = match side {
            PopSide::Right => "RIGHT",
            PopSide::Left => "LEFT",
        };
        let timeout = left.clamp(SHORTEST, LONGEST);
        // From one end to the same end: the list does not change, so nothing can be lost on the way.
        let mut command = redis::cmd("BLMOVE");
        command.arg(list).arg(list).arg(end).arg(end).arg(timeout.as_secs_f64());
        let Ok(result) = tokio::time::timeout(timeout + GRACE, connection.send(&command)).await else {
            return Ok(());
        };
        match result {
            Ok(reply) => {
                match reply {
                    Reply::Nil => self.in_vain.store(0, Ordering::Relaxed),
                    _ => _ = self.in_vain.fetch_add(1, Ordering::Relaxed),
                }
                *self.idle.lock().unwrap_or_else(PoisonError::into_inner) = Some(connection);
                Ok(())
            }
            // The connection broke, the server restarts or hands over: early is allowed, and the next claim
            // learns more.
            Err(Failure::Unknown(_) | Failure::NotDone(_)) => Ok(()),
            Err(failure) => Err(failure.into_error("wait for a job")),
        }
    }
}
