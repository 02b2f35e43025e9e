use std::error::Error as StdError;
use std::time::Duration;

use crate::Error;

/// Why a reference is not to be had. The text is fit for the user who named the reference: it holds no
/// resolved address, no query of a URL and no place a redirect led to.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum ReferenceProblem {
    /// The reference breaks a rule for references.
    #[error("refused: {rule}")]
    Refused {
        /// The rule.
        rule: &'static str,
    },
    /// A redirect leads to a URL that breaks a rule for references.
    #[error("refused after a redirect: {rule}")]
    RedirectRefused {
        /// The rule.
        rule: &'static str,
    },
    /// More redirects than [`max_redirects`](crate::ReferenceLimits::max_redirects).
    #[error("more than {limit} redirects")]
    TooManyRedirects {
        /// The limit.
        limit: u32,
    },
    /// The host's name has no address, or its name server did not answer. Retryable.
    #[error("the host's name was not resolved")]
    Unresolved,
    /// No connection, or one that broke. Retryable.
    #[error("the connection failed")]
    Connection,
    /// The certificate is not trusted, or the server does not speak TLS or HTTP.
    #[error("the server's certificate or protocol is not accepted")]
    Protocol,
    /// Out of time for a connection or for the whole file. Retryable.
    #[error("not received within {limit:?}")]
    TimedOut {
        /// The limit that ran out.
        limit: Duration,
    },
    /// The server answered with another status than 200. Retryable: 408, 425, 429 and 5xx.
    #[error("the server answered with status {status}")]
    Status {
        /// The status.
        status: u16,
    },
    /// The server sent a compressed body, which was not asked for and is not unpacked.
    #[error("the server sent a content encoding that was not asked for")]
    ContentEncoding,
    /// The file is larger than [`max_bytes`](crate::ReferenceLimits::max_bytes).
    #[error("more than {limit} bytes")]
    TooLarge {
        /// The limit.
        limit: usize,
    },
    /// A path in storage, and no storage to look in.
    #[error("a path in storage, but no storage is configured for references")]
    NoStorage,
    /// Nothing is stored under the path.
    #[error("nothing is stored there")]
    NotStored,
    /// The storage failed; the source says how. Retryable as the source.
    #[error("the storage failed")]
    Storage {
        /// [`Error::retryable`] of the source.
        retryable: bool,
    },
    /// The bytes do not begin as PNG, JPEG or WebP do.
    #[error("must be a PNG, JPEG or WebP picture, by its content")]
    Format,
    /// A side or the whole picture has too many pixels.
    #[error("{width}x{height} pixels, more than {max_side} a side or {max_pixels} in all")]
    TooManyPixels {
        /// Columns.
        width: u32,
        /// Rows.
        height: u32,
        /// Most of a side.
        max_side: u32,
        /// Most in all.
        max_pixels: u64,
    },
    /// Decoding takes more than [`max_memory`](crate::ReferenceLimits::max_memory).
    #[error("decoding takes more than {limit} bytes of memory")]
    Memory {
        /// The limit.
        limit: u64,
    },
    /// The file is broken; the source says where, if the decoder did.
    #[error("the picture cannot be decoded")]
    Undecodable,
    /// Decoding took longer than [`decode_timeout`](crate::ReferenceLimits::decode_timeout).
    #[error("not decoded within {limit:?}")]
    DecodeTimedOut {
        /// The limit.
        limit: Duration,
    },
    /// The system gave no thread to decode on. Retryable.
    #[error("no thread to decode on")]
    NoThread,
}

impl ReferenceProblem {
    /// Whether the same reference can be had later.
    pub fn retryable(&self) -> bool {
        match self {
            Self::Unresolved | Self::Connection | Self::TimedOut { .. } | Self::NoThread => true,
            Self::Status { status } => matches!(status, 408 | 425 | 429 | 500..=599),
            Self::Storage { retryable } => *retryable,
            _ => false,
        }
    }
}

/// A problem whose reference is not named yet.
#[derive(Debug)]
pub(super) struct Failure {
    pub(super) problem: ReferenceProblem,
    pub(super) source: Option<Box<dyn StdError + Send + Sync>>,
}

impl Failure {
    pub(super) fn of(problem: ReferenceProblem, source: impl Into<Box<dyn StdError + Send + Sync>>) -> Self {
        Self { problem, source: Some(source.into()) }
    }

    /// `shown`: what [`super::source::shown`] made of the reference.
    pub(super) fn named(self, shown: &str) -> Error {
        Error::Reference { reference: shown.to_owned(), problem: self.problem, source: self.source }
    }
}

impl From<ReferenceProblem> for Failure {
    fn from(problem: ReferenceProblem) -> Self {
        Self { problem, source: None }
    }
}
