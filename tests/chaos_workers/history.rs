use std::collections::{BTreeMap, BTreeSet};

use anyhow::Result;

use crate::fleet::Past;
use crate::log::{Log, Record, What};

/// What all processes together wrote down.
#[derive(Debug, Default)]
pub(crate) struct History {
    pub(crate) claims: BTreeMap<String, Claim>,
    /// Runs of the handler to its end, by job.
    pub(crate) runs: BTreeMap<String, usize>,
    /// The highest attempt seen, by job.
    pub(crate) attempts: BTreeMap<String, u32>,
    /// Processes that were killed while they held a job.
    pub(crate) hits: usize,
}

/// One claim's life.
#[derive(Debug, Default)]
pub(crate) struct Claim {
    pub(crate) job: String,
    /// Processes that claimed, renewed or settled it.
    pub(crate) processes: BTreeSet<usize>,
    /// When its lease last began to run for certain.
    pub(crate) renewed_ms: u64,
    /// The kind, for every answer that a call had ended it.
    pub(crate) applied: Vec<String>,
    /// When its settlement was asked for, for the first time.
    settling_ms: Option<u64>,
    ended: bool,
    pub(crate) unsettled: usize,
    /// When it was told that it holds nothing, and by which call.
    lost: Vec<(u64, String)>,
    /// A settlement met `Lost` although this very claim had been settled before.
    forgotten: bool,
}

impl History {
    pub(crate) fn read(past: &[Past]) -> Result<Self> {
        let mut history = Self::default();
        let mut records = Vec::new();
        for (process, past) in past.iter().enumerate() {
            let log = Log::read(&past.log)?;
            if past.killed && holds_a_job(&log) {
                history.hits += 1;
            }
            records.extend(log.into_iter().map(|record| (process, record)));
        }
        // Stable: within one process the order of its log stays.
        records.sort_by_key(|(_, record)| record.at_ms);
        for (process, record) in records {
            history.add(process, &record);
        }
        Ok(history)
    }

    fn add(&mut self, process: usize, record: &Record) {
        let Record { what, begun_ms, at_ms, claim, job, detail } = record;
        let claim = self.claims.entry(claim.clone()).or_default();
        claim.processes.insert(process);
        match what {
            What::Claimed => {
                claim.job = job.clone();
                claim.renewed_ms = claim.renewed_ms.max(*begun_ms);
                let highest = self.attempts.entry(job.clone()).or_default();
                *highest = (*highest).max(detail.parse().unwrap_or(0));
            }
            What::Held => claim.renewed_ms = claim.renewed_ms.max(*begun_ms),
            What::Effect => *self.runs.entry(job.clone()).or_default() += 1,
            What::Settling => {
                claim.settling_ms.get_or_insert(*begun_ms);
            }
            What::Applied => {
                claim.ended = true;
                claim.applied.push(detail.clone());
            }
            What::Already => claim.ended = true,
            What::Unsettled => claim.unsettled += 1,
            What::Lost => {
                claim.forgotten |= claim.ended && settles(detail);
                claim.lost.push((*at_ms, detail.clone()));
            }
        }
    }

    /// Settlements that ended a job for good, by job.
    pub(crate) fn acks(&self) -> BTreeMap<&str, usize> {
        let mut acks = BTreeMap::new();
        for claim in self.claims.values() {
            let terminal = claim.applied.iter().filter(|kind| matches!(kind.as_str(), "done" | "failed"));
            *acks.entry(claim.job.as_str()).or_default() += terminal.count();
        }
        acks
    }
}

impl Claim {
    /// Whether the worker was told that it lost the job to others.
    pub(crate) fn fenced(&self, settled: bool) -> bool {
        self.losses(settled).next().is_some()
    }

    /// Whether it was told that it holds nothing while its lease had to run, or while nobody else had taken the
    /// job back. `taken`, `settled`: what the server remembers; `early`: the lease was released, not run out.
    pub(crate) fn falsely_fenced(&self, lease_ms: u64, taken: bool, settled: bool, early: bool) -> bool {
        let within = self.losses(settled).any(|at| at < self.renewed_ms + lease_ms);
        self.forgotten || (self.fenced(settled) && !taken) || (within && !early)
    }

    /// When it was told that it holds nothing. A heartbeat that meets the end its own worker has just asked for
    /// is none: it may arrive between that request and the reply, which may be lost.
    fn losses(&self, settled: bool) -> impl Iterator<Item = u64> {
        let own_end = self.settling_ms.filter(|_| settled || self.ended);
        let by_others = move |at: u64, call: &str| settles(call) || own_end.is_none_or(|end| at < end);
        self.lost.iter().filter(move |(at, call)| by_others(*at, call)).map(|(at, _)| *at)
    }
}

/// Whether the call that was answered is a settlement.
fn settles(call: &str) -> bool {
    !matches!(call, "beat" | "announce")
}

fn holds_a_job(log: &[Record]) -> bool {
    let last = log.iter().rev().find(|record| record.what == What::Claimed);
    last.is_some_and(|last| {
        let ends = [What::Applied, What::Already, What::Lost];
        !log.iter().any(|record| record.claim == last.claim && ends.contains(&record.what))
    })
}
