use std::time::Duration;

use sha1::{Digest, Sha1};

use super::{CROWD, Found, Walk, ensure};
use crate::{ClaimId, DeadReason, PendingCallback, Settlement, WorkerId};

/// What producers and workers do.
impl Walk<'_> {
    pub(super) fn worker(which: usize) -> WorkerId {
        WorkerId::from_text(format!("worker-{}", which % 3))
    }

    /// An element and its key.
    fn element(&mut self, which: usize, how: usize) -> (String, String) {
        self.made += 1;
        let lately = &self.model.jobs[self.model.jobs.len().saturating_sub(16)..];
        let twin = (!lately.is_empty()).then(|| &lately[which % lately.len()]);
        let user = format!("u{}", which % 4);
        let made =
            |id: String| (serde_json::json!({"id": id, "user_id": user, "n": self.made}).to_string(), id);
        match (how % 12, twin) {
            (0, Some(twin)) => (twin.element.clone(), twin.key.clone()),
            (1, Some(twin)) if !twin.key.starts_with("sha1:") => made(twin.key.clone()),
            (2, _) => {
                let odd = ["", "no job", "[1,2]", "{\"prompt\":\"\u{e9}\\\"\"}"][which % 4];
                let element = if how % 24 == 2 { odd.to_owned() } else { format!("{odd}{}", self.made) };
                let digits: String =
                    Sha1::digest(&element).iter().map(|byte| format!("{byte:02x}")).collect();
                (element, format!("sha1:{digits}"))
            }
            (3, _) => {
                let (element, id) = made(format!("j {} \u{1f98a}'\"", self.made));
                (serde_json::json!([element]).to_string(), id)
            }
            _ => made(format!("j{}", self.made)),
        }
    }

    pub(super) async fn push(&mut self, which: usize, how: usize) -> Found {
        let (element, key) = self.element(which, how);
        self.say(("push", &element));
        self.queue.push(&element).await?;
        self.model.push(element, key);
        Ok(())
    }

    pub(super) async fn push_once(&mut self, which: usize, how: usize) -> Found {
        let (element, key) = self.element(which, how);
        let before = self.harness.now_ms();
        let added = self.queue.push_once(&key, &element).await?;
        self.say(("push_once", &key, &element, added));
        self.model.pushed_once(element, key, added, self.since(before))
    }

    /// `how`: now and then the job is settled at once, so that a line gets shorter.
    pub(super) async fn claim(&mut self, which: usize, how: usize) -> Found {
        self.made += 1;
        let claim = ClaimId::from_text(format!("claim-{}", self.made));
        let worker = Self::worker(which);
        if self.claims.len() == 24 {
            self.claims.pop_front();
        }
        self.claims.push_back((claim.clone(), worker.clone()));
        self.claim_as(&claim, &worker).await?;
        if how.is_multiple_of(8) && self.model.held.contains_key(&claim) {
            self.compare().await?;
            self.settle_claim(&claim, Settlement::Done { callback: None }).await?;
        }
        Ok(())
    }

    pub(super) async fn claim_again(&mut self, which: usize, how: usize) -> Found {
        match self.pick_claim(which, how) {
            Some((claim, worker)) => self.claim_as(&claim, &worker).await,
            None => Ok(()),
        }
    }

    async fn claim_as(&mut self, claim: &ClaimId, worker: &WorkerId) -> Found {
        let before = self.harness.now_ms();
        let answer = self.queue.claim(claim, worker).await?;
        let now = self.since(before);
        self.say(("claim", claim.as_str(), worker.as_str(), now, &answer));
        let look = self.look().await?;
        self.model.claimed(claim, worker, &answer, now, &look)
    }

    /// Mostly one that holds a job, else any of the last.
    fn pick_claim(&self, which: usize, how: usize) -> Option<(ClaimId, WorkerId)> {
        let held = &self.model.held;
        if !how.is_multiple_of(4) && !held.is_empty() {
            return held
                .iter()
                .nth(which % held.len())
                .map(|(claim, held)| (claim.clone(), held.worker.clone()));
        }
        self.claims.get(which % self.claims.len().max(1)).cloned()
    }

    pub(super) async fn beat(&mut self, which: usize, how: usize) -> Found {
        let Some((claim, _)) = self.pick_claim(which, how) else { return Ok(()) };
        let job_id = self.job_id(&claim);
        let before = self.harness.now_ms();
        let answer = self.queue.beat(&claim, &job_id).await?;
        self.say(("beat", claim.as_str(), answer));
        self.model.beaten(&claim, answer, self.since(before))
    }

    fn job_id(&self, claim: &ClaimId) -> String {
        let held = self.model.held.get(claim);
        held.map_or_else(|| "j1".to_owned(), |held| self.model.jobs[held.job].key.clone())
    }

    pub(super) async fn settle(&mut self, which: usize, how: usize) -> Found {
        if how % 16 == 15 && !self.sent.is_empty() {
            let (claim, settlement) = self.sent[which % self.sent.len()].clone();
            return self.settle_claim(&claim, settlement).await;
        }
        let Some((claim, _)) = self.pick_claim(which, how) else { return Ok(()) };
        self.made += 1;
        let job_id = self.job_id(&claim);
        let room = self.model.callbacks.waiting.len() < CROWD;
        let callback = |status: &str| {
            let body = format!("{status} {} \u{2028}\"", self.made);
            let id = PendingCallback::id_of(&job_id, status);
            (room && !(how / 64).is_multiple_of(4)).then(|| PendingCallback {
                id,
                job_id: job_id.clone(),
                body,
            })
        };
        let settlement = match how / 4 % 10 {
            0..4 => Settlement::Done { callback: callback("completed") },
            4 | 5 => {
                let reason =
                    DeadReason { code: "BROKEN".to_owned(), message: format!("{} \u{e9}\"", self.made) };
                let dead_letter =
                    (!how.is_multiple_of(3) && self.model.dead.len() < CROWD / 2).then_some(reason);
                Settlement::Failed { callback: callback("failed"), dead_letter }
            }
            6 | 7 => {
                let longest =
                    if self.harness.manual_clock() && which.is_multiple_of(16) { 3_600_000 } else { 300 };
                let after = Duration::from_millis((which * 37 % longest) as u64);
                Settlement::Retry { after, reason: format!("reason {}", self.made) }
            }
            8 => Settlement::GiveBack,
            _ => Settlement::Transfer { queue: self.other.name().to_owned() },
        };
        self.settle_claim(&claim, settlement).await
    }

    pub(super) async fn settle_claim(&mut self, claim: &ClaimId, settlement: Settlement) -> Found {
        let before = self.harness.now_ms();
        let answer = self.queue.settle(claim, &settlement).await?;
        let now = self.since(before);
        self.say(("settle", claim.as_str(), now, &settlement, answer));
        self.model.settled(claim, &settlement, answer, now)?;
        if self.sent.len() == 24 {
            self.sent.pop_front();
        }
        self.sent.push_back((claim.clone(), settlement));
        Ok(())
    }

    pub(super) async fn announce(&mut self, which: usize, how: usize) -> Found {
        let Some((claim, _)) = self.pick_claim(which, how) else { return Ok(()) };
        let job_id = self.job_id(&claim);
        let id = PendingCallback::id_of(&job_id, "processing");
        let callback = PendingCallback { id, job_id, body: format!("begun by {claim}") };
        let before = self.harness.now_ms();
        let answer = self.queue.announce(&claim, &callback).await?;
        let now = self.since(before);
        self.say(("announce", claim.as_str(), &callback, answer));
        let held = self.model.held.contains_key(&claim);
        ensure!(answer == held, "announced: {answer}, though held: {held}");
        if held {
            let look = self.look().await?;
            self.model.callbacks.announced(&callback, now, &look.callbacks);
        }
        Ok(())
    }

    /// Moves time by milliseconds, past a lease, and where the clock is moved by hand by minutes and days.
    pub(super) async fn advance(&mut self, how: usize) {
        let manual = self.harness.manual_clock();
        let lease = self.model.options.lease;
        let by = match how % 16 {
            0..8 if manual => Duration::from_millis((how / 16 % 60) as u64),
            0..12 if !manual => Duration::from_millis(5),
            14 if manual && (how / 16).is_multiple_of(4) => Duration::from_secs(11 * 60),
            15 if manual && (how / 16).is_multiple_of(16) => Duration::from_secs(25 * 3600),
            _ => lease + Duration::from_millis((how / 16 % 50) as u64),
        };
        self.say(("advance", by));
        self.harness.advance(by).await;
    }
}
