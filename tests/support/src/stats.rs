//! What a mock server has seen.

use std::collections::BTreeMap;

/// Counts since the start or the last reset.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Stats {
    /// Commands of clients by upper-case name; those inside scripts are not counted, retries are.
    pub commands: BTreeMap<String, u64>,
    /// RESP connections accepted.
    pub connections: u64,
    /// RESP connections open now; a reset leaves it.
    pub open_connections: u64,
    /// Clients that wait inside a blocking command now; a reset leaves it.
    pub blocked: usize,
    /// HTTP requests, with those that a token or a fault refused.
    pub http_requests: u64,
    /// HTTP requests with the newest `upstash-sync-token`.
    pub sync_token_latest: u64,
    /// HTTP requests with an older one.
    pub sync_token_stale: u64,
    /// HTTP requests without one.
    pub sync_token_absent: u64,
    /// Faults that happened.
    pub faults_fired: u64,
}

impl Stats {
    /// How often a command came, whatever the case of its name.
    pub fn count(&self, command: &str) -> u64 {
        self.commands.get(&command.to_uppercase()).copied().unwrap_or(0)
    }

    /// All commands together.
    pub fn total(&self) -> u64 {
        self.commands.values().sum()
    }
}
