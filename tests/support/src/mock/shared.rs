//! What both faces of a mock server work on.

use std::sync::{Condvar, Mutex, MutexGuard, PoisonError};

use tokio::sync::watch;

use super::store::Store;
use super::table;
use crate::faults::{Face, Faults, Verdict};
use crate::{Reply, Stats};

#[derive(Debug)]
pub(crate) struct State {
    pub(crate) store: Store,
    pub(crate) stats: Stats,
    pub(crate) faults: Faults,
    pub(crate) next_id: u64,
}

#[derive(Debug)]
pub(crate) struct Shared {
    state: Mutex<State>,
    changed: Condvar,
    changes: watch::Sender<u64>,
    pub(crate) rest_token: String,
}

impl Shared {
    pub(crate) fn new(store: Store, seed: u64, rest_token: String) -> Self {
        let state = State { store, stats: Stats::default(), faults: Faults::new(seed), next_id: 1 };
        let changes = watch::Sender::new(0);
        Self { state: Mutex::new(state), changed: Condvar::new(), changes, rest_token }
    }

    /// The state, without telling those who wait for a change.
    pub(crate) fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Changes the state and tells those who wait for it.
    pub(crate) fn change<R>(&self, work: impl FnOnce(&mut State) -> R) -> R {
        let result = {
            let mut state = self.state();
            let before = state.store.writes;
            let result = work(&mut state);
            if state.store.writes != before {
                state.store.serve_waiters();
            }
            state.stats.blocked = state.store.waiters.len();
            state.stats.faults_fired = state.faults.fired;
            result
        };
        self.changed.notify_all();
        self.changes.send_modify(|count| *count += 1);
        result
    }

    pub(crate) fn changed(&self) -> &Condvar {
        &self.changed
    }

    pub(crate) fn changes(&self) -> watch::Receiver<u64> {
        self.changes.subscribe()
    }
}

impl State {
    /// Counts a command and draws what is to happen to it.
    pub(crate) fn arrive(&mut self, face: Face, words: &[Vec<u8>]) -> Verdict {
        let name = words.first().map(|name| String::from_utf8_lossy(name).to_uppercase()).unwrap_or_default();
        *self.stats.commands.entry(name).or_default() += 1;
        self.faults.judge(face, words)
    }

    /// One command that does not wait.
    pub(crate) fn run(&mut self, words: &[Vec<u8>], over_rest: bool) -> Reply {
        self.store.over_rest = over_rest;
        let reply = table::run(&mut self.store, words);
        self.store.over_rest = false;
        reply
    }

    pub(crate) fn new_id(&mut self) -> u64 {
        self.next_id += 1;
        self.next_id - 1
    }

    /// Changes with every write.
    pub(crate) fn sync_token(&self) -> String {
        format!("mock-{}", self.store.writes)
    }
}
