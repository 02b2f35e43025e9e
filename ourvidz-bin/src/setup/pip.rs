//! Fetching one pinned wheel with pip, so that the user's index, proxy and certificates apply.

use std::io::{IsTerminal as _, Write as _};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Output, Stdio};
use std::time::Duration;
use std::{fs, thread};

use anyhow::{Context as _, Result, bail, ensure};
use indicatif::{ProgressBar, ProgressStyle};

use super::wheel::Wheel;

/// Platforms whose wheels are taken; pip matches each by name.
const PLATFORMS: [&str; 4] =
    ["manylinux_2_28_x86_64", "manylinux_2_27_x86_64", "manylinux_2_17_x86_64", "manylinux2014_x86_64"];

/// Oldest Python whose pip is known to understand the options used here.
const OLDEST_PYTHON: (u32, u32) = (3, 8);

/// Fetches `wheel` into `folder` with a progress line; gives its path.
pub(super) fn fetch(wheel: &Wheel, folder: &Path) -> Result<PathBuf> {
    check_pip()?;
    let requirements = folder.join("requirements.txt");
    fs::write(&requirements, requirement(wheel))
        .with_context(|| format!("cannot write {}", requirements.display()))?;
    let progress = progress_bar(wheel);
    let mut child = pip_download(folder, &requirements).spawn().context("cannot start python3")?;
    wait(&mut child, folder, &progress)?;
    let output = child.wait_with_output().context("cannot wait for pip")?;
    progress.finish_and_clear();
    if !output.status.success() {
        bail!(
            "pip could not fetch {}=={}: {}. Its index and proxy settings: python3 -m pip config list",
            wheel.name,
            wheel.version,
            reason(&output)
        );
    }
    if !std::io::stderr().is_terminal() {
        let line = format!("fetched {} {} ({} MB)\n", wheel.name, wheel.version, wheel.bytes / 1_000_000);
        std::io::stdout().write_all(line.as_bytes())?;
    }
    let found = fs::read_dir(folder)?.filter_map(|entry| entry.ok().map(|entry| entry.path()));
    found
        .into_iter()
        .find(|path| path.extension().is_some_and(|extension| extension == "whl"))
        .with_context(|| format!("pip left no wheel of {} in {}", wheel.name, folder.display()))
}

/// Fails in one line when there is no usable `python3 -m pip`.
fn check_pip() -> Result<()> {
    let version =
        Command::new("python3").args(["-c", "import sys; print(*sys.version_info[:2])"]).output().context(
            "setup needs Python 3 with pip, and python3 was not found (Debian, Ubuntu: python3-pip)",
        )?;
    let text = String::from_utf8_lossy(&version.stdout);
    let found = parse_version(&text).with_context(|| format!("python3 gave no version: {text:?}"))?;
    ensure!(
        found >= OLDEST_PYTHON,
        "setup needs Python {}.{} or newer, and python3 is {}.{}",
        OLDEST_PYTHON.0,
        OLDEST_PYTHON.1,
        found.0,
        found.1
    );
    let pip = Command::new("python3").args(["-m", "pip", "--version"]).output().context("cannot run pip")?;
    ensure!(pip.status.success(), "setup needs pip, and python3 has none (Debian, Ubuntu: python3-pip)");
    Ok(())
}

fn parse_version(text: &str) -> Option<(u32, u32)> {
    let (major, minor) = text.trim().split_once(' ')?;
    Some((major.parse().ok()?, minor.parse().ok()?))
}

fn requirement(wheel: &Wheel) -> String {
    format!("{}=={} --hash=sha256:{}\n", wheel.name, wheel.version, wheel.sha256)
}

fn pip_download(folder: &Path, requirements: &Path) -> Command {
    let mut command = Command::new("python3");
    command.args(["-m", "pip", "download", "--quiet", "--progress-bar", "off", "--no-input"]);
    command.args(["--disable-pip-version-check", "--no-deps", "--only-binary=:all:", "--require-hashes"]);
    // The cache would hold a second copy of every wheel, more than a gigabyte for CUDA.
    command.args(["--no-cache-dir", "--python-version", "3.12", "--implementation", "cp"]);
    command.args(PLATFORMS.iter().flat_map(|platform| ["--platform", platform]));
    command.arg("-d").arg(folder).arg("-r").arg(requirements);
    // pip downloads into its temporary folder first; here it is on the right disk, and can be watched.
    command.env("TMPDIR", folder);
    command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::piped());
    command
}

fn progress_bar(wheel: &Wheel) -> ProgressBar {
    let style = ProgressStyle::with_template("{msg:32} {bytes:>10}/{total_bytes:10} {bar:24} {eta}");
    let bar = ProgressBar::new(wheel.bytes).with_message(format!("{} {}", wheel.name, wheel.version));
    match style {
        Ok(style) => bar.with_style(style),
        Err(_) => bar,
    }
}

/// Moves the bar by what has arrived on disk until pip ends.
fn wait(child: &mut Child, folder: &Path, progress: &ProgressBar) -> Result<()> {
    while child.try_wait().context("cannot wait for pip")?.is_none() {
        progress.set_position(largest_file(folder).min(progress.length().unwrap_or(u64::MAX)));
        thread::sleep(Duration::from_millis(200));
    }
    Ok(())
}

/// Size of the largest file below `folder`: the wheel on its way, wherever pip keeps it.
fn largest_file(folder: &Path) -> u64 {
    let Ok(entries) = fs::read_dir(folder) else { return 0 };
    let sizes = entries.filter_map(|entry| {
        let entry = entry.ok()?;
        let metadata = entry.metadata().ok()?;
        Some(if metadata.is_dir() { largest_file(&entry.path()) } else { metadata.len() })
    });
    sizes.max().unwrap_or(0)
}

/// The last line in which pip says what went wrong.
fn reason(output: &Output) -> String {
    let text = String::from_utf8_lossy(&output.stderr);
    let lines = || text.lines().map(str::trim).filter(|line| !line.is_empty());
    let error = lines().rfind(|line| line.starts_with("ERROR")).or_else(|| lines().next_back());
    let error = error.unwrap_or("it gave no reason");
    error.trim_start_matches("ERROR:").trim().trim_end_matches('.').to_owned()
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use std::os::unix::process::ExitStatusExt;

    use super::*;

    #[test]
    fn versions_of_python_are_compared_as_numbers() {
        assert_eq!(parse_version("3 12\n"), Some((3, 12)));
        assert!(parse_version("3 10").unwrap() > OLDEST_PYTHON);
        assert!(parse_version("3 7").unwrap() < OLDEST_PYTHON);
        assert_eq!(parse_version("Python 3"), None);
    }

    #[test]
    fn the_reason_is_the_last_line_pip_calls_an_error() {
        let stderr = b"WARNING: slow\nERROR: first\nERROR: No matching distribution found for x==1.\nhint\n";
        let output =
            Output { status: ExitStatusExt::from_raw(256), stdout: Vec::new(), stderr: stderr.to_vec() };
        assert_eq!(reason(&output), "No matching distribution found for x==1");
    }
}
