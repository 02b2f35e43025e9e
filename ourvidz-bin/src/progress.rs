use std::time::{Duration, Instant};

use indicatif::{ProgressBar, ProgressStyle};
use ourvidz_runtime::LoadProgress;

/// Bars on a terminal; silent elsewhere.
#[derive(Debug)]
pub(crate) struct Progress {
    bar: ProgressBar,
    what: String,
}

impl Progress {
    pub(crate) fn new() -> Progress {
        let bar = ProgressBar::new_spinner();
        bar.enable_steady_tick(Duration::from_millis(100));
        Progress { bar, what: String::new() }
    }

    /// A part of a model is loaded or converted.
    pub(crate) fn load(&mut self, progress: LoadProgress<'_>) {
        if self.what != progress.what {
            self.what = progress.what.to_owned();
            let style = if progress.total > 0 { BYTES } else { NAME };
            self.restart(style, progress.total);
            self.bar.set_message(self.what.clone());
        }
        self.bar.set_position(progress.done);
    }

    /// A step of `total` is done.
    pub(crate) fn step(&mut self, done: usize, total: usize) {
        if self.what != "denoising" {
            self.what = "denoising".into();
            self.restart(STEPS, total as u64);
        }
        self.bar.set_position(done as u64);
    }

    /// A frame of `total` is decoded.
    pub(crate) fn frames(&mut self, done: usize, total: usize) {
        if self.what != "decoding" {
            self.what = "decoding".into();
            self.restart(FRAMES, total as u64);
        }
        self.bar.set_position(done as u64);
    }

    pub(crate) fn end(&self) {
        self.bar.finish_and_clear();
    }

    fn restart(&self, template: &str, total: u64) {
        if let Ok(style) = ProgressStyle::with_template(template) {
            self.bar.set_style(style);
        }
        self.bar.reset();
        self.bar.set_length(total);
    }
}

const NAME: &str = "{spinner} loading {msg}";
const BYTES: &str = "{msg} [{bar:30}] {bytes}/{total_bytes}";
const FRAMES: &str = "decoding [{bar:30}] {pos}/{len} frames";
const STEPS: &str = "denoising [{bar:30}] {pos}/{len} {eta}";

/// Seconds since the last call, for the report at the end.
#[derive(Debug)]
pub(crate) struct Lap(Instant);

impl Lap {
    pub(crate) fn start() -> Lap {
        Lap(Instant::now())
    }

    pub(crate) fn next(&mut self) -> f64 {
        let now = Instant::now();
        let seconds = (now - self.0).as_secs_f64();
        self.0 = now;
        seconds
    }
}
