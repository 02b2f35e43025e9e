use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use super::callbacks::Callbacks;
use super::span::Span;
use super::{Found, ensure};
use crate::{Beat, ClaimId, DeadReason, PendingCallback, QueueOptions, Settled, Settlement, WorkerId};

/// What the queue should be: a list of all jobs there ever were, each in one place.
#[derive(Debug)]
pub(super) struct Model {
    pub(super) options: QueueOptions,
    pub(super) jobs: Vec<Job>,
    /// Waiting jobs, the next first.
    pub(super) line: Vec<usize>,
    pub(super) held: BTreeMap<ClaimId, Held>,
    pub(super) delayed: Vec<usize>,
    /// Dead letters, the newest first.
    pub(super) dead: Vec<usize>,
    /// Attempts per id, and what the last one met.
    pub(super) tries: BTreeMap<String, (u32, Told)>,
    /// Claims that ended, when, and whether their workers settled them.
    pub(super) spent: BTreeMap<ClaimId, (Span, bool)>,
    pub(super) cancelled: BTreeMap<String, Span>,
    pub(super) pushed: BTreeMap<String, Span>,
    /// Ids there ever were.
    known: BTreeSet<String>,
    /// Ids that more than one element had; attempts and their reasons are shared between those.
    pub(super) shared: BTreeSet<String>,
    /// Elements in the other queue.
    pub(super) transferred: Vec<String>,
    pub(super) callbacks: Callbacks,
    pub(super) paused: bool,
    pub(super) done: u64,
    pub(super) failed: u64,
}

#[derive(Debug)]
pub(super) struct Job {
    pub(super) element: String,
    pub(super) key: String,
    pub(super) place: Place,
    /// How often it was made waiting by a producer or from the dead.
    pub(super) lives: u32,
    /// How often it ended.
    pub(super) ends: u32,
}

#[derive(Debug, Clone)]
pub(super) enum Place {
    Waiting,
    Held,
    Delayed { due: Span, last: ClaimId },
    Dead { attempts: u32, reason: DeadReason, at: Span },
    Ended,
}

#[derive(Debug, Clone)]
pub(super) struct Held {
    pub(super) job: usize,
    pub(super) worker: WorkerId,
    /// One past the last for a job that is exhausted.
    pub(super) attempt: u32,
    pub(super) deadline: Span,
}

/// Why an attempt ended.
#[derive(Debug, Clone, Default)]
pub(super) enum Told {
    #[default]
    Nothing,
    Exactly(String),
    Naming(WorkerId),
}

/// Claims that ended are known for ten minutes.
const REMEMBERED: Duration = Duration::from_secs(600);
/// Ids are known for a day.
const DAY: Duration = Duration::from_secs(86_400);

impl Model {
    pub(super) fn new(options: QueueOptions) -> Self {
        Self {
            options,
            jobs: Vec::new(),
            line: Vec::new(),
            held: BTreeMap::new(),
            delayed: Vec::new(),
            dead: Vec::new(),
            tries: BTreeMap::new(),
            spent: BTreeMap::new(),
            cancelled: BTreeMap::new(),
            pushed: BTreeMap::new(),
            known: BTreeSet::new(),
            shared: BTreeSet::new(),
            transferred: Vec::new(),
            callbacks: Callbacks::default(),
            paused: false,
            done: 0,
            failed: 0,
        }
    }

    pub(super) fn push(&mut self, element: String, key: String) {
        if !self.known.insert(key.clone()) {
            self.shared.insert(key.clone());
        }
        self.line.push(self.jobs.len());
        self.jobs.push(Job { element, key, place: Place::Waiting, lives: 1, ends: 0 });
    }

    pub(super) fn pushed_once(&mut self, element: String, key: String, added: bool, now: Span) -> Found {
        if let Some(at) = self.pushed.get(&key) {
            let until = at.plus(DAY);
            ensure!(!added || until.may_be_over(now), "{key} was pushed a second time");
            ensure!(added || !until.is_over(now), "{key} was not pushed, a day later");
        } else {
            ensure!(added, "{key} was never pushed, and now refused");
        }
        if added {
            self.pushed.insert(key.clone(), now);
            self.push(element, key);
        }
        Ok(())
    }

    /// Whether the claim ended so lately that it must be known, or is the last of a delayed job.
    pub(super) fn must_be_spent(&self, claim: &ClaimId, now: Span) -> bool {
        let parked =
            |&job: &usize| matches!(&self.jobs[job].place, Place::Delayed { last, .. } if last == claim);
        self.ended_lately(claim, now) || self.delayed.iter().any(parked)
    }

    fn ended_lately(&self, claim: &ClaimId, now: Span) -> bool {
        self.spent.get(claim).is_some_and(|(at, _)| !at.plus(REMEMBERED).may_be_over(now))
    }

    pub(super) fn beaten(&mut self, claim: &ClaimId, answer: Beat, now: Span) -> Found {
        let Some(held) = self.held.get_mut(claim) else {
            ensure!(answer == Beat::Lost, "{claim} holds nothing, yet {answer:?}");
            return Ok(());
        };
        held.deadline = now.plus(self.options.lease);
        let until = self.cancelled.get(&self.jobs[held.job].key).map(|at| at.plus(DAY));
        match (answer, until) {
            (Beat::Held, Some(until)) => {
                ensure!(until.may_be_over(now), "the job was cancelled, yet {answer:?}")
            }
            (Beat::Cancelled, Some(until)) => ensure!(!until.is_over(now), "the mark is a day old"),
            (Beat::Cancelled, None) => return Err("the job was not cancelled".into()),
            (Beat::Lost, _) => return Err(format!("{claim} holds a job, yet {answer:?}").into()),
            (Beat::Held, None) => {}
        }
        Ok(())
    }

    pub(super) fn settled(
        &mut self,
        claim: &ClaimId,
        settlement: &Settlement,
        answer: Settled,
        now: Span,
    ) -> Found {
        let Some(held) = self.held.remove(claim) else {
            let possible = match self.spent.get(claim) {
                Some((_, true)) if self.ended_lately(claim, now) => vec![Settled::Already],
                Some((_, true)) => vec![Settled::Already, Settled::Lost],
                _ => vec![Settled::Lost],
            };
            ensure!(possible.contains(&answer), "expected one of {possible:?}, found {answer:?}");
            return Ok(());
        };
        ensure!(answer == Settled::Applied, "the claim held the job, yet {answer:?}");
        self.spent.insert(claim.clone(), (now, true));
        let key = self.jobs[held.job].key.clone();
        match settlement {
            Settlement::Done { callback } => {
                self.done += 1;
                self.end(held.job, callback.as_ref(), now);
            }
            Settlement::Failed { callback, dead_letter } => {
                self.failed += 1;
                self.end(held.job, callback.as_ref(), now);
                if let Some(reason) = dead_letter {
                    let attempts = held.attempt.min(self.options.max_attempts);
                    self.jobs[held.job].place = Place::Dead { attempts, reason: reason.clone(), at: now };
                    self.dead.insert(0, held.job);
                }
            }
            Settlement::Retry { after, reason } => {
                self.tries.entry(key).or_default().1 = Told::Exactly(reason.clone());
                self.jobs[held.job].place = Place::Delayed { due: now.plus(*after), last: claim.clone() };
                self.delayed.push(held.job);
            }
            Settlement::GiveBack => {
                let count = &mut self.tries.entry(key).or_default().0;
                if held.attempt <= self.options.max_attempts {
                    *count = count.saturating_sub(1);
                }
                self.jobs[held.job].place = Place::Waiting;
                self.line.insert(0, held.job);
            }
            Settlement::Transfer { .. } => {
                self.transferred.push(self.jobs[held.job].element.clone());
                self.end(held.job, None, now);
            }
        }
        Ok(())
    }

    fn end(&mut self, job: usize, callback: Option<&PendingCallback>, now: Span) {
        let job = &mut self.jobs[job];
        job.place = Place::Ended;
        job.ends += 1;
        self.tries.remove(&job.key);
        if let Some(callback) = callback {
            self.callbacks.add_terminal(callback, now);
        }
    }

    pub(super) fn removed(&mut self, key: &str, count: usize) -> Found {
        let jobs = &mut self.jobs;
        let mut gone = 0;
        for list in [&mut self.line, &mut self.delayed, &mut self.dead] {
            list.retain(|&job| {
                let job = &mut jobs[job];
                if job.key != key {
                    return true;
                }
                gone += 1;
                if !matches!(job.place, Place::Dead { .. }) {
                    job.ends += 1;
                }
                job.place = Place::Ended;
                false
            });
        }
        if !self.held.values().any(|held| jobs[held.job].key == key) {
            self.tries.remove(key);
        }
        ensure!(gone == count, "{gone} elements of {key} were there, {count} were removed");
        Ok(())
    }

    /// The retried letters stand last in the line, in any order.
    pub(super) fn dead_retried(&mut self, key: &str, count: usize, seen: &[String]) -> Found {
        let (mut again, kept): (Vec<_>, Vec<_>) =
            self.dead.iter().partition(|&&job| self.jobs[job].key == key);
        ensure!(again.len() == count, "{} letters of {key} were there, {count} were retried", again.len());
        self.dead = kept;
        if count > 0 {
            self.tries.remove(key);
        }
        for element in seen.get(self.line.len()..).unwrap_or_default() {
            let place = again.iter().position(|&job| self.jobs[job].element == *element);
            let Some(place) = place else { return Err(format!("{element} was no letter of {key}").into()) };
            self.line.push(again.remove(place));
        }
        ensure!(again.is_empty(), "retried, yet not waiting: {again:?}");
        for &job in &self.line[self.line.len() - count..] {
            let job = &mut self.jobs[job];
            job.place = Place::Waiting;
            job.lives += 1;
        }
        Ok(())
    }
}
