//! Two real processes on one file, one of them killed in the middle.
#![cfg(unix)]
#![allow(clippy::unwrap_used, clippy::panic, clippy::print_stdout)]

use std::collections::HashMap;
use std::io::{BufRead, BufReader, Read, Write};
use std::path::Path;
use std::process::{Child, ChildStdout, Command, Stdio};
use std::time::Duration;

use ourvidz_queue::{
    ClaimId, Claimed, JobQueue, QueueAdmin, QueueOptions, Settled, Settlement, SqliteQueue, WorkerId,
};

const JOBS: usize = 100;

fn open(path: &str) -> SqliteQueue {
    let options =
        QueueOptions { lease: Duration::from_secs(600), max_attempts: 10, ..QueueOptions::default() };
    SqliteQueue::open(path, "sdxl_queue", options).unwrap()
}

/// Not a test of its own: what the other processes run. Reads the file's path and the worker's name from its
/// standard input, works until nothing is left, and says each job before and after it settles it.
#[tokio::test]
#[ignore = "started by the test below"]
async fn worker_process() {
    let mut given = String::new();
    std::io::stdin().read_to_string(&mut given).unwrap();
    let (path, name) = given.trim().split_once('\n').unwrap();
    let (queue, worker) = (open(path), WorkerId::from_text(name));
    while let Claimed::Job(job) = queue.claim(&ClaimId::new(), &worker).await.unwrap() {
        println!("\nclaimed {}", job.element);
        let settled = queue.settle(&job.claim, &Settlement::Done { callback: None }).await.unwrap();
        assert_eq!(settled, Settled::Applied);
        println!("\nsettled {}", job.element);
    }
}

struct Worker {
    child: Child,
    output: BufReader<ChildStdout>,
}

impl Worker {
    fn start(path: &Path, name: &str) -> Self {
        let mut child = Command::new(std::env::current_exe().unwrap())
            .args(["worker_process", "--exact", "--ignored", "--nocapture"])
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        write!(child.stdin.take().unwrap(), "{}\n{name}", path.display()).unwrap();
        let output = BufReader::new(child.stdout.take().unwrap());
        Self { child, output }
    }

    /// The next thing the worker says it did; `None` when it has ended.
    fn next(&mut self) -> Option<(String, String)> {
        loop {
            let mut line = String::new();
            if self.output.read_line(&mut line).unwrap() == 0 {
                return None;
            }
            // A killed worker can leave half a line.
            let said = line.strip_suffix('\n').and_then(|line| line.split_once(' '));
            if let Some((what @ ("claimed" | "settled"), job)) = said {
                return Some((what.to_owned(), job.to_owned()));
            }
        }
    }
}

#[tokio::test]
async fn a_killed_process_loses_nothing_and_nothing_runs_twice() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("queue.sqlite");
    let queue = open(path.to_str().unwrap());
    for number in 0..JOBS {
        queue.push(&format!(r#"{{"id":"{number}"}}"#)).await.unwrap();
    }
    let mut doomed = Worker::start(&path, "doomed");
    let mut said = vec![doomed.next().unwrap()];
    let mut other = Worker::start(&path, "other");
    said.push(other.next().unwrap());
    said.extend((0..10).map_while(|_| doomed.next()));
    doomed.child.kill().unwrap(); // SIGKILL
    doomed.child.wait().unwrap();
    said.extend(std::iter::from_fn(|| doomed.next()));
    said.extend(std::iter::from_fn(|| other.next()));
    assert!(other.child.wait().unwrap().success());

    // What the killed one held is known to be free, as a supervisor knows it.
    let held = queue.in_flight().await.unwrap();
    assert!(held.len() <= 1 && held.iter().all(|job| job.worker.as_str() == "doomed"), "{held:?}");
    assert_eq!(queue.release_worker(&WorkerId::from_text("doomed")).await.unwrap(), held.len());
    let mut last = Worker::start(&path, "last");
    let rest: Vec<_> = std::iter::from_fn(|| last.next()).collect();
    assert!(last.child.wait().unwrap().success());
    assert_eq!(rest.len(), 2 * held.len());
    said.extend(rest);

    let counts = queue.counts().await.unwrap();
    assert_eq!((counts.done, counts.waiting, counts.in_flight, counts.delayed), (JOBS as u64, 0, 0, 0));
    let mut settled = HashMap::<_, usize>::new();
    let mut claimed = HashMap::<_, usize>::new();
    for (what, job) in said {
        *if what == "settled" { &mut settled } else { &mut claimed }.entry(job).or_default() += 1;
    }
    // The killed one may have settled one job more than it could say.
    assert!(settled.len() >= JOBS - 1 && settled.values().all(|&times| times == 1), "{settled:?}");
    let again = claimed.values().filter(|&&times| times > 1).count();
    assert!(claimed.len() == JOBS && again <= held.len(), "{claimed:?}");
}
