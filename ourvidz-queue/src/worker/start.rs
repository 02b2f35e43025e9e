use std::fmt;
use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::broadcast;

use super::call::{Backoff, chain};
use super::ending::Endings;
use super::hands::Hands;
use super::heart::Heart;
use super::journal::Journal;
use super::{CallbackHint, JobHandler, JobRef, Outcome, Shutdown, WorkerEvent, WorkerOptions};
use crate::{Backend, Result, WorkerId};

/// Events kept for a receiver that lags.
const EVENT_CAPACITY: usize = 256;

/// How long the end of a worker waits for its handler to free what it holds.
const CLOSE_WAIT: Duration = Duration::from_secs(30);

/// Makes a queue handle on the thread that will use it.
pub(super) type Connect = Box<dyn FnMut() -> Pin<Box<dyn Future<Output = Result<Arc<dyn Backend>>>>> + Send>;

/// One worker on one queue. Dropping it without running it takes no job.
#[derive(Debug)]
pub struct Worker {
    pub(super) queue: Arc<dyn Backend>,
    pub(super) worker: WorkerId,
    pub(super) options: WorkerOptions,
    pub(super) hint: CallbackHint,
    pub(super) events: broadcast::Sender<WorkerEvent>,
    pub(super) endings: Endings,
    pub(super) journal: Option<Journal>,
    pub(super) hands: Hands,
    pub(super) heart: Heart,
    pub(super) backoff: Backoff,
    /// Whether the backend answered the last call.
    pub(super) reachable: bool,
    /// The handler's thread may never come back.
    pub(super) abandoned: bool,
}

/// How a [`Worker`] is made.
pub struct WorkerBuilder {
    queue: Arc<dyn Backend>,
    worker: WorkerId,
    options: WorkerOptions,
    hint: CallbackHint,
    connect: Connect,
}

/// What became of one claimed job.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Handled {
    /// Which job, in which attempt.
    pub job: Arc<JobRef>,
    /// What became of it.
    pub outcome: Outcome,
}

impl Worker {
    /// A worker on `queue`. `worker` is its name in leases, and `worker_id` of its callbacks.
    pub fn builder(queue: Arc<dyn Backend>, worker: WorkerId) -> WorkerBuilder {
        let same = queue.clone();
        WorkerBuilder {
            queue,
            worker,
            options: WorkerOptions::default(),
            hint: CallbackHint::new(),
            connect: Box::new(move || {
                let same = same.clone();
                Box::pin(async move { Ok(same) })
            }),
        }
    }

    /// What happens from now on. A receiver that lags by more than 256 events loses the oldest.
    pub fn subscribe(&self) -> broadcast::Receiver<WorkerEvent> {
        self.events.subscribe()
    }

    /// Replays the journal, then takes and ends jobs until `shutdown`. The future must not be dropped while
    /// jobs run: the lease of a job left like that runs out, and its attempt counts.
    ///
    /// # Errors
    /// [`Error::Handler`](crate::Error::Handler) when the handler cannot be made,
    /// [`Error::Stalled`](crate::Error::Stalled) when a job made no progress: the process has to be recycled, its
    /// handler's thread still hangs; errors of the backend that trying again does not mend. A backend that is
    /// not available is not an error: the worker waits for it.
    pub async fn run(self, shutdown: &Shutdown) -> Result<()> {
        self.work_and_close(shutdown, false).await.map(|_none| ())
    }

    /// Replays the journal, then takes one job if one is waiting, and ends it. `None`: nothing was waiting, or
    /// the worker was asked to end.
    ///
    /// # Errors
    /// As [`Worker::run`].
    pub async fn run_once(self, shutdown: &Shutdown) -> Result<Option<Handled>> {
        self.work_and_close(shutdown, true).await
    }

    async fn work_and_close(mut self, shutdown: &Shutdown, once: bool) -> Result<Option<Handled>> {
        let ended = self.work(shutdown, once).await;
        match &ended {
            Ok(_) => tracing::info!(worker = %self.worker, "ended"),
            Err(error) => tracing::error!(worker = %self.worker, error = chain(error), "ended by an error"),
        }
        if !self.abandoned {
            let at_most = if shutdown.is_draining() { self.options.drain_wait } else { CLOSE_WAIT };
            self.hands.close(at_most).await;
        }
        ended
    }

    pub(super) fn say(&self, event: WorkerEvent) {
        // Nobody listens: nobody is told.
        let _listeners = self.events.send(event);
    }
}

impl WorkerBuilder {
    /// Instead of the defaults.
    #[must_use]
    pub fn options(mut self, options: WorkerOptions) -> Self {
        self.options = options;
        self
    }

    /// How the heartbeat gets a queue handle of its own. `connect` is called on the heartbeat's thread, inside
    /// its runtime, and again after a while when it answers with a retryable error. Needed for backends whose
    /// connections belong to the runtime that made them (Redis, Upstash REST); without it, the heartbeat uses
    /// the worker's handle.
    #[must_use]
    pub fn heartbeat_queue<F, R>(mut self, mut connect: F) -> Self
    where
        F: FnMut() -> R + Send + 'static,
        R: Future<Output = Result<Arc<dyn Backend>>> + 'static,
    {
        self.connect = Box::new(move || Box::pin(connect()));
        self
    }

    /// Who is told when callbacks are due.
    #[must_use]
    pub fn callback_hint(mut self, hint: CallbackHint) -> Self {
        self.hint = hint;
        self
    }

    /// Starts the two threads. `make` is called on the handler's thread, now and again after each panic of the
    /// handler.
    ///
    /// # Errors
    /// [`Error::InvalidOption`](crate::Error::InvalidOption); [`Error::Thread`](crate::Error::Thread). That
    /// `make` has failed is told by [`Worker::run`].
    pub fn start<H, E>(self, make: impl FnMut() -> Result<H, E> + Send + 'static) -> Result<Worker>
    where
        H: JobHandler + 'static,
        E: Into<Box<dyn std::error::Error + Send + Sync>>,
    {
        self.options.validate()?;
        let Self { queue, worker, options, hint, connect } = self;
        Ok(Worker {
            endings: Endings { worker: worker.clone(), format: options.callbacks, retry: options.retry },
            journal: options.journal.clone().map(|folder| Journal::new(folder, queue.name())),
            hands: Hands::start(make)?,
            heart: Heart::start(connect, options.stall_timeout)?,
            backoff: Backoff::default(),
            reachable: true,
            abandoned: false,
            events: broadcast::Sender::new(EVENT_CAPACITY),
            queue,
            worker,
            options,
            hint,
        })
    }
}

impl fmt::Debug for WorkerBuilder {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("WorkerBuilder")
            .field("queue", &self.queue)
            .field("worker", &self.worker)
            .field("options", &self.options)
            .finish_non_exhaustive()
    }
}
