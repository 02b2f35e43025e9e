use std::io;
use std::path::{Path, PathBuf};

use rusqlite::ErrorCode;

use crate::Error;

/// Names the file in the chain of an error.
#[derive(Debug, thiserror::Error)]
#[error("{}", path.display())]
struct FileError<E: std::error::Error + 'static> {
    path: PathBuf,
    source: E,
}

/// An operation on the open file failed.
pub(super) fn of_operation(action: &'static str, error: rusqlite::Error) -> Error {
    if let Some(corrupt) = unreadable(&error) {
        return corrupt;
    }
    if passes(&error) || error.sqlite_error_code() == Some(ErrorCode::CannotOpen) {
        Error::Unavailable { action, source: error.into() }
    } else {
        Error::Refused { action, source: error.into() }
    }
}

/// The file could not be opened by SQLite.
pub(super) fn of_opening(path: &Path, error: rusqlite::Error) -> Error {
    if let Some(corrupt) = unreadable(&error) {
        return corrupt;
    }
    let passes = passes(&error);
    let source = FileError { path: path.to_owned(), source: error }.into();
    match passes {
        true => Error::Unavailable { action: OPEN, source },
        false => Error::Refused { action: OPEN, source },
    }
}

/// The file or its folder could not be made.
pub(super) fn of_making(path: &Path, error: io::Error) -> Error {
    use io::ErrorKind::{
        AlreadyExists, InvalidFilename, InvalidInput, IsADirectory, NotADirectory, NotFound,
        PermissionDenied, ReadOnlyFilesystem, Unsupported,
    };
    let refused = matches!(
        error.kind(),
        AlreadyExists
            | InvalidFilename
            | InvalidInput
            | IsADirectory
            | NotADirectory
            | NotFound
            | PermissionDenied
            | ReadOnlyFilesystem
            | Unsupported
    );
    let source = FileError { path: path.to_owned(), source: error }.into();
    match refused {
        true => Error::Refused { action: OPEN, source },
        false => Error::Unavailable { action: OPEN, source },
    }
}

pub(super) const OPEN: &str = "open the queue's file";

/// Whether the same call can succeed later.
fn passes(error: &rusqlite::Error) -> bool {
    use ErrorCode::{
        DatabaseBusy, DatabaseLocked, DiskFull, FileLockingProtocolFailed, OperationInterrupted, OutOfMemory,
        SystemIoFailure,
    };
    matches!(
        error.sqlite_error_code(),
        Some(
            DatabaseBusy
                | DatabaseLocked
                | DiskFull
                | FileLockingProtocolFailed
                | OperationInterrupted
                | OutOfMemory
                | SystemIoFailure
        )
    )
}

/// A value in the file that this crate does not write.
fn unreadable(error: &rusqlite::Error) -> Option<Error> {
    use rusqlite::Error::{FromSqlConversionFailure, IntegralValueOutOfRange, InvalidColumnType, Utf8Error};
    match error {
        FromSqlConversionFailure(..)
        | IntegralValueOutOfRange(..)
        | InvalidColumnType(..)
        | Utf8Error(..) => {
            Some(Error::corrupt("a row of the queue's file", "must be as its columns say", error.to_string()))
        }
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn failure(code: i32) -> rusqlite::Error {
        rusqlite::Error::SqliteFailure(rusqlite::ffi::Error::new(code), None)
    }

    #[test]
    fn what_passes_is_unavailable_and_the_rest_is_refused() {
        use rusqlite::ffi;
        let passing = [
            ffi::SQLITE_BUSY,
            ffi::SQLITE_BUSY_RECOVERY,
            ffi::SQLITE_LOCKED,
            ffi::SQLITE_FULL,
            ffi::SQLITE_IOERR,
            ffi::SQLITE_IOERR_FSYNC,
        ];
        for code in passing {
            for error in [of_operation("push", failure(code)), of_opening(Path::new("q"), failure(code))] {
                assert!(matches!(&error, Error::Unavailable { .. }), "{code}: {error:?}");
                assert!(error.retryable() && std::error::Error::source(&error).is_some());
            }
        }
        for code in [ffi::SQLITE_CORRUPT, ffi::SQLITE_NOTADB, ffi::SQLITE_READONLY, ffi::SQLITE_TOOBIG] {
            for error in [of_operation("push", failure(code)), of_opening(Path::new("q"), failure(code))] {
                assert!(matches!(&error, Error::Refused { .. }), "{code}: {error:?}");
                assert!(!error.retryable() && std::error::Error::source(&error).is_some());
            }
        }
    }
}
