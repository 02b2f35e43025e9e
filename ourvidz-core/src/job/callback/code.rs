use std::fmt;

use serde::{Serialize, Serializer};

use crate::Error;

/// Why a job failed, for programs.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum ErrorCode {
    /// The job breaks a rule; `field` names where.
    InvalidJob,
    /// The type is unknown, or this worker has no model for it.
    UnsupportedJobType,
    /// The prompt asks for something that is never made.
    ContentPolicy,
    /// The model cannot be loaded or run.
    Model,
    /// The device has too little free memory.
    OutOfMemory,
    /// The model produced numbers that are not finite.
    NonFinite,
    /// A reference picture cannot be fetched or decoded, and the job is not to be made without it.
    Reference,
    /// A finished file cannot be stored.
    Storage,
    /// The producer withdrew the job.
    Cancelled,
    /// The job ran past its deadline.
    Timeout,
    /// A defect or an unforeseen state of the worker.
    Internal,
}

impl ErrorCode {
    /// Every code.
    pub const ALL: [ErrorCode; 11] = [
        ErrorCode::InvalidJob,
        ErrorCode::UnsupportedJobType,
        ErrorCode::ContentPolicy,
        ErrorCode::Model,
        ErrorCode::OutOfMemory,
        ErrorCode::NonFinite,
        ErrorCode::Reference,
        ErrorCode::Storage,
        ErrorCode::Cancelled,
        ErrorCode::Timeout,
        ErrorCode::Internal,
    ];

    /// Whether the same job can succeed when it is run again.
    pub fn retryable(self) -> bool {
        matches!(
            self,
            ErrorCode::OutOfMemory
                | ErrorCode::Reference
                | ErrorCode::Storage
                | ErrorCode::Timeout
                | ErrorCode::Internal
        )
    }

    /// The name on the wire, e.g. `INVALID_JOB`.
    pub fn as_str(self) -> &'static str {
        self.names().0
    }

    /// `error_type` of the callback, e.g. `InvalidJob`.
    pub fn type_name(self) -> &'static str {
        self.names().1
    }

    fn names(self) -> (&'static str, &'static str) {
        match self {
            ErrorCode::InvalidJob => ("INVALID_JOB", "InvalidJob"),
            ErrorCode::UnsupportedJobType => ("UNSUPPORTED_JOB_TYPE", "UnsupportedJobType"),
            ErrorCode::ContentPolicy => ("CONTENT_POLICY", "ContentPolicy"),
            ErrorCode::Model => ("MODEL", "Model"),
            ErrorCode::OutOfMemory => ("OUT_OF_MEMORY", "OutOfMemory"),
            ErrorCode::NonFinite => ("NON_FINITE", "NonFinite"),
            ErrorCode::Reference => ("REFERENCE", "Reference"),
            ErrorCode::Storage => ("STORAGE", "Storage"),
            ErrorCode::Cancelled => ("CANCELLED", "Cancelled"),
            ErrorCode::Timeout => ("TIMEOUT", "Timeout"),
            ErrorCode::Internal => ("INTERNAL", "Internal"),
        }
    }
}

impl From<&Error> for ErrorCode {
    fn from(error: &Error) -> Self {
        match error {
            Error::Invalid { .. } | Error::Missing { .. } | Error::Json { .. } => ErrorCode::InvalidJob,
            Error::UnsupportedJobType { .. } => ErrorCode::UnsupportedJobType,
            Error::ContentPolicy { .. } => ErrorCode::ContentPolicy,
            Error::Cancelled { .. } => ErrorCode::Cancelled,
            Error::NonFinite { .. } => ErrorCode::NonFinite,
        }
    }
}

impl fmt::Display for ErrorCode {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

impl Serialize for ErrorCode {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(self.as_str())
    }
}
