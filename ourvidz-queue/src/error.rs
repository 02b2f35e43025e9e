use std::io;
use std::path::PathBuf;
use std::time::Duration;

/// What can go wrong with queues, outboxes, secrets and values to be signed. No variant holds a secret.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// A secret that cannot be used.
    #[error("{name}: {rule}")]
    InvalidSecret {
        /// Which secret.
        name: &'static str,
        /// The rule it breaks.
        rule: &'static str,
    },
    /// Text that cannot stand in a header.
    #[error("{name}: {rule}, got {value:?}")]
    InvalidHeader {
        /// The header.
        name: &'static str,
        /// The rule it breaks.
        rule: &'static str,
        /// The text.
        value: String,
    },
    /// An option outside its rule.
    #[error("{name}: {rule}, got {value}")]
    InvalidOption {
        /// Which option.
        name: &'static str,
        /// The rule it breaks.
        rule: &'static str,
        /// What was given, without secrets.
        value: String,
    },
    /// The backend cannot be reached, did not answer in time, or says that it cannot work now. Whether the
    /// operation took place is not known; every operation of the traits but `push` may be repeated.
    #[error("cannot {action}: the queue's backend is not available")]
    Unavailable {
        /// What was tried, e.g. `claim a job`.
        action: &'static str,
        /// The client's or the server's reason.
        source: Box<dyn std::error::Error + Send + Sync>,
    },
    /// The backend refuses: wrong credentials, wrong type of a key, a command it does not have.
    #[error("cannot {action}: the queue's backend refuses")]
    Refused {
        /// What was tried.
        action: &'static str,
        /// The client's or the server's reason.
        source: Box<dyn std::error::Error + Send + Sync>,
    },
    /// What the backend holds or answers is not what this crate writes.
    #[error("{what}: {rule}, got {value}")]
    Corrupt {
        /// Which record or reply.
        what: &'static str,
        /// The rule it breaks.
        rule: &'static str,
        /// What was found, shortened.
        value: String,
    },
    /// The journal of settlements cannot be written or read.
    #[error("cannot {action} the journal {path}")]
    Journal {
        /// What was tried, e.g. `write`.
        action: &'static str,
        /// The file.
        path: PathBuf,
        /// The operating system's reason.
        source: io::Error,
    },
    /// A worker's thread cannot be started, or has ended without being asked to.
    #[error("cannot run the worker's {thread} thread")]
    Thread {
        /// `handler` or `heartbeat`.
        thread: &'static str,
        /// The operating system's reason.
        source: io::Error,
    },
    /// A worker's job handler cannot be made; no job was claimed.
    #[error("cannot make the job handler")]
    Handler {
        /// The maker's reason.
        source: Box<dyn std::error::Error + Send + Sync>,
    },
    /// A job showed no progress, or did not stop when told to: its thread hangs, and the process has to be
    /// recycled. The job's lease runs out and another worker takes it.
    #[error("job {job_id} has shown no progress for {idle:?}; the process has to be recycled")]
    Stalled {
        /// The producer's id.
        job_id: String,
        /// For how long.
        idle: Duration,
    },
}

impl Error {
    /// Whether the same call can succeed later.
    pub fn retryable(&self) -> bool {
        matches!(self, Error::Unavailable { .. } | Error::Journal { .. })
    }

    pub(crate) fn corrupt(what: &'static str, rule: &'static str, value: impl Into<String>) -> Self {
        let value: String = value.into();
        Error::Corrupt { what, rule, value: value.chars().take(200).collect() }
    }
}

/// Result of this crate.
pub type Result<T, E = Error> = core::result::Result<T, E>;
