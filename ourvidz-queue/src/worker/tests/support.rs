use std::convert::Infallible;
use std::sync::{Arc, Mutex, mpsc};
use std::time::Duration;

use ourvidz_core::job::callback::{Callback, CallbackFormat, SdxlMetadata};
use ourvidz_core::job::{Job, JobRequest};
use serde_json::Value;

use super::faulty::Faulty;
use crate::worker::*;
use crate::*;

pub(super) const JOB: &str = r#"{"id":"j1","type":"sdxl_image_fast","user_id":"u1","prompt":"a fox"}"#;

/// A queue under a clock that stands, and what a worker on it needs.
pub(super) struct Rig {
    pub(super) clock: ManualClock,
    pub(super) queue: Arc<Faulty>,
    pub(super) shutdown: Shutdown,
    pub(super) hint: CallbackHint,
}

/// A handler made of a function.
pub(super) struct Fake<F>(F);

impl<F> Fake<F> {
    pub(super) fn new(handle: F) -> Self {
        Self(handle)
    }
}

impl<F: FnMut(&Job, &JobControl) -> Result<Callback, JobFailure>> JobHandler for Fake<F> {
    fn handle(&mut self, job: &Job, control: &JobControl) -> Result<Callback, JobFailure> {
        (self.0)(job, control)
    }
}

impl Rig {
    pub(super) fn new() -> Self {
        Self::with(QueueOptions::default())
    }

    pub(super) fn with(options: QueueOptions) -> Self {
        let clock = ManualClock::new(1_000_000);
        let queue = MemoryQueue::with_clock("sdxl_queue", options, Clock::Manual(clock.clone())).unwrap();
        let queue = Arc::new(Faulty::new(queue));
        Self { clock, queue, shutdown: Shutdown::new(), hint: CallbackHint::new() }
    }

    pub(super) fn worker<F>(&self, options: WorkerOptions, handler: F) -> Worker
    where
        F: FnMut(&Job, &JobControl) -> Result<Callback, JobFailure> + Clone + Send + 'static,
    {
        Worker::builder(self.queue.clone(), WorkerId::from_text("w1"))
            .options(options)
            .callback_hint(self.hint.clone())
            .start(move || Ok::<_, Infallible>(Fake(handler.clone())))
            .unwrap()
    }

    /// Has one job handled by a fresh worker.
    pub(super) async fn once<F>(&self, handler: F) -> Option<Outcome>
    where
        F: FnMut(&Job, &JobControl) -> Result<Callback, JobFailure> + Clone + Send + 'static,
    {
        let handled = self.worker(options(), handler).run_once(&self.shutdown).await.unwrap();
        handled.map(|handled| handled.outcome)
    }

    pub(super) async fn push(&self, element: &str) {
        self.queue.push(element).await.unwrap();
    }

    /// The bodies in the outbox, in the order they fell due.
    pub(super) async fn callbacks(&self) -> Vec<Value> {
        let entries = self.queue.waiting_callbacks(100).await.unwrap();
        entries.iter().map(|entry| serde_json::from_str(&entry.callback.body).unwrap()).collect()
    }

    pub(super) async fn counts(&self) -> Counts {
        self.queue.counts().await.unwrap()
    }

    pub(super) async fn dead_codes(&self) -> Vec<String> {
        let dead = self.queue.dead(100).await.unwrap();
        dead.into_iter().map(|letter| letter.reason.code).collect()
    }
}

pub(super) fn options() -> WorkerOptions {
    let job_types = WorkerOptions::for_family(ourvidz_core::job::Family::Sdxl).job_types;
    WorkerOptions { job_types, callbacks: Some(CallbackFormat::Assets), ..Default::default() }
}

pub(super) fn job(id: &str) -> String {
    JOB.replace("j1", id)
}

/// What a handler answers that made its job.
pub(super) fn made(job: &Job) -> Result<Callback, JobFailure> {
    match &job.request {
        JobRequest::Sdxl(request) => {
            Ok(Callback::completed(job, Vec::new(), SdxlMetadata::new(job, request, 7)))
        }
        other => panic!("not an SDXL job: {other:?}"),
    }
}

/// Blocks a handler's thread until its job is to stop.
pub(super) fn until_stopped(control: &JobControl) -> Stop {
    let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
    runtime.block_on(control.stopped())
}

pub(super) const SECOND: Duration = Duration::from_secs(1);

/// What a handler waits for until the test says so, or lets go.
pub(super) fn gate() -> (mpsc::Sender<()>, Arc<Mutex<mpsc::Receiver<()>>>) {
    let (go, gate) = mpsc::channel();
    (go, Arc::new(Mutex::new(gate)))
}
