use rusqlite::{OptionalExtension, Result, Row};

use super::tx::{Tx, limit, unsigned, until};
use crate::{CallbackEntry, DueCallbacks, PendingCallback};

/// What [`entry`] reads.
const WAITING_BY_TIME: &str = "SELECT id, job_id, body, attempts, created_ms, due_ms, last_error
    FROM callbacks WHERE queue = ?1 AND dead = 0 ORDER BY due_ms, id LIMIT ?2";
const DUE_BY_TIME: &str = "SELECT id, job_id, body, attempts, created_ms, due_ms, last_error
    FROM callbacks WHERE queue = ?1 AND dead = 0 AND due_ms <= ?3 ORDER BY due_ms, id LIMIT ?2";
const DEAD_BY_AGE: &str = "SELECT id, job_id, body, attempts, created_ms, due_ms, last_error
    FROM callbacks WHERE queue = ?1 AND dead = 1 ORDER BY seq LIMIT ?2";

impl Tx<'_> {
    pub(super) fn announce(&self, claim: &str, callback: &PendingCallback) -> Result<bool> {
        if self.held_row(claim)?.is_none() {
            return Ok(false);
        }
        self.add(callback)?;
        Ok(true)
    }

    /// Adds how a job ended; that it had begun is no longer news.
    pub(super) fn add_terminal(&self, callback: &PendingCallback) -> Result<()> {
        self.delivered(&PendingCallback::id_of(&callback.job_id, "processing"))?;
        self.add(callback)
    }

    fn add(&self, callback: &PendingCallback) -> Result<()> {
        self.execute(
            "INSERT OR REPLACE INTO callbacks (queue, dead, id, job_id, attempts, created_ms, due_ms, body)
             VALUES (?1, 0, ?2, ?3, 0, ?4, ?4, ?5)",
            (self.queue, &callback.id, &callback.job_id, self.now, &callback.body),
        )?;
        Ok(())
    }

    /// When the next one is due, unless deliveries are stopped.
    pub(super) fn next_callback(&self) -> Result<Option<i64>> {
        match self.callbacks_stopped()? {
            Some(_) => Ok(None),
            None => {
                let sql = "SELECT min(due_ms) FROM callbacks WHERE queue = ?1 AND dead = 0";
                self.value(sql, [self.queue])
            }
        }
    }

    pub(super) fn take_due(&self, at_most: usize, hide_ms: i64) -> Result<DueCallbacks> {
        let mut entries = Vec::new();
        if self.callbacks_stopped()?.is_none() {
            entries = self.rows(DUE_BY_TIME, (self.queue, limit(at_most), self.now), entry)?;
            let due_ms = self.now + hide_ms;
            for entry in &mut entries {
                entry.attempts = entry.attempts.saturating_add(1);
                entry.due_ms = due_ms.unsigned_abs();
                self.execute(
                    "UPDATE callbacks SET attempts = ?3, due_ms = ?4 WHERE queue = ?1 AND dead = 0 AND id = ?2",
                    (self.queue, &entry.callback.id, entry.attempts, due_ms),
                )?;
            }
        }
        let next_in = self.next_callback()?.map(|at| until(at, self.now));
        Ok(DueCallbacks { entries, next_in })
    }

    pub(super) fn delivered(&self, id: &str) -> Result<()> {
        let sql = "DELETE FROM callbacks WHERE queue = ?1 AND dead = 0 AND id = ?2";
        self.execute(sql, (self.queue, id)).map(|_| ())
    }

    pub(super) fn postpone(&self, id: &str, after_ms: i64, error: &str) -> Result<()> {
        self.execute(
            "UPDATE callbacks SET due_ms = ?3, last_error = ?4 WHERE queue = ?1 AND dead = 0 AND id = ?2",
            (self.queue, id, self.now + after_ms, error),
        )?;
        Ok(())
    }

    pub(super) fn bury_callback(&self, id: &str, error: &str) -> Result<()> {
        let Some(seq) = self.callback_row(0, id)? else { return Ok(()) };
        self.execute("DELETE FROM callbacks WHERE queue = ?1 AND dead = 1 AND id = ?2", (self.queue, id))?;
        self.execute(
            "UPDATE callbacks SET dead = 1, due_ms = ?2, last_error = ?3,
                 seq = (SELECT max(seq) + 1 FROM callbacks)
             WHERE seq = ?1",
            (seq, self.now, error),
        )?;
        Ok(())
    }

    pub(super) fn retry_callback(&self, id: &str) -> Result<bool> {
        let row = match self.callback_row(0, id)? {
            Some(waiting) => Some(waiting),
            None => self.callback_row(1, id)?,
        };
        let Some(seq) = row else { return Ok(false) };
        let sql = "UPDATE callbacks SET dead = 0, attempts = 0, due_ms = ?2 WHERE seq = ?1";
        self.execute(sql, (seq, self.now))?;
        Ok(true)
    }

    fn callback_row(&self, dead: i64, id: &str) -> Result<Option<i64>> {
        let sql = "SELECT seq FROM callbacks WHERE queue = ?1 AND dead = ?2 AND id = ?3";
        self.value(sql, (self.queue, dead, id)).optional()
    }

    pub(super) fn stop_callbacks(&self, reason: Option<&str>) -> Result<()> {
        self.execute(
            "INSERT INTO queues (queue, callbacks_stopped) VALUES (?1, ?2)
             ON CONFLICT DO UPDATE SET callbacks_stopped = excluded.callbacks_stopped",
            (self.queue, reason),
        )?;
        Ok(())
    }

    pub(super) fn callbacks_stopped(&self) -> Result<Option<String>> {
        let sql = "SELECT callbacks_stopped FROM queues WHERE queue = ?1";
        Ok(self.value(sql, [self.queue]).optional()?.flatten())
    }

    pub(super) fn waiting_callbacks(&self, at_most: usize) -> Result<Vec<CallbackEntry>> {
        self.rows(WAITING_BY_TIME, (self.queue, limit(at_most)), entry)
    }

    pub(super) fn dead_callbacks(&self, at_most: usize) -> Result<Vec<CallbackEntry>> {
        self.rows(DEAD_BY_AGE, (self.queue, limit(at_most)), entry)
    }
}

fn entry(row: &Row<'_>) -> Result<CallbackEntry> {
    Ok(CallbackEntry {
        callback: PendingCallback { id: row.get(0)?, job_id: row.get(1)?, body: row.get(2)? },
        attempts: row.get(3)?,
        created_ms: unsigned(row, 4)?,
        due_ms: unsigned(row, 5)?,
        last_error: row.get(6)?,
    })
}
