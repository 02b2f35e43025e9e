//! What is in the folder, and what opening it meets.

use std::error::Error as _;
use std::fs;
use std::time::Duration;

use rusqlite::Connection;

use super::*;
use crate::{Counts, DeadReason, Error, Outbox, PendingCallback, QueueAdmin, Settled, Settlement};

#[tokio::test]
async fn everything_is_there_after_reopening() {
    let (_folder, path) = folder();
    let clock = ManualClock::new(1_000_000);
    let queue = open_at(&path, &clock, QueueOptions::default());
    for id in ["settled", "delayed", "dead", "held", "waiting"] {
        queue.push(&element(id)).await.unwrap();
    }
    assert!(queue.push_once("once", &element("once")).await.unwrap());
    queue.cancel("held").await.unwrap();
    let callback =
        PendingCallback { id: "settled:completed".into(), job_id: "settled".into(), body: "{}".into() };
    let settled = take(&queue).await.claim;
    let done = Settlement::Done { callback: Some(callback.clone()) };
    assert_eq!(queue.settle(&settled, &done).await.unwrap(), Settled::Applied);
    let delayed = take(&queue).await.claim;
    let retry = Settlement::Retry { after: Duration::from_secs(60), reason: "lost".into() };
    queue.settle(&delayed, &retry).await.unwrap();
    let dead = take(&queue).await.claim;
    let reason = DeadReason { code: "INVALID_JOB".into(), message: "no prompt".into() };
    let failed = Settlement::Failed { callback: None, dead_letter: Some(reason.clone()) };
    queue.settle(&dead, &failed).await.unwrap();
    let held = take(&queue).await;
    queue.disable("410").await.unwrap();
    queue.pause().await.unwrap();
    let before = queue.counts().await.unwrap();
    drop(queue);

    let queue = open_at(&path, &clock, QueueOptions::default());
    let expected = Counts {
        waiting: 2,
        in_flight: 1,
        delayed: 1,
        dead: 1,
        done: 1,
        failed: 1,
        callbacks: 1,
        dead_callbacks: 0,
        paused: true,
    };
    assert_eq!((before, queue.counts().await.unwrap()), (expected, expected));
    assert_eq!(queue.waiting(9).await.unwrap(), [element("waiting"), element("once")]);
    assert_eq!(queue.delayed(9).await.unwrap()[0].due_in, Duration::from_secs(60));
    assert_eq!(queue.dead(9).await.unwrap()[0].reason, reason);
    assert_eq!(queue.in_flight().await.unwrap()[0].claim, held.claim);
    assert_eq!(queue.waiting_callbacks(9).await.unwrap()[0].callback, callback);
    assert_eq!(queue.disabled().await.unwrap().as_deref(), Some("410"));
    assert!(queue.cancelled("held").await.unwrap());
    assert!(!queue.push_once("once", &element("once")).await.unwrap());
    assert_eq!(queue.settle(&settled, &done).await.unwrap(), Settled::Already);
    assert_eq!(queue.settle(&held.claim, &done).await.unwrap(), Settled::Applied);
}

#[tokio::test]
async fn old_rows_are_forgotten() {
    let (_folder, path) = folder();
    let clock = ManualClock::new(1_000_000);
    let queue = open_at(&path, &clock, QueueOptions::default());
    for number in 0..150 {
        let id = number.to_string();
        queue.push_once(&id, &element(&id)).await.unwrap();
        queue.cancel(&id).await.unwrap();
        let claim = take(&queue).await.claim;
        queue.settle(&claim, &Settlement::Done { callback: None }).await.unwrap();
    }
    let rows = || {
        let count = "SELECT (SELECT count(*) FROM remembered), (SELECT count(*) FROM jobs),
            (SELECT count(*) FROM tries)";
        let read = |row: &rusqlite::Row<'_>| Ok((row.get(0)?, row.get(1)?, row.get(2)?));
        Connection::open(&path).unwrap().query_row(count, [], read).unwrap()
    };
    assert_eq!(rows(), (450, 0, 0));
    clock.advance(Duration::from_secs(86_400));
    for _ in 0..5 {
        queue.claim(&ClaimId::new(), &WorkerId::new("w")).await.unwrap();
    }
    assert_eq!(rows(), (0, 0, 0));
}

#[tokio::test]
async fn commits_reach_the_disk() {
    let (_folder, path) = folder();
    let queue = open(&path);
    let settings = queue.store.run("read settings", |connection| {
        let synchronous: i64 = connection.pragma_query_value(None, "synchronous", |row| row.get(0))?;
        let mode: String = connection.pragma_query_value(None, "journal_mode", |row| row.get(0))?;
        let timeout: i64 = connection.pragma_query_value(None, "busy_timeout", |row| row.get(0))?;
        Ok((synchronous, mode, timeout))
    });
    assert_eq!(settings.await.unwrap(), (2, "wal".to_owned(), 5000));
}

#[cfg(unix)]
#[tokio::test]
async fn the_files_are_private() {
    use std::os::unix::fs::PermissionsExt;
    let (folder, path) = folder();
    let queue = open(&path);
    queue.push("a prompt").await.unwrap();
    let mode = |path| fs::metadata(path).unwrap().permissions().mode() & 0o777;
    let mut names: Vec<_> =
        fs::read_dir(path.parent().unwrap()).unwrap().map(|e| e.unwrap().path()).collect();
    names.sort();
    assert_eq!(names.len(), 3, "{names:?}");
    for name in names {
        assert_eq!(mode(name.clone()), 0o600, "{name:?}");
    }
    assert_eq!(mode(folder.path().join("made")), 0o700);
    assert_eq!(queue.warnings().await.unwrap(), [""; 0]);
    fs::set_permissions(&path, fs::Permissions::from_mode(0o644)).unwrap();
    let warnings = queue.warnings().await.unwrap();
    assert!(warnings[0].contains("mode 644") && warnings.len() == 1, "{warnings:?}");
}

/// The whole chain of an error that opening must meet.
fn refusal(path: &PathBuf) -> (Error, String) {
    let error = SqliteQueue::open(path, NAME, QueueOptions::default()).unwrap_err();
    let mut text = error.to_string();
    let mut source = error.source();
    while let Some(inner) = source {
        text = format!("{text}: {inner}");
        source = inner.source();
    }
    assert!(!error.retryable(), "{text}");
    assert!(text.contains(path.to_str().unwrap()), "{text} does not name the file");
    (error, text)
}

#[test]
fn a_foreign_file_is_refused_and_left_as_it_was() {
    let folder = quick_folder();
    let path = folder.path().join("text");
    fs::write(&path, "a shopping list").unwrap();
    let (error, text) = refusal(&path);
    assert!(matches!(error, Error::Refused { .. }) && text.contains("not a database"), "{text}");
    assert_eq!(fs::read(&path).unwrap(), b"a shopping list");

    let path = folder.path().join("other.sqlite");
    Connection::open(&path).unwrap().execute_batch("CREATE TABLE notes (text)").unwrap();
    let before = fs::read(&path).unwrap();
    let (error, text) = refusal(&path);
    assert!(matches!(error, Error::Corrupt { .. }) && text.contains("another program's"), "{text}");
    assert_eq!(fs::read(&path).unwrap(), before);
}

#[test]
fn a_newer_schema_is_refused() {
    let (_folder, path) = folder();
    drop(open(&path));
    Connection::open(&path).unwrap().pragma_update(None, "user_version", 2).unwrap();
    let (error, text) = refusal(&path);
    assert!(
        matches!(error, Error::Corrupt { .. }) && text.contains("newer") && text.contains("got 2"),
        "{text}"
    );
}

#[tokio::test]
async fn a_truncated_file_is_refused() {
    let (_folder, path) = folder();
    let queue = open(&path);
    for number in 0..50 {
        queue.push(&element(&number.to_string())).await.unwrap();
    }
    let whole = path.with_extension("copy");
    let copy = whole.clone();
    let copied = queue
        .store
        .run("copy", move |connection| connection.execute("VACUUM INTO ?1", [copy.to_str().unwrap()]));
    copied.await.unwrap();
    let bytes = fs::read(&whole).unwrap();
    for kept in [50, 4096, bytes.len() / 2] {
        let cut = path.with_extension(format!("cut{kept}"));
        fs::write(&cut, &bytes[..kept]).unwrap();
        let (error, text) = refusal(&cut);
        assert!(matches!(error, Error::Refused { .. }), "{kept}: {text}");
    }
    fs::write(&whole, &bytes).unwrap();
    assert_eq!(open(&whole).counts().await.unwrap().waiting, 50);
}

#[cfg(target_os = "linux")]
#[test]
fn a_folder_that_cannot_be_written_is_refused() {
    use std::os::unix::fs::PermissionsExt;
    let folder = quick_folder();
    fs::set_permissions(folder.path(), fs::Permissions::from_mode(0o500)).unwrap();
    // A privileged user writes into his folders whatever their mode, but nobody into the kernel's.
    let privileged = fs::write(folder.path().join("probe"), "").is_ok();
    let locked = if privileged { PathBuf::from("/sys/kernel") } else { folder.path().to_owned() };
    for path in [locked.join("queue.sqlite"), locked.join("folder/queue.sqlite")] {
        let (error, text) = refusal(&path);
        assert!(matches!(error, Error::Refused { .. }), "{text}");
    }
    let (error, text) = refusal(&PathBuf::from("/dev/null/queue.sqlite"));
    assert!(matches!(error, Error::Refused { .. }), "{text}");
}
