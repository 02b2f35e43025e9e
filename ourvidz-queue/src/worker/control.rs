use std::sync::Arc;

use tokio::sync::{broadcast, watch};

use super::{JobRef, Stage, Stop, WorkerEvent};

/// A running job's line to its worker. Clones are the same line. No call waits.
#[derive(Debug, Clone)]
pub struct JobControl {
    job: Arc<JobRef>,
    pulse: Arc<watch::Sender<Pulse>>,
    events: broadcast::Sender<WorkerEvent>,
}

/// What the handler's thread, the heartbeat and the worker tell each other.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(super) struct Pulse {
    /// Counts steps and stages.
    pub(super) beats: u64,
    pub(super) stop: Option<Stop>,
    /// The handler has returned.
    pub(super) finished: bool,
}

impl JobControl {
    pub(super) fn new(job: Arc<JobRef>, events: broadcast::Sender<WorkerEvent>) -> Self {
        Self { job, pulse: Arc::new(watch::Sender::new(Pulse::default())), events }
    }

    /// One outside any worker, for tests of handlers: nothing ever says stop.
    pub fn detached(job_id: impl Into<String>) -> Self {
        let job = JobRef { job_id: job_id.into(), attempt: 1, claim: crate::ClaimId::new() };
        Self::new(Arc::new(job), broadcast::Sender::new(1))
    }

    /// Which job, in which attempt.
    pub fn job(&self) -> &JobRef {
        &self.job
    }

    /// `step` of `steps` denoising steps are done.
    ///
    /// # Errors
    /// The reason to stop, if there is one.
    pub fn step(&self, step: usize, steps: usize) -> Result<(), Stop> {
        self.say(WorkerEvent::Step { job: self.job.clone(), step, steps });
        self.progress()
    }

    /// A part of the work begins.
    ///
    /// # Errors
    /// The reason to stop, if there is one.
    pub fn stage(&self, stage: Stage) -> Result<(), Stop> {
        tracing::debug!(job = %self.job.job_id, ?stage, "stage");
        self.say(WorkerEvent::Stage(self.job.clone(), stage));
        self.progress()
    }

    /// The reason to stop, if there is one.
    pub fn stop_reason(&self) -> Option<Stop> {
        self.pulse.borrow().stop
    }

    /// Completes when the job has to stop: to break off an upload or a download.
    pub async fn stopped(&self) -> Stop {
        let mut pulse = self.pulse.subscribe();
        loop {
            if let Some(stop) = pulse.borrow_and_update().stop {
                return stop;
            }
            // `self` holds the sender, so the channel cannot close.
            let _changed = pulse.changed().await;
        }
    }

    /// Shows the worker that the job is alive, and asks whether to go on.
    fn progress(&self) -> Result<(), Stop> {
        let mut stop = None;
        self.pulse.send_modify(|pulse| {
            pulse.beats += 1;
            stop = pulse.stop;
        });
        stop.map_or(Ok(()), Err)
    }

    /// The first reason stays, but for a lost lease, after which nothing may be settled. Nothing stops a job
    /// whose handler has returned.
    pub(super) fn stop(&self, stop: Stop) {
        let changed = self.pulse.send_if_modified(|pulse| {
            let first = pulse.stop.is_none() || (stop == Stop::LeaseLost && pulse.stop != Some(stop));
            let changed = first && !pulse.finished;
            if changed {
                pulse.stop = Some(stop);
            }
            changed
        });
        if changed {
            tracing::info!(job = %self.job.job_id, claim = %self.job.claim, "stopping: {stop}");
            self.say(WorkerEvent::Stopping(self.job.clone(), stop));
        }
    }

    /// The handler has returned: neither deadline nor watchdog count any more. The reason to stop, if there was
    /// one.
    pub(super) fn finish(&self) -> Option<Stop> {
        self.pulse.send_modify(|pulse| pulse.finished = true);
        self.stop_reason()
    }

    pub(super) fn watch(&self) -> watch::Receiver<Pulse> {
        self.pulse.subscribe()
    }

    fn say(&self, event: WorkerEvent) {
        // Nobody listens: nobody is told.
        let _listeners = self.events.send(event);
    }
}
