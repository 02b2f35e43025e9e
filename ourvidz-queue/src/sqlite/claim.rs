use rusqlite::{OptionalExtension, Result};

use super::tx::{Kind, Place, REMEMBER_CLAIM_MS, REMEMBER_ID_MS, Tx, millis, until};
use crate::{Beat, ClaimId, Claimed, Delivery, Empty};

impl Tx<'_> {
    pub(super) fn claim(&self, claim: &ClaimId, worker: &str) -> Result<Claimed> {
        self.forget()?;
        // One claim never holds two jobs: a worker that stalled would settle the second as if it were the first.
        if self.spent(claim.as_str())? {
            return Ok(Claimed::Spent);
        }
        if let Some(row) = self.held_row(claim.as_str())? {
            return self.delivery(row, claim).map(Claimed::Job);
        }
        self.reap()?;
        self.promote()?;
        let next = if self.paused()? { None } else { self.next()? };
        let Some(row) = next else { return self.empty().map(Claimed::Empty) };
        let key: String = self.value("SELECT key FROM jobs WHERE id = ?1", [row])?;
        let count: u32 = self
            .value("SELECT count FROM tries WHERE queue = ?1 AND key = ?2", (self.queue, &key))
            .optional()?
            .unwrap_or(0);
        // Past the last attempt the count stays, and the delivery says so.
        if count < self.options.max_attempts {
            self.execute(
                "INSERT INTO tries (queue, key, count, reason) VALUES (?1, ?2, 1, '')
                 ON CONFLICT DO UPDATE SET count = count + 1",
                (self.queue, &key),
            )?;
        }
        let deadline = self.now + millis(self.options.lease);
        self.execute(
            "UPDATE jobs SET state = 1, rank = ?2, claim = ?3, worker = ?4, attempt = ?5, since_ms = ?6
             WHERE id = ?1",
            (row, deadline, claim.as_str(), worker, i64::from(count) + 1, self.now),
        )?;
        self.delivery(row, claim).map(Claimed::Job)
    }

    /// Whether the claim ended, or its job is delayed.
    fn spent(&self, claim: &str) -> Result<bool> {
        let delayed = "SELECT EXISTS (SELECT 1 FROM jobs WHERE queue = ?1 AND claim = ?2 AND state = 2)";
        Ok(self.remembers(Kind::Settled, claim)?
            || self.remembers(Kind::TakenBack, claim)?
            || self.value(delayed, (self.queue, claim))?)
    }

    fn delivery(&self, row: i64, claim: &ClaimId) -> Result<Delivery> {
        let sql = "SELECT j.element, j.attempt, t.reason FROM jobs j
            LEFT JOIN tries t ON t.queue = j.queue AND t.key = j.key WHERE j.id = ?1";
        self.db.prepare_cached(sql)?.query_row([row], |row| {
            let attempt: u32 = row.get(1)?;
            let reason: Option<String> = row.get(2)?;
            Ok(Delivery {
                claim: claim.clone(),
                element: row.get(0)?,
                attempt: attempt.min(self.options.max_attempts),
                exhausted: (attempt > self.options.max_attempts).then(|| reason.unwrap_or_default()),
            })
        })
    }

    /// The waiting row whose turn it is.
    fn next(&self) -> Result<Option<i64>> {
        let right = self.options.pop_side == crate::PopSide::Right;
        let Some(fair) = self.options.fair_share else {
            let sql = match right {
                true => "SELECT id FROM jobs WHERE queue = ?1 AND state = 0 ORDER BY rank DESC LIMIT 1",
                false => "SELECT id FROM jobs WHERE queue = ?1 AND state = 0 ORDER BY rank LIMIT 1",
            };
            return self.value(sql, [self.queue]).optional();
        };
        let sql = match right {
            true => "SELECT id, user FROM jobs WHERE queue = ?1 AND state = 0 ORDER BY rank DESC LIMIT ?2",
            false => "SELECT id, user FROM jobs WHERE queue = ?1 AND state = 0 ORDER BY rank LIMIT ?2",
        };
        let window: Vec<(i64, String)> =
            self.rows(sql, (self.queue, fair.window), |row| Ok((row.get(0)?, row.get(1)?)))?;
        let mut best: Option<(i64, i64, String)> = None;
        for (row, user) in window {
            let served = self
                .value("SELECT at_ms FROM served WHERE queue = ?1 AND user = ?2", (self.queue, &user))
                .optional()?
                .unwrap_or(0);
            if best.as_ref().is_none_or(|(least, _, _)| served < *least) {
                best = Some((served, row, user));
            }
        }
        let Some((_, row, user)) = best else { return Ok(None) };
        self.serve(&user)?;
        Ok(Some(row))
    }

    /// This user was served last of all.
    fn serve(&self, user: &str) -> Result<()> {
        let newest: i64 =
            self.value("SELECT coalesce(max(at_ms), 0) FROM served WHERE queue = ?1", [self.queue])?;
        self.execute(
            "INSERT OR REPLACE INTO served (queue, user, at_ms) VALUES (?1, ?2, ?3)",
            (self.queue, user, self.now.max(newest + 1)),
        )?;
        self.execute(
            "DELETE FROM served WHERE queue = ?1 AND at_ms <= ?2",
            (self.queue, self.now - REMEMBER_ID_MS),
        )?;
        Ok(())
    }

    /// Takes back jobs whose lease ran out, the oldest lease first in line.
    fn reap(&self) -> Result<()> {
        let sql = "SELECT id FROM jobs WHERE queue = ?1 AND state = 1 AND rank <= ?2
            ORDER BY rank DESC, claim DESC";
        for row in self.rows(sql, (self.queue, self.now), |row| row.get(0))? {
            self.take_back(row)?;
        }
        Ok(())
    }

    /// Ends a claim from outside; the attempt counts.
    pub(super) fn take_back(&self, row: i64) -> Result<()> {
        let sql = "SELECT claim, key, worker, attempt FROM jobs WHERE id = ?1";
        let (claim, key, worker, attempt): (String, String, String, u32) = self
            .db
            .prepare_cached(sql)?
            .query_row([row], |row| Ok((row.get(0)?, row.get(1)?, row.get(2)?, row.get(3)?)))?;
        self.remember(Kind::TakenBack, &claim, REMEMBER_CLAIM_MS)?;
        if attempt <= self.options.max_attempts {
            self.give_reason(&key, &format!("worker {worker} died or stalled"))?;
        }
        if attempt <= 1 || attempt >= self.options.max_attempts {
            return self.make_waiting(row, self.queue, Place::Next);
        }
        let doublings = (attempt - 2).min(16);
        self.delay(row, self.now + (millis(self.options.reaped_delay) << doublings))
    }

    /// What the last try of a job met.
    pub(super) fn give_reason(&self, key: &str, reason: &str) -> Result<()> {
        self.execute(
            "INSERT INTO tries (queue, key, count, reason) VALUES (?1, ?2, 0, ?3)
             ON CONFLICT DO UPDATE SET reason = excluded.reason",
            (self.queue, key, reason),
        )?;
        Ok(())
    }

    pub(super) fn delay(&self, row: i64, due_ms: i64) -> Result<()> {
        self.execute(
            "UPDATE jobs SET state = 2, rank = ?2, worker = NULL, attempt = NULL, since_ms = NULL WHERE id = ?1",
            (row, due_ms),
        )?;
        Ok(())
    }

    /// Delayed jobs that are due become waiting, the soonest first in line.
    fn promote(&self) -> Result<()> {
        let sql = "SELECT id FROM jobs WHERE queue = ?1 AND state = 2 AND rank <= ?2
            ORDER BY rank DESC, claim DESC";
        for row in self.rows(sql, (self.queue, self.now), |row| row.get(0))? {
            self.make_waiting(row, self.queue, Place::Next)?;
        }
        Ok(())
    }

    fn empty(&self) -> Result<Empty> {
        let lease = self.first_rank("SELECT min(rank) FROM jobs WHERE queue = ?1 AND state = 1")?;
        let delayed = self.first_rank("SELECT min(rank) FROM jobs WHERE queue = ?1 AND state = 2")?;
        Ok(Empty {
            next_job_in: lease.into_iter().chain(delayed).min().map(|at| until(at, self.now)),
            callback_in: self.next_callback()?.map(|at| until(at, self.now)),
            paused: self.paused()?,
        })
    }

    fn first_rank(&self, sql: &str) -> Result<Option<i64>> {
        self.value(sql, [self.queue])
    }

    pub(super) fn beat(&self, claim: &str, job_id: &str) -> Result<Beat> {
        let Some(row) = self.held_row(claim)? else { return Ok(Beat::Lost) };
        let deadline = self.now + millis(self.options.lease);
        self.execute("UPDATE jobs SET rank = ?2 WHERE id = ?1", (row, deadline))?;
        Ok(if self.remembers(Kind::Cancelled, job_id)? { Beat::Cancelled } else { Beat::Held })
    }
}
