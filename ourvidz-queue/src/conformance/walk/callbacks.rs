use std::collections::BTreeMap;
use std::time::Duration;

use super::span::Span;
use super::{Found, ensure};
use crate::{CallbackEntry, DueCallbacks, PendingCallback};

/// What the outbox should hold.
#[derive(Debug, Default)]
pub(super) struct Callbacks {
    pub(super) waiting: BTreeMap<String, Pending>,
    pub(super) dead: BTreeMap<String, Pending>,
    pub(super) disabled: Option<String>,
    /// Bodies of terminal callbacks that nobody has reported as delivered.
    pub(super) owed: BTreeMap<String, String>,
}

#[derive(Debug, Clone)]
pub(super) struct Pending {
    callback: PendingCallback,
    attempts: u32,
    /// When it is due, or was buried.
    at: Span,
    /// The last report, where there was one since the callback was last made due by hand.
    error: Option<String>,
}

impl Callbacks {
    pub(super) fn add(&mut self, callback: &PendingCallback, now: Span) {
        let pending = Pending { callback: callback.clone(), attempts: 0, at: now, error: None };
        self.waiting.insert(callback.id.clone(), pending);
    }

    pub(super) fn add_terminal(&mut self, callback: &PendingCallback, now: Span) {
        self.waiting.remove(&PendingCallback::id_of(&callback.job_id, "processing"));
        self.owed.insert(callback.id.clone(), callback.body.clone());
        self.add(callback, now);
    }

    /// Announcing a second time may leave the first as it is.
    pub(super) fn announced(&mut self, callback: &PendingCallback, now: Span, seen: &[CallbackEntry]) {
        let before = self.waiting.get(&callback.id).cloned();
        self.add(callback, now);
        let seen = seen.iter().find(|entry| entry.callback.id == callback.id);
        if let (Some(before), Some(seen)) = (before, seen)
            && before.callback == *callback
            && before.attempts == seen.attempts
            && (before.error.is_none() || before.error == seen.last_error)
        {
            let at = before.at.either(now);
            self.waiting.insert(callback.id.clone(), Pending { at, ..before });
        }
    }

    pub(super) fn next_due(&self) -> Option<Span> {
        if self.disabled.is_some() {
            return None;
        }
        self.waiting.values().map(|pending| pending.at).reduce(Span::earlier)
    }

    pub(super) fn taken(&mut self, limit: usize, hide: Duration, now: Span, answer: &DueCallbacks) -> Found {
        if self.disabled.is_some() {
            ensure!(*answer == DueCallbacks::default(), "deliveries are stopped, yet {answer:?}");
            return Ok(());
        }
        let sure = self.waiting.values().filter(|pending| pending.at.is_over(now)).count();
        let taken = answer.entries.len();
        ensure!(taken <= limit && taken >= sure.min(limit), "{sure} are due, {taken} of {limit} were taken");
        for (place, entry) in answer.entries.iter().enumerate() {
            let id = &entry.callback.id;
            let Some(pending) = self.waiting.get(id) else {
                return Err(format!("{id} does not wait").into());
            };
            ensure!(pending.at.may_be_over(now), "{id} is not due");
            ensure!(entry.callback == pending.callback, "{id} was changed: {entry:?}");
            ensure!(
                entry.attempts == pending.attempts + 1,
                "{id}: {} after {}",
                entry.attempts,
                pending.attempts
            );
            let later = &answer.entries[place..];
            let sooner = self.waiting.values().find(|other| {
                let of_other = |entry: &CallbackEntry| entry.callback.id == other.callback.id;
                let was_taken_before = answer.entries[..place].iter().any(of_other);
                other.at.is_before(pending.at)
                    && !was_taken_before
                    && (later.iter().any(of_other) || taken == limit)
            });
            ensure!(sooner.is_none(), "{id} was taken, {sooner:?} is due sooner");
        }
        for entry in &answer.entries {
            if let Some(pending) = self.waiting.get_mut(&entry.callback.id) {
                pending.attempts += 1;
                pending.at = now.plus(hide);
            }
        }
        let next = self.next_due();
        match (answer.next_in, next) {
            (None, None) => Ok(()),
            (Some(left), Some(next)) if next.can_be_in(left, now) => Ok(()),
            (told, expected) => Err(format!("next_in is {told:?}, the next is due {expected:?}").into()),
        }
    }

    pub(super) fn delivered(&mut self, id: &str) {
        if self.waiting.remove(id).is_some() {
            self.owed.remove(id);
        }
    }

    pub(super) fn postponed(&mut self, id: &str, after: Duration, error: &str, now: Span) {
        if let Some(pending) = self.waiting.get_mut(id) {
            pending.at = now.plus(after);
            pending.error = Some(error.to_owned());
        }
    }

    pub(super) fn buried(&mut self, id: &str, error: &str, now: Span) {
        if let Some(pending) = self.waiting.remove(id) {
            let buried = Pending { at: now, error: Some(error.to_owned()), ..pending };
            self.dead.insert(id.to_owned(), buried);
        }
    }

    pub(super) fn retried(&mut self, id: &str, now: Span) -> bool {
        let found = self.waiting.remove(id).or_else(|| self.dead.remove(id));
        let Some(pending) = found else { return false };
        self.waiting.insert(id.to_owned(), Pending { attempts: 0, at: now, error: None, ..pending });
        true
    }

    /// `exact`: the backend's clock is the harness's, so its times can be compared.
    pub(super) fn compare(&self, waiting: &[CallbackEntry], dead: &[CallbackEntry], exact: bool) -> Found {
        for (name, expected, seen) in [("waiting", &self.waiting, waiting), ("dead", &self.dead, dead)] {
            ensure!(
                expected.len() == seen.len(),
                "{name} callbacks: expected {:?}, found {:?}",
                expected.keys().collect::<Vec<_>>(),
                seen.iter().map(|entry| &entry.callback.id).collect::<Vec<_>>()
            );
            for entry in seen {
                let id = &entry.callback.id;
                let Some(pending) = expected.get(id) else { return Err(format!("{id} is {name}").into()) };
                let same = entry.callback == pending.callback && entry.attempts == pending.attempts;
                ensure!(same, "{name} callback: expected {pending:?}, found {entry:?}");
                let known = pending.error.is_none() || pending.error == entry.last_error;
                ensure!(known, "{id}: expected {:?}, found {:?}", pending.error, entry.last_error);
                let timely = !exact || (pending.at.lo..=pending.at.hi).contains(&entry.due_ms);
                ensure!(timely, "{id}: due {:?}, found {}", pending.at, entry.due_ms);
            }
            for pair in seen.windows(2) {
                ensure!(pair[0].due_ms <= pair[1].due_ms, "{name} callbacks are out of order: {pair:?}");
            }
        }
        Ok(())
    }
}
