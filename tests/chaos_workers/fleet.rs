use std::collections::BTreeSet;
use std::fs::File;
use std::os::unix::process::ExitStatusExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use ourvidz_queue::WorkerId;

use crate::worker::WORD;

/// The worker processes: as many as were asked for, whatever happens to them.
#[derive(Debug)]
pub(crate) struct Fleet {
    folder: PathBuf,
    url: String,
    lease_ms: u64,
    workers: Vec<Process>,
    /// Every process there ever was.
    pub(crate) past: Vec<Past>,
}

#[derive(Debug)]
struct Process {
    child: Child,
    number: usize,
    id: WorkerId,
    since: Instant,
    stopped_until: Option<Instant>,
}

/// A process that has ended, or runs to the end.
#[derive(Debug)]
pub(crate) struct Past {
    pub(crate) log: PathBuf,
    errors: PathBuf,
    worker: String,
    pub(crate) killed: bool,
}

/// What became of a process.
#[derive(Debug)]
pub(crate) struct Death {
    pub(crate) id: WorkerId,
    pub(crate) end: End,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum End {
    Killed,
    Aborted,
    Drained,
    /// An error or a panic of its own.
    Failed,
}

impl Fleet {
    pub(crate) fn start(folder: &Path, url: String, lease_ms: u64, count: usize) -> Result<Self> {
        for name in ["logs", "journal", "effects"] {
            std::fs::create_dir_all(folder.join(name))?;
        }
        let mut fleet =
            Self { folder: folder.to_owned(), url, lease_ms, workers: Vec::new(), past: Vec::new() };
        for _ in 0..count {
            let process = fleet.spawn()?;
            fleet.workers.push(process);
        }
        Ok(fleet)
    }

    pub(crate) fn journal(&self) -> PathBuf {
        self.folder.join("journal")
    }

    pub(crate) fn effects(&self) -> PathBuf {
        self.folder.join("effects")
    }

    /// For a worker in this process.
    pub(crate) fn another_log(&mut self) -> PathBuf {
        let log = self.folder.join("logs/last.log");
        self.past.push(Past {
            log: log.clone(),
            errors: PathBuf::new(),
            worker: String::new(),
            killed: false,
        });
        log
    }

    fn spawn(&mut self) -> Result<Process> {
        let number = self.past.len();
        let id = WorkerId::new("chaos");
        let log = self.folder.join(format!("logs/{number}.log"));
        let errors = self.folder.join(format!("logs/{number}.err"));
        // There, even if it is killed before it begins.
        File::create(&log)?;
        let child = Command::new(std::env::current_exe()?)
            .args([WORD, "--url", &self.url, "--id", id.as_str(), "--lease-ms", &self.lease_ms.to_string()])
            .arg("--log")
            .arg(&log)
            .arg("--journal")
            .arg(self.journal())
            .arg("--effects")
            .arg(self.effects())
            .current_dir(&self.folder)
            .stdin(Stdio::piped())
            .stdout(Stdio::null())
            .stderr(File::create(&errors)?)
            .spawn()
            .context("starting a worker process")?;
        self.past.push(Past { log, errors, worker: id.as_str().to_owned(), killed: false });
        Ok(Process { child, number, id, since: Instant::now(), stopped_until: None })
    }

    /// Whether the leases of a process were released when it had died.
    pub(crate) fn released(&self, process: usize, released: &BTreeSet<String>) -> bool {
        self.past.get(process).is_some_and(|past| released.contains(&past.worker))
    }

    /// What processes wrote to their standard errors.
    pub(crate) fn complaints(&self) -> Vec<String> {
        let texts = self.past.iter().filter_map(|past| std::fs::read_to_string(&past.errors).ok());
        texts.filter(|text| !text.is_empty()).collect()
    }

    /// Wakes those that have stood still for long enough, and replaces those that have ended.
    pub(crate) fn tend(&mut self) -> Result<Vec<Death>> {
        let mut deaths = Vec::new();
        for slot in 0..self.workers.len() {
            let process = &mut self.workers[slot];
            if process.stopped_until.is_some_and(|until| Instant::now() >= until) {
                process.stopped_until = None;
                process.signal(Signal::SIGCONT)?;
            }
            let Some(status) = process.child.try_wait()? else { continue };
            let successor = self.spawn()?;
            let process = std::mem::replace(&mut self.workers[slot], successor);
            deaths.push(self.died(process, status));
        }
        Ok(deaths)
    }

    /// The slot of a running process that has had time to begin.
    pub(crate) fn victim(&self, random: usize) -> Option<usize> {
        let begun = |process: &Process| {
            process.stopped_until.is_none() && process.since.elapsed() > Duration::from_millis(100)
        };
        let slots: Vec<usize> = (0..self.workers.len()).filter(|&slot| begun(&self.workers[slot])).collect();
        slots.get(random % slots.len().max(1)).copied()
    }

    pub(crate) fn kill(&mut self, slot: usize) -> Result<()> {
        self.workers[slot].signal(Signal::SIGKILL)
    }

    pub(crate) fn kill_all(&mut self) -> Result<usize> {
        for slot in 0..self.workers.len() {
            self.kill(slot)?;
        }
        Ok(self.workers.len())
    }

    pub(crate) fn terminate(&mut self, slot: usize) -> Result<()> {
        self.workers[slot].signal(Signal::SIGTERM)
    }

    pub(crate) fn stop(&mut self, slot: usize, how_long: Duration) -> Result<()> {
        self.workers[slot].stopped_until = Some(Instant::now() + how_long);
        self.workers[slot].signal(Signal::SIGSTOP)
    }

    /// Asks all to end, and waits for it.
    pub(crate) fn end(&mut self) -> Result<Vec<Death>> {
        for process in &self.workers {
            process.signal(Signal::SIGCONT)?;
            process.signal(Signal::SIGTERM)?;
        }
        let patience = Instant::now() + Duration::from_secs(20);
        let mut deaths = Vec::new();
        while let Some(mut process) = self.workers.pop() {
            let status = loop {
                if let Some(status) = process.child.try_wait()? {
                    break status;
                }
                if Instant::now() > patience {
                    self.workers.push(process);
                    bail!("a worker did not end within 20 s of SIGTERM");
                }
                std::thread::sleep(Duration::from_millis(10));
            };
            deaths.push(self.died(process, status));
        }
        Ok(deaths)
    }

    fn died(&mut self, process: Process, status: ExitStatus) -> Death {
        let end = match (status.signal(), status.code()) {
            (Some(9), _) => End::Killed,
            (Some(6), _) => End::Aborted,
            (None, Some(0)) => End::Drained,
            _ => End::Failed,
        };
        self.past[process.number].killed = end == End::Killed;
        Death { id: process.id, end }
    }
}

impl Process {
    fn signal(&self, signal: Signal) -> Result<()> {
        let pid = i32::try_from(self.child.id()).context("a process id")?;
        // One that has just ended is still there until it is waited for.
        kill(Pid::from_raw(pid), signal).with_context(|| format!("sending {signal}"))
    }
}

impl Drop for Fleet {
    fn drop(&mut self) {
        for process in &mut self.workers {
            let _ = process.child.kill();
            let _ = process.child.wait();
        }
    }
}
