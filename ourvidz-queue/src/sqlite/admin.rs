use async_trait::async_trait;

use super::{SqliteQueue, Wake};
use crate::{Counts, DeadLetter, Delayed, InFlight, QueueAdmin, Result, WorkerId};

#[async_trait]
impl QueueAdmin for SqliteQueue {
    async fn counts(&self) -> Result<Counts> {
        self.read("count jobs", |tx| tx.counts()).await
    }

    async fn waiting(&self, limit: usize) -> Result<Vec<String>> {
        self.read("list waiting jobs", move |tx| tx.waiting(limit)).await
    }

    async fn in_flight(&self) -> Result<Vec<InFlight>> {
        self.read("list leased jobs", |tx| tx.in_flight()).await
    }

    async fn delayed(&self, limit: usize) -> Result<Vec<Delayed>> {
        self.read("list delayed jobs", move |tx| tx.delayed(limit)).await
    }

    async fn dead(&self, limit: usize) -> Result<Vec<DeadLetter>> {
        self.read("list dead letters", move |tx| tx.dead(limit)).await
    }

    async fn retry_dead(&self, job_id: &str) -> Result<usize> {
        let job_id = job_id.to_owned();
        self.write("retry dead letters", Wake::Yes, move |tx| tx.retry_dead(&job_id)).await
    }

    async fn remove(&self, job_id: &str) -> Result<usize> {
        let job_id = job_id.to_owned();
        self.write("remove a job", Wake::No, move |tx| tx.remove(&job_id)).await
    }

    async fn cancel(&self, job_id: &str) -> Result<()> {
        let job_id = job_id.to_owned();
        self.write("cancel a job", Wake::No, move |tx| tx.cancel(&job_id)).await
    }

    async fn pause(&self) -> Result<()> {
        self.write("pause the queue", Wake::No, |tx| tx.set_paused(true)).await
    }

    async fn resume(&self) -> Result<()> {
        self.write("resume the queue", Wake::Yes, |tx| tx.set_paused(false)).await
    }

    async fn release_worker(&self, worker: &WorkerId) -> Result<usize> {
        let worker = worker.clone();
        self.write("release a worker's jobs", Wake::Yes, move |tx| tx.release_worker(worker.as_str())).await
    }

    async fn warnings(&self) -> Result<Vec<String>> {
        Ok(self.readable_by_others().into_iter().collect())
    }
}

impl SqliteQueue {
    #[cfg(unix)]
    fn readable_by_others(&self) -> Option<String> {
        use std::os::unix::fs::PermissionsExt;
        let mode = std::fs::metadata(self.path()).ok()?.permissions().mode() & 0o777;
        let path = self.path().display();
        (mode & 0o077 != 0)
            .then(|| format!("other users can open {path} (mode {mode:o}), which holds prompts"))
    }

    #[cfg(not(unix))]
    fn readable_by_others(&self) -> Option<String> {
        None
    }
}
