use std::time::Duration;

use super::call::{PATIENCE, answered, within};
use super::{Handled, Shutdown, Worker, WorkerEvent};
use crate::{ClaimId, Claimed, Delivery, Empty, Error, Result, Settlement};

/// How long a worker on a paused queue waits: [`crate::JobQueue::wait`] would return at once.
const PAUSED_WAIT: Duration = Duration::from_secs(1);

/// Shortest wait of an idle worker, where a lease that runs out just now would make it zero.
const SHORTEST_WAIT: Duration = Duration::from_millis(10);

enum Next {
    Job(Delivery),
    Idle(Empty),
}

impl Worker {
    /// `None`: the worker was asked to end, or `once` is set and nothing was waiting.
    pub(super) async fn work(&mut self, shutdown: &Shutdown, once: bool) -> Result<Option<Handled>> {
        if !self.prepare(shutdown).await? || !self.replay(shutdown).await? {
            return Ok(None);
        }
        tracing::info!(queue = self.queue.name(), worker = %self.worker, "ready");
        self.say(WorkerEvent::Ready);
        let mut idle = None;
        loop {
            if !self.prepare(shutdown).await? {
                return Ok(None);
            }
            match self.claim(shutdown).await? {
                None => return Ok(None),
                Some(Next::Job(delivery)) => {
                    idle = None;
                    let handled = self.process(delivery, shutdown).await?;
                    if once {
                        return Ok(Some(handled));
                    }
                }
                Some(Next::Idle(empty)) => {
                    if idle.replace(empty.paused) != Some(empty.paused) {
                        self.say(WorkerEvent::Idle { paused: empty.paused });
                    }
                    if let Some(after) = empty.callback_in {
                        self.hint.tell(after);
                    }
                    if once {
                        return Ok(None);
                    }
                    self.idle(empty, shutdown).await?;
                }
            }
        }
    }

    /// Waits for both threads; `false` when the worker is to end.
    async fn prepare(&mut self, shutdown: &Shutdown) -> Result<bool> {
        let ready = async {
            self.heart.ready().await?;
            self.hands.ready().await
        };
        tokio::select! {
            biased;
            () = shutdown.draining() => Ok(false),
            ready = ready => ready.map(|()| true),
        }
    }

    /// Asks for a job under one claim until the backend answers. `None`: the worker is to end, and holds nothing.
    async fn claim(&mut self, shutdown: &Shutdown) -> Result<Option<Next>> {
        let mut claim = ClaimId::new();
        // Whether the backend may have handed out a job without our knowing.
        let mut in_doubt = false;
        while !shutdown.is_draining() {
            let asked = self.queue.claim(&claim, &self.worker);
            let claimed = answered(shutdown, self.options.drain_wait, "claim a job", asked).await;
            if claimed.is_ok() {
                self.backend_answers();
            }
            match claimed {
                // Also when the worker is to end by now: it is given back before it begins.
                Ok(Claimed::Job(delivery)) => return Ok(Some(Next::Job(delivery))),
                Ok(Claimed::Empty(empty)) => return Ok(Some(Next::Idle(empty))),
                Ok(Claimed::Spent) => {
                    tracing::warn!(%claim, "the claim was settled before it was answered");
                    (claim, in_doubt) = (ClaimId::new(), false);
                }
                Err(error) if error.retryable() => {
                    in_doubt = true;
                    self.backend_fails(&error);
                    let wait = self.backoff.next();
                    tokio::select! {
                        () = tokio::time::sleep(wait) => {}
                        () = shutdown.draining() => {}
                    }
                }
                Err(error) => return Err(error),
            }
        }
        if in_doubt {
            let given_back = self.queue.settle(&claim, &Settlement::GiveBack);
            if let Err(error) = within(self.options.drain_wait, "give a job back", given_back).await {
                // Should the claim hold a job, its lease runs out.
                self.backend_fails(&error);
            }
        }
        Ok(None)
    }

    /// Waits until asking again may be of use.
    async fn idle(&mut self, empty: Empty, shutdown: &Shutdown) -> Result<()> {
        let longest = self.options.idle_wait;
        let at_most = empty.next_job_in.map_or(longest, |next| next.min(longest)).max(SHORTEST_WAIT);
        let wait = async {
            if empty.paused {
                tokio::time::sleep(PAUSED_WAIT).await;
                return Ok(());
            }
            within(at_most.saturating_add(PATIENCE), "wait for a job", self.queue.wait(at_most)).await
        };
        let waited = tokio::select! {
            biased;
            () = shutdown.draining() => Ok(()),
            waited = wait => waited,
        };
        self.after_wait(waited, at_most, shutdown).await
    }

    /// A backend that cannot wait is asked again after a while.
    async fn after_wait(&mut self, waited: Result<()>, at_most: Duration, shutdown: &Shutdown) -> Result<()> {
        let Err(error) = waited else { return Ok(()) };
        if !error.retryable() {
            return Err::<(), Error>(error);
        }
        self.backend_fails(&error);
        tokio::select! {
            () = tokio::time::sleep(at_most.min(PAUSED_WAIT)) => {}
            () = shutdown.draining() => {}
        }
        Ok(())
    }
}
