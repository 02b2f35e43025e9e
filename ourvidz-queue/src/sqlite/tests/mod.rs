#![allow(clippy::unwrap_used, clippy::panic)]

mod files;
mod shared;
mod suite;
mod twin;

use std::path::{Path, PathBuf};

use tempfile::TempDir;

use crate::{ClaimId, Claimed, Clock, Delivery, JobQueue, ManualClock, QueueOptions, SqliteQueue, WorkerId};

const NAME: &str = "sdxl_queue";

/// In memory where there is such a folder: a busy disk takes long for each commit.
fn quick_folder() -> TempDir {
    let memory = Path::new("/dev/shm");
    if memory.is_dir() { tempfile::tempdir_in(memory).unwrap() } else { tempfile::tempdir().unwrap() }
}

fn folder() -> (TempDir, PathBuf) {
    let folder = quick_folder();
    let path = folder.path().join("made/on/demand/queue.sqlite");
    (folder, path)
}

fn open(path: &PathBuf) -> SqliteQueue {
    SqliteQueue::open(path, NAME, QueueOptions::default()).unwrap()
}

fn open_at(path: &PathBuf, clock: &ManualClock, options: QueueOptions) -> SqliteQueue {
    SqliteQueue::with_clock(path, NAME, options, Clock::Manual(clock.clone())).unwrap()
}

fn element(id: &str) -> String {
    format!(r#"{{"id":"{id}","user_id":"u1"}}"#)
}

async fn take(queue: &SqliteQueue) -> Delivery {
    match queue.claim(&ClaimId::new(), &WorkerId::new("w")).await.unwrap() {
        Claimed::Job(delivery) => delivery,
        other => panic!("a job was waiting, the claim answered {other:?}"),
    }
}
