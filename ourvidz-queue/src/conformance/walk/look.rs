use super::model::{Model, Place};
use super::span::Span;
use super::{Broken, Found, ensure};
use crate::{Backend, CallbackEntry, Counts, DeadLetter, Delayed, InFlight};

/// Everything a queue shows of itself.
#[derive(Debug)]
pub(super) struct Look {
    counts: Counts,
    pub(super) waiting: Vec<String>,
    pub(super) in_flight: Vec<InFlight>,
    pub(super) delayed: Vec<Delayed>,
    dead: Vec<DeadLetter>,
    pub(super) callbacks: Vec<CallbackEntry>,
    dead_callbacks: Vec<CallbackEntry>,
}

const ALL: usize = 1000;

impl Look {
    pub(super) async fn at(queue: &dyn Backend) -> Result<Self, Broken> {
        Ok(Self {
            counts: queue.counts().await?,
            waiting: queue.waiting(ALL).await?,
            in_flight: queue.in_flight().await?,
            delayed: queue.delayed(ALL).await?,
            dead: queue.dead(ALL).await?,
            callbacks: queue.waiting_callbacks(ALL).await?,
            dead_callbacks: queue.dead_callbacks(ALL).await?,
        })
    }
}

impl Model {
    /// Whether the queue is what the model is. `now` spans the look.
    pub(super) fn compare(&self, look: &Look, now: Span, exact: bool) -> Found {
        let counts = Counts {
            waiting: self.line.len() as u64,
            in_flight: self.held.len() as u64,
            delayed: self.delayed.len() as u64,
            dead: self.dead.len() as u64,
            done: self.done,
            failed: self.failed,
            callbacks: self.callbacks.waiting.len() as u64,
            dead_callbacks: self.callbacks.dead.len() as u64,
            paused: self.paused,
        };
        ensure!(look.counts == counts, "expected {counts:?}, found {:?}", look.counts);
        let line = self.elements(&self.line);
        ensure!(look.waiting == line, "expected {line:?} to wait, found {:?}", look.waiting);
        self.compare_in_flight(look, now)?;
        self.compare_delayed(look, now)?;
        self.compare_dead(look)?;
        self.callbacks.compare(&look.callbacks, &look.dead_callbacks, exact)
    }

    fn compare_in_flight(&self, look: &Look, now: Span) -> Found {
        ensure!(
            look.in_flight.len() == self.held.len(),
            "expected {:?}, found {:?}",
            self.held,
            look.in_flight
        );
        for seen in &look.in_flight {
            let Some(held) = self.held.get(&seen.claim) else {
                return Err(format!("{seen:?} is held").into());
            };
            let right = seen.worker == held.worker
                && seen.job_id == self.jobs[held.job].key
                && seen.attempt == held.attempt.min(self.options.max_attempts)
                && held.deadline.can_be_in(seen.lease_left, now);
            ensure!(right, "expected {held:?} of {:?} in flight, found {seen:?}", self.jobs[held.job]);
        }
        Ok(())
    }

    fn compare_delayed(&self, look: &Look, now: Span) -> Found {
        let mut expected: Vec<_> = self.delayed.iter().map(|&job| &self.jobs[job]).collect();
        ensure!(look.delayed.len() == expected.len(), "expected {expected:?}, found {:?}", look.delayed);
        for seen in &look.delayed {
            let place = expected.iter().position(|job| match job.place {
                Place::Delayed { due, .. } => job.element == seen.element && due.can_be_in(seen.due_in, now),
                _ => false,
            });
            let Some(place) = place else {
                return Err(format!("{expected:?} are delayed, found {seen:?}").into());
            };
            expected.remove(place);
        }
        let sorted = look.delayed.is_sorted_by_key(|seen| seen.due_in);
        ensure!(sorted, "delayed jobs are out of order: {:?}", look.delayed);
        Ok(())
    }

    fn compare_dead(&self, look: &Look) -> Found {
        let mut expected: Vec<_> = self.dead.iter().map(|&job| &self.jobs[job]).collect();
        ensure!(look.dead.len() == expected.len(), "expected {expected:?}, found {:?}", look.dead);
        let mut newer = None;
        for seen in &look.dead {
            let found = expected.iter().position(|job| match &job.place {
                Place::Dead { attempts, reason, .. } => {
                    job.key == seen.job_id
                        && job.element == seen.element
                        && *reason == seen.reason
                        && (*attempts == seen.attempts || self.shared.contains(&job.key))
                }
                _ => false,
            });
            let Some(place) = found else {
                return Err(format!("{expected:?} are dead, found {seen:?}").into());
            };
            if let Place::Dead { at, .. } = expected.remove(place).place {
                let ordered = newer.is_none_or(|newer: Span| !newer.is_before(at));
                ensure!(ordered, "dead letters are out of order: {:?}", look.dead);
                newer = Some(at);
            }
        }
        Ok(())
    }
}
