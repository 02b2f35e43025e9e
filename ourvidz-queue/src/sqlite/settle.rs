use rusqlite::{OptionalExtension, Result};

use super::tx::{Kind, Place, REMEMBER_CLAIM_MS, Tx, millis};
use crate::{DeadReason, PendingCallback, Settled, Settlement};

impl Tx<'_> {
    pub(super) fn settle(&self, claim: &str, settlement: &Settlement) -> Result<Settled> {
        self.forget()?;
        let sql = "SELECT id, key, attempt FROM jobs WHERE queue = ?1 AND claim = ?2 AND state = 1";
        let held = self
            .db
            .prepare_cached(sql)?
            .query_row((self.queue, claim), |row| Ok((row.get(0)?, row.get(1)?, row.get(2)?)))
            .optional()?;
        let Some((row, key, attempt)) = held else {
            let known = self.remembers(Kind::Settled, claim)?;
            return Ok(if known { Settled::Already } else { Settled::Lost });
        };
        let (row, key, attempt): (i64, String, u32) = (row, key, attempt);
        self.remember(Kind::Settled, claim, REMEMBER_CLAIM_MS)?;
        match settlement {
            Settlement::Done { callback } => {
                self.delete(row)?;
                self.count(
                    "INSERT INTO queues (queue, done) VALUES (?1, 1)
                    ON CONFLICT DO UPDATE SET done = done + 1",
                )?;
                self.end(&key, callback.as_ref())?;
            }
            Settlement::Failed { callback, dead_letter } => {
                match dead_letter {
                    Some(reason) => self.make_dead(row, attempt, reason)?,
                    None => self.delete(row)?,
                }
                self.count(
                    "INSERT INTO queues (queue, failed) VALUES (?1, 1)
                    ON CONFLICT DO UPDATE SET failed = failed + 1",
                )?;
                self.end(&key, callback.as_ref())?;
            }
            Settlement::Retry { after, reason } => {
                self.give_reason(&key, reason)?;
                self.delay(row, self.now + millis(*after))?;
            }
            Settlement::GiveBack => {
                // An exhausted delivery was not counted.
                if attempt <= self.options.max_attempts {
                    self.execute(
                        "UPDATE tries SET count = max(count - 1, 0) WHERE queue = ?1 AND key = ?2",
                        (self.queue, &key),
                    )?;
                }
                self.make_waiting(row, self.queue, Place::Next)?;
            }
            Settlement::Transfer { queue } => {
                self.forget_tries(&key)?;
                self.make_waiting(row, queue, Place::Last)?;
            }
        }
        Ok(Settled::Applied)
    }

    fn end(&self, key: &str, callback: Option<&PendingCallback>) -> Result<()> {
        self.forget_tries(key)?;
        callback.map_or(Ok(()), |callback| self.add_terminal(callback))
    }

    fn make_dead(&self, row: i64, attempt: u32, reason: &DeadReason) -> Result<()> {
        self.execute(
            "UPDATE jobs SET state = 3, claim = NULL, worker = NULL, since_ms = ?2, code = ?3, message = ?4,
                 attempt = ?6, rank = (SELECT coalesce(max(rank), 0) + 1 FROM jobs WHERE queue = ?5 AND state = 3)
             WHERE id = ?1",
            (row, self.now, &reason.code, &reason.message, self.queue, attempt.min(self.options.max_attempts)),
        )?;
        Ok(())
    }

    fn count(&self, sql: &str) -> Result<()> {
        self.execute(sql, [self.queue]).map(|_| ())
    }

    pub(super) fn forget_tries(&self, key: &str) -> Result<()> {
        self.execute("DELETE FROM tries WHERE queue = ?1 AND key = ?2", (self.queue, key)).map(|_| ())
    }

    fn delete(&self, row: i64) -> Result<()> {
        self.execute("DELETE FROM jobs WHERE id = ?1", [row]).map(|_| ())
    }
}
