use std::any::Any;
use std::io;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::mpsc as blocking;
use std::thread;
use std::time::Duration;

use ourvidz_core::job::Job;
use ourvidz_core::job::callback::Callback;
use tokio::sync::{mpsc, oneshot};

use super::{JobControl, JobFailure, JobHandler};
use crate::{Error, Result};

type BoxError = Box<dyn std::error::Error + Send + Sync>;

/// The handler's thread, seen from the worker.
#[derive(Debug)]
pub(super) struct Hands {
    tasks: blocking::Sender<Task>,
    ready: Readiness,
    gone: oneshot::Receiver<()>,
}

/// One call of the handler.
#[derive(Debug)]
struct Task {
    job: Job,
    control: JobControl,
    answer: oneshot::Sender<Answer>,
}

/// How the handler's call ended.
#[derive(Debug)]
#[expect(clippy::large_enum_variant, reason = "there is one at a time")]
pub(super) enum Answer {
    Returned(Result<Callback, JobFailure>),
    Panicked,
}

/// Whether a thread has what it works with.
#[derive(Debug)]
pub(super) struct Readiness {
    thread: &'static str,
    told: mpsc::UnboundedReceiver<Result<()>>,
    ready: bool,
}

impl Hands {
    pub(super) fn start<H, E>(make: impl FnMut() -> Result<H, E> + Send + 'static) -> Result<Self>
    where
        H: JobHandler + 'static,
        E: Into<BoxError>,
    {
        let (tasks, inbox) = blocking::channel();
        let (tell, ready) = Readiness::new("handler");
        let (alive, gone) = oneshot::channel();
        let body = move || {
            serve(make, &inbox, &tell);
            drop(alive);
        };
        thread::Builder::new()
            .name("ourvidz-handler".to_owned())
            .spawn(body)
            .map_err(|source| Error::Thread { thread: "handler", source })?;
        Ok(Self { tasks, ready, gone })
    }

    /// Completes when a handler is there; at once, but for the start and after a panic.
    pub(super) async fn ready(&mut self) -> Result<()> {
        self.ready.reached().await
    }

    /// Calls the handler; `None` if its thread is gone.
    pub(super) async fn handle(&mut self, job: Job, control: JobControl) -> Option<Answer> {
        let (answer, answered) = oneshot::channel();
        self.tasks.send(Task { job, control, answer }).ok()?;
        let answer = answered.await.ok()?;
        // The thread makes a new handler after a panic, and tells when it has.
        self.ready.ready = matches!(answer, Answer::Returned(_));
        Some(answer)
    }

    /// Lets the handler go, and waits until it is dropped, at most `at_most`.
    pub(super) async fn close(self, at_most: Duration) {
        drop(self.tasks);
        let _gone = tokio::time::timeout(at_most, self.gone).await;
    }
}

impl Readiness {
    pub(super) fn new(thread: &'static str) -> (mpsc::UnboundedSender<Result<()>>, Self) {
        let (tell, told) = mpsc::unbounded_channel();
        (tell, Self { thread, told, ready: false })
    }

    pub(super) async fn reached(&mut self) -> Result<()> {
        if !self.ready {
            self.told.recv().await.unwrap_or_else(|| Err(gone(self.thread)))?;
            self.ready = true;
        }
        Ok(())
    }
}

pub(super) fn gone(thread: &'static str) -> Error {
    Error::Thread { thread, source: io::Error::other("it has ended") }
}

/// The handler's thread. A handler that panicked is in an unknown state: it is dropped, and another is made.
fn serve<H: JobHandler, E: Into<BoxError>>(
    mut make: impl FnMut() -> Result<H, E>,
    inbox: &blocking::Receiver<Task>,
    tell: &mpsc::UnboundedSender<Result<()>>,
) {
    loop {
        let made = catch_unwind(AssertUnwindSafe(&mut make));
        let mut handler = match made {
            Ok(Ok(handler)) => handler,
            Ok(Err(error)) => return fail(tell, error.into()),
            Err(_payload) => return fail(tell, "its maker panicked".into()),
        };
        if tell.send(Ok(())).is_err() || !serve_until_panic(&mut handler, inbox) {
            return;
        }
        if catch_unwind(AssertUnwindSafe(|| drop(handler))).is_err() {
            tracing::error!("dropping a handler that had panicked has panicked");
        }
    }
}

/// Whether the handler has panicked; otherwise the worker has let it go.
fn serve_until_panic(handler: &mut impl JobHandler, inbox: &blocking::Receiver<Task>) -> bool {
    for Task { job, control, answer } in inbox {
        let returned = catch_unwind(AssertUnwindSafe(|| handler.handle(&job, &control)));
        let (answered, panicked) = match returned {
            Ok(returned) => (Answer::Returned(returned), false),
            Err(payload) => {
                tracing::error!(job = %job.id, "the handler has panicked");
                // May hold anything the handler had at hand, prompts too.
                tracing::debug!(job = %job.id, "panicked with: {}", text_of(payload.as_ref()));
                (Answer::Panicked, true)
            }
        };
        // Nobody waits for a job that was abandoned.
        let _waited_for = answer.send(answered);
        if panicked {
            return true;
        }
    }
    false
}

fn fail(tell: &mpsc::UnboundedSender<Result<()>>, source: BoxError) {
    let _listening = tell.send(Err(Error::Handler { source }));
}

fn text_of(payload: &(dyn Any + Send)) -> &str {
    let text = payload.downcast_ref::<String>().map(String::as_str);
    text.or_else(|| payload.downcast_ref::<&str>().copied()).unwrap_or("something that is no text")
}
