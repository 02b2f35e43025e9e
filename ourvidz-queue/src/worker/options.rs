use std::path::PathBuf;
use std::time::Duration;

use ourvidz_core::job::callback::CallbackFormat;
use ourvidz_core::job::{Family, JobType, Media};

use crate::{Error, Result, RetryPolicy};

/// How a worker takes, runs and ends jobs.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct WorkerOptions {
    /// Types this worker makes. A job of another type moves to its type's queue; if that is this very queue, it
    /// fails with `UNSUPPORTED_JOB_TYPE`. Default all.
    pub job_types: Vec<JobType>,
    /// When a failed attempt is tried again. The queue's own `max_attempts` is a second bound.
    pub retry: RetryPolicy,
    /// The shape of callbacks; `None` when nobody receives any. Default `None`.
    pub callbacks: Option<CallbackFormat>,
    /// Whether a `processing` callback is sent when a job begins. Default true.
    pub send_processing: bool,
    /// Longest wait of an idle worker before it asks again, so that delayed jobs and jobs of dead workers come
    /// back. At least 10 ms. Default 10 s.
    pub idle_wait: Duration,
    /// Longest time a job may take until it ends.
    pub deadlines: Deadlines,
    /// Longest time between two steps or stages of a running job, and between a stop and the handler's return.
    /// Past it the worker ends with [`Error::Stalled`]. At least 1 ms. Default 300 s.
    pub stall_timeout: Duration,
    /// How long a running job may go on when the worker is asked to end. Default 25 s.
    pub grace: Duration,
    /// How long a handler may take to return after the worker, asked to end, stopped it; then its job is given
    /// back all the same. Bounds calls to the backend as well, while the worker ends. Default 3 s.
    pub drain_wait: Duration,
    /// Folder for settlements the backend has not taken yet, made when needed. Several workers may share it.
    /// `None`: they are kept in memory only, and a job whose settlement is lost with the process runs again.
    /// Default `None`.
    pub journal: Option<PathBuf>,
}

/// Longest run of one attempt, from the call of the handler to its return.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Deadlines {
    /// SDXL. Default 10 minutes.
    pub sdxl: Duration,
    /// WAN, one picture. Default 15 minutes.
    pub wan_image: Duration,
    /// WAN, a video. Default 30 minutes.
    pub wan_video: Duration,
}

impl Default for WorkerOptions {
    fn default() -> Self {
        Self {
            job_types: JobType::ALL.to_vec(),
            retry: RetryPolicy::default(),
            callbacks: None,
            send_processing: true,
            idle_wait: Duration::from_secs(10),
            deadlines: Deadlines::default(),
            stall_timeout: Duration::from_secs(300),
            grace: Duration::from_secs(25),
            drain_wait: Duration::from_secs(3),
            journal: None,
        }
    }
}

impl Default for Deadlines {
    fn default() -> Self {
        let minutes = |minutes: u64| Duration::from_secs(60 * minutes);
        Self { sdxl: minutes(10), wan_image: minutes(15), wan_video: minutes(30) }
    }
}

impl Deadlines {
    /// The one of a type.
    pub fn of(&self, job_type: JobType) -> Duration {
        match (job_type.family(), job_type.media()) {
            (Family::Sdxl, _) => self.sdxl,
            (Family::Wan, Media::Image) => self.wan_image,
            (Family::Wan, Media::Video) => self.wan_video,
        }
    }
}

impl WorkerOptions {
    /// The defaults for a worker that makes one family's types.
    pub fn for_family(family: Family) -> Self {
        let job_types = JobType::ALL.into_iter().filter(|job_type| job_type.family() == family);
        Self { job_types: job_types.collect(), ..Self::default() }
    }

    /// Checks every rule above.
    ///
    /// # Errors
    /// [`Error::InvalidOption`] with the first that is broken.
    pub fn validate(&self) -> Result<()> {
        let invalid = |name, rule, value: String| Err(Error::InvalidOption { name, rule, value });
        if self.job_types.is_empty() {
            return invalid("job_types", "must name at least one type", "none".to_owned());
        }
        if self.idle_wait < Duration::from_millis(10) {
            return invalid("idle_wait", "must be at least 10 ms", format!("{:?}", self.idle_wait));
        }
        if self.stall_timeout < Duration::from_millis(1) {
            return invalid("stall_timeout", "must be at least 1 ms", format!("{:?}", self.stall_timeout));
        }
        let deadlines = [self.deadlines.sdxl, self.deadlines.wan_image, self.deadlines.wan_video];
        if let Some(deadline) = deadlines.into_iter().find(Duration::is_zero) {
            return invalid("deadlines", "must be more than 0", format!("{deadline:?}"));
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_type_has_a_deadline() {
        let minutes = JobType::ALL.map(|job_type| Deadlines::default().of(job_type).as_secs() / 60);
        assert_eq!(minutes, [10, 10, 15, 15, 30, 30, 15, 15, 30, 30]);
    }

    #[test]
    fn options_outside_their_rules_are_named() {
        let of = |options: WorkerOptions| options.validate().map_err(|error| error.to_string());
        assert_eq!(of(WorkerOptions::for_family(Family::Wan)), Ok(()));
        let message = of(WorkerOptions { job_types: Vec::new(), ..Default::default() });
        assert_eq!(message, Err("job_types: must name at least one type, got none".to_owned()));
        let message = of(WorkerOptions { idle_wait: Duration::ZERO, ..Default::default() });
        assert_eq!(message, Err("idle_wait: must be at least 10 ms, got 0ns".to_owned()));
        let message = of(WorkerOptions { stall_timeout: Duration::ZERO, ..Default::default() });
        assert_eq!(message, Err("stall_timeout: must be at least 1 ms, got 0ns".to_owned()));
        let deadlines = Deadlines { sdxl: Duration::ZERO, ..Default::default() };
        let message = of(WorkerOptions { deadlines, ..Default::default() });
        assert_eq!(message, Err("deadlines: must be more than 0, got 0ns".to_owned()));
    }
}
