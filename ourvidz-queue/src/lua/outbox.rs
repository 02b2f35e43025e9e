use std::time::Duration;

use async_trait::async_trait;

use super::link::{Link, Step};
use super::queue::{LuaQueue, time_until, whole_ms};
use super::reply::Reply;
use super::script::Script;
use crate::{CallbackEntry, ClaimId, DueCallbacks, Outbox, PendingCallback, Result};

const RECORD: &str = "callback in the outbox";

impl<L: Link> LuaQueue<L> {
    async fn callback(&self, action: &'static str, args: &[&str]) -> Result<Reply> {
        self.run(action, Script::Callback, [], args).await
    }
}

#[async_trait]
impl<L: Link> Outbox for LuaQueue<L> {
    async fn announce(&self, claim: &ClaimId, callback: &PendingCallback) -> Result<bool> {
        let args = [claim.as_str(), &callback.id, &callback.job_id, &callback.body];
        Ok(self.run("announce a job", Script::Announce, [], &args).await?.int()? == 1)
    }

    async fn take_due(&self, limit: usize, hide: Duration) -> Result<DueCallbacks> {
        // A reply of more would be too large for one request's limits.
        let (limit, hide) = (limit.min(1000).to_string(), whole_ms(hide));
        let reply = self.run("take due callbacks", Script::TakeDue, [], &[&limit, &hide]).await?;
        let [next, entries] = reply.items()?;
        Ok(DueCallbacks { entries: entries.records(RECORD)?, next_in: time_until(next)? })
    }

    async fn delivered(&self, id: &str) -> Result<()> {
        self.callback("mark a callback delivered", &["delivered", id]).await.map(drop)
    }

    async fn postpone(&self, id: &str, after: Duration, error: &str) -> Result<()> {
        let args = ["postpone", id, &whole_ms(after), error];
        self.callback("postpone a callback", &args).await.map(drop)
    }

    async fn bury(&self, id: &str, error: &str) -> Result<()> {
        self.callback("give up a callback", &["bury", id, error]).await.map(drop)
    }

    async fn disable(&self, reason: &str) -> Result<()> {
        let words = ["SET", &self.keys.disabled(), reason];
        self.link.command("stop callbacks", &words, Step::Repeatable).await.map(drop)
    }

    async fn enable(&self) -> Result<()> {
        let words = ["DEL", &self.keys.disabled()];
        self.link.command("allow callbacks", &words, Step::Repeatable).await.map(drop)
    }

    async fn disabled(&self) -> Result<Option<String>> {
        let words = ["GET", &self.keys.disabled()];
        match self.link.command("ask whether callbacks are stopped", &words, Step::Repeatable).await? {
            Reply::Nil => Ok(None),
            reply => reply.text().map(Some),
        }
    }

    async fn waiting_callbacks(&self, limit: usize) -> Result<Vec<CallbackEntry>> {
        self.view("list callbacks", "callbacks", limit).await?.records(RECORD)
    }

    async fn dead_callbacks(&self, limit: usize) -> Result<Vec<CallbackEntry>> {
        self.view("list dead callbacks", "dead_callbacks", limit).await?.records(RECORD)
    }

    async fn retry_callback(&self, id: &str) -> Result<bool> {
        Ok(self.callback("retry a callback", &["retry", id]).await?.int()? == 1)
    }
}
