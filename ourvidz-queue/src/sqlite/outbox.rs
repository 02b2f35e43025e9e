use std::time::Duration;

use async_trait::async_trait;

use super::tx::millis;
use super::{SqliteQueue, Wake};
use crate::{CallbackEntry, ClaimId, DueCallbacks, Outbox, PendingCallback, Result};

#[async_trait]
impl Outbox for SqliteQueue {
    async fn announce(&self, claim: &ClaimId, callback: &PendingCallback) -> Result<bool> {
        let (claim, callback) = (claim.clone(), callback.clone());
        self.write("add a callback", Wake::No, move |tx| tx.announce(claim.as_str(), &callback)).await
    }

    async fn take_due(&self, limit: usize, hide: Duration) -> Result<DueCallbacks> {
        self.write("take due callbacks", Wake::No, move |tx| tx.take_due(limit, millis(hide))).await
    }

    async fn delivered(&self, id: &str) -> Result<()> {
        let id = id.to_owned();
        self.write("note a delivered callback", Wake::No, move |tx| tx.delivered(&id)).await
    }

    async fn postpone(&self, id: &str, after: Duration, error: &str) -> Result<()> {
        let (id, error) = (id.to_owned(), error.to_owned());
        self.write("postpone a callback", Wake::No, move |tx| tx.postpone(&id, millis(after), &error)).await
    }

    async fn bury(&self, id: &str, error: &str) -> Result<()> {
        let (id, error) = (id.to_owned(), error.to_owned());
        self.write("give up a callback", Wake::No, move |tx| tx.bury_callback(&id, &error)).await
    }

    async fn disable(&self, reason: &str) -> Result<()> {
        let reason = reason.to_owned();
        self.write("stop callbacks", Wake::No, move |tx| tx.stop_callbacks(Some(&reason))).await
    }

    async fn enable(&self) -> Result<()> {
        self.write("allow callbacks", Wake::No, |tx| tx.stop_callbacks(None)).await
    }

    async fn disabled(&self) -> Result<Option<String>> {
        self.read("read whether callbacks are stopped", |tx| tx.callbacks_stopped()).await
    }

    async fn waiting_callbacks(&self, limit: usize) -> Result<Vec<CallbackEntry>> {
        self.read("list waiting callbacks", move |tx| tx.waiting_callbacks(limit)).await
    }

    async fn dead_callbacks(&self, limit: usize) -> Result<Vec<CallbackEntry>> {
        self.read("list callbacks given up", move |tx| tx.dead_callbacks(limit)).await
    }

    async fn retry_callback(&self, id: &str) -> Result<bool> {
        let id = id.to_owned();
        self.write("retry a callback", Wake::No, move |tx| tx.retry_callback(&id)).await
    }
}
