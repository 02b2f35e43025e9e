use std::fs::{self, File, OpenOptions};
use std::io;
use std::path::Path;
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

use rusqlite::{Connection, ErrorCode, OpenFlags, Transaction, TransactionBehavior};

use super::failure;
use crate::{Error, Result};

/// How long an operation waits for other processes' operations.
const BUSY_TIMEOUT: Duration = Duration::from_secs(5);
/// `OVQ1`: tells the file from other programs' SQLite files.
const APPLICATION_ID: i32 = 0x4F56_5131;
/// The schema this crate writes.
const SCHEMA_VERSION: i32 = 1;
/// More statements than all operations have together.
const CACHED_STATEMENTS: usize = 128;

/// A process that closes any descriptor of a file loses its locks on it, SQLite's among them. So nobody in this
/// process opens the file while another thread makes it.
static OPENING: Mutex<()> = Mutex::new(());

/// Opens the file, makes it and its folder where there is none, and checks that it is ours.
pub(super) fn open(path: &Path) -> Result<Connection> {
    let _one_at_a_time = OPENING.lock().unwrap_or_else(PoisonError::into_inner);
    make(path).map_err(|error| failure::of_making(path, error))?;
    let failed = |error| failure::of_opening(path, error);
    let flags = OpenFlags::SQLITE_OPEN_READ_WRITE | OpenFlags::SQLITE_OPEN_NO_MUTEX;
    let mut connection = Connection::open_with_flags(path, flags).map_err(failed)?;
    connection.busy_timeout(BUSY_TIMEOUT).map_err(failed)?;
    connection.set_prepared_statement_cache_capacity(CACHED_STATEMENTS);
    // SQLite opens what it may not write for reading, without a word.
    if connection.is_readonly("main").map_err(failed)? {
        return Err(failure::of_making(path, io::ErrorKind::PermissionDenied.into()));
    }
    // Before anything is written: the file may be another program's.
    let is_new = is_new(&connection, path)?;
    make_durable(&connection, path)?;
    if is_new {
        let transaction =
            Transaction::new(&mut connection, TransactionBehavior::Immediate).map_err(failed)?;
        // Another process may have been faster.
        if self::is_new(&transaction, path)? {
            transaction.execute_batch(include_str!("schema.sql")).map_err(failed)?;
            transaction.pragma_update(None, "application_id", APPLICATION_ID).map_err(failed)?;
            transaction.pragma_update(None, "user_version", SCHEMA_VERSION).map_err(failed)?;
        }
        transaction.commit().map_err(failed)?;
    }
    Ok(connection)
}

/// Makes an empty file that only its user can read: elements hold prompts. SQLite gives its side files the same
/// mode.
fn make(path: &Path) -> io::Result<()> {
    let folder = match path.parent() {
        Some(folder) if !folder.as_os_str().is_empty() => folder,
        _ => Path::new("."),
    };
    let mut folders = fs::DirBuilder::new();
    folders.recursive(true);
    let mut options = OpenOptions::new();
    options.write(true).create_new(true);
    #[cfg(unix)]
    {
        use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt};
        folders.mode(0o700);
        options.mode(0o600);
    }
    folders.create(folder)?;
    match options.open(path) {
        Ok(file) => {
            file.sync_all()?;
            // The folder must know of the file, too, before a job is accepted.
            #[cfg(unix)]
            File::open(folder)?.sync_all()?;
            Ok(())
        }
        Err(error) if error.kind() == io::ErrorKind::AlreadyExists => Ok(()),
        Err(error) => Err(error),
    }
}

/// Whether the file is empty; an error where it is not ours.
fn is_new(connection: &Connection, path: &Path) -> Result<bool> {
    let number = |pragma| {
        connection
            .pragma_query_value(None, pragma, |row| row.get::<_, i32>(0))
            .map_err(|error| failure::of_opening(path, error))
    };
    let (application, version) = (number("application_id")?, number("user_version")?);
    if application == APPLICATION_ID {
        return match version {
            SCHEMA_VERSION => Ok(false),
            _ => Err(Error::corrupt(
                "schema version of the queue's file",
                "must be 1, a newer version of this program wrote the file",
                format!("{version} in {}", path.display()),
            )),
        };
    }
    let tables = connection
        .query_row("SELECT count(*) FROM sqlite_schema", [], |row| row.get::<_, i64>(0))
        .map_err(|error| failure::of_opening(path, error))?;
    if (application, version, tables) == (0, 0, 0) {
        return Ok(true);
    }
    Err(Error::corrupt(
        "the queue's file",
        "must not be another program's database",
        format!("{} with {tables} tables and indexes", path.display()),
    ))
}

/// An operation that has succeeded survives a power loss.
fn make_durable(connection: &Connection, path: &Path) -> Result<()> {
    let failed = |error| failure::of_opening(path, error);
    let mode = set_wal(connection).map_err(failed)?;
    if mode != "wal" {
        return Err(Error::corrupt(
            "journal mode of the queue's file",
            "must be wal, which needs a local disk",
            format!("{mode} for {}", path.display()),
        ));
    }
    connection.pragma_update(None, "synchronous", "FULL").map_err(failed)?;
    // Where fsync alone leaves the data in the drive's cache (macOS).
    connection.pragma_update(None, "fullfsync", true).map_err(failed)?;
    connection.pragma_update(None, "checkpoint_fullfsync", true).map_err(failed)?;
    // A log that a burst made long is cut at the next checkpoint.
    connection.pragma_update_and_check(None, "journal_size_limit", 16 << 20, |_| Ok(())).map_err(failed)
}

/// Two processes that switch a new file at once collide in a way that SQLite's busy timeout does not cover.
fn set_wal(connection: &Connection) -> rusqlite::Result<String> {
    let begun = Instant::now();
    loop {
        let set = connection.pragma_update_and_check(None, "journal_mode", "wal", |row| row.get(0));
        match set {
            Err(error)
                if error.sqlite_error_code() == Some(ErrorCode::DatabaseBusy)
                    && begun.elapsed() < BUSY_TIMEOUT =>
            {
                std::thread::sleep(Duration::from_millis(5));
            }
            set => return set,
        }
    }
}
