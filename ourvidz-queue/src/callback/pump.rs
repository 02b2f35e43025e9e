use std::collections::{HashMap, VecDeque};
use std::sync::Arc;
use std::time::Duration;

use tokio::task::{Id, JoinError, JoinSet};
use tokio::time::Instant;

use super::decision::is_processing;
use super::delivery::{Ended, Shared};
use crate::CallbackEntry;

/// Callbacks that were taken out of the outbox: those under way, one per job, and those that wait for the one
/// before them of the same job.
#[derive(Debug)]
pub(super) struct Pump {
    shared: Arc<Shared>,
    places: usize,
    tasks: JoinSet<Ended>,
    running: HashMap<Id, Taken>,
    held: VecDeque<(CallbackEntry, Instant)>,
}

#[derive(Debug)]
struct Taken {
    id: String,
    job_id: String,
    hidden_until: Instant,
}

impl Pump {
    pub(super) fn new(shared: Arc<Shared>, places: usize) -> Self {
        Self { shared, places, tasks: JoinSet::new(), running: HashMap::new(), held: VecDeque::new() }
    }

    /// How many callbacks may be taken now.
    pub(super) fn free(&self) -> usize {
        self.places.saturating_sub(self.tasks.len() + self.held.len())
    }

    pub(super) fn is_idle(&self) -> bool {
        self.tasks.is_empty()
    }

    pub(super) fn len(&self) -> usize {
        self.tasks.len() + self.held.len()
    }

    /// Begins to deliver what was taken.
    pub(super) fn start(&mut self, mut entries: Vec<CallbackEntry>, hidden_until: Instant) {
        // How a job ended never overtakes that it has begun.
        entries.sort_by_key(|entry| (entry.created_ms, !is_processing(&entry.callback)));
        for entry in entries {
            let job_id = &entry.callback.job_id;
            let waits = self.held.iter().any(|(held, _)| held.callback.job_id == *job_id);
            if waits || self.is_under_way(job_id) {
                self.held.push_back((entry, hidden_until));
            } else {
                self.spawn(entry, hidden_until);
            }
        }
    }

    /// Waits for a delivery to end and begins what waited for it. Says when something is due because of it.
    /// Pends for ever when none is under way.
    pub(super) async fn next_ended(&mut self) -> Option<Duration> {
        match self.tasks.join_next_with_id().await {
            Some(joined) => self.ended(joined),
            None => std::future::pending().await,
        }
    }

    fn ended(&mut self, joined: Result<(Id, Ended), JoinError>) -> Option<Duration> {
        let (task, ended) = match joined {
            Ok(joined) => joined,
            Err(error) => {
                tracing::error!(%error, "callback: a delivery broke off");
                (error.id(), Ended::Untold)
            }
        };
        let taken = self.running.remove(&task)?;
        if ended == Ended::Gone {
            // Taken once more while the outbox could not be told.
            self.held.retain(|(held, _)| held.callback.id != taken.id);
        }
        self.start_held();
        match ended {
            Ended::Gone => None,
            Ended::Due(after) => Some(after),
            Ended::Untold => Some(taken.hidden_until.saturating_duration_since(Instant::now())),
        }
    }

    fn start_held(&mut self) {
        let mut waiting = VecDeque::new();
        for (entry, hidden_until) in std::mem::take(&mut self.held) {
            if self.is_under_way(&entry.callback.job_id) {
                waiting.push_back((entry, hidden_until));
            } else if Instant::now() + self.shared.sender.timeout() < hidden_until {
                self.spawn(entry, hidden_until);
            } else {
                // Somebody else may be about to send it.
                tracing::warn!(id = entry.callback.id, "callback: left to a later try, it waited too long");
            }
        }
        self.held = waiting;
    }

    fn is_under_way(&self, job_id: &str) -> bool {
        self.running.values().any(|taken| taken.job_id == *job_id)
    }

    fn spawn(&mut self, entry: CallbackEntry, hidden_until: Instant) {
        let (id, job_id) = (entry.callback.id.clone(), entry.callback.job_id.clone());
        let task = self.tasks.spawn(Arc::clone(&self.shared).deliver(entry, hidden_until));
        self.running.insert(task.id(), Taken { id, job_id, hidden_until });
    }
}
