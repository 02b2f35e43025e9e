//! Clients that wait for an element, served in the order in which they came.

use tokio::sync::oneshot;

use super::store::Store;
use super::table;
use crate::Reply;

/// A client inside `BLPOP` and its kind.
#[derive(Debug)]
pub(crate) struct Waiter {
    pub(crate) id: u64,
    pub(crate) words: Vec<Vec<u8>>,
    /// On the server's clock; `None` waits for ever.
    pub(crate) deadline_us: Option<i64>,
    pub(crate) sender: oneshot::Sender<Reply>,
}

impl Store {
    /// Gives elements to those who wait, oldest first, until nobody can be served.
    pub(crate) fn serve_waiters(&mut self) {
        let mut at = 0;
        while at < self.waiters.len() {
            let words = self.waiters[at].words.clone();
            // A key of another type is as good as no key to a client that waits already.
            let reply = table::run(self, &words);
            if reply.is_nil() || reply.is_error() {
                at += 1;
                continue;
            }
            let waiter = self.waiters.remove(at);
            // The connection may be gone: then the element is lost to it, as with Redis.
            let _ = waiter.sender.send(reply);
            at = 0;
        }
    }

    /// Answers those whose time is over on the server's clock.
    pub(crate) fn expire_waiters(&mut self) {
        let now = self.now_us();
        let waiters = std::mem::take(&mut self.waiters);
        let (over, rest): (Vec<_>, Vec<_>) =
            waiters.into_iter().partition(|waiter| waiter.deadline_us.is_some_and(|at| at <= now));
        self.waiters = rest;
        for waiter in over {
            let _ = waiter.sender.send(Reply::NilArray);
        }
    }
}

/// Seconds of a blocking command as microseconds; zero is `None`, for ever.
pub(crate) fn timeout_us(words: &[Vec<u8>]) -> Result<Option<i64>, String> {
    let text = words.last().map(|word| String::from_utf8_lossy(word).into_owned()).unwrap_or_default();
    let seconds: f64 = text.parse().map_err(|_| "ERR timeout is not a float or out of range")?;
    if !seconds.is_finite() {
        return Err("ERR timeout is not a float or out of range".into());
    }
    match seconds {
        s if s < 0.0 => Err("ERR timeout is negative".into()),
        0.0 => Ok(None),
        s => Ok(Some((s * 1e6) as i64)),
    }
}
