use std::sync::Arc;
use std::time::Duration;

use super::step::Action;
use super::{CROWD, Found, Walk, ensure};

/// What deliverers and people do.
impl Walk<'_> {
    pub(super) async fn take_due(&mut self, which: usize, how: usize) -> Found {
        let (limit, hide) = (which % 4, Duration::from_millis((how % 200) as u64));
        let before = self.harness.now_ms();
        let answer = self.queue.take_due(limit, hide).await?;
        let now = self.since(before);
        self.say(("take_due", limit, hide, now, &answer));
        self.model.callbacks.taken(limit, hide, now, &answer)
    }

    pub(super) async fn report(&mut self, action: Action, which: usize, how: usize) -> Found {
        let callbacks = &self.model.callbacks;
        let ids: Vec<_> = callbacks.waiting.keys().chain(callbacks.dead.keys()).cloned().collect();
        let id = match ids.get(which % ids.len().max(1)) {
            Some(id) if how % 16 != 15 => id.clone(),
            _ => "unknown:completed".to_owned(),
        };
        let (queue, before) = (Arc::clone(&self.queue), self.harness.now_ms());
        let error = format!("error {which} \u{e9}");
        let (waits, is_dead) = (callbacks.waiting.contains_key(&id), callbacks.dead.contains_key(&id));
        let graves = callbacks.dead.len();
        self.say((action, &id));
        match action {
            Action::Postpone => {
                let after = Duration::from_millis((how % 300) as u64);
                queue.postpone(&id, after, &error).await?;
                let now = self.since(before);
                self.model.callbacks.postponed(&id, after, &error, now);
            }
            Action::Bury if graves < CROWD / 2 => {
                queue.bury(&id, &error).await?;
                let now = self.since(before);
                self.model.callbacks.buried(&id, &error, now);
            }
            // Where one waits and one of the same id is dead, either may be meant.
            Action::RetryCallback if !(waits && is_dead) => {
                let found = queue.retry_callback(&id).await?;
                let now = self.since(before);
                let expected = self.model.callbacks.retried(&id, now);
                ensure!(found == expected, "{id} was found: {found}, though there: {expected}");
            }
            _ => {
                queue.delivered(&id).await?;
                self.model.callbacks.delivered(&id);
            }
        }
        Ok(())
    }

    pub(super) async fn by_id(&mut self, action: Action, which: usize, how: usize) -> Found {
        let model = &self.model;
        let lately: Vec<_> =
            if action == Action::RetryDead && !how.is_multiple_of(4) && !model.dead.is_empty() {
                model.dead.clone()
            } else {
                (model.jobs.len().saturating_sub(16)..model.jobs.len()).collect()
            };
        let Some(&job) = lately.get(which % lately.len().max(1)) else { return Ok(()) };
        let key = model.jobs[job].key.clone();
        let before = self.harness.now_ms();
        self.say((action, &key));
        match action {
            Action::RetryDead => {
                let count = self.queue.retry_dead(&key).await?;
                let look = self.look().await?;
                self.model.dead_retried(&key, count, &look.waiting)
            }
            Action::Remove => {
                let count = self.queue.remove(&key).await?;
                self.model.removed(&key, count)
            }
            _ => {
                self.queue.cancel(&key).await?;
                let now = self.since(before);
                self.model.cancelled.insert(key, now);
                Ok(())
            }
        }
    }

    pub(super) async fn release_worker(&mut self, which: usize) -> Found {
        let worker = Self::worker(which);
        let before = self.harness.now_ms();
        let count = self.queue.release_worker(&worker).await?;
        let now = self.since(before);
        self.say(("release_worker", worker.as_str(), count));
        let look = self.look().await?;
        self.model.released(&worker, count, now, &look)
    }

    pub(super) async fn pause(&mut self, pause: bool) -> Found {
        self.say(("pause", pause));
        if pause {
            self.queue.pause().await?
        } else {
            self.queue.resume().await?
        }
        self.model.paused = pause;
        Ok(())
    }

    pub(super) async fn disable(&mut self, reason: Option<&str>) -> Found {
        self.say(("disable", reason));
        match reason {
            Some(reason) => self.queue.disable(reason).await?,
            None => self.queue.enable().await?,
        }
        self.model.callbacks.disabled = reason.map(str::to_owned);
        let seen = self.queue.disabled().await?;
        ensure!(seen.as_deref() == reason, "deliveries are stopped for {reason:?}, found {seen:?}");
        Ok(())
    }
}
