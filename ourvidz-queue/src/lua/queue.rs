use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use uuid::Uuid;

use super::keys::{Keys, cancel_keys};
use super::link::{Link, Step};
use super::reply::Reply;
use super::script::Script;
use crate::{
    Beat, ClaimId, Claimed, Delivery, Empty, JobQueue, PendingCallback, PopSide, QueueOptions, Result,
    Settled, Settlement, WorkerId,
};

/// One queue on a server that runs Lua scripts: [`RedisQueue`](crate::RedisQueue) and
/// [`UpstashQueue`](crate::UpstashQueue) are its two kinds.
///
/// The queue's list is the plain name, e.g. `sdxl_queue`, and holds the waiting jobs and nothing else, so
/// producers that `LPUSH` and observers that `LLEN` need to know nothing else. The other keys begin with
/// `{sdxl_queue}:`. Cancellation marks are read under `sdxl_queue:cancel:<job>` and
/// `{sdxl_queue}:cancel:<job>`, and written under the first. Bytes of an element that are not UTF-8 are shown
/// as U+FFFD; the server keeps them. At most 1000 leases and 1000 delayed jobs are taken back by one claim.
/// A call is repeated after a lost reply; then `retry_dead`, `remove` and `release_worker` do what they should
/// and may say that there was nothing left to do. Redis Cluster is not supported. Clones are the same queue.
#[derive(Debug)]
pub struct LuaQueue<L: Link> {
    pub(super) link: L,
    pub(super) keys: Arc<Keys>,
    pub(super) options: QueueOptions,
    waiter: Arc<L::Waiter>,
}

impl<L: Link> Clone for LuaQueue<L> {
    fn clone(&self) -> Self {
        Self {
            link: self.link.clone(),
            keys: self.keys.clone(),
            options: self.options.clone(),
            waiter: self.waiter.clone(),
        }
    }
}

impl<L: Link> LuaQueue<L> {
    /// A queue of a server that was connected before.
    ///
    /// # Errors
    /// [`Error::InvalidOption`](crate::Error::InvalidOption) for the name or an option.
    pub fn on(server: L, name: impl Into<String>, options: QueueOptions) -> Result<Self> {
        options.validate()?;
        let keys = Arc::new(Keys::new(name.into())?);
        let waiter = Arc::new(server.waiter(keys.name()));
        Ok(Self { link: server, keys, options, waiter })
    }

    /// Another queue of the same server, with the same options, over the same connection: jobs can be
    /// transferred between the two.
    ///
    /// # Errors
    /// As [`LuaQueue::on`].
    pub fn sibling(&self, name: impl Into<String>) -> Result<Self> {
        Self::on(self.link.clone(), name, self.options.clone())
    }

    /// Runs a script with the queue's keys and options before its own.
    pub(super) async fn run(
        &self,
        action: &'static str,
        script: Script,
        keys: impl IntoIterator<Item = String> + Send,
        args: &[&str],
    ) -> Result<Reply> {
        let mut all_keys = self.keys.own().to_vec();
        all_keys.extend(keys);
        let side = match self.options.pop_side {
            PopSide::Right => "right",
            PopSide::Left => "left",
        };
        let mut all_args = vec![
            self.link.now().await?,
            side.to_owned(),
            self.options.max_attempts.to_string(),
            whole_ms(self.options.lease),
            whole_ms(self.options.reaped_delay),
            self.options.fair_share.map_or(0, |fair| fair.window).to_string(),
        ];
        all_args.extend(args.iter().map(|&arg| arg.to_owned()));
        self.link.script(action, script, &all_keys, &all_args).await
    }

    pub(super) async fn exists(&self, action: &'static str, keys: &[String]) -> Result<bool> {
        let mut words = vec!["EXISTS"];
        words.extend(keys.iter().map(String::as_str));
        Ok(self.link.command(action, &words, Step::Repeatable).await?.int()? > 0)
    }

    fn push_command(&self) -> &'static str {
        match self.options.pop_side {
            PopSide::Right => "LPUSH",
            PopSide::Left => "RPUSH",
        }
    }
}

#[async_trait]
impl<L: Link> JobQueue for LuaQueue<L> {
    fn name(&self) -> &str {
        self.keys.name()
    }

    async fn push(&self, element: &str) -> Result<()> {
        let words = [self.push_command(), self.keys.name(), element];
        self.link.command("push a job", &words, Step::Once).await.map(drop)
    }

    async fn push_once(&self, job_id: &str, element: &str) -> Result<bool> {
        // Names the call, so that its repetition after a lost reply gives the same answer.
        let call = Uuid::new_v4().simple().to_string();
        let keys = [self.keys.pushed(job_id)];
        let reply = self.run("push a job", Script::PushOnce, keys, &[element, &call]).await?;
        Ok(reply.int()? == 1)
    }

    async fn claim(&self, claim: &ClaimId, worker: &WorkerId) -> Result<Claimed> {
        let args = [claim.as_str(), worker.as_str()];
        let reply = self.run("claim a job", Script::Claim, [], &args).await?;
        let claimed = read_claimed(claim, &reply)?;
        self.link.claimed(&self.waiter, &claimed);
        Ok(claimed)
    }

    async fn wait(&self, at_most: Duration) -> Result<()> {
        self.link.wait(&self.waiter, self.keys.name(), self.options.pop_side, at_most).await
    }

    async fn beat(&self, claim: &ClaimId, job_id: &str) -> Result<Beat> {
        let keys = cancel_keys(self.keys.name(), job_id);
        let reply = self.run("renew a lease", Script::Beat, keys, &[claim.as_str()]).await?;
        match reply.text()?.as_str() {
            "held" => Ok(Beat::Held),
            "cancelled" => Ok(Beat::Cancelled),
            "lost" => Ok(Beat::Lost),
            _ => Err(reply.unexpected("must be held, cancelled or lost")),
        }
    }

    async fn cancelled(&self, job_id: &str) -> Result<bool> {
        self.exists("ask whether a job is cancelled", &cancel_keys(self.keys.name(), job_id)).await
    }

    async fn settle(&self, claim: &ClaimId, settlement: &Settlement) -> Result<Settled> {
        let to = match settlement {
            Settlement::Transfer { queue } => Keys::new(queue.clone())?.name().to_owned(),
            _ => self.keys.name().to_owned(),
        };
        let args = settlement_args(settlement);
        let mut words = vec![claim.as_str()];
        words.extend(args.iter().map(String::as_str));
        let reply = self.run("settle a job", Script::Settle, [to], &words).await?;
        match reply.text()?.as_str() {
            "applied" => Ok(Settled::Applied),
            "already" => Ok(Settled::Already),
            "lost" => Ok(Settled::Lost),
            _ => Err(reply.unexpected("must be applied, already or lost")),
        }
    }

    fn lease(&self) -> Duration {
        self.options.lease
    }

    fn cancel_interval(&self) -> Duration {
        self.link.cancel_interval()
    }
}

fn read_claimed(claim: &ClaimId, reply: &Reply) -> Result<Claimed> {
    match reply.list()? {
        [kind] if kind.text()? == "spent" => Ok(Claimed::Spent),
        [kind, job, callback, paused] if kind.text()? == "empty" => Ok(Claimed::Empty(Empty {
            next_job_in: time_until(job)?,
            callback_in: time_until(callback)?,
            paused: paused.int()? == 1,
        })),
        [kind, element, attempt, exhausted, reason] if kind.text()? == "job" => Ok(Claimed::Job(Delivery {
            claim: claim.clone(),
            element: element.text()?,
            attempt: attempt.count()?,
            exhausted: if exhausted.int()? == 1 { Some(reason.text()?) } else { None },
        })),
        _ => Err(reply.unexpected("must be a job, empty or spent")),
    }
}

/// What `settle.lua` takes after the claim.
fn settlement_args(settlement: &Settlement) -> Vec<String> {
    let ended = |kind: &str, callback: &Option<PendingCallback>| match callback {
        None => vec![kind.to_owned(), String::new(), String::new(), String::new(), String::new()],
        Some(PendingCallback { id, job_id, body }) => {
            let begun = PendingCallback::id_of(job_id, "processing");
            vec![kind.to_owned(), id.clone(), job_id.clone(), body.clone(), begun]
        }
    };
    match settlement {
        Settlement::Done { callback } => ended("done", callback),
        Settlement::Failed { callback, dead_letter } => {
            let mut args = ended("failed", callback);
            args.extend(match dead_letter {
                Some(reason) => ["1".to_owned(), reason.code.clone(), reason.message.clone()],
                None => Default::default(),
            });
            args
        }
        Settlement::Retry { after, reason } => vec!["retry".into(), whole_ms(*after), reason.clone()],
        Settlement::GiveBack => vec!["give_back".into()],
        Settlement::Transfer { .. } => vec!["transfer".into()],
    }
}

/// Milliseconds, at most 31 years: Lua counts in doubles, and its JSON writes 14 digits.
pub(super) fn whole_ms(duration: Duration) -> String {
    duration.as_millis().min(1_000_000_000_000).to_string()
}

/// -1 is never.
pub(super) fn time_until(reply: &Reply) -> Result<Option<Duration>> {
    Ok(u64::try_from(reply.int()?).ok().map(Duration::from_millis))
}
