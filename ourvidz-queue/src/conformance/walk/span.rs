use std::time::Duration;

/// A moment known to lie between two readings of the harness's clock, both included; one reading where the
/// clock is moved by hand.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Span {
    pub(super) lo: u64,
    pub(super) hi: u64,
}

impl Span {
    pub(super) fn plus(self, by: Duration) -> Self {
        let by = u64::try_from(by.as_millis()).unwrap_or(u64::MAX / 4);
        Self { lo: self.lo + by, hi: self.hi + by }
    }

    /// Certainly over at any moment of `now`.
    pub(super) fn is_over(self, now: Self) -> bool {
        self.hi <= now.lo
    }

    /// Perhaps over at some moment of `now`.
    pub(super) fn may_be_over(self, now: Self) -> bool {
        self.lo <= now.hi
    }

    /// Certainly earlier.
    pub(super) fn is_before(self, other: Self) -> bool {
        self.hi < other.lo
    }

    /// Whether `left` can be what is left until this moment, zero once it is over.
    pub(super) fn can_be_in(self, left: Duration, now: Self) -> bool {
        let left = u64::try_from(left.as_millis()).unwrap_or(u64::MAX);
        (self.lo.saturating_sub(now.hi)..=self.hi.saturating_sub(now.lo)).contains(&left)
    }

    /// The earlier of two moments.
    pub(super) fn earlier(self, other: Self) -> Self {
        Self { lo: self.lo.min(other.lo), hi: self.hi.min(other.hi) }
    }

    /// A moment that may be either.
    pub(super) fn either(self, other: Self) -> Self {
        Self { lo: self.lo.min(other.lo), hi: self.hi.max(other.hi) }
    }
}
