use std::collections::BTreeMap;
use std::time::Duration;

use super::model::Place;
use super::{Found, Walk, ensure};
use crate::Settlement;

/// What is left, at most, with every attempt it may take, and more.
const ROUNDS: usize = 2000;

impl Walk<'_> {
    /// Lets the workers go on until nothing is left, and the callbacks be delivered.
    pub(super) async fn end(&mut self) -> Found {
        self.pause(false).await?;
        self.disable(None).await?;
        self.finish_jobs().await?;
        self.every_job_ended_once()?;
        self.deliver_callbacks().await?;
        let waiting = self.other.waiting(usize::from(u16::MAX)).await?;
        ensure!(waiting == self.model.transferred, "of those transferred, these arrived: {waiting:?}");
        let counts = self.other.counts().await?;
        ensure!(counts.in_flight + counts.delayed + counts.done + counts.failed == 0, "{counts:?} elsewhere");
        Ok(())
    }

    async fn finish_jobs(&mut self) -> Found {
        for round in 0..ROUNDS {
            self.claim(round, 1).await?;
            self.compare().await?;
            let last = self.claims.back().map(|(claim, _)| claim.clone());
            if let Some(claim) = last.filter(|claim| self.model.held.contains_key(claim)) {
                self.settle_claim(&claim, Settlement::Done { callback: None }).await?;
                self.compare().await?;
                continue;
            }
            let leases = self.model.held.values().map(|held| held.deadline.hi);
            let delays = self.model.delayed.iter().map(|&job| match self.model.jobs[job].place {
                Place::Delayed { due, .. } => due.hi,
                _ => 0,
            });
            let Some(next) = leases.chain(delays).min() else { return Ok(()) };
            let left = next.saturating_sub(self.harness.now_ms()) + 1;
            self.harness.advance(Duration::from_millis(left)).await;
        }
        Err("the jobs never end".into())
    }

    /// I1: each job ends once in each of its lives. I5: nothing is in flight.
    fn every_job_ended_once(&self) -> Found {
        let model = &self.model;
        let left = (model.line.len(), model.held.len(), model.delayed.len());
        ensure!(left == (0, 0, 0), "left waiting, in flight, delayed: {left:?}");
        for job in &model.jobs {
            let over = matches!(job.place, Place::Ended | Place::Dead { .. });
            ensure!(
                over && job.ends == job.lives,
                "ended {} times in {} lives: {job:?}",
                job.ends,
                job.lives
            );
        }
        Ok(())
    }

    /// Every terminal callback nobody has delivered yet can be had, with its body.
    async fn deliver_callbacks(&mut self) -> Found {
        let dead: Vec<_> = self.model.callbacks.dead.keys().cloned().collect();
        let mut had = BTreeMap::new();
        for entry in self.queue.dead_callbacks(1000).await? {
            had.insert(entry.callback.id, entry.callback.body);
        }
        for id in dead.iter().filter(|id| !self.model.callbacks.waiting.contains_key(*id)) {
            ensure!(self.queue.retry_callback(id).await?, "{id} is dead, and not found");
        }
        for _ in 0..ROUNDS {
            let due = self.queue.take_due(3, Duration::from_millis(200)).await?;
            for entry in &due.entries {
                had.insert(entry.callback.id.clone(), entry.callback.body.clone());
                self.queue.delivered(&entry.callback.id).await?;
            }
            if let Some(next) = due.next_in {
                self.harness.advance(next).await;
            } else if due.entries.is_empty() {
                break;
            }
        }
        let counts = self.queue.counts().await?;
        ensure!(counts.callbacks == 0, "callbacks that are never due: {}", counts.callbacks);
        for (id, body) in &self.model.callbacks.owed {
            ensure!(had.get(id) == Some(body), "{id} is {body:?}, delivered was {:?}", had.get(id));
        }
        Ok(())
    }
}
