//! Two real processes on one file, one of them killed in the middle.
#![cfg(unix)]
#![allow(clippy::unwrap_used, clippy::panic, clippy::print_stdout)]

use std::collections::HashMap;
use std::io::{BufRead, BufReader, Write};
use std::path::Path;
use std::process::{Child, ChildStdin, ChildStdout, Command, Stdio};
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
/// standard input, says that it is ready, waits for one more line, works until nothing is left, and says each
/// job before and after it settles it.
#[tokio::test]
#[ignore = "started by the test below"]
async fn worker_process() {
    let mut given = std::io::stdin().lines().map(Result::unwrap);
    let (queue, worker) = (open(&given.next().unwrap()), WorkerId::from_text(given.next().unwrap()));
    println!("\nready {worker}");
    given.next().unwrap();
    while let Claimed::Job(job) = queue.claim(&ClaimId::new(), &worker).await.unwrap() {
        println!("\nclaimed {}", job.element);
        let settled = queue.settle(&job.claim, &Settlement::Done { callback: None }).await.unwrap();
        assert_eq!(settled, Settled::Applied);
        println!("\nsettled {}", job.element);
    }
}

struct Worker {
    child: Child,
    input: ChildStdin,
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
        let mut input = child.stdin.take().unwrap();
        writeln!(input, "{}\n{name}", path.display()).unwrap();
        let output = BufReader::new(child.stdout.take().unwrap());
        let mut worker = Self { child, input, output };
        assert_eq!(worker.next(), Some(("ready".to_owned(), name.to_owned())));
        worker
    }

    fn go(&mut self) {
        writeln!(self.input).unwrap();
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
            if let Some((what @ ("ready" | "claimed" | "settled"), job)) = said {
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
    let (mut doomed, mut other) = (Worker::start(&path, "doomed"), Worker::start(&path, "other"));
    doomed.go();
    let mut said = vec![doomed.next().unwrap()];
    other.go();
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
    last.go();
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
