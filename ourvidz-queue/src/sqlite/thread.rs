use std::path::{Path, PathBuf};
use std::sync::mpsc::{self, Receiver, RecvTimeoutError};
use std::time::Duration;
use std::{fmt, thread};

use rusqlite::Connection;
use tokio::sync::{oneshot, watch};

use super::{failure, file};
use crate::{Error, Result};

/// How soon a change by another process is noticed while somebody waits for one. Asking reads shared memory.
const POLL: Duration = Duration::from_millis(50);

type Act = Box<dyn FnOnce(&mut Connection) + Send>;

/// One open file: a connection, and the thread that alone uses it.
///
/// A thread of its own rather than the runtime's blocking pool: operations run in the order they were asked for,
/// cannot take up the pool while another process holds the file, and one that has begun is not cancelled with
/// its caller. Between operations the thread looks for other processes' changes on the same connection.
pub(super) struct Store {
    path: PathBuf,
    acts: mpsc::Sender<Act>,
    changes: watch::Sender<()>,
}

impl Store {
    pub(super) fn open(path: &Path) -> Result<Self> {
        let connection = file::open(path)?;
        let (acts, asked) = mpsc::channel();
        let changes = watch::Sender::new(());
        let seen = changes.clone();
        thread::Builder::new()
            .name("ourvidz-sqlite".to_owned())
            .spawn(move || work(connection, &asked, &seen))
            .map_err(|error| Error::Unavailable { action: failure::OPEN, source: error.into() })?;
        Ok(Self { path: path.to_owned(), acts, changes })
    }

    pub(super) fn path(&self) -> &Path {
        &self.path
    }

    /// Sees every change from the moment it is marked unchanged inside an act.
    pub(super) fn changes(&self) -> watch::Receiver<()> {
        self.changes.subscribe()
    }

    /// How many wait for a change.
    #[cfg(test)]
    pub(super) fn changes_wanted(&self) -> usize {
        self.changes.receiver_count()
    }

    /// What an act calls after it has committed a change that those who wait should see.
    pub(super) fn waker(&self) -> watch::Sender<()> {
        self.changes.clone()
    }

    /// Runs an act on the thread. It runs to its end even if the caller goes away.
    pub(super) async fn run<T: Send + 'static>(
        &self,
        action: &'static str,
        act: impl FnOnce(&mut Connection) -> rusqlite::Result<T> + Send + 'static,
    ) -> Result<T> {
        let gone =
            || Error::Unavailable { action, source: "the thread of the queue's file has ended".into() };
        let (answer, answered) = oneshot::channel();
        let act: Act = Box::new(move |connection| {
            // A caller that has gone away needs no answer.
            let _gone = answer.send(act(connection));
        });
        self.acts.send(act).map_err(|_| gone())?;
        answered.await.map_err(|_| gone())?.map_err(|error| failure::of_operation(action, error))
    }
}

impl fmt::Debug for Store {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Store").field("path", &self.path).finish_non_exhaustive()
    }
}

/// Ends, and closes the file, when the last queue that uses it is dropped.
fn work(mut connection: Connection, asked: &Receiver<Act>, changes: &watch::Sender<()>) {
    let mut seen = None;
    loop {
        let act = match changes.receiver_count() {
            0 => asked.recv().map_err(RecvTimeoutError::from),
            _ => asked.recv_timeout(POLL),
        };
        if matches!(act, Err(RecvTimeoutError::Disconnected)) {
            return;
        }
        if changes.receiver_count() > 0 {
            // A failure counts as a change: the next operation of those who wait shows it.
            let version = data_version(&connection).ok();
            if version.is_none() || version != seen {
                seen = version;
                changes.send_replace(());
            }
        }
        if let Ok(act) = act {
            act(&mut connection);
        }
    }
}

/// Differs after another connection has committed a change.
fn data_version(connection: &Connection) -> rusqlite::Result<i64> {
    connection.prepare_cached("PRAGMA data_version")?.query_row([], |row| row.get(0))
}
