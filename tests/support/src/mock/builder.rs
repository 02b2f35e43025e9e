//! What a mock server is started with.

use std::collections::BTreeMap;

use super::MockRedis;
use super::clock::Clock;
use super::store::Setup;

/// Settings of a [`MockRedis`].
#[derive(Debug, Clone)]
pub struct MockRedisBuilder {
    pub(super) setup: Setup,
    pub(super) clock: Clock,
    pub(super) seed: u64,
}

impl Default for MockRedisBuilder {
    fn default() -> Self {
        let pairs = [
            ("appendonly", "yes"),
            ("appendfsync", "everysec"),
            ("maxmemory", "0"),
            ("maxmemory-policy", "noeviction"),
            ("save", ""),
        ];
        let config: BTreeMap<_, _> = pairs.map(|(name, value)| (name.to_owned(), value.to_owned())).into();
        let setup = Setup { version: "7.0.15".into(), password: None, strict_keys: false, config };
        Self { setup, clock: Clock::real(), seed: 0 }
    }
}

impl MockRedisBuilder {
    /// `redis_version` of `INFO`, default 7.0.15. Below 7 scripts have no first line with flags and errors
    /// of scripts are spelled as in 6.2.
    pub fn version(mut self, version: &str) -> Self {
        self.setup.version = version.into();
        self
    }

    /// RESP clients must send this password (`AUTH`, `HELLO 3 AUTH`); it is part of the URL.
    pub fn password(mut self, password: &str) -> Self {
        self.setup.password = Some(password.into());
        self
    }

    /// Every script may touch only the keys of its `KEYS`, on both faces.
    pub fn strict_keys(mut self) -> Self {
        self.setup.strict_keys = true;
        self
    }

    /// What `CONFIG GET` and `INFO` say, such as `maxmemory-policy`, `allkeys-lru`.
    pub fn config(mut self, name: &str, value: &str) -> Self {
        self.setup.config.insert(name.into(), value.into());
        self
    }

    /// Time stands at this many milliseconds since the epoch until [`MockRedis::advance`]; blocking commands
    /// then end by it as well.
    pub fn manual_clock(mut self, start_ms: i64) -> Self {
        self.clock = Clock::manual(start_ms);
        self
    }

    /// Seed of faults with a probability, default 0.
    pub fn seed(mut self, seed: u64) -> Self {
        self.seed = seed;
        self
    }

    /// Starts both faces on free ports of 127.0.0.1.
    ///
    /// # Panics
    /// No port can be bound.
    pub fn start(self) -> MockRedis {
        MockRedis::launch(self)
    }
}
