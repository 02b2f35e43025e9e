use std::collections::{BTreeMap, HashMap, VecDeque};
use std::time::Duration;

use crate::element::Identity;
use crate::{
    Beat, ClaimId, Claimed, Counts, DeadLetter, DeadReason, Delivery, Empty, PendingCallback, PopSide,
    QueueOptions, Settled, Settlement, WorkerId,
};

use super::outbox::Callbacks;

/// How long a claim that ended is remembered, so that a repeated settlement is recognised and a repeated claim
/// takes nothing.
const REMEMBER_CLAIM_MS: u64 = 600_000;
/// How long ids pushed once, and cancellations, are remembered.
const REMEMBER_ID_MS: u64 = 86_400_000;

/// One queue, as plain data: every operation of the traits with the time as an argument. The other backends do
/// the same in their own languages.
#[derive(Debug, Default)]
pub(super) struct State {
    /// Index 0 is the list's left end.
    pub(super) waiting: VecDeque<String>,
    pub(super) in_flight: BTreeMap<ClaimId, Held>,
    pub(super) delayed: BTreeMap<ClaimId, Parked>,
    pub(super) tries: HashMap<String, Tries>,
    pub(super) dead: VecDeque<DeadLetter>,
    /// Claims that ended, so that their repetitions change nothing.
    pub(super) spent: HashMap<ClaimId, Spent>,
    pub(super) cancelled: HashMap<String, u64>,
    pub(super) pushed: HashMap<String, u64>,
    pub(super) served: HashMap<String, u64>,
    pub(super) callbacks: Callbacks,
    pub(super) paused: bool,
    pub(super) done: u64,
    pub(super) failed: u64,
}

#[derive(Debug, Clone)]
pub(super) struct Held {
    pub(super) element: String,
    pub(super) key: String,
    pub(super) worker: WorkerId,
    pub(super) attempt: u32,
    pub(super) claimed_ms: u64,
    pub(super) deadline_ms: u64,
}

#[derive(Debug, Clone)]
pub(super) struct Parked {
    pub(super) element: String,
    pub(super) due_ms: u64,
}

/// How a claim ended, and until when that is remembered.
#[derive(Debug, Clone, Copy)]
pub(super) struct Spent {
    /// Settled by its worker; otherwise taken back.
    settled: bool,
    until: u64,
}

/// How often a job was begun, and what the last try met.
#[derive(Debug, Default, Clone)]
pub(super) struct Tries {
    pub(super) count: u32,
    pub(super) reason: String,
}

impl State {
    pub(super) fn push(&mut self, options: &QueueOptions, element: String) {
        match options.pop_side {
            PopSide::Right => self.waiting.push_front(element),
            PopSide::Left => self.waiting.push_back(element),
        }
    }

    fn push_next(&mut self, options: &QueueOptions, element: String) {
        match options.pop_side {
            PopSide::Right => self.waiting.push_back(element),
            PopSide::Left => self.waiting.push_front(element),
        }
    }

    pub(super) fn push_once(&mut self, options: &QueueOptions, id: &str, element: &str, now: u64) -> bool {
        self.pushed.retain(|_, until| *until > now);
        if self.pushed.contains_key(id) {
            return false;
        }
        self.pushed.insert(id.to_owned(), now + REMEMBER_ID_MS);
        self.push(options, element.to_owned());
        true
    }

    pub(super) fn claim(
        &mut self,
        options: &QueueOptions,
        claim: &ClaimId,
        worker: &WorkerId,
        now: u64,
    ) -> Claimed {
        self.spent.retain(|_, spent| spent.until > now);
        // One claim never holds two jobs: a worker that stalled would settle the second as if it were the first,
        // and delayed jobs are kept under their last claim.
        if self.spent.contains_key(claim) || self.delayed.contains_key(claim) {
            return Claimed::Spent;
        }
        if let Some(held) = self.in_flight.get(claim) {
            return Claimed::Job(self.delivery(options, claim, held.clone()));
        }
        self.reap(options, now);
        self.promote(options, now);
        if self.paused || self.waiting.is_empty() {
            return Claimed::Empty(self.empty(now));
        }
        let Some(element) = self.take_next(options, now) else { return Claimed::Empty(self.empty(now)) };
        let key = Identity::of(&element).key;
        let tries = self.tries.entry(key.clone()).or_default();
        // Past the last attempt the count stays, and the delivery says so.
        let exhausted = tries.count >= options.max_attempts;
        if !exhausted {
            tries.count += 1;
        }
        let held = Held {
            element,
            key,
            worker: worker.clone(),
            attempt: if exhausted { tries.count + 1 } else { tries.count },
            claimed_ms: now,
            deadline_ms: now + millis(options.lease),
        };
        self.in_flight.insert(claim.clone(), held.clone());
        Claimed::Job(self.delivery(options, claim, held))
    }

    fn delivery(&self, options: &QueueOptions, claim: &ClaimId, held: Held) -> Delivery {
        let exhausted = (held.attempt > options.max_attempts)
            .then(|| self.tries.get(&held.key).map(|tries| tries.reason.clone()).unwrap_or_default());
        let attempt = held.attempt.min(options.max_attempts);
        Delivery { claim: claim.clone(), element: held.element, attempt, exhausted }
    }

    fn take_next(&mut self, options: &QueueOptions, now: u64) -> Option<String> {
        let window = match options.fair_share {
            Some(fair) => (fair.window as usize).min(self.waiting.len()),
            None => 1,
        };
        let position = |order: usize, len: usize| match options.pop_side {
            PopSide::Right => len - 1 - order,
            PopSide::Left => order,
        };
        let mut best: Option<(u64, usize, String)> = None;
        for order in 0..window {
            let element = self.waiting.get(position(order, self.waiting.len()))?;
            let user = if options.fair_share.is_some() { Identity::of(element).user } else { String::new() };
            let served = self.served.get(&user).copied().unwrap_or(0);
            if best.as_ref().is_none_or(|(least, _, _)| served < *least) {
                best = Some((served, order, user));
            }
        }
        let (_, order, user) = best?;
        if options.fair_share.is_some() {
            let newest = self.served.values().max().copied().unwrap_or(0);
            self.served.insert(user, now.max(newest + 1));
            self.served.retain(|_, at| *at + REMEMBER_ID_MS > now);
        }
        self.waiting.remove(position(order, self.waiting.len()))
    }

    /// Takes back jobs whose lease ran out, the oldest lease first in line.
    fn reap(&mut self, options: &QueueOptions, now: u64) {
        let mut expired: Vec<_> = self
            .in_flight
            .iter()
            .filter(|(_, held)| held.deadline_ms <= now)
            .map(|(c, h)| (h.deadline_ms, c.clone()))
            .collect();
        expired.sort();
        for (_, claim) in expired.into_iter().rev() {
            self.take_back(options, &claim, now);
        }
    }

    /// Ends a claim from outside; the attempt counts.
    fn take_back(&mut self, options: &QueueOptions, claim: &ClaimId, now: u64) {
        let Some(held) = self.in_flight.remove(claim) else { return };
        self.spent.insert(claim.clone(), Spent { settled: false, until: now + REMEMBER_CLAIM_MS });
        let tries = self.tries.entry(held.key).or_default();
        if held.attempt <= options.max_attempts {
            tries.reason = format!("worker {} died or stalled", held.worker);
        }
        if held.attempt <= 1 || held.attempt >= options.max_attempts {
            self.push_next(options, held.element);
        } else {
            let doublings = (held.attempt - 2).min(16);
            let due_ms = now + (millis(options.reaped_delay) << doublings);
            self.delayed.insert(claim.clone(), Parked { element: held.element, due_ms });
        }
    }

    pub(super) fn release_worker(&mut self, options: &QueueOptions, worker: &WorkerId, now: u64) -> usize {
        let claims: Vec<_> =
            self.in_flight.iter().filter(|(_, h)| h.worker == *worker).map(|(c, _)| c.clone()).collect();
        for claim in &claims {
            self.take_back(options, claim, now);
        }
        claims.len()
    }

    /// Delayed jobs that are due become waiting, the soonest first in line.
    fn promote(&mut self, options: &QueueOptions, now: u64) {
        let mut due: Vec<_> = self
            .delayed
            .iter()
            .filter(|(_, p)| p.due_ms <= now)
            .map(|(c, p)| (p.due_ms, c.clone()))
            .collect();
        due.sort();
        for (_, claim) in due.into_iter().rev() {
            if let Some(parked) = self.delayed.remove(&claim) {
                self.push_next(options, parked.element);
            }
        }
    }

    fn empty(&self, now: u64) -> Empty {
        let leases = self.in_flight.values().map(|held| held.deadline_ms);
        let next = leases.chain(self.delayed.values().map(|parked| parked.due_ms)).min();
        let until = |at: u64| Duration::from_millis(at.saturating_sub(now));
        Empty {
            next_job_in: next.map(until),
            callback_in: self.callbacks.next_due().map(until),
            paused: self.paused,
        }
    }

    pub(super) fn beat(&mut self, options: &QueueOptions, claim: &ClaimId, job_id: &str, now: u64) -> Beat {
        let cancelled = self.is_cancelled(job_id, now);
        match self.in_flight.get_mut(claim) {
            None => Beat::Lost,
            Some(held) => {
                held.deadline_ms = now + millis(options.lease);
                if cancelled { Beat::Cancelled } else { Beat::Held }
            }
        }
    }

    pub(super) fn cancel(&mut self, job_id: &str, now: u64) {
        self.cancelled.retain(|_, until| *until > now);
        self.cancelled.insert(job_id.to_owned(), now + REMEMBER_ID_MS);
    }

    pub(super) fn is_cancelled(&self, job_id: &str, now: u64) -> bool {
        self.cancelled.get(job_id).is_some_and(|until| *until > now)
    }

    /// The transferred element, if the settlement is a transfer that was applied.
    pub(super) fn settle(
        &mut self,
        options: &QueueOptions,
        claim: &ClaimId,
        settlement: &Settlement,
        now: u64,
    ) -> (Settled, Option<String>) {
        self.spent.retain(|_, spent| spent.until > now);
        let Some(held) = self.in_flight.remove(claim) else {
            let settled = self.spent.get(claim).is_some_and(|spent| spent.settled);
            return (if settled { Settled::Already } else { Settled::Lost }, None);
        };
        self.spent.insert(claim.clone(), Spent { settled: true, until: now + REMEMBER_CLAIM_MS });
        match settlement {
            Settlement::Done { callback } => {
                self.done += 1;
                self.end(&held.key, callback.as_ref(), now);
            }
            Settlement::Failed { callback, dead_letter } => {
                self.failed += 1;
                if let Some(reason) = dead_letter {
                    self.bury(options, &held, reason, now);
                }
                self.end(&held.key, callback.as_ref(), now);
            }
            Settlement::Retry { after, reason } => {
                self.tries.entry(held.key).or_default().reason.clone_from(reason);
                let due_ms = now + millis(*after);
                self.delayed.insert(claim.clone(), Parked { element: held.element, due_ms });
            }
            Settlement::GiveBack => {
                let tries = self.tries.entry(held.key).or_default();
                // An exhausted delivery was not counted.
                if held.attempt <= options.max_attempts {
                    tries.count = tries.count.saturating_sub(1);
                }
                self.push_next(options, held.element);
            }
            Settlement::Transfer { .. } => {
                self.tries.remove(&held.key);
                return (Settled::Applied, Some(held.element));
            }
        }
        (Settled::Applied, None)
    }

    fn end(&mut self, key: &str, callback: Option<&PendingCallback>, now: u64) {
        self.tries.remove(key);
        if let Some(callback) = callback {
            self.callbacks.add_terminal(callback, now);
        }
    }

    fn bury(&mut self, options: &QueueOptions, held: &Held, reason: &DeadReason, now: u64) {
        self.dead.push_front(DeadLetter {
            job_id: held.key.clone(),
            element: held.element.clone(),
            reason: reason.clone(),
            attempts: held.attempt.min(options.max_attempts),
            at_ms: now,
        });
    }

    pub(super) fn retry_dead(&mut self, options: &QueueOptions, job_id: &str) -> usize {
        let (again, kept): (VecDeque<_>, VecDeque<_>) =
            std::mem::take(&mut self.dead).into_iter().partition(|letter| letter.job_id == job_id);
        self.dead = kept;
        let count = again.len();
        if count > 0 {
            self.tries.remove(job_id);
        }
        for letter in again {
            self.push(options, letter.element);
        }
        count
    }

    pub(super) fn remove(&mut self, job_id: &str) -> usize {
        let before = self.waiting.len() + self.delayed.len() + self.dead.len();
        self.waiting.retain(|element| Identity::of(element).key != job_id);
        self.delayed.retain(|_, parked| Identity::of(&parked.element).key != job_id);
        self.dead.retain(|letter| letter.job_id != job_id);
        if !self.in_flight.values().any(|held| held.key == job_id) {
            self.tries.remove(job_id);
        }
        before - (self.waiting.len() + self.delayed.len() + self.dead.len())
    }

    pub(super) fn counts(&self) -> Counts {
        Counts {
            waiting: self.waiting.len() as u64,
            in_flight: self.in_flight.len() as u64,
            delayed: self.delayed.len() as u64,
            dead: self.dead.len() as u64,
            done: self.done,
            failed: self.failed,
            callbacks: self.callbacks.waiting.len() as u64,
            dead_callbacks: self.callbacks.dead.len() as u64,
            paused: self.paused,
        }
    }
}

pub(super) fn millis(duration: Duration) -> u64 {
    u64::try_from(duration.as_millis()).unwrap_or(u64::MAX).min(u64::MAX / 4)
}
