use std::io;
use std::path::PathBuf;
use std::time::Duration;

use crate::StorageKey;

/// What can go wrong when a file is stored or read.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// A bucket or path that no store accepts.
    #[error("storage key {key:?}: {rule}")]
    InvalidKey {
        /// The bucket or path as given.
        key: String,
        /// The rule it breaks.
        rule: &'static str,
    },
    /// Nothing is stored under the key.
    #[error("{key} is not stored")]
    NotFound {
        /// The key asked for.
        key: StorageKey,
    },
    /// The file system refused.
    #[error("cannot {action} {key}")]
    Io {
        /// What was tried, e.g. `write`.
        action: &'static str,
        /// The key it was tried for.
        key: StorageKey,
        /// The operating system's reason.
        source: io::Error,
    },
    /// An unfinished file, or the folder of some, could not be read or removed.
    #[error("cannot remove unfinished files at {}", path.display())]
    Sweep {
        /// The file or folder.
        path: PathBuf,
        /// The operating system's reason.
        source: io::Error,
    },
    /// A setting breaks its rule.
    #[error("{field} {rule}, got {value:?}")]
    Setting {
        /// The setting, e.g. `storage.url`.
        field: &'static str,
        /// The rule it breaks, beginning with `must`.
        rule: &'static str,
        /// What was given; never a secret.
        value: String,
    },
    /// The store has no such ability, e.g. a folder has no signed URLs.
    #[error("{store} cannot {action}")]
    Unsupported {
        /// The kind of store.
        store: &'static str,
        /// What was asked for.
        action: &'static str,
    },
    /// The remote store has no bucket of this name, or hides it from these credentials.
    #[error("cannot {action}: the store has no bucket {bucket:?}, or not for these credentials")]
    NoSuchBucket {
        /// What was tried.
        action: &'static str,
        /// The bucket.
        bucket: String,
    },
    /// The remote store does not accept the credentials themselves.
    #[error("cannot {action}: the store does not accept the credentials ({code}: {message})")]
    Unauthenticated {
        /// What was tried.
        action: &'static str,
        /// The server's code, e.g. `InvalidJWT`.
        code: String,
        /// The server's words.
        message: Box<str>,
    },
    /// The remote store refused for good: forbidden, too large, a type the bucket does not take.
    #[error("cannot {action} {key}: the store answered {status} ({code}: {message})")]
    Refused {
        /// What was tried.
        action: &'static str,
        /// The key it was tried for.
        key: StorageKey,
        /// The status the server means, which with Supabase is not that of the HTTP reply.
        status: u16,
        /// The server's code, e.g. `EntityTooLarge`.
        code: String,
        /// The server's words.
        message: Box<str>,
    },
    /// The remote store could not do it now: locked, overloaded, failing, timed out inside.
    #[error("cannot {action} {key} now: the store answered {status} ({code}: {message})")]
    Busy {
        /// What was tried.
        action: &'static str,
        /// The key it was tried for.
        key: StorageKey,
        /// The status the server means.
        status: u16,
        /// The server's code, e.g. `SlowDown`.
        code: String,
        /// The server's words.
        message: Box<str>,
        /// How long the server asks to wait.
        retry_after: Option<Duration>,
    },
    /// No whole reply came: refused or lost connection, or out of time.
    #[error("cannot {action} {key}: no reply from the store")]
    Network {
        /// What was tried.
        action: &'static str,
        /// The key it was tried for.
        key: StorageKey,
        /// The HTTP client's reason.
        source: Box<dyn std::error::Error + Send + Sync>,
    },
    /// The server's reply, or what it holds, is not what it should be.
    #[error("cannot {action} {key}: expected {expected}, found {found}")]
    Unexpected {
        /// What was tried.
        action: &'static str,
        /// The key it was tried for.
        key: StorageKey,
        /// What there should be.
        expected: String,
        /// What there is.
        found: String,
    },
    /// A picture that a job names is not to be had.
    #[error("reference {reference:?}: {problem}")]
    Reference {
        /// The reference without its secrets: scheme and host, or a path.
        reference: String,
        /// Why.
        problem: crate::ReferenceProblem,
        /// The storage's or decoder's reason, for the log.
        source: Option<Box<dyn std::error::Error + Send + Sync>>,
    },
}

impl Error {
    /// Whether the same call can succeed later: a full disk or a busy server may, a forbidden or impossible
    /// path not.
    pub fn retryable(&self) -> bool {
        match self {
            Error::InvalidKey { .. }
            | Error::NotFound { .. }
            | Error::Setting { .. }
            | Error::Unsupported { .. }
            | Error::NoSuchBucket { .. }
            | Error::Unauthenticated { .. }
            | Error::Refused { .. } => false,
            Error::Busy { .. } | Error::Network { .. } | Error::Unexpected { .. } => true,
            Error::Reference { problem, .. } => problem.retryable(),
            Error::Io { source, .. } | Error::Sweep { source, .. } => !matches!(
                source.kind(),
                io::ErrorKind::PermissionDenied
                    | io::ErrorKind::ReadOnlyFilesystem
                    | io::ErrorKind::NotADirectory
                    | io::ErrorKind::IsADirectory
                    | io::ErrorKind::DirectoryNotEmpty
                    | io::ErrorKind::InvalidFilename
                    | io::ErrorKind::Unsupported
            ),
        }
    }

    /// How long the server asks to wait before another try.
    pub fn retry_after(&self) -> Option<Duration> {
        match self {
            Error::Busy { retry_after, .. } => *retry_after,
            _ => None,
        }
    }
}

/// Result of this crate.
pub type Result<T, E = Error> = core::result::Result<T, E>;
