use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context, Result};
use ourvidz_core::job::Family;
use ourvidz_queue::worker::{CallbackHint, Handled, Outcome, Shutdown, Worker, WorkerEvent, WorkerOptions};
use ourvidz_queue::{Backend, QueueName, WorkerId};
use ourvidz_storage::Storage;
use serde_json::json;
use tokio::sync::broadcast::Receiver;
use tokio::sync::broadcast::error::RecvError;

use super::callbacks::deliver;
use super::connect::backend;
use crate::cli::{
    WanModelOptions, WanWorkerOptions, WorkerArguments, WorkerFamily, WorkerOptions as Options,
};
use crate::config::Settings;
use crate::failure::Failure;
use crate::output;
use crate::sdxl_jobs::SdxlHandler;
use crate::store::Store;
use crate::wan_jobs::{Enhancer, References, WanHandler};

/// How long `--once` waits for its callbacks to be accepted. Later ones stay in the outbox.
const LAST_CALLBACKS: Duration = Duration::from_secs(10);

/// `ourvidz worker ...`: works on one queue until told to stop.
pub(crate) fn worker(arguments: &WorkerArguments, json: bool) -> Result<(), Failure> {
    let work = Work::of(&arguments.family);
    let settings = Settings::read(&work.options.service).map_err(Failure::arguments)?;
    super::block_on(async {
        let shutdown = Shutdown::new();
        stop_on_signals(shutdown.clone())?;
        work.run(&Arc::new(settings), Some(json), &shutdown).await
    })?;
    Ok(())
}

/// Works on one queue until `shutdown` says otherwise, and tells nothing but by callbacks.
#[cfg(feature = "demo-models")]
pub(crate) async fn work(settings: &Arc<Settings>, family: &WorkerFamily, shutdown: &Shutdown) -> Result<()> {
    Work::of(family).run(settings, None, shutdown).await
}

/// What a worker is to do.
struct Work<'a> {
    family: Family,
    options: &'a Options,
    wan: Option<&'a WanWorkerOptions>,
}

impl Work<'_> {
    fn of(family: &WorkerFamily) -> Work<'_> {
        match family {
            WorkerFamily::Sdxl(options) => Work { family: Family::Sdxl, options, wan: None },
            WorkerFamily::Wan(options) => {
                Work { family: Family::Wan, options: &options.worker, wan: Some(options) }
            }
        }
    }

    /// Jobs are told of on standard output, in JSON or not, unless `json` is `None`.
    async fn run(&self, settings: &Arc<Settings>, json: Option<bool>, shutdown: &Shutdown) -> Result<()> {
        let queue = backend(settings, self.queue()).await?;
        for warning in queue.warnings().await? {
            tracing::warn!("{}: {warning}", settings.queue.value.describe());
        }
        let hint = CallbackHint::new();
        let worker = self.start(settings, &queue, &hint)?;
        let reports = json.map(|json| tokio::spawn(report(worker.subscribe(), json)));
        let delivery = deliver(settings, queue, hint)?;
        let ended = if self.options.once {
            let handled = worker.run_once(shutdown).await;
            handled.map(|handled| {
                json.into_iter().for_each(|json| say_nothing_was_there(handled.as_ref(), json));
            })
        } else {
            worker.run(shutdown).await
        };
        if let Some(delivery) = delivery {
            delivery.finish(if self.options.once { LAST_CALLBACKS } else { Duration::ZERO }).await;
        }
        // The worker is gone, and with it the sender of events.
        if let Some(reports) = reports {
            reports.await?;
        }
        Ok(ended?)
    }

    fn queue(&self) -> QueueName {
        match self.family {
            Family::Sdxl => QueueName::Sdxl,
            Family::Wan => QueueName::Wan,
        }
    }

    fn start(
        &self,
        settings: &Arc<Settings>,
        queue: &Arc<dyn Backend>,
        hint: &CallbackHint,
    ) -> Result<Worker> {
        let (connect_from, name) = (settings.clone(), self.queue());
        let id = self.options.name.as_deref().unwrap_or(match self.family {
            Family::Sdxl => "sdxl",
            Family::Wan => "wan",
        });
        let worker = Worker::builder(queue.clone(), WorkerId::new(id))
            .options(worker_options(self.family, settings))
            .callback_hint(hint.clone())
            .heartbeat_queue(move || {
                let settings = connect_from.clone();
                async move { super::connect::queue_of(&settings, name).await }
            });
        let (model, rng, settings) = (self.options.model.clone(), self.options.rng, settings.clone());
        let (wan, enhancer) =
            self.wan.map(|options| (options.wan.clone(), options.enhancer.clone())).unwrap_or_default();
        Ok(match self.family {
            Family::Sdxl => worker.start(move || -> Result<SdxlHandler> {
                let (store, _) = open_store(&settings)?;
                let on_error = settings.reference.on_error.value;
                let mut handler = SdxlHandler::new(model.clone(), rng, store, on_error);
                handler.load().map_err(Failure::into_error)?;
                Ok(handler)
            })?,
            Family::Wan => worker.start(move || -> Result<WanHandler> {
                let (store, storage) = open_store(&settings)?;
                let reference = &settings.reference;
                let references = References::new(storage, &reference.allow_hosts, reference.on_error.value)?;
                let enhancer = Enhancer::new(enhancer.on(&model), &model).map_err(Failure::into_error)?;
                let model = WanModelOptions { model: model.clone(), wan: wan.clone() };
                let handler = WanHandler::new(model, rng, store, references, enhancer);
                let mut handler = handler.with_default_fps(settings.wan.default_fps.value);
                handler.load_all().map_err(Failure::into_error)?;
                Ok(handler)
            })?,
        })
    }
}

fn open_store(settings: &Settings) -> Result<(Store, Arc<dyn Storage>)> {
    let storage = ourvidz_storage::open(settings.storage.store.value.clone())?;
    let settings = &settings.storage;
    let store = Store::new(storage.clone(), settings.layout.value, settings.report_bucket.value)?;
    store.sweep(&settings.store.value);
    Ok((store, storage))
}

fn worker_options(family: Family, settings: &Settings) -> WorkerOptions {
    let family = WorkerOptions::for_family(family);
    let mut retry = family.retry;
    retry.max_attempts = settings.queue_options.max_attempts;
    WorkerOptions {
        retry,
        callbacks: settings.callback.as_ref().map(|callback| callback.format.value),
        send_processing: settings.callback.as_ref().is_some_and(|callback| callback.processing.value),
        deadlines: settings.worker.deadlines,
        stall_timeout: settings.worker.stall.value,
        grace: settings.worker.grace.value,
        journal: Some(settings.data_dir.value.join("journal")),
        ..family
    }
}

/// The first SIGTERM or SIGINT drains, the second gives the running job back at once.
fn stop_on_signals(shutdown: Shutdown) -> Result<()> {
    use tokio::signal::unix::{SignalKind, signal};
    let mut terminate = signal(SignalKind::terminate()).context("SIGTERM")?;
    let mut interrupt = signal(SignalKind::interrupt()).context("SIGINT")?;
    tokio::spawn(async move {
        for ask in [Shutdown::drain, Shutdown::now] {
            tokio::select! {
                _ = terminate.recv() => {}
                _ = interrupt.recv() => {}
            }
            if !shutdown.is_draining() {
                output::error("no further job is taken; a second signal gives the running one back");
            }
            ask(&shutdown);
        }
    });
    Ok(())
}

/// A line for each job that ended, and for each change of the worker's own state.
async fn report(mut events: Receiver<WorkerEvent>, json: bool) {
    loop {
        match events.recv().await {
            Ok(event) => say(&event, json),
            Err(RecvError::Lagged(_)) => {}
            Err(RecvError::Closed) => return,
        }
    }
}

fn say(event: &WorkerEvent, json: bool) {
    match event {
        WorkerEvent::Settled(job, outcome) if json => {
            let mut value = serde_json::to_value(outcome).unwrap_or_default();
            value["job_id"] = job.job_id.clone().into();
            value["attempt"] = job.attempt.into();
            output::line(&value.to_string());
        }
        WorkerEvent::Settled(job, outcome) => {
            output::line(&format!("{} attempt {}: {}", job.job_id, job.attempt, describe(outcome)));
        }
        WorkerEvent::Ready => output::error("ready"),
        WorkerEvent::BackendLost => output::error("the queue's backend does not answer; trying again"),
        WorkerEvent::BackendBack => output::error("the queue's backend answers again"),
        _ => {}
    }
}

fn describe(outcome: &Outcome) -> String {
    match outcome {
        Outcome::Completed => "completed".to_owned(),
        Outcome::Retrying { code, after_ms } => {
            format!("failed ({code}); next attempt in {}", super::table::span(*after_ms))
        }
        Outcome::Failed { code } => format!("failed ({code}); kept among the dead"),
        Outcome::Cancelled => "cancelled".to_owned(),
        Outcome::GivenBack => "given back".to_owned(),
        Outcome::Transferred { queue } => format!("moved to {queue}"),
        Outcome::LeaseLost => "taken over by another worker".to_owned(),
        Outcome::Journaled => "ended; the journal tells the queue when it answers".to_owned(),
        other => format!("{other:?}"),
    }
}

fn say_nothing_was_there(handled: Option<&Handled>, json: bool) {
    match handled {
        Some(_) => {}
        None if json => output::line(&json!({ "outcome": "nothing_waiting" }).to_string()),
        None => output::line("no job is waiting"),
    }
}
