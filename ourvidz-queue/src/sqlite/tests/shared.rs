//! Several handles on one file.

use std::collections::HashSet;
use std::time::{Duration, Instant};

use rusqlite::Connection;

use super::*;
use crate::{Error, QueueAdmin, Settlement};

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn concurrent_claims_give_each_job_once() {
    const JOBS: usize = 100;
    let (_folder, path) = folder();
    let first = open(&path);
    for number in 0..JOBS {
        first.push(&element(&number.to_string())).await.unwrap();
    }
    // Two connections, two tasks on each.
    let second = open(&path);
    let workers = [first.clone(), first, second.clone(), second].map(|queue| {
        tokio::spawn(async move {
            let mut taken = Vec::new();
            while let Claimed::Job(job) = queue.claim(&ClaimId::new(), &WorkerId::new("w")).await.unwrap() {
                queue.settle(&job.claim, &Settlement::Done { callback: None }).await.unwrap();
                taken.push(job.element);
            }
            taken
        })
    });
    let mut all = Vec::new();
    for worker in workers {
        all.extend(worker.await.unwrap());
    }
    assert_eq!(all.len(), JOBS);
    assert_eq!(all.into_iter().collect::<HashSet<_>>().len(), JOBS);
}

#[tokio::test]
async fn queues_of_one_file_are_apart() {
    let (_folder, path) = folder();
    let sdxl = open(&path);
    let wan = sdxl.sibling("wan_queue");
    sdxl.push(&element("a")).await.unwrap();
    wan.pause().await.unwrap();
    assert_eq!((wan.counts().await.unwrap().waiting, sdxl.counts().await.unwrap().paused), (0, false));
    let claim = take(&sdxl).await.claim;
    sdxl.settle(&claim, &Settlement::Transfer { queue: "wan_queue".into() }).await.unwrap();
    assert_eq!(wan.waiting(9).await.unwrap(), [element("a")]);
    assert_eq!(sdxl.counts().await.unwrap().waiting, 0);
}

#[tokio::test]
async fn a_wait_sees_another_connections_push() {
    let (_folder, path) = folder();
    let (here, there) = (open(&path), open(&path));
    // Returns the moment of the push and the moment of the wake-up.
    let waits = async {
        here.wait(Duration::from_secs(60)).await.unwrap();
        Instant::now()
    };
    let pushes = async {
        // The wait stands when its receiver is there and its look is over.
        while here.store.changes_wanted() == 0 {
            tokio::task::yield_now().await;
        }
        here.counts().await.unwrap();
        there.push(&element("a")).await.unwrap();
        Instant::now()
    };
    let (woken, pushed) = tokio::join!(waits, pushes);
    let late = woken.saturating_duration_since(pushed);
    // The promise is 100 ms; a loaded machine gets ten times as long.
    assert!(late < Duration::from_secs(1), "{late:?}");
}

#[tokio::test]
async fn a_paused_queue_is_worth_no_look_until_it_is_resumed() {
    let (_folder, path) = folder();
    let queue = open(&path);
    queue.push(&element("a")).await.unwrap();
    queue.pause().await.unwrap();
    let waiting = queue.wait(Duration::from_secs(60));
    tokio::pin!(waiting);
    assert!(tokio::time::timeout(Duration::from_millis(50), &mut waiting).await.is_err());
    queue.resume().await.unwrap();
    tokio::time::timeout(Duration::from_secs(5), waiting).await.unwrap().unwrap();
}

#[tokio::test]
async fn a_look_that_changes_nothing_writes_nothing() {
    let (_folder, path) = folder();
    let queue = open(&path);
    queue.push(&element("a")).await.unwrap();
    let claim = take(&queue).await.claim;
    queue.settle(&claim, &Settlement::Done { callback: None }).await.unwrap();
    let watcher = Connection::open(&path).unwrap();
    let version = || watcher.pragma_query_value(None, "data_version", |row| row.get::<_, i64>(0)).unwrap();
    let before = version();
    for _ in 0..3 {
        assert!(matches!(
            queue.claim(&ClaimId::new(), &WorkerId::new("w")).await.unwrap(),
            Claimed::Empty(_)
        ));
        queue.wait(Duration::ZERO).await.unwrap();
    }
    assert_eq!(version(), before);
    queue.push(&element("b")).await.unwrap();
    assert_ne!(version(), before, "the version does not show changes");
}

#[tokio::test]
async fn a_file_that_stays_locked_is_unavailable() {
    let (_folder, path) = folder();
    let queue = open(&path);
    let shorter = queue.store.run("shorten", |connection| connection.busy_timeout(Duration::from_millis(20)));
    shorter.await.unwrap();
    let other = Connection::open(&path).unwrap();
    other.execute_batch("BEGIN IMMEDIATE").unwrap();
    let error = queue.push(&element("a")).await.unwrap_err();
    assert!(matches!(&error, Error::Unavailable { action: "push a job", .. }), "{error:?}");
    assert!(error.retryable());
    // Reading goes on, and so does writing once the lock is gone.
    assert_eq!(queue.counts().await.unwrap().waiting, 0);
    other.execute_batch("ROLLBACK").unwrap();
    queue.push(&element("a")).await.unwrap();
    assert_eq!(queue.counts().await.unwrap().waiting, 1);
}

/// A full disk: the file may not grow.
#[tokio::test]
async fn a_full_disk_is_unavailable_and_loses_nothing() {
    let (_folder, path) = folder();
    let queue = open(&path);
    queue.push(&element("a")).await.unwrap();
    let full = queue.store.run("limit", |connection| {
        let pages: i64 = connection.pragma_query_value(None, "page_count", |row| row.get(0))?;
        connection.pragma_update_and_check(None, "max_page_count", pages, |_| Ok(()))
    });
    full.await.unwrap();
    let error = queue.push(&"x".repeat(100_000)).await.unwrap_err();
    assert!(matches!(&error, Error::Unavailable { .. }), "{error:?}");
    assert_eq!(queue.waiting(9).await.unwrap(), [element("a")]);
}
