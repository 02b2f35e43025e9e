use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

/// The server's time, read now and then and carried by this machine's monotonic clock in between.
#[derive(Debug, Default)]
pub(super) struct Carried {
    read: Mutex<Option<(Instant, u64)>>,
}

const REFRESH: Duration = Duration::from_secs(600);

impl Carried {
    /// Milliseconds since 1970, and whether the server should be asked again; `None` before the first reading.
    pub(super) fn now_ms(&self, at: Instant) -> Option<(u64, bool)> {
        let (read_at, server_ms) = (*self.read.lock().unwrap_or_else(PoisonError::into_inner))?;
        let passed = at.saturating_duration_since(read_at);
        let ms = u64::try_from(passed.as_millis()).unwrap_or(u64::MAX / 4);
        Some((server_ms + ms, passed >= REFRESH))
    }

    /// The server said `server_ms`, about half way between `asked` and `answered`.
    pub(super) fn set(&self, asked: Instant, answered: Instant, server_ms: u64) {
        let middle = asked + answered.saturating_duration_since(asked) / 2;
        *self.read.lock().unwrap_or_else(PoisonError::into_inner) = Some((middle, server_ms));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_time_goes_on_between_readings() {
        let (clock, start) = (Carried::default(), Instant::now());
        assert_eq!(clock.now_ms(start), None);
        clock.set(start, start + Duration::from_millis(200), 1_000_000);
        let later = start + Duration::from_millis(1100);
        assert_eq!(clock.now_ms(later), Some((1_001_000, false)));
        assert_eq!(clock.now_ms(start + Duration::from_millis(600_100)), Some((1_600_000, true)));
    }
}
