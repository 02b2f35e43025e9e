//! A real server as a child process.

use std::ffi::{OsStr, OsString};
use std::net::TcpListener;
use std::os::unix::process::ExitStatusExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail, ensure};
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use tempfile::TempDir;

use crate::{Reply, RespClient};

/// Names looked for on `PATH`, in this order.
const BINARIES: [&str; 2] = ["redis-server", "valkey-server"];
/// How long a server may take to answer, and to end.
const PATIENCE: Duration = Duration::from_secs(10);

/// When a server writes its append-only file to disk.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Aof {
    /// No file: nothing survives the process.
    Off,
    /// Once a second.
    EverySecond,
    /// Before every reply.
    Always,
}

/// Settings of a [`RealRedis`].
#[derive(Debug, Clone)]
pub struct RealRedisBuilder {
    binary: Option<PathBuf>,
    aof: Aof,
    password: Option<String>,
    args: Vec<OsString>,
}

impl RealRedisBuilder {
    /// This binary instead of one on `PATH`.
    pub fn binary(mut self, path: impl Into<PathBuf>) -> Self {
        self.binary = Some(path.into());
        self
    }

    /// Default [`Aof::Off`]. RDB snapshots are off in any case.
    pub fn aof(mut self, aof: Aof) -> Self {
        self.aof = aof;
        self
    }

    /// `--requirepass`; it is part of the URL.
    pub fn password(mut self, password: &str) -> Self {
        self.password = Some(password.into());
        self
    }

    /// Further arguments, such as `--maxmemory`, `10mb`.
    pub fn args(mut self, args: impl IntoIterator<Item = impl AsRef<OsStr>>) -> Self {
        self.args.extend(args.into_iter().map(|arg| arg.as_ref().to_owned()));
        self
    }

    /// Starts the server on a free port of 127.0.0.1 in a folder of its own, and waits until it answers.
    ///
    /// # Errors
    /// No binary, or the server did not answer within 10 s; the text has the end of its log.
    pub fn start(self) -> Result<RealRedis> {
        let binary = match &self.binary {
            Some(path) => path.clone(),
            None => RealRedis::available().with_context(RealRedis::missing)?,
        };
        let folder = TempDir::new().context("making a folder for the server")?;
        // Between the choice of a port and the server's own use of it, somebody else may take it.
        let mut last = None;
        for _ in 0..5 {
            let port = free_port()?;
            let mut server =
                RealRedis { binary: binary.clone(), settings: self.clone(), folder: None, port, child: None };
            match server.launch(folder.path()) {
                Ok(()) => {
                    server.folder = Some(folder);
                    return Ok(server);
                }
                Err(error) => last = Some(error),
            }
        }
        Err(last.unwrap_or_else(|| anyhow::anyhow!("the server did not start")))
    }
}

/// A `redis-server` or `valkey-server` of its own; killed on drop, its folder removed.
#[derive(Debug)]
pub struct RealRedis {
    binary: PathBuf,
    settings: RealRedisBuilder,
    folder: Option<TempDir>,
    port: u16,
    child: Option<Child>,
}

impl RealRedis {
    /// The binary found on `PATH`; `None`: see [`Self::missing`].
    pub fn available() -> Option<PathBuf> {
        let path = std::env::var_os("PATH")?;
        let folders: Vec<PathBuf> = std::env::split_paths(&path).collect();
        let files = BINARIES.iter().flat_map(|name| folders.iter().map(move |folder| folder.join(name)));
        files.into_iter().find(|file| file.is_file())
    }

    /// What to say when there is none.
    pub fn missing() -> String {
        format!(
            "neither {} is on PATH: install one to run the tests against a real server",
            BINARIES.join(" nor ")
        )
    }

    /// No persistence and no password.
    pub fn builder() -> RealRedisBuilder {
        RealRedisBuilder { binary: None, aof: Aof::Off, password: None, args: Vec::new() }
    }

    /// Starts one without persistence.
    ///
    /// # Errors
    /// See [`RealRedisBuilder::start`].
    pub fn start() -> Result<Self> {
        Self::builder().start()
    }

    /// `redis://127.0.0.1:port`, with the password when there is one.
    pub fn url(&self) -> String {
        let password = self.settings.password.as_ref().map(|password| format!(":{password}@"));
        format!("redis://{}127.0.0.1:{}", password.unwrap_or_default(), self.port)
    }

    /// The TCP port, the same after a restart.
    pub fn port(&self) -> u16 {
        self.port
    }

    /// The process, while there is one.
    pub fn pid(&self) -> Option<u32> {
        self.child.as_ref().map(Child::id)
    }

    /// SIGKILL: what was not on disk is lost to nobody but the machine, what was not written is lost.
    ///
    /// # Errors
    /// The process cannot be signalled or waited for.
    pub fn kill(&mut self) -> Result<()> {
        let Some(mut child) = self.child.take() else { return Ok(()) };
        child.kill().context("killing the server")?;
        let status = child.wait().context("waiting for the server")?;
        ensure!(status.signal() == Some(9), "the server had ended before: {status}\n{}", self.log());
        Ok(())
    }

    /// SIGTERM: the server writes what it has and ends.
    ///
    /// # Errors
    /// It does not end within 10 s; it is killed then.
    pub fn stop(&mut self) -> Result<()> {
        let Some(mut child) = self.child.take() else { return Ok(()) };
        kill(Pid::from_raw(child.id() as i32), Signal::SIGTERM).context("stopping the server")?;
        let end = Instant::now() + PATIENCE;
        while child.try_wait().context("waiting for the server")?.is_none() {
            if Instant::now() > end {
                child.kill().context("killing the server")?;
                child.wait().context("waiting for the server")?;
                bail!("the server did not stop within {PATIENCE:?}\n{}", self.log());
            }
            thread::sleep(Duration::from_millis(5));
        }
        Ok(())
    }

    /// Kills the server when it runs, and starts it on the same port in the same folder.
    ///
    /// # Errors
    /// See [`RealRedisBuilder::start`].
    pub fn restart(&mut self) -> Result<()> {
        self.kill()?;
        let folder = self.folder.as_ref().map(|folder| folder.path().to_owned());
        self.launch(&folder.context("the server was never started")?)
    }

    /// Everything stands still (SIGSTOP) until [`Self::resume`]: connections stay open and unanswered.
    ///
    /// # Errors
    /// There is no process.
    pub fn pause(&self) -> Result<()> {
        self.signal(Signal::SIGSTOP)
    }

    /// SIGCONT.
    ///
    /// # Errors
    /// There is no process.
    pub fn resume(&self) -> Result<()> {
        self.signal(Signal::SIGCONT)
    }

    fn signal(&self, signal: Signal) -> Result<()> {
        let pid = self.pid().context("the server does not run")?;
        kill(Pid::from_raw(pid as i32), signal).with_context(|| format!("sending {signal}"))
    }

    fn launch(&mut self, folder: &Path) -> Result<()> {
        let (append, sync) = match self.settings.aof {
            Aof::Off => ("no", "everysec"),
            Aof::EverySecond => ("yes", "everysec"),
            Aof::Always => ("yes", "always"),
        };
        let port = self.port.to_string();
        let log = std::fs::File::options().create(true).append(true).open(folder.join("log"))?;
        let mut command = Command::new(&self.binary);
        command.args(["--port", &port, "--bind", "127.0.0.1", "--save", "", "--daemonize", "no", "--dir"]);
        command.arg(folder).args(["--appendonly", append, "--appendfsync", sync]);
        if let Some(password) = &self.settings.password {
            command.args(["--requirepass", password]);
        }
        command.args(&self.settings.args);
        command.stdin(Stdio::null()).stdout(log.try_clone()?).stderr(log);
        let child = command.spawn().with_context(|| format!("starting {}", self.binary.display()))?;
        self.child = Some(child);
        self.wait_for_ping(folder)
    }

    fn wait_for_ping(&mut self, folder: &Path) -> Result<()> {
        let end = Instant::now() + PATIENCE;
        let pid = self.pid().map(|pid| pid.to_string()).unwrap_or_default();
        loop {
            // Another server that took the port would answer as well: the process must be ours. INFO is
            // answered while the keys are still being read from disk.
            let info = RespClient::connect(&self.url()).and_then(|mut client| client.command(["INFO"]));
            if let Ok(Reply::Bulk(info)) = &info {
                let info = String::from_utf8_lossy(info);
                if info.contains(&format!("process_id:{pid}\r\n")) && info.contains("\nloading:0\r\n") {
                    return Ok(());
                }
            }
            let ended = self.child.as_mut().and_then(|child| child.try_wait().ok().flatten());
            if ended.is_some() || Instant::now() > end {
                let log = std::fs::read_to_string(folder.join("log")).unwrap_or_default();
                bail!("the server does not answer or is still loading (ended: {ended:?})\n{}", tail(&log));
            }
            thread::sleep(Duration::from_millis(5));
        }
    }

    fn log(&self) -> String {
        let file = self.folder.as_ref().map(|folder| folder.path().join("log"));
        tail(&file.and_then(|file| std::fs::read_to_string(file).ok()).unwrap_or_default())
    }
}

impl Drop for RealRedis {
    fn drop(&mut self) {
        if let Some(mut child) = self.child.take() {
            let _ = child.kill();
            let _ = child.wait();
        }
    }
}

fn tail(log: &str) -> String {
    let lines: Vec<&str> = log.lines().collect();
    lines[lines.len().saturating_sub(20)..].join("\n")
}

fn free_port() -> Result<u16> {
    Ok(TcpListener::bind(("127.0.0.1", 0)).context("looking for a free port")?.local_addr()?.port())
}
