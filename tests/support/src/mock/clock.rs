//! The time a mock server sees.

use std::time::{Duration, SystemTime, UNIX_EPOCH};

/// Microseconds since the Unix epoch: the machine's clock or a number, plus what tests added.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Clock {
    manual_us: Option<i64>,
    added_us: i64,
}

impl Clock {
    pub(crate) fn real() -> Self {
        Self { manual_us: None, added_us: 0 }
    }

    pub(crate) fn manual(start_ms: i64) -> Self {
        Self { manual_us: Some(start_ms * 1000), added_us: 0 }
    }

    pub(crate) fn is_manual(self) -> bool {
        self.manual_us.is_some()
    }

    pub(crate) fn advance(&mut self, by: Duration) {
        self.added_us += by.as_micros() as i64;
    }

    pub(crate) fn now_us(self) -> i64 {
        let machine = || SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |d| d.as_micros() as i64);
        self.manual_us.unwrap_or_else(machine) + self.added_us
    }
}
