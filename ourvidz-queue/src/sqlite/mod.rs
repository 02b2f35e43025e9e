//! The embedded queue: one SQLite file that several processes of one machine share.

mod admin;
mod callbacks;
mod claim;
mod failure;
mod file;
mod lists;
mod outbox;
mod settle;
#[cfg(test)]
mod tests;
mod thread;
mod tx;

use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use rusqlite::{Transaction, TransactionBehavior};

use self::thread::Store;
use self::tx::{Kind, Tx};
use crate::{Beat, ClaimId, Claimed, Clock, JobQueue, QueueOptions, Result, Settled, Settlement, WorkerId};

/// A queue in a SQLite file on a local disk. An operation that has succeeded survives the process and a power
/// loss. Several processes and several queues can share the file.
///
/// Clones are the same queue on the same connection. Each opened file has a thread of its own, which ends with
/// the last clone. An operation waits up to 5 s for other processes' operations.
#[derive(Debug, Clone)]
pub struct SqliteQueue {
    name: Arc<str>,
    options: Arc<QueueOptions>,
    clock: Clock,
    store: Arc<Store>,
}

/// Whether those who wait for jobs should look again.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Wake {
    Yes,
    No,
}

impl SqliteQueue {
    /// Opens `path`, and makes it and its folder, private to the user, where there is none. Blocks, up to some
    /// seconds if another process is busy with the file. Leases are measured on the machine's wall clock.
    ///
    /// # Errors
    /// [`Error::InvalidOption`](crate::Error::InvalidOption); [`Error::Refused`](crate::Error::Refused) where
    /// the file cannot be opened for writing or is damaged; [`Error::Corrupt`](crate::Error::Corrupt) where it is
    /// another program's, or a newer version's; [`Error::Unavailable`](crate::Error::Unavailable) where another
    /// process is busy with it or the disk fails.
    pub fn open(path: impl AsRef<Path>, name: impl AsRef<str>, options: QueueOptions) -> Result<Self> {
        Self::with_clock(path, name, options, Clock::System)
    }

    /// Opens `path` and reads the given clock.
    ///
    /// # Errors
    /// As [`SqliteQueue::open`].
    pub fn with_clock(
        path: impl AsRef<Path>,
        name: impl AsRef<str>,
        options: QueueOptions,
        clock: Clock,
    ) -> Result<Self> {
        options.validate()?;
        let store = Store::open(path.as_ref())?;
        Ok(Self { name: name.as_ref().into(), options: options.into(), clock, store: store.into() })
    }

    /// Another queue of the same file, with the same options: jobs can be transferred between the two.
    pub fn sibling(&self, name: impl AsRef<str>) -> Self {
        Self { name: name.as_ref().into(), ..self.clone() }
    }

    /// The file.
    pub fn path(&self) -> &Path {
        self.store.path()
    }

    /// One transaction that may write. One that changes nothing writes nothing to the disk.
    async fn write<T: Send + 'static>(
        &self,
        action: &'static str,
        wake: Wake,
        act: impl FnOnce(&Tx<'_>) -> rusqlite::Result<T> + Send + 'static,
    ) -> Result<T> {
        let (queue, waker) = (self.clone(), self.store.waker());
        let done = self.store.run(action, move |connection| {
            // Immediate: a transaction that read first could not become the writer after another process's write.
            let transaction = Transaction::new(connection, TransactionBehavior::Immediate)?;
            let answer = act(&queue.tx(&transaction))?;
            transaction.commit()?;
            if wake == Wake::Yes {
                waker.send_replace(());
            }
            Ok(answer)
        });
        done.await
    }

    /// One transaction that only reads, and sees one state of the file.
    async fn read<T: Send + 'static>(
        &self,
        action: &'static str,
        act: impl FnOnce(&Tx<'_>) -> rusqlite::Result<T> + Send + 'static,
    ) -> Result<T> {
        let queue = self.clone();
        let done = self.store.run(action, move |connection| {
            let transaction = Transaction::new(connection, TransactionBehavior::Deferred)?;
            act(&queue.tx(&transaction))
        });
        done.await
    }

    fn tx<'a>(&'a self, transaction: &'a Transaction<'_>) -> Tx<'a> {
        let now = i64::try_from(self.clock.now_ms()).unwrap_or(i64::MAX / 4);
        Tx { db: transaction, queue: &self.name, options: &self.options, now }
    }
}

#[async_trait]
impl JobQueue for SqliteQueue {
    fn name(&self) -> &str {
        &self.name
    }

    async fn push(&self, element: &str) -> Result<()> {
        let element = element.to_owned();
        self.write("push a job", Wake::Yes, move |tx| tx.push(&element)).await
    }

    async fn push_once(&self, job_id: &str, element: &str) -> Result<bool> {
        let (job_id, element) = (job_id.to_owned(), element.to_owned());
        self.write("push a job", Wake::Yes, move |tx| tx.push_once(&job_id, &element)).await
    }

    async fn claim(&self, claim: &ClaimId, worker: &WorkerId) -> Result<Claimed> {
        let (claim, worker) = (claim.clone(), worker.clone());
        self.write("claim a job", Wake::No, move |tx| tx.claim(&claim, worker.as_str())).await
    }

    /// Ends early when this process or another has changed the file; a paused queue has no job to wait for.
    async fn wait(&self, at_most: Duration) -> Result<()> {
        let mut changes = self.store.changes();
        let looked = self.read("look for waiting jobs", move |tx| {
            changes.mark_unchanged();
            Ok((tx.ready()?, changes))
        });
        let (ready, mut changes) = looked.await?;
        if !ready {
            let _elapsed = tokio::time::timeout(at_most, changes.changed()).await;
        }
        Ok(())
    }

    async fn beat(&self, claim: &ClaimId, job_id: &str) -> Result<Beat> {
        let (claim, job_id) = (claim.clone(), job_id.to_owned());
        self.write("renew a lease", Wake::No, move |tx| tx.beat(claim.as_str(), &job_id)).await
    }

    async fn cancelled(&self, job_id: &str) -> Result<bool> {
        let job_id = job_id.to_owned();
        self.read("look for a cancellation", move |tx| tx.remembers(Kind::Cancelled, &job_id)).await
    }

    async fn settle(&self, claim: &ClaimId, settlement: &Settlement) -> Result<Settled> {
        let (claim, settlement) = (claim.clone(), settlement.clone());
        self.write("settle a job", Wake::Yes, move |tx| tx.settle(claim.as_str(), &settlement)).await
    }

    fn lease(&self) -> Duration {
        self.options.lease
    }

    /// 100 ms: a read takes microseconds, but may have to wait for a write to reach the disk.
    fn cancel_interval(&self) -> Duration {
        Duration::from_millis(100)
    }
}
