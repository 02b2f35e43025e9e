//! `ourvidz worker sdxl` when it is told to end, and when it is killed.

mod common;

use std::io::{BufRead, BufReader};
use std::process::{Child, Stdio};

use anyhow::{Context, Result, ensure};
use common::job::{fox, set};
use common::{Ended, Place, golden, words};
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use ourvidz_test_support::MockRedis;
use serde_json::json;

/// A worker on the mock, in its own process.
fn start(place: &Place, mock: &MockRedis) -> Result<Child> {
    let model = golden("linear_eps").display().to_string();
    let mut command = place.command(words("worker sdxl --json --model").chain([model]));
    command.env("REDIS_URL", mock.redis_url()).stdout(Stdio::piped()).stderr(Stdio::piped());
    Ok(command.spawn()?)
}

fn signal(child: &Child, signal: Signal) -> Result<()> {
    Ok(kill(Pid::from_raw(i32::try_from(child.id())?), signal)?)
}

/// A job of 50 steps at 1024 x 1024: far longer than the test.
fn long_job() -> Result<String> {
    let mut job = fox()?;
    set(&mut job, "/config/size", json!("1024*1024"));
    set(&mut job, "/config/sample_steps", json!(50));
    Ok(job.to_string())
}

/// The job is claimed. Looks again after each command that reaches the server.
fn until_it_is_claimed(mock: &MockRedis) -> Result<()> {
    loop {
        let seen = mock.stats().total();
        if mock.command(["HLEN", "{sdxl_queue}:inflight"]).as_int() == Some(1) {
            return Ok(());
        }
        ensure!(mock.wait_until(|stats| stats.total() > seen), "nothing was claimed");
    }
}

/// Without grace the job is given back: it waits again, and the attempt does not count.
#[test]
fn a_worker_that_is_told_to_end_gives_its_job_back() -> Result<()> {
    let (place, mock) = (Place::new()?, MockRedis::start());
    std::fs::write(place.path("ourvidz.toml"), "[worker]\ngrace_seconds = 0\n")?;
    mock.command(["LPUSH", "sdxl_queue", &long_job()?]);
    let child = start(&place, &mock)?;
    until_it_is_claimed(&mock)?;
    signal(&child, Signal::SIGTERM)?;
    let ended = Ended::of(child.wait_with_output()?)?.succeeded()?;
    ensure!(ended.stdout.contains("given_back"), "{ended:?}");
    ensure!(mock.command(["LLEN", "sdxl_queue"]).as_int() == Some(1), "{ended:?}");
    let attempts = mock.command(["HVALS", "{sdxl_queue}:attempts"]);
    ensure!(
        attempts.as_texts().is_none_or(|counts| counts.iter().all(|count| *count == "0")),
        "{attempts:?}"
    );
    Ok(())
}

/// An idle worker ends at once, and takes nothing more.
#[test]
fn an_idle_worker_ends_at_once() -> Result<()> {
    let (place, mock) = (Place::new()?, MockRedis::start());
    let mut child = start(&place, &mock)?;
    let stderr = child.stderr.take().context("stderr")?;
    let ready = BufReader::new(stderr).lines().any(|line| line.is_ok_and(|line| line == "ready"));
    ensure!(ready, "never ready");
    ensure!(mock.wait_until(|stats| stats.blocked > 0), "it does not wait for jobs");
    signal(&child, Signal::SIGINT)?;
    ensure!(child.wait()?.success());
    Ok(())
}

/// kill -9 in the middle of a job: its lease runs out, and the next worker makes it.
#[test]
fn the_job_of_a_killed_worker_is_made_by_the_next() -> Result<()> {
    let (place, mock) = (Place::new()?, MockRedis::start());
    mock.command(["LPUSH", "sdxl_queue", &long_job()?]);
    let mut child = start(&place, &mock)?;
    until_it_is_claimed(&mock)?;
    child.kill()?;
    child.wait()?;
    ensure!(mock.command(["LLEN", "sdxl_queue"]).as_int() == Some(0), "it is leased");
    let worker = mock.command(["HVALS", "{sdxl_queue}:claims"]);
    let text =
        worker.as_texts().and_then(|all| all.first().map(|first| (*first).to_owned())).context("claims")?;
    let held: serde_json::Value = serde_json::from_str(&text)?;
    // Who knows that the worker is dead need not wait for the lease.
    let dead = held["worker"].as_str().context("worker")?;
    let mut release = place.command(words(&format!("queue release {dead}")));
    let released = Ended::of(release.env("REDIS_URL", mock.redis_url()).output()?)?.succeeded()?;
    ensure!(released.stdout.contains(&format!("taken back from {dead}: 1")), "{released:?}");
    let small = fox()?.to_string();
    // The same job, small enough to be made here.
    mock.command(["RPOP", "sdxl_queue"]);
    mock.command(["LPUSH", "sdxl_queue", &small]);
    let model = golden("linear_eps").display().to_string();
    let mut next = place.command(words("worker sdxl --once --json --model").chain([model]));
    let ended = Ended::of(next.env("REDIS_URL", mock.redis_url()).output()?)?.succeeded()?;
    let report: serde_json::Value = serde_json::from_str(ended.stdout.trim())?;
    ensure!(report["outcome"] == "completed" && report["attempt"] == 2, "{report:#}");
    Ok(())
}
