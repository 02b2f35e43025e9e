use std::time::Duration;

use async_trait::async_trait;
use serde::Deserialize;

use super::keys::cancel_keys;
use super::link::{Link, Step};
use super::queue::LuaQueue;
use super::reply::Reply;
use super::script::Script;
use crate::{
    ClaimId, Counts, DeadLetter, DeadReason, Delayed, InFlight, PopSide, QueueAdmin, Result, WorkerId,
};

/// How long a cancellation is remembered: 24 hours.
const CANCEL_SECONDS: &str = "86400";

/// A dead letter as `settle.lua` writes it.
#[derive(Deserialize)]
struct Letter {
    job_id: String,
    element: String,
    reason: DeadReason,
    attempts: u32,
    at_ms: u64,
}

impl<L: Link> LuaQueue<L> {
    pub(super) async fn view(&self, action: &'static str, what: &str, limit: usize) -> Result<Reply> {
        // More than a server keeps, and a whole number in Lua.
        let limit = limit.min(1_000_000_000).to_string();
        self.run(action, Script::Inspect, [], &[what, &limit]).await
    }
}

#[async_trait]
impl<L: Link> QueueAdmin for LuaQueue<L> {
    async fn counts(&self) -> Result<Counts> {
        let reply = self.view("count jobs", "counts", 0).await?;
        let [waiting, in_flight, delayed, dead, done, failed, callbacks, dead_callbacks, paused] =
            reply.items()?;
        Ok(Counts {
            waiting: waiting.count()?,
            in_flight: in_flight.count()?,
            delayed: delayed.count()?,
            dead: dead.count()?,
            done: done.count()?,
            failed: failed.count()?,
            callbacks: callbacks.count()?,
            dead_callbacks: dead_callbacks.count()?,
            paused: paused.int()? == 1,
        })
    }

    async fn waiting(&self, limit: usize) -> Result<Vec<String>> {
        let mut elements = self.view("list waiting jobs", "waiting", limit).await?.texts()?;
        if self.options.pop_side == PopSide::Right {
            elements.reverse();
        }
        Ok(elements)
    }

    async fn in_flight(&self) -> Result<Vec<InFlight>> {
        let reply = self.view("list jobs in flight", "in_flight", 0).await?;
        let read = |job: &Reply| {
            let [claim, worker, job_id, attempt, claimed, left] = job.items()?;
            Ok(InFlight {
                claim: ClaimId::from_text(claim.text()?),
                worker: WorkerId::from_text(worker.text()?),
                job_id: job_id.text()?,
                attempt: attempt.count()?,
                claimed_ms: claimed.count()?,
                lease_left: Duration::from_millis(left.count()?),
            })
        };
        let mut jobs = reply.list()?.iter().map(read).collect::<Result<Vec<_>>>()?;
        jobs.sort_by(|a, b| a.claim.cmp(&b.claim));
        Ok(jobs)
    }

    async fn delayed(&self, limit: usize) -> Result<Vec<Delayed>> {
        let reply = self.view("list delayed jobs", "delayed", limit).await?;
        let read = |job: &Reply| {
            let [element, due] = job.items()?;
            Ok(Delayed { element: element.text()?, due_in: Duration::from_millis(due.count()?) })
        };
        reply.list()?.iter().map(read).collect()
    }

    async fn dead(&self, limit: usize) -> Result<Vec<DeadLetter>> {
        let letters: Vec<Letter> =
            self.view("list dead letters", "dead", limit).await?.records("dead letter")?;
        let shown = letters.into_iter().map(|letter| DeadLetter {
            job_id: letter.job_id,
            element: letter.element,
            reason: letter.reason,
            attempts: letter.attempts,
            at_ms: letter.at_ms,
        });
        Ok(shown.collect())
    }

    async fn retry_dead(&self, job_id: &str) -> Result<usize> {
        self.run("retry dead letters", Script::RetryDead, [], &[job_id]).await?.count()
    }

    async fn remove(&self, job_id: &str) -> Result<usize> {
        self.run("remove a job", Script::Remove, [], &[job_id]).await?.count()
    }

    async fn cancel(&self, job_id: &str) -> Result<()> {
        let [key, _] = cancel_keys(self.keys.name(), job_id);
        let words = ["SET", &key, "1", "EX", CANCEL_SECONDS];
        self.link.command("cancel a job", &words, Step::Repeatable).await.map(drop)
    }

    async fn pause(&self) -> Result<()> {
        let words = ["SET", &self.keys.paused(), "1"];
        self.link.command("pause the queue", &words, Step::Repeatable).await.map(drop)
    }

    async fn resume(&self) -> Result<()> {
        let words = ["DEL", &self.keys.paused()];
        self.link.command("resume the queue", &words, Step::Repeatable).await.map(drop)
    }

    async fn release_worker(&self, worker: &WorkerId) -> Result<usize> {
        self.run("release a worker's jobs", Script::ReleaseWorker, [], &[worker.as_str()]).await?.count()
    }

    async fn warnings(&self) -> Result<Vec<String>> {
        self.link.warnings().await
    }
}
