use std::io;

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
}

impl Error {
    /// Whether the same call can succeed later: a full or busy disk may, a forbidden or impossible path not.
    pub fn retryable(&self) -> bool {
        match self {
            Error::InvalidKey { .. } | Error::NotFound { .. } => false,
            Error::Io { source, .. } => !matches!(
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
}

/// Result of this crate.
pub type Result<T, E = Error> = core::result::Result<T, E>;
