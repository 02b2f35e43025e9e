use std::collections::BTreeMap;
use std::time::Duration;

use crate::{CallbackEntry, DueCallbacks, PendingCallback};

/// The outbox as plain data.
#[derive(Debug, Default)]
pub(super) struct Callbacks {
    pub(super) waiting: BTreeMap<String, CallbackEntry>,
    pub(super) dead: Vec<CallbackEntry>,
    pub(super) disabled: Option<String>,
}

impl Callbacks {
    pub(super) fn add(&mut self, callback: &PendingCallback, now: u64) {
        let entry = CallbackEntry {
            callback: callback.clone(),
            attempts: 0,
            created_ms: now,
            due_ms: now,
            last_error: None,
        };
        self.waiting.insert(callback.id.clone(), entry);
    }

    /// Adds how a job ended; that it had begun is no longer news.
    pub(super) fn add_terminal(&mut self, callback: &PendingCallback, now: u64) {
        self.waiting.remove(&PendingCallback::id_of(&callback.job_id, "processing"));
        self.add(callback, now);
    }

    pub(super) fn next_due(&self) -> Option<u64> {
        match self.disabled {
            Some(_) => None,
            None => self.waiting.values().map(|entry| entry.due_ms).min(),
        }
    }

    pub(super) fn take_due(&mut self, limit: usize, hide_ms: u64, now: u64) -> DueCallbacks {
        let mut entries = Vec::new();
        if self.disabled.is_none() {
            let mut due: Vec<_> = self.waiting.values_mut().filter(|entry| entry.due_ms <= now).collect();
            due.sort_by_key(|entry| entry.due_ms);
            for entry in due.into_iter().take(limit) {
                entry.attempts += 1;
                entry.due_ms = now + hide_ms;
                entries.push(entry.clone());
            }
        }
        let next_in = self.next_due().map(|at| Duration::from_millis(at.saturating_sub(now)));
        DueCallbacks { entries, next_in }
    }

    pub(super) fn delivered(&mut self, id: &str) {
        self.waiting.remove(id);
    }

    pub(super) fn postpone(&mut self, id: &str, after_ms: u64, error: &str, now: u64) {
        if let Some(entry) = self.waiting.get_mut(id) {
            entry.due_ms = now + after_ms;
            entry.last_error = Some(error.to_owned());
        }
    }

    pub(super) fn bury(&mut self, id: &str, error: &str, now: u64) {
        if let Some(mut entry) = self.waiting.remove(id) {
            entry.due_ms = now;
            entry.last_error = Some(error.to_owned());
            self.dead.retain(|dead| dead.callback.id != id);
            self.dead.push(entry);
        }
    }

    pub(super) fn retry(&mut self, id: &str, now: u64) -> bool {
        let found = self.waiting.remove(id).or_else(|| {
            let place = self.dead.iter().position(|entry| entry.callback.id == id)?;
            Some(self.dead.remove(place))
        });
        let Some(mut entry) = found else { return false };
        entry.attempts = 0;
        entry.due_ms = now;
        self.waiting.insert(id.to_owned(), entry);
        true
    }

    pub(super) fn soonest(&self, limit: usize) -> Vec<CallbackEntry> {
        let mut entries: Vec<_> = self.waiting.values().cloned().collect();
        entries.sort_by_key(|entry| entry.due_ms);
        entries.truncate(limit);
        entries
    }
}
