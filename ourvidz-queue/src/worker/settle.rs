use std::time::Duration;

use super::call::{answered, chain, draining_for};
use super::{Shutdown, Worker, WorkerEvent};
use crate::{ClaimId, Error, Result, Settled, Settlement};

impl Worker {
    /// Settles a claim, however long it takes. `None`: the worker is to end, and the journal has it.
    pub(super) async fn settle(
        &mut self,
        claim: &ClaimId,
        settlement: &Settlement,
        shutdown: &Shutdown,
    ) -> Result<Option<Settled>> {
        let drain_wait = self.options.drain_wait;
        let first = answered(shutdown, drain_wait, SETTLE, self.queue.settle(claim, settlement)).await;
        let error = match first {
            Ok(settled) => {
                self.backend_answers();
                self.tell_of_callback(settled, settlement);
                return Ok(Some(settled));
            }
            Err(error) => error,
        };
        let kept = self.keep(claim, settlement);
        if !error.retryable() {
            return Err(error);
        }
        self.backend_fails(&error);
        tokio::select! {
            settled = self.settle_again(claim, settlement) => settled.map(Some),
            () = draining_for(shutdown, drain_wait) => if kept { Ok(None) } else { Err(error) },
        }
    }

    /// Settles what an earlier run could not. Whether all of it was, or the worker is to end.
    pub(super) async fn replay(&mut self, shutdown: &Shutdown) -> Result<bool> {
        let entries = match &self.journal {
            Some(journal) => journal.entries()?,
            None => return Ok(true),
        };
        for (claim, settlement) in entries {
            let settled = tokio::select! {
                biased;
                () = shutdown.draining() => return Ok(false),
                settled = self.settle_again(&claim, &settlement) => settled?,
            };
            match settled {
                Settled::Lost => {
                    tracing::warn!(%claim, "a journaled settlement came too late: the job was taken back");
                }
                Settled::Applied | Settled::Already => {
                    tracing::info!(%claim, "a journaled settlement was taken")
                }
            }
        }
        Ok(true)
    }

    /// Tries until the backend answers, then clears the journal of the claim.
    async fn settle_again(&mut self, claim: &ClaimId, settlement: &Settlement) -> Result<Settled> {
        loop {
            if !self.reachable {
                tokio::time::sleep(self.backoff.next()).await;
            }
            match super::call::within(super::call::PATIENCE, SETTLE, self.queue.settle(claim, settlement))
                .await
            {
                Ok(settled) => {
                    self.backend_answers();
                    self.tell_of_callback(settled, settlement);
                    self.forget(claim);
                    return Ok(settled);
                }
                Err(error) if error.retryable() => self.backend_fails(&error),
                Err(error) => return Err(error),
            }
        }
    }

    /// Writes a settlement down; says whether it is.
    fn keep(&self, claim: &ClaimId, settlement: &Settlement) -> bool {
        let Some(journal) = &self.journal else { return false };
        match journal.write(claim, settlement) {
            Ok(()) => true,
            Err(error) => {
                tracing::error!(%claim, error = chain(&error), "a settlement is kept in memory only");
                false
            }
        }
    }

    fn forget(&self, claim: &ClaimId) {
        let removed = self.journal.as_ref().map_or(Ok(()), |journal| journal.remove(claim));
        if let Err(error) = removed {
            // Replaying it does no harm: the backend knows that the claim was settled, or that it was lost.
            tracing::error!(%claim, error = chain(&error), "a settlement stays in the journal");
        }
    }

    fn tell_of_callback(&self, settled: Settled, settlement: &Settlement) {
        let callback = match settlement {
            Settlement::Done { callback } | Settlement::Failed { callback, .. } => callback.is_some(),
            _ => false,
        };
        if callback && settled != Settled::Lost {
            self.hint.tell(Duration::ZERO);
        }
    }

    /// Logged once, until the backend answers again.
    pub(super) fn backend_fails(&mut self, error: &Error) {
        if std::mem::replace(&mut self.reachable, false) {
            tracing::warn!(error = chain(error), "the queue's backend is not available; trying on");
            self.say(WorkerEvent::BackendLost);
        } else {
            tracing::debug!(error = chain(error), "the queue's backend is still not available");
        }
    }

    pub(super) fn backend_answers(&mut self) {
        if !std::mem::replace(&mut self.reachable, true) {
            tracing::info!("the queue's backend is available again");
            self.say(WorkerEvent::BackendBack);
        }
        self.backoff = Default::default();
    }
}

const SETTLE: &str = "settle a job";
