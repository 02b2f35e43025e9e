use std::sync::Arc;
use std::time::Duration;

use ourvidz_core::job::callback::Callback;
use ourvidz_core::job::{self, Job};
use tokio::sync::oneshot;
use tracing::Instrument;

use super::call::{answered, chain, draining_for};
use super::ending::Ending;
use super::hands::gone;
use super::watch::Watched;
use super::{Handled, JobControl, JobRef, Outcome, Shutdown, Stop, Worker, WorkerEvent};
use crate::element::Identity;
use crate::{Beat, Delivery, Error, QueueName, Result, Settled};

impl Worker {
    /// Ends one claimed job.
    pub(super) async fn process(&mut self, delivery: Delivery, shutdown: &Shutdown) -> Result<Handled> {
        let job = Arc::new(JobRef {
            job_id: Identity::of(&delivery.element).key,
            attempt: delivery.attempt,
            claim: delivery.claim.clone(),
        });
        let span = tracing::info_span!("job", job = %job.job_id, attempt = job.attempt, claim = %job.claim);
        self.process_one(job, delivery, shutdown).instrument(span).await
    }

    async fn process_one(
        &mut self,
        job: Arc<JobRef>,
        delivery: Delivery,
        shutdown: &Shutdown,
    ) -> Result<Handled> {
        tracing::info!("claimed");
        self.say(WorkerEvent::Claimed(job.clone()));
        // The lease is renewed until this is dropped.
        let (held, ended) = oneshot::channel();
        let ending = self.decide(&job, delivery, ended, shutdown).await?;
        let outcome = match ending.settlement {
            None => Outcome::LeaseLost,
            Some(settlement) => match self.settle(&job.claim, &settlement, shutdown).await? {
                Some(Settled::Applied | Settled::Already) => ending.outcome,
                Some(Settled::Lost) => Outcome::LeaseLost,
                None => Outcome::Journaled,
            },
        };
        drop::<oneshot::Sender<()>>(held);
        tracing::info!(?outcome, "ended");
        self.say(WorkerEvent::Settled(job.clone(), outcome.clone()));
        Ok(Handled { job, outcome })
    }

    async fn decide(
        &mut self,
        claimed: &Arc<JobRef>,
        delivery: Delivery,
        ended: oneshot::Receiver<()>,
        shutdown: &Shutdown,
    ) -> Result<Ending> {
        if shutdown.is_draining() {
            return Ok(Ending::given_back());
        }
        let attempt = delivery.attempt;
        let job = match job::parse(&delivery.element) {
            Ok(job) => job,
            Err(rejected) => return Ok(self.endings.rejected(&rejected, attempt)),
        };
        if !self.options.job_types.contains(&job.job_type) {
            let home = QueueName::for_job_type(job.job_type).as_str();
            let at_home = home == self.queue.name();
            return Ok(if at_home {
                self.endings.unsupported(&job, attempt)
            } else {
                Ending::transferred(home)
            });
        }
        if let Some(reason) = delivery.exhausted {
            return Ok(self.endings.exhausted(&job, attempt, &reason));
        }
        let beat = self.queue.beat(&claimed.claim, &claimed.job_id);
        match answered(shutdown, self.options.drain_wait, "renew a lease", beat).await {
            Ok(Beat::Held) => {}
            Ok(Beat::Cancelled) => return Ok(self.endings.cancelled(&job, attempt)),
            Ok(Beat::Lost) => return Ok(Ending::lost()),
            // The heartbeat goes on trying.
            Err(error) if error.retryable() => self.backend_fails(&error),
            Err(error) => return Err(error),
        }
        tracing::debug!(job_type = %job.job_type, prompt = job.prompt(), "the job");
        self.make(claimed, job, ended, shutdown).await
    }

    /// Has the handler make the job.
    async fn make(
        &mut self,
        claimed: &Arc<JobRef>,
        job: Job,
        ended: oneshot::Receiver<()>,
        shutdown: &Shutdown,
    ) -> Result<Ending> {
        let control = JobControl::new(claimed.clone(), self.events.clone());
        let deadline = self.options.deadlines.of(job.job_type);
        let (tell_stalled, stalled) = oneshot::channel();
        let _unheard = StopOnDrop(control.clone());
        self.heart.watch(Watched { control: control.clone(), deadline, ended, stalled: tell_stalled })?;
        if !self.announce(claimed, &job, shutdown).await {
            return Ok(Ending::lost());
        }
        self.say(WorkerEvent::Started(claimed.clone(), job.job_type));
        let (grace, drain_wait) = (self.options.grace, self.options.drain_wait);
        let answer = tokio::select! {
            biased;
            answer = self.hands.handle(job.clone(), control.clone()) => {
                answer.ok_or_else(|| gone("handler"))?
            }
            stalled = stalled => {
                self.abandoned = true;
                let Ok(idle) = stalled else { return Err(gone("heartbeat")) };
                tracing::error!(?idle, "the job shows no progress; its lease runs out");
                return Err(Error::Stalled { job_id: job.id, idle });
            }
            () = wind_down(&control, shutdown, grace, drain_wait) => {
                tracing::warn!("the handler does not return; its job is given back all the same");
                self.abandoned = true;
                let lost = control.finish() == Some(Stop::LeaseLost);
                return Ok(if lost { Ending::lost() } else { Ending::given_back() });
            }
        };
        let stop = control.finish();
        Ok(self.endings.answered(&job, claimed.attempt, answer, stop, deadline))
    }

    /// Says that the job has begun; `false` when the claim holds it no more. That it cannot be said is no reason
    /// not to make the job.
    async fn announce(&mut self, claimed: &JobRef, job: &Job, shutdown: &Shutdown) -> bool {
        if !self.options.send_processing {
            return true;
        }
        let Some(callback) = self.endings.pending(Callback::processing(job)) else { return true };
        let announced = self.queue.announce(&claimed.claim, &callback);
        match answered(shutdown, self.options.drain_wait, "announce a job", announced).await {
            Ok(true) => self.hint.tell(Duration::ZERO),
            Ok(false) => return false,
            Err(error) => tracing::warn!(error = chain(&error), "nobody learns that the job has begun"),
        }
        true
    }
}

/// Stops a job whose worker was dropped: nobody renews its lease or waits for its answer.
struct StopOnDrop(JobControl);

impl Drop for StopOnDrop {
    fn drop(&mut self) {
        self.0.stop(Stop::LeaseLost);
    }
}

/// Lets the job finish for a while once the worker is to end, then stops it, then gives up on it.
async fn wind_down(control: &JobControl, shutdown: &Shutdown, grace: Duration, drain_wait: Duration) {
    tokio::select! {
        () = draining_for(shutdown, grace) => {}
        () = shutdown.at_once() => {}
    }
    control.stop(Stop::Draining);
    tokio::time::sleep(drain_wait).await;
}
