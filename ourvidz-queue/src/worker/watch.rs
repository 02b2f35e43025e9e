use std::convert::Infallible;
use std::future::pending;
use std::time::Duration;

use tokio::sync::oneshot;
use tokio::time::{Instant, sleep, timeout};

use super::call::{chain, within};
use super::{JobControl, Stop};
use crate::{Backend, Beat};

/// A running job, for the heartbeat.
#[derive(Debug)]
pub(super) struct Watched {
    pub(super) control: JobControl,
    /// From now.
    pub(super) deadline: Duration,
    /// Completes, or is dropped, when the claim has ended.
    pub(super) ended: oneshot::Receiver<()>,
    /// Told for how long the job has shown no progress, when that is too long.
    pub(super) stalled: oneshot::Sender<Duration>,
}

/// Renews the lease until the claim has ended, and stops the job when it has to stop. A job that stalls is
/// reported and its lease renewed no more.
pub(super) async fn watch(queue: &dyn Backend, watched: Watched, stall_timeout: Duration) {
    let Watched { control, deadline, ended, stalled } = watched;
    let control = &control;
    tokio::select! {
        biased;
        _ended = ended => {}
        idle = stall(control, stall_timeout) => {
            // Should the handler wake up after all, it has nothing left to do.
            control.stop(Stop::LeaseLost);
            let _waited_for = stalled.send(idle);
        }
        never = beats(queue, control) => match never {},
        never = cancel_checks(queue, control) => match never {},
        never = stop_at(control, deadline) => match never {},
    }
}

/// Renews at a third of the lease, so that two lost calls do no harm; a call that failed is repeated sooner.
async fn beats(queue: &dyn Backend, control: &JobControl) -> Infallible {
    let job = control.job();
    let interval = queue.lease() / 3;
    let mut pause = interval;
    let mut failing = false;
    loop {
        // Spread, so that workers that began together do not call together.
        sleep(pause.mul_f64(1.0 - 0.2 * rand::random::<f64>())).await;
        let limit = interval.max(Duration::from_millis(50));
        let beat = within(limit, "renew a lease", queue.beat(&job.claim, &job.job_id)).await;
        pause = interval;
        match beat {
            Ok(Beat::Held) => {}
            Ok(Beat::Cancelled) => control.stop(Stop::Cancelled),
            Ok(Beat::Lost) => {
                control.stop(Stop::LeaseLost);
                return pending().await;
            }
            Err(error) => {
                pause = interval / 4;
                if !failing {
                    let error = chain(&error);
                    tracing::warn!(job = %job.job_id, claim = %job.claim, error, "the lease cannot be renewed");
                }
                failing = true;
                continue;
            }
        }
        failing = false;
    }
}

/// Asks whether the job was cancelled when it shows progress, as often as the backend allows.
async fn cancel_checks(queue: &dyn Backend, control: &JobControl) -> Infallible {
    let job = control.job();
    let mut pulse = control.watch();
    let mut asked = Instant::now();
    let mut seen = 0;
    loop {
        // The first steps may have been before this began to look. `control` holds the sender.
        let Ok(now) = pulse.wait_for(|now| now.beats > seen || now.stop.is_some()).await.map(|now| *now)
        else {
            return pending().await;
        };
        if now.stop.is_some() || now.finished {
            return pending().await;
        }
        seen = now.beats;
        if asked.elapsed() < queue.cancel_interval() {
            continue;
        }
        asked = Instant::now();
        match within(queue.lease(), "ask for a cancellation", queue.cancelled(&job.job_id)).await {
            Ok(true) => control.stop(Stop::Cancelled),
            Ok(false) => {}
            // The next step or beat asks again.
            Err(error) => tracing::debug!(job = %job.job_id, error = chain(&error), "cancellation unknown"),
        }
    }
}

async fn stop_at(control: &JobControl, deadline: Duration) -> Infallible {
    sleep(deadline).await;
    control.stop(Stop::Deadline);
    pending().await
}

/// Completes when the job has shown no progress for `longest`, or has not obeyed a stop for so long; never once
/// the handler has returned.
async fn stall(control: &JobControl, longest: Duration) -> Duration {
    let mut pulse = control.watch();
    let mut seen = *pulse.borrow_and_update();
    let mut since = Instant::now();
    loop {
        if seen.finished {
            return pending().await;
        }
        match timeout(longest.saturating_sub(since.elapsed()), pulse.changed()).await {
            Err(_elapsed) => return since.elapsed(),
            Ok(_changed) => {
                let now = *pulse.borrow_and_update();
                // Steps after a stop are no sign that it is obeyed.
                if now.stop.is_none() || seen.stop.is_none() {
                    since = Instant::now();
                }
                seen = now;
            }
        }
    }
}
