use std::time::Duration;

use rusqlite::{Connection, OptionalExtension, Params, Result, Row, types::FromSql};

use crate::element::Identity;
use crate::{PopSide, QueueOptions};

/// How long a claim that ended is remembered, so that a repeated settlement is recognised and a repeated claim
/// takes nothing.
pub(super) const REMEMBER_CLAIM_MS: i64 = 600_000;
/// How long ids pushed once, cancellations and served users are remembered.
pub(super) const REMEMBER_ID_MS: i64 = 86_400_000;

/// One queue within one transaction. The operations in this folder do to rows what `memory/state.rs` does to
/// plain data.
#[derive(Debug, Clone, Copy)]
pub(super) struct Tx<'a> {
    pub(super) db: &'a Connection,
    pub(super) queue: &'a str,
    pub(super) options: &'a QueueOptions,
    /// Read after the transaction began, so that waiting for it does not shorten a lease.
    pub(super) now: i64,
}

/// What a row of `remembered` is.
#[derive(Debug, Clone, Copy)]
pub(super) enum Kind {
    Settled = 0,
    TakenBack = 1,
    Pushed = 2,
    Cancelled = 3,
}

/// An end of the waiting list.
#[derive(Debug, Clone, Copy)]
pub(super) enum Place {
    /// Producers' end.
    Last,
    /// The next to be taken.
    Next,
}

impl Tx<'_> {
    pub(super) fn push(&self, element: &str) -> Result<()> {
        let identity = Identity::of(element);
        let rank = self.rank(self.queue, Place::Last)?;
        self.execute(
            "INSERT INTO jobs (queue, state, rank, key, user, element) VALUES (?1, 0, ?2, ?3, ?4, ?5)",
            (self.queue, rank, identity.key, identity.user, element),
        )?;
        Ok(())
    }

    pub(super) fn push_once(&self, id: &str, element: &str) -> Result<bool> {
        self.forget()?;
        if self.remembers(Kind::Pushed, id)? {
            return Ok(false);
        }
        self.remember(Kind::Pushed, id, REMEMBER_ID_MS)?;
        self.push(element)?;
        Ok(true)
    }

    /// Makes a row waiting, in this queue or another.
    pub(super) fn make_waiting(&self, row: i64, queue: &str, place: Place) -> Result<()> {
        let rank = self.rank(queue, place)?;
        self.execute(
            "UPDATE jobs SET queue = ?2, state = 0, rank = ?3, claim = NULL, worker = NULL, attempt = NULL,
                 since_ms = NULL, code = NULL, message = NULL
             WHERE id = ?1",
            (row, queue, rank),
        )?;
        Ok(())
    }

    /// A free rank at one end of the waiting rows.
    fn rank(&self, queue: &str, place: Place) -> Result<i64> {
        let leftmost = match (self.options.pop_side, place) {
            (PopSide::Right, Place::Last) | (PopSide::Left, Place::Next) => true,
            (PopSide::Right, Place::Next) | (PopSide::Left, Place::Last) => false,
        };
        if leftmost {
            let sql = "SELECT coalesce(min(rank), 0) - 1 FROM jobs WHERE queue = ?1 AND state = 0";
            self.value(sql, [queue])
        } else {
            let sql = "SELECT coalesce(max(rank), 0) + 1 FROM jobs WHERE queue = ?1 AND state = 0";
            self.value(sql, [queue])
        }
    }

    /// The row that a claim holds, if it holds one.
    pub(super) fn held_row(&self, claim: &str) -> Result<Option<i64>> {
        let sql = "SELECT id FROM jobs WHERE queue = ?1 AND claim = ?2 AND state = 1";
        self.value(sql, (self.queue, claim)).optional()
    }

    pub(super) fn paused(&self) -> Result<bool> {
        let sql = "SELECT paused FROM queues WHERE queue = ?1";
        Ok(self.value(sql, [self.queue]).optional()?.unwrap_or(false))
    }

    /// Whether a claim would find a waiting job.
    pub(super) fn ready(&self) -> Result<bool> {
        let sql = "SELECT EXISTS (SELECT 1 FROM jobs WHERE queue = ?1 AND state = 0)";
        Ok(self.value(sql, [self.queue])? && !self.paused()?)
    }

    pub(super) fn remember(&self, kind: Kind, name: &str, for_ms: i64) -> Result<()> {
        self.execute(
            "INSERT OR REPLACE INTO remembered (queue, kind, name, until_ms) VALUES (?1, ?2, ?3, ?4)",
            (self.queue, kind as i64, name, self.now + for_ms),
        )?;
        Ok(())
    }

    pub(super) fn remembers(&self, kind: Kind, name: &str) -> Result<bool> {
        let sql = "SELECT EXISTS (
            SELECT 1 FROM remembered WHERE queue = ?1 AND kind = ?2 AND name = ?3 AND until_ms > ?4)";
        self.value(sql, (self.queue, kind as i64, name, self.now))
    }

    /// Deletes what need not be remembered. More than one operation adds, and so few that no operation is slow.
    pub(super) fn forget(&self) -> Result<()> {
        self.execute(
            "DELETE FROM remembered WHERE id IN (SELECT id FROM remembered WHERE until_ms <= ?1 LIMIT 100)",
            [self.now],
        )?;
        Ok(())
    }

    pub(super) fn execute(&self, sql: &str, params: impl Params) -> Result<usize> {
        self.db.prepare_cached(sql)?.execute(params)
    }

    /// The first column of the only row.
    pub(super) fn value<T: FromSql>(&self, sql: &str, params: impl Params) -> Result<T> {
        self.db.prepare_cached(sql)?.query_row(params, |row| row.get(0))
    }

    pub(super) fn rows<T>(
        &self,
        sql: &str,
        params: impl Params,
        read: impl FnMut(&Row<'_>) -> Result<T>,
    ) -> Result<Vec<T>> {
        self.db.prepare_cached(sql)?.query_map(params, read)?.collect()
    }
}

/// At most what still fits into a column when the time of day is added.
pub(super) fn millis(duration: Duration) -> i64 {
    i64::try_from(duration.as_millis()).map_or(FAR_MS, |ms| ms.min(FAR_MS))
}

/// Some 146 million years.
const FAR_MS: i64 = i64::MAX / 2;

/// A column that is never negative.
pub(super) fn unsigned(row: &Row<'_>, column: usize) -> Result<u64> {
    let value: i64 = row.get(column)?;
    u64::try_from(value).map_err(|_| rusqlite::Error::IntegralValueOutOfRange(column, value))
}

pub(super) fn limit(rows: usize) -> i64 {
    i64::try_from(rows).unwrap_or(i64::MAX)
}

/// From `now` to `at`, zero if that is over.
pub(super) fn until(at: i64, now: i64) -> Duration {
    Duration::from_millis(u64::try_from(at.saturating_sub(now)).unwrap_or(0))
}
