use std::sync::Arc;
use std::thread;
use std::time::Duration;

use tokio::sync::mpsc;

use super::call::{Backoff, chain};
use super::hands::{Readiness, gone};
use super::start::Connect;
use super::watch::{Watched, watch};
use crate::{Backend, Error, Result};

/// The heartbeat's thread, seen from the worker. It ends when this is dropped.
#[derive(Debug)]
pub(super) struct Heart {
    jobs: mpsc::UnboundedSender<Watched>,
    ready: Readiness,
}

impl Heart {
    pub(super) fn start(connect: Connect, stall_timeout: Duration) -> Result<Self> {
        let (jobs, inbox) = mpsc::unbounded_channel();
        let (tell, ready) = Readiness::new("heartbeat");
        let failed = |source| Error::Thread { thread: "heartbeat", source };
        let body = move || match tokio::runtime::Builder::new_current_thread().enable_all().build() {
            Ok(runtime) => runtime.block_on(serve(connect, inbox, tell, stall_timeout)),
            Err(source) => {
                let _listening = tell.send(Err(failed(source)));
            }
        };
        thread::Builder::new().name("ourvidz-heartbeat".to_owned()).spawn(body).map_err(failed)?;
        Ok(Self { jobs, ready })
    }

    /// Completes when the thread has its queue handle.
    pub(super) async fn ready(&mut self) -> Result<()> {
        self.ready.reached().await
    }

    /// Renews the job's lease and watches over it until the worker says that it has ended.
    pub(super) fn watch(&self, watched: Watched) -> Result<()> {
        self.jobs.send(watched).map_err(|_returned| gone("heartbeat"))
    }
}

async fn serve(
    connect: Connect,
    mut inbox: mpsc::UnboundedReceiver<Watched>,
    tell: mpsc::UnboundedSender<Result<()>>,
    stall_timeout: Duration,
) {
    let connected = tokio::select! {
        connected = connect_patiently(connect) => connected,
        // Nothing is sent before this is ready: the worker was dropped.
        _dropped = inbox.recv() => return,
    };
    let queue = match connected {
        Ok(queue) => queue,
        Err(error) => {
            let _listening = tell.send(Err(error));
            return;
        }
    };
    let _listening = tell.send(Ok(()));
    while let Some(watched) = inbox.recv().await {
        watch(queue.as_ref(), watched, stall_timeout).await;
    }
}

async fn connect_patiently(mut connect: Connect) -> Result<Arc<dyn Backend>> {
    let mut backoff = Backoff::default();
    let mut warned = false;
    loop {
        match connect().await {
            Err(error) if error.retryable() => {
                if !warned {
                    tracing::warn!(error = chain(&error), "the heartbeat cannot reach the queue; trying on");
                    warned = true;
                }
                tokio::time::sleep(backoff.next()).await;
            }
            connected => return connected,
        }
    }
}
