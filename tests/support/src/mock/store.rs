//! The keyspace: typed values with an expiry, read at one clock.

use std::collections::{BTreeMap, BTreeSet, HashMap, HashSet, VecDeque};

use super::blocking::Waiter;
use super::clock::Clock;
use super::pubsub::Subscriber;
use super::sorted::Sorted;

pub(crate) type Bytes = Vec<u8>;
pub(crate) type List = VecDeque<Bytes>;
pub(crate) type Hash = BTreeMap<Bytes, Bytes>;
pub(crate) type Members = BTreeSet<Bytes>;

pub(crate) const WRONG_TYPE: &str = "WRONGTYPE Operation against a key holding the wrong kind of value";

#[derive(Debug)]
pub(crate) enum Data {
    Text(Bytes),
    List(List),
    Hash(Hash),
    Set(Members),
    Sorted(Sorted),
}

#[derive(Debug)]
struct Entry {
    data: Data,
    expires_ms: Option<i64>,
}

/// What a server was started with.
#[derive(Debug, Clone)]
pub(crate) struct Setup {
    pub(crate) version: String,
    pub(crate) password: Option<String>,
    pub(crate) strict_keys: bool,
    pub(crate) config: BTreeMap<String, String>,
}

impl Setup {
    /// Whether scripts and errors behave as from Redis 7.0 on.
    pub(crate) fn is_seven(&self) -> bool {
        self.version.split('.').next().and_then(|major| major.parse::<u32>().ok()).unwrap_or(0) >= 7
    }
}

/// What the script that runs right now may do.
#[derive(Debug)]
pub(crate) struct ScriptScope {
    pub(crate) read_only: bool,
    /// The keys it may name; `None` lets it name any.
    pub(crate) declared: Option<HashSet<Bytes>>,
}

#[derive(Debug)]
pub(crate) struct Store {
    pub(crate) setup: Setup,
    pub(crate) clock: Clock,
    pub(crate) scripts: HashMap<String, Bytes>,
    pub(crate) waiters: Vec<Waiter>,
    pub(crate) subscribers: Vec<Subscriber>,
    pub(crate) script: Option<ScriptScope>,
    /// Whether the command in hand came over REST.
    pub(crate) over_rest: bool,
    /// Commands that may write and did not fail.
    pub(crate) writes: u64,
    frozen_us: Option<i64>,
    entries: HashMap<Bytes, Entry>,
}

impl Store {
    pub(crate) fn new(setup: Setup, clock: Clock) -> Self {
        Self {
            setup,
            clock,
            scripts: HashMap::new(),
            waiters: Vec::new(),
            subscribers: Vec::new(),
            script: None,
            over_rest: false,
            writes: 0,
            frozen_us: None,
            entries: HashMap::new(),
        }
    }

    pub(crate) fn now_us(&self) -> i64 {
        self.frozen_us.unwrap_or_else(|| self.clock.now_us())
    }

    pub(crate) fn now_ms(&self) -> i64 {
        self.now_us() / 1000
    }

    /// Time stands still until [`Self::thaw`].
    pub(crate) fn freeze(&mut self) {
        self.frozen_us = Some(self.clock.now_us());
    }

    pub(crate) fn thaw(&mut self) {
        self.frozen_us = None;
    }

    /// The value of a key as one type; `None` without the key.
    pub(crate) fn get<K: Kind>(&mut self, key: &[u8]) -> Result<Option<&mut K>, String> {
        match self.live(key) {
            Some(entry) => K::of(&mut entry.data).map(Some).ok_or_else(|| WRONG_TYPE.to_owned()),
            None => Ok(None),
        }
    }

    /// The value of a key, which is made empty when it is not there.
    pub(crate) fn make<K: Kind>(&mut self, key: &[u8]) -> Result<&mut K, String> {
        self.live(key);
        let new = || Entry { data: K::empty(), expires_ms: None };
        let entry = self.entries.entry(key.to_vec()).or_insert_with(new);
        K::of(&mut entry.data).ok_or_else(|| WRONG_TYPE.to_owned())
    }

    /// Replaces a key of any type; its expiry goes.
    pub(crate) fn put(&mut self, key: &[u8], data: Data) {
        self.entries.insert(key.to_vec(), Entry { data, expires_ms: None });
    }

    /// Removes a container that a command emptied: Redis has no empty ones.
    pub(crate) fn drop_if_empty(&mut self, key: &[u8]) {
        let empty = self.entries.get(key).is_some_and(|entry| match &entry.data {
            Data::Text(_) => false,
            Data::List(list) => list.is_empty(),
            Data::Hash(hash) => hash.is_empty(),
            Data::Set(set) => set.is_empty(),
            Data::Sorted(sorted) => sorted.len() == 0,
        });
        if empty {
            self.entries.remove(key);
        }
    }

    pub(crate) fn remove(&mut self, key: &[u8]) -> bool {
        self.live(key).is_some() && self.entries.remove(key).is_some()
    }

    /// False without the key.
    pub(crate) fn rename(&mut self, from: &[u8], to: &[u8]) -> bool {
        self.live(from);
        let Some(entry) = self.entries.remove(from) else { return false };
        self.entries.insert(to.to_vec(), entry);
        true
    }

    pub(crate) fn exists(&mut self, key: &[u8]) -> bool {
        self.live(key).is_some()
    }

    pub(crate) fn type_name(&mut self, key: &[u8]) -> &'static str {
        self.live(key).map_or("none", |entry| match entry.data {
            Data::Text(_) => "string",
            Data::List(_) => "list",
            Data::Hash(_) => "hash",
            Data::Set(_) => "set",
            Data::Sorted(_) => "zset",
        })
    }

    /// Milliseconds since the epoch at which the key goes; the outer `None` is no key.
    pub(crate) fn expiry_ms(&mut self, key: &[u8]) -> Option<Option<i64>> {
        self.live(key).map(|entry| entry.expires_ms)
    }

    /// False without the key.
    pub(crate) fn set_expiry_ms(&mut self, key: &[u8], at_ms: Option<i64>) -> bool {
        self.live(key).map(|entry| entry.expires_ms = at_ms).is_some()
    }

    /// Keys that have not expired, sorted.
    pub(crate) fn keys(&mut self) -> Vec<Bytes> {
        let now = self.now_ms();
        self.entries.retain(|_, entry| entry.expires_ms.is_none_or(|at| at > now));
        let mut keys: Vec<Bytes> = self.entries.keys().cloned().collect();
        keys.sort();
        keys
    }

    pub(crate) fn clear(&mut self) {
        self.entries.clear();
    }

    fn live(&mut self, key: &[u8]) -> Option<&mut Entry> {
        let now = self.now_ms();
        if self.entries.get(key).is_some_and(|entry| entry.expires_ms.is_some_and(|at| at <= now)) {
            self.entries.remove(key);
        }
        self.entries.get_mut(key)
    }
}

/// A type of value that a command works on.
pub(crate) trait Kind: Sized {
    fn of(data: &mut Data) -> Option<&mut Self>;
    fn empty() -> Data;
}

macro_rules! kind {
    ($name:ty, $variant:ident) => {
        impl Kind for $name {
            fn of(data: &mut Data) -> Option<&mut Self> {
                if let Data::$variant(value) = data { Some(value) } else { None }
            }

            fn empty() -> Data {
                Data::$variant(Default::default())
            }
        }
    };
}

kind!(Bytes, Text);
kind!(List, List);
kind!(Hash, Hash);
kind!(Members, Set);
kind!(Sorted, Sorted);
