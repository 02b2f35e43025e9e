use rusqlite::{Params, Result};

use super::tx::{Kind, Place, REMEMBER_ID_MS, Tx, limit, unsigned, until};
use crate::{ClaimId, Counts, DeadLetter, DeadReason, Delayed, InFlight, PopSide, WorkerId};

impl Tx<'_> {
    pub(super) fn counts(&self) -> Result<Counts> {
        let jobs = |state: i64| {
            let sql = "SELECT count(*) FROM jobs WHERE queue = ?1 AND state = ?2";
            self.number(sql, (self.queue, state))
        };
        let callbacks = |dead: i64| {
            let sql = "SELECT count(*) FROM callbacks WHERE queue = ?1 AND dead = ?2";
            self.number(sql, (self.queue, dead))
        };
        Ok(Counts {
            waiting: jobs(0)?,
            in_flight: jobs(1)?,
            delayed: jobs(2)?,
            dead: jobs(3)?,
            done: self.number("SELECT coalesce(sum(done), 0) FROM queues WHERE queue = ?1", [self.queue])?,
            failed: self
                .number("SELECT coalesce(sum(failed), 0) FROM queues WHERE queue = ?1", [self.queue])?,
            callbacks: callbacks(0)?,
            dead_callbacks: callbacks(1)?,
            paused: self.paused()?,
        })
    }

    fn number(&self, sql: &str, params: impl Params) -> Result<u64> {
        self.db.prepare_cached(sql)?.query_row(params, |row| unsigned(row, 0))
    }

    pub(super) fn waiting(&self, at_most: usize) -> Result<Vec<String>> {
        let sql = match self.options.pop_side {
            PopSide::Right => {
                "SELECT element FROM jobs WHERE queue = ?1 AND state = 0 ORDER BY rank DESC LIMIT ?2"
            }
            PopSide::Left => "SELECT element FROM jobs WHERE queue = ?1 AND state = 0 ORDER BY rank LIMIT ?2",
        };
        self.rows(sql, (self.queue, limit(at_most)), |row| row.get(0))
    }

    pub(super) fn in_flight(&self) -> Result<Vec<InFlight>> {
        let sql = "SELECT claim, worker, key, attempt, since_ms, rank FROM jobs
            WHERE queue = ?1 AND state = 1 ORDER BY claim";
        self.rows(sql, [self.queue], |row| {
            Ok(InFlight {
                claim: ClaimId::from_text(row.get::<_, String>(0)?),
                worker: WorkerId::from_text(row.get::<_, String>(1)?),
                job_id: row.get(2)?,
                attempt: row.get::<_, u32>(3)?.min(self.options.max_attempts),
                claimed_ms: unsigned(row, 4)?,
                lease_left: until(row.get(5)?, self.now),
            })
        })
    }

    pub(super) fn delayed(&self, at_most: usize) -> Result<Vec<Delayed>> {
        let sql = "SELECT element, rank FROM jobs WHERE queue = ?1 AND state = 2
            ORDER BY rank, claim LIMIT ?2";
        self.rows(sql, (self.queue, limit(at_most)), |row| {
            Ok(Delayed { element: row.get(0)?, due_in: until(row.get(1)?, self.now) })
        })
    }

    pub(super) fn dead(&self, at_most: usize) -> Result<Vec<DeadLetter>> {
        let sql = "SELECT key, element, code, message, attempt, since_ms FROM jobs
            WHERE queue = ?1 AND state = 3 ORDER BY rank DESC LIMIT ?2";
        self.rows(sql, (self.queue, limit(at_most)), |row| {
            Ok(DeadLetter {
                job_id: row.get(0)?,
                element: row.get(1)?,
                reason: DeadReason { code: row.get(2)?, message: row.get(3)? },
                attempts: row.get(4)?,
                at_ms: unsigned(row, 5)?,
            })
        })
    }

    pub(super) fn retry_dead(&self, key: &str) -> Result<usize> {
        let sql = "SELECT id FROM jobs WHERE queue = ?1 AND key = ?2 AND state = 3 ORDER BY rank DESC";
        let dead = self.rows(sql, (self.queue, key), |row| row.get(0))?;
        if !dead.is_empty() {
            self.forget_tries(key)?;
        }
        for &row in &dead {
            self.make_waiting(row, self.queue, Place::Last)?;
        }
        Ok(dead.len())
    }

    pub(super) fn remove(&self, key: &str) -> Result<usize> {
        let removed = self.execute(
            "DELETE FROM jobs WHERE queue = ?1 AND key = ?2 AND state IN (0, 2, 3)",
            (self.queue, key),
        )?;
        let held = "SELECT EXISTS (SELECT 1 FROM jobs WHERE queue = ?1 AND key = ?2 AND state = 1)";
        if !self.value(held, (self.queue, key))? {
            self.forget_tries(key)?;
        }
        Ok(removed)
    }

    pub(super) fn cancel(&self, job_id: &str) -> Result<()> {
        self.forget()?;
        self.remember(Kind::Cancelled, job_id, REMEMBER_ID_MS)
    }

    pub(super) fn set_paused(&self, paused: bool) -> Result<()> {
        self.execute(
            "INSERT INTO queues (queue, paused) VALUES (?1, ?2)
             ON CONFLICT DO UPDATE SET paused = excluded.paused",
            (self.queue, paused),
        )?;
        Ok(())
    }

    pub(super) fn release_worker(&self, worker: &str) -> Result<usize> {
        let sql = "SELECT id FROM jobs WHERE queue = ?1 AND state = 1 AND worker = ?2 ORDER BY claim";
        let held = self.rows(sql, (self.queue, worker), |row| row.get(0))?;
        for &row in &held {
            self.take_back(row)?;
        }
        Ok(held.len())
    }
}
