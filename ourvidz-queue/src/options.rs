use std::time::Duration;

use crate::{Error, Result};

/// How a queue hands out its jobs. All workers of one queue use the same.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct QueueOptions {
    /// Which end of the list jobs are taken from. Default [`PopSide::Right`].
    pub pop_side: PopSide,
    /// How long a job stays with a worker that does not renew. At least 10 ms. Default 30 s.
    pub lease: Duration,
    /// Attempts in all, the first included, before a job is given up. At least 1. Default 3.
    pub max_attempts: u32,
    /// A job whose worker died at attempt n is handed out at once for n = 1, and after `reaped_delay * 2^(n-2)`
    /// for n > 1, so that a job that kills its worker does not take all workers in a row. Default 5 s.
    pub reaped_delay: Duration,
    /// Off by default: the oldest job is next. See [`FairShare`].
    pub fair_share: Option<FairShare>,
}

/// The end of the list that workers take from; producers push to the other.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum PopSide {
    /// For producers that `LPUSH`.
    #[default]
    Right,
    /// For producers that `RPUSH`.
    Left,
}

/// Round robin between users: among the first `window` waiting jobs, one of the user who was served the
/// longest ago is next, the oldest of his.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct FairShare {
    /// How many waiting jobs are looked at, 2 to 1000. A claim costs time in proportion. Default 100.
    pub window: u32,
}

impl Default for QueueOptions {
    fn default() -> Self {
        Self {
            pop_side: PopSide::Right,
            lease: Duration::from_secs(30),
            max_attempts: 3,
            reaped_delay: Duration::from_secs(5),
            fair_share: None,
        }
    }
}

impl Default for FairShare {
    fn default() -> Self {
        Self { window: 100 }
    }
}

impl QueueOptions {
    /// Checks every rule above.
    ///
    /// # Errors
    /// [`Error::InvalidOption`] with the first that is broken.
    pub fn validate(&self) -> Result<()> {
        let invalid = |name, rule, value: String| Err(Error::InvalidOption { name, rule, value });
        if self.lease < Duration::from_millis(10) || self.lease > Duration::from_secs(86_400) {
            return invalid("lease", "must be 10 ms to 24 h", format!("{:?}", self.lease));
        }
        if self.max_attempts == 0 {
            return invalid("max_attempts", "must be at least 1", self.max_attempts.to_string());
        }
        if self.reaped_delay > Duration::from_secs(86_400) {
            return invalid("reaped_delay", "must be at most 24 h", format!("{:?}", self.reaped_delay));
        }
        match self.fair_share {
            Some(FairShare { window }) if !(2..=1000).contains(&window) => {
                invalid("fair_share.window", "must be 2 to 1000", window.to_string())
            }
            _ => Ok(()),
        }
    }
}
