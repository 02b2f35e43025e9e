use std::time::Duration;

use super::look::Look;
use super::model::{Held, Model, Place, Told};
use super::span::Span;
use super::{Found, ensure};
use crate::{ClaimId, Claimed, Delivery, Empty, WorkerId};

/// A job that has come to the head of the line.
struct Returned {
    job: usize,
    /// Taken back, not a delayed one that was due.
    reaped: bool,
    /// When its lease ran out, or it was due.
    since: Span,
}

impl Model {
    pub(super) fn claimed(
        &mut self,
        claim: &ClaimId,
        worker: &WorkerId,
        answer: &Claimed,
        now: Span,
        look: &Look,
    ) -> Found {
        if let Some(held) = self.held.get(claim) {
            let Claimed::Job(delivery) = answer else { return Err(format!("{claim} holds a job").into()) };
            return self.same_delivery(held, delivery);
        }
        if *answer == Claimed::Spent {
            let ended = self.spent.contains_key(claim) || self.must_be_spent(claim, now);
            ensure!(ended, "{claim} never held a job");
            return Ok(());
        }
        ensure!(!self.must_be_spent(claim, now), "{claim} held a job before, and claims another");
        let returned = self.returned(claim, now, look)?;
        match answer {
            Claimed::Job(delivery) => {
                ensure!(!self.paused, "a paused queue handed out a job");
                let job = self.take(delivery, returned, &look.waiting)?;
                self.hold(job, claim, worker, delivery, now)
            }
            Claimed::Empty(empty) => {
                self.arrange(returned, &look.waiting.iter().collect::<Vec<_>>())?;
                ensure!(self.paused || self.line.is_empty(), "{} jobs wait", self.line.len());
                self.hints(empty, now)
            }
            Claimed::Spent => Ok(()),
        }
    }

    fn same_delivery(&self, held: &Held, delivery: &Delivery) -> Found {
        let max = self.options.max_attempts;
        let same = delivery.element == self.jobs[held.job].element
            && delivery.attempt == held.attempt.min(max)
            && delivery.exhausted.is_some() == (held.attempt > max);
        ensure!(same, "the claim holds {held:?}, the answer is {delivery:?}");
        Ok(())
    }

    /// Leases that ran out and delayed jobs that are due, as a claim should find them and `look` shows it did.
    fn returned(&mut self, claim: &ClaimId, now: Span, look: &Look) -> Result<Vec<Returned>, super::Broken> {
        let mut returned = Vec::new();
        let were_delayed = self.delayed.clone();
        for (claim, held) in self.held.clone() {
            if look.in_flight.iter().any(|seen| seen.claim == claim) {
                ensure!(!held.deadline.is_over(now), "{claim} was not taken back: {held:?}");
            } else {
                ensure!(held.deadline.may_be_over(now), "{claim} was taken back early: {held:?}");
                returned.extend(self.take_back(&claim, now));
            }
        }
        // Which of the delayed ones have become waiting shows in their number, element by element.
        let mut left: Vec<_> = look.delayed.iter().map(|seen| seen.element.as_str()).collect();
        let mut delayed: Vec<_> = self.delayed.iter().map(|&job| (self.due(job), job)).collect();
        delayed.sort_by_key(|(due, _)| std::cmp::Reverse(due.lo));
        for (due, job) in delayed {
            if let Some(place) = left.iter().position(|element| *element == self.jobs[job].element) {
                left.remove(place);
                let overlooked = due.is_over(now) && were_delayed.contains(&job);
                ensure!(!overlooked, "a delayed job is due, and not waiting: {:?}", self.jobs[job]);
            } else {
                ensure!(due.may_be_over(now), "a delayed job is not due: {:?}", self.jobs[job]);
                self.delayed.retain(|&other| other != job);
                self.jobs[job].place = Place::Waiting;
                returned.push(Returned { job, reaped: false, since: due });
            }
        }
        ensure!(!self.held.contains_key(claim), "{claim} holds two jobs");
        Ok(returned)
    }

    fn due(&self, job: usize) -> Span {
        match self.jobs[job].place {
            Place::Delayed { due, .. } => due,
            _ => Span { lo: 0, hi: 0 },
        }
    }

    /// The job comes back to the line, unless it is delayed.
    fn take_back(&mut self, claim: &ClaimId, now: Span) -> Option<Returned> {
        let held = self.held.remove(claim)?;
        self.spent.insert(claim.clone(), (now, false));
        let max = self.options.max_attempts;
        let tries = self.tries.entry(self.jobs[held.job].key.clone()).or_default();
        if held.attempt <= max {
            tries.1 = Told::Naming(held.worker.clone());
        }
        if held.attempt == 1 || held.attempt >= max {
            self.jobs[held.job].place = Place::Waiting;
            return Some(Returned { job: held.job, reaped: true, since: held.deadline });
        }
        let wait = self.options.reaped_delay * 2_u32.pow(held.attempt - 2);
        self.jobs[held.job].place = Place::Delayed { due: now.plus(wait), last: claim.clone() };
        self.delayed.push(held.job);
        None
    }

    /// Puts the returned jobs before the line, in the order seen; that order may not contradict the times.
    fn arrange(&mut self, mut returned: Vec<Returned>, seen: &[&String]) -> Found {
        let expected = returned.len() + self.line.len();
        ensure!(seen.len() == expected, "{expected} jobs should wait, {} do", seen.len());
        let (head, tail) = seen.split_at(returned.len());
        let kept = self.line.iter().zip(tail).all(|(&job, element)| self.jobs[job].element == **element);
        ensure!(kept, "the line was {:?}, its end is {tail:?}", self.elements(&self.line));
        returned.sort_by_key(|returned| (returned.reaped, returned.since.lo));
        let mut arranged: Vec<Returned> = Vec::new();
        for element in head {
            let place = returned.iter().position(|returned| self.jobs[returned.job].element == **element);
            let Some(place) = place else { return Err(format!("{element} came from nowhere").into()) };
            let next = returned.remove(place);
            for earlier in arranged.iter().filter(|earlier| earlier.reaped == next.reaped) {
                ensure!(!next.since.is_before(earlier.since), "{element} should stand earlier in line");
            }
            arranged.push(next);
        }
        self.line.splice(0..0, arranged.into_iter().map(|returned| returned.job));
        Ok(())
    }

    /// The job that left the line, which `rest` shows without it.
    fn take(
        &mut self,
        delivery: &Delivery,
        returned: Vec<Returned>,
        rest: &[String],
    ) -> Result<usize, super::Broken> {
        let reach = match self.options.fair_share {
            Some(fair) => fair.window as usize,
            None => 1,
        };
        let mut broken = super::Broken::from(format!("{delivery:?} came from nowhere"));
        for place in 0..reach.min(rest.len() + 1) {
            let mut seen: Vec<_> = rest.iter().collect();
            seen.insert(place, &delivery.element);
            let copies = returned.iter().map(|r| Returned { job: r.job, reaped: r.reaped, since: r.since });
            match self.arrange(copies.collect(), &seen) {
                Ok(()) => return Ok(self.line.remove(place)),
                Err(error) => broken = error,
            }
        }
        Err(broken)
    }

    fn hold(
        &mut self,
        job: usize,
        claim: &ClaimId,
        worker: &WorkerId,
        delivery: &Delivery,
        now: Span,
    ) -> Found {
        let max = self.options.max_attempts;
        let (count, told) = self.tries.entry(self.jobs[job].key.clone()).or_default();
        let attempt = *count + 1;
        *count = attempt.min(max);
        ensure!(delivery.claim == *claim, "the delivery names another claim: {delivery:?}");
        ensure!(delivery.attempt <= max, "an attempt past the last: {delivery:?}");
        ensure!(delivery.attempt == attempt.min(max), "expected attempt {attempt}, found {delivery:?}");
        match (&delivery.exhausted, told) {
            (None, _) => ensure!(attempt <= max, "all attempts were used: {delivery:?}"),
            (Some(_), _) if attempt <= max => return Err(format!("attempts are left: {delivery:?}").into()),
            (Some(_), _) if self.shared.contains(&self.jobs[job].key) => {}
            (Some(reason), Told::Exactly(told)) => {
                ensure!(reason == told, "expected {told:?}, found {reason:?}")
            }
            (Some(reason), Told::Naming(worker)) => {
                ensure!(reason.contains(worker.as_str()), "{reason:?} does not name {worker}");
            }
            (Some(_), Told::Nothing) => {}
        }
        self.jobs[job].place = Place::Held;
        let deadline = now.plus(self.options.lease);
        self.held.insert(claim.clone(), Held { job, worker: worker.clone(), attempt, deadline });
        Ok(())
    }

    fn hints(&self, empty: &Empty, now: Span) -> Found {
        ensure!(empty.paused == self.paused, "paused is {}, found {empty:?}", self.paused);
        let leases = self.held.values().map(|held| held.deadline);
        let next_job = leases.chain(self.delayed.iter().map(|&job| self.due(job))).reduce(Span::earlier);
        let right = |told: Option<Duration>, at: Option<Span>| match (told, at) {
            (None, None) => true,
            (Some(left), Some(at)) => at.can_be_in(left, now),
            _ => false,
        };
        ensure!(right(empty.next_job_in, next_job), "the next job is due {next_job:?}, found {empty:?}");
        let callback = self.callbacks.next_due();
        ensure!(right(empty.callback_in, callback), "a callback is due {callback:?}, found {empty:?}");
        Ok(())
    }

    pub(super) fn released(&mut self, worker: &WorkerId, count: usize, now: Span, look: &Look) -> Found {
        let claims: Vec<_> = self
            .held
            .iter()
            .filter(|(_, held)| held.worker == *worker)
            .map(|(claim, _)| claim.clone())
            .collect();
        ensure!(claims.len() == count, "{worker} held {}, {count} came back", claims.len());
        // In whatever order they come back.
        let anytime = Span { lo: 0, hi: u64::MAX };
        let returned = claims.iter().filter_map(|claim| self.take_back(claim, now));
        let returned = returned.map(|returned| Returned { since: anytime, ..returned }).collect();
        self.arrange(returned, &look.waiting.iter().collect::<Vec<_>>())
    }

    pub(super) fn elements(&self, jobs: &[usize]) -> Vec<&str> {
        jobs.iter().map(|&job| self.jobs[job].element.as_str()).collect()
    }
}
