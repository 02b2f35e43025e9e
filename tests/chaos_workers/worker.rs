use std::io::{self, Read};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::thread;
use std::time::Duration;

use anyhow::Result;
use clap::Parser;
use ourvidz_core::job::callback::{Callback, CallbackFormat, ErrorCode, SdxlMetadata};
use ourvidz_core::job::{Job, JobRequest};
use ourvidz_queue::worker::{Deadlines, JobControl, JobFailure, JobHandler, Shutdown, Worker, WorkerOptions};
use ourvidz_queue::{Backend, QueueOptions, RedisQueue, RedisServer, RedisSettings, RetryPolicy, WorkerId};
use tokio::signal::unix::{SignalKind, signal};

use crate::jobs::{Conduct, Kind, TestJob};
use crate::log::{Log, Record, What, now_ms};
use crate::recorded::Recorded;

/// The queue's name, and the word that makes this program a worker.
pub(crate) const QUEUE: &str = "sdxl_queue";
pub(crate) const WORD: &str = "worker";

/// Enough that chance alone does not use them up.
pub(crate) const MAX_ATTEMPTS: u32 = 8;

/// Arguments of a worker process.
#[derive(Debug, Parser)]
pub(crate) struct WorkerArgs {
    #[arg(long)]
    pub(crate) url: String,
    #[arg(long)]
    pub(crate) id: String,
    #[arg(long)]
    pub(crate) lease_ms: u64,
    #[arg(long)]
    pub(crate) log: PathBuf,
    #[arg(long)]
    pub(crate) journal: PathBuf,
    #[arg(long)]
    pub(crate) effects: PathBuf,
}

pub(crate) fn queue_options(lease_ms: u64) -> QueueOptions {
    QueueOptions {
        lease: Duration::from_millis(lease_ms),
        max_attempts: MAX_ATTEMPTS,
        reaped_delay: Duration::from_millis(10),
        ..QueueOptions::default()
    }
}

pub(crate) fn worker_options(journal: &Path) -> WorkerOptions {
    WorkerOptions {
        retry: RetryPolicy {
            max_attempts: MAX_ATTEMPTS,
            base: Duration::from_millis(50),
            cap: Duration::from_millis(400),
        },
        callbacks: Some(CallbackFormat::Assets),
        idle_wait: Duration::from_millis(250),
        deadlines: Deadlines { sdxl: Duration::from_secs(30), ..Deadlines::default() },
        stall_timeout: Duration::from_secs(20),
        grace: Duration::from_millis(40),
        drain_wait: Duration::from_secs(1),
        journal: Some(journal.to_owned()),
        ..WorkerOptions::default()
    }
}

/// One worker process, until SIGTERM or the end of its parent.
pub(crate) fn main(args: &WorkerArgs) -> Result<()> {
    thread::spawn(|| {
        // The parent holds the other end, and writes nothing.
        let _end = io::stdin().read(&mut [0]);
        std::process::exit(3);
    });
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    runtime.block_on(work(args))
}

async fn work(args: &WorkerArgs) -> Result<()> {
    let shutdown = Shutdown::new();
    let mut terminate = signal(SignalKind::terminate())?;
    let asked = shutdown.clone();
    tokio::spawn(async move {
        terminate.recv().await;
        asked.drain();
    });
    let log = Arc::new(Log::open(&args.log)?);
    let queue = loop {
        match connect(args.url.clone(), args.lease_ms, log.clone()).await {
            Ok(queue) => break queue,
            Err(error) if error.retryable() && !shutdown.is_draining() => {}
            Err(error) => return if shutdown.is_draining() { Ok(()) } else { Err(error.into()) },
        }
    };
    let (url, lease_ms, beats) = (args.url.clone(), args.lease_ms, log.clone());
    let effects = args.effects.clone();
    let worker = Worker::builder(queue, WorkerId::from_text(args.id.clone()))
        .options(worker_options(&args.journal))
        .heartbeat_queue(move || connect(url.clone(), lease_ms, beats.clone()))
        .start(move || Ok::<_, io::Error>(Handler::new(&effects, &log)))?;
    Ok(worker.run(&shutdown).await?)
}

async fn connect(url: String, lease_ms: u64, log: Arc<Log>) -> ourvidz_queue::Result<Arc<dyn Backend>> {
    let timeout = Duration::from_secs(2);
    let settings = RedisSettings { connect_timeout: timeout, response_timeout: timeout, clock: None };
    let server = RedisServer::connect(&url, settings).await?;
    let queue = RedisQueue::on(server, QUEUE, queue_options(lease_ms))?;
    Ok(Arc::new(Recorded::new(queue, log)))
}

/// Sleeps, writes a file, and does to its process what the job says.
#[derive(Debug)]
pub(crate) struct Handler {
    effects: PathBuf,
    log: Arc<Log>,
}

impl JobHandler for Handler {
    fn handle(&mut self, job: &Job, control: &JobControl) -> Result<Callback, JobFailure> {
        let broken = |message: &str| JobFailure::permanent(ErrorCode::Internal, message);
        let conduct = Conduct::read(job.prompt()).ok_or_else(|| broken("a prompt nobody wrote"))?;
        let steps = usize::try_from(conduct.milliseconds / 4).unwrap_or(1).max(1);
        for step in 1..=steps {
            control.step(step, steps)?;
            thread::sleep(Duration::from_millis(conduct.milliseconds / steps as u64));
        }
        match conduct.kind {
            Kind::Poison => std::process::abort(),
            Kind::Refused => return Err(JobFailure::permanent(ErrorCode::Model, "no such model")),
            Kind::Flaky if control.job().attempt == 1 => {
                return Err(JobFailure::retry(ErrorCode::Storage, "the store is away"));
            }
            _ => {}
        }
        self.leave(job, control).map_err(|error| broken(&error.to_string()))?;
        match &job.request {
            JobRequest::Sdxl(request) => {
                Ok(Callback::completed(job, Vec::new(), SdxlMetadata::new(job, request, 7)))
            }
            _ => Err(broken("a job nobody pushed")),
        }
    }
}

impl Handler {
    pub(crate) fn new(effects: &Path, log: &Arc<Log>) -> Self {
        Self { effects: effects.to_owned(), log: log.clone() }
    }

    fn leave(&self, job: &Job, control: &JobControl) -> io::Result<()> {
        let (begun_ms, claim) = (now_ms(), control.job().claim.as_str().to_owned());
        let unfinished = self.effects.join(format!("{}.{claim}", job.id));
        std::fs::write(&unfinished, TestJob::effect(&job.id, job.prompt()))?;
        std::fs::rename(&unfinished, self.effects.join(&job.id))?;
        let (job, detail) = (job.id.clone(), String::new());
        self.log.write(&Record { what: What::Effect, begun_ms, at_ms: now_ms(), claim, job, detail });
        Ok(())
    }
}
