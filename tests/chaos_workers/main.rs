//! Real worker processes on a real Redis, in all weathers: `tests/chaos --help`.
//!
//! The program starts itself again as worker processes (`worker` as the first argument). Its parent pushes jobs
//! as today's producers do, keeps the workers alive, and kills, stops, cuts and restarts; when all is quiet it
//! reads the server, the files the handlers left and the logs of every process, and prints what it found.

mod fleet;
mod history;
mod jobs;
mod log;
mod options;
mod recorded;
mod storm;
mod verdict;
mod worker;

use std::process::ExitCode;

use anyhow::Result;
use clap::Parser;
use ourvidz_test_support::RealRedis;

use crate::options::Options;
use crate::storm::Storm;
use crate::verdict::Verdict;
use crate::worker::WorkerArgs;

/// Set to 1, it lets the test pass where no server is installed.
const WITHOUT_REDIS: &str = "OURVIDZ_TESTS_WITHOUT_REDIS";

fn main() -> Result<ExitCode> {
    let mut words = std::env::args_os().skip(1).peekable();
    if words.peek().is_some_and(|word| word == worker::WORD) {
        worker::main(&WorkerArgs::parse_from(words))?;
        return Ok(ExitCode::SUCCESS);
    }
    let options = Options::parse();
    if !options.wanted() {
        return Ok(ExitCode::SUCCESS);
    }
    if RealRedis::available().is_none() {
        let allowed = std::env::var_os(WITHOUT_REDIS).is_some_and(|value| value == "1");
        println!(
            "chaos: {}; `scripts/ensure-packages tests` or `apt-get install redis-server` does, {WITHOUT_REDIS}=1 \
             goes without",
            RealRedis::missing()
        );
        return Ok(if allowed { ExitCode::SUCCESS } else { ExitCode::FAILURE });
    }
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    let passed = runtime.block_on(run(&options))?;
    Ok(if passed { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

async fn run(options: &Options) -> Result<bool> {
    let seed = options.seed();
    println!("chaos: {} jobs, {} workers, --seed {seed}", options.jobs(), options.workers());
    let mut folder = tempfile::Builder::new().prefix("ourvidz-chaos-").tempdir()?;
    let jobs = jobs::jobs(options.jobs(), options.lease_ms, seed);
    // Should anything break, its traces stay.
    folder.disable_cleanup(true);
    let storm = Storm::brew(options, seed, &jobs, folder.path()).await?;
    let after = storm.rage().await?;
    let verdict = Verdict::reach(options, &jobs, &after).await?;
    print!("{verdict}");
    let passed = verdict.passed();
    if !passed {
        const MOST: usize = 40;
        for offender in verdict.offenders.iter().take(MOST) {
            println!("{offender}");
        }
        for text in after.fleet.complaints().into_iter().take(MOST) {
            println!("{text}");
        }
    }
    if passed && !options.keep {
        folder.disable_cleanup(false);
    } else {
        println!("logs: {}", folder.path().display());
    }
    println!("chaos: {}", if passed { "every figure is right" } else { "FAILED" });
    Ok(passed)
}
