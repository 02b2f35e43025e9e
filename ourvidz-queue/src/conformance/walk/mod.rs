//! Thousands of random steps, each compared with a model.

mod callbacks;
mod claim;
mod end;
mod look;
mod model;
mod span;
mod step;

use std::collections::VecDeque;
use std::sync::Arc;
use std::time::Duration;

use rand::rngs::StdRng;
use rand::{Rng, SeedableRng};
use sha1::{Digest, Sha1};

use self::look::Look;
use self::model::Model;
use self::span::Span;
use self::step::Action;
pub use self::step::Step;
use super::Harness;
use crate::{
    Backend, ClaimId, DeadReason, FairShare, PendingCallback, PopSide, QueueOptions, Result, Settlement,
    WorkerId,
};

/// Does `steps` random things to a queue with random options and compares it with a model after each: several
/// workers; claims, beats and settlements repeated after their replies were lost, or long after the lease ran
/// out; jobs of one id, equal elements and elements that are no jobs; pauses, cancellations, dead workers,
/// delays, dead letters, callbacks. In the end every job must end once, and every callback be had. The same
/// seed does the same things; where the clock is real, their timing differs.
///
/// # Errors
/// The harness's own, before the first step.
///
/// # Panics
/// When the queue is not what it should be, with the seed and the last steps.
pub async fn random_walk(harness: &dyn Harness, seed: u64, steps: usize) -> Result<()> {
    let mut random = StdRng::seed_from_u64(seed);
    let options = random.random();
    let steps: Vec<_> = (0..steps).map(|_| Step::from_numbers(random.random())).collect();
    let walked = follow(harness, options, &steps).await;
    assert!(walked.is_ok(), "seed {seed}: {}", walked.err().unwrap_or_default());
    Ok(())
}

/// Does the given steps to a fresh queue, as [`random_walk`] does. `options` stands for the queue's options; any
/// number does.
///
/// # Errors
/// What was wrong after which step, with the steps before it, for people.
pub async fn follow(harness: &dyn Harness, options: u32, steps: &[Step]) -> std::result::Result<(), String> {
    let mut walk = Walk::begin(harness, options_of(harness, options)).await.map_err(|Broken(what)| what)?;
    for (number, step) in steps.iter().enumerate() {
        let told = walk.step(*step).await;
        told.map_err(|Broken(what)| format!("step {number}: {what}\n{}", walk.history()))?;
    }
    walk.end().await.map_err(|Broken(what)| format!("in the end: {what}\n{}", walk.history()))
}

/// The options that a number stands for.
fn options_of(harness: &dyn Harness, number: u32) -> QueueOptions {
    let of = |shift: u32, choices: u32| (number >> shift) % choices;
    let lease = if harness.manual_clock() { 50 + of(0, 200) } else { 150 };
    QueueOptions {
        pop_side: if of(8, 2) == 0 { PopSide::Right } else { PopSide::Left },
        lease: Duration::from_millis(lease.into()),
        max_attempts: 1 + of(9, 4),
        reaped_delay: Duration::from_millis([0, 40, 100, 250][of(12, 4) as usize]),
        fair_share: (of(16, 4) == 0).then(|| FairShare { window: 2 + of(18, 4) }),
    }
}

/// What is wrong with the queue.
#[derive(Debug)]
struct Broken(String);

type Found = std::result::Result<(), Broken>;

impl From<String> for Broken {
    fn from(what: String) -> Self {
        Self(what)
    }
}

impl From<&str> for Broken {
    fn from(what: &str) -> Self {
        Self(what.to_owned())
    }
}

impl From<crate::Error> for Broken {
    fn from(error: crate::Error) -> Self {
        Self(format!("the backend failed: {error:?}"))
    }
}

macro_rules! ensure {
    ($holds:expr, $($told:tt)+) => {
        if !$holds {
            return Err(format!($($told)+).into());
        }
    };
}
use ensure;

struct Walk<'a> {
    harness: &'a dyn Harness,
    queue: Arc<dyn Backend>,
    other: Arc<dyn Backend>,
    model: Model,
    /// Claims made lately, whatever became of them.
    claims: VecDeque<(ClaimId, WorkerId)>,
    /// Settlements sent lately.
    sent: VecDeque<(ClaimId, Settlement)>,
    made: usize,
    log: VecDeque<String>,
}

/// Jobs in a queue, and callbacks in its outbox, at most; so that a look stays cheap.
const CROWD: usize = 20;
/// The clocks' steps of 1 ms, on both sides.
const SLACK_MS: u64 = 3;

impl<'a> Walk<'a> {
    async fn begin(harness: &'a dyn Harness, options: QueueOptions) -> std::result::Result<Self, Broken> {
        let [queue, other] = harness.pair(options.clone()).await?;
        let model = Model::new(options);
        let (claims, sent, log) = Default::default();
        Ok(Self { harness, queue, other, model, claims, sent, made: 0, log })
    }

    fn history(&self) -> String {
        let lines: Vec<_> = self.log.iter().map(String::as_str).collect();
        format!("{:?}\nlast steps:\n{}", self.model.options, lines.join("\n"))
    }

    /// From `before` until now.
    fn since(&self, before: u64) -> Span {
        let slack = if self.harness.manual_clock() { 0 } else { SLACK_MS };
        Span { lo: before.saturating_sub(slack), hi: self.harness.now_ms() + slack }
    }

    fn say(&mut self, what: impl std::fmt::Debug) {
        if self.log.len() == 40 {
            self.log.pop_front();
        }
        self.log.push_back(format!("  {what:?}"));
    }

    async fn step(&mut self, step: Step) -> Found {
        let Step { action, which, how } = step;
        match action {
            Action::Push | Action::PushOnce if self.crowded() => self.claim(which, how).await?,
            Action::Push => self.push(which, how).await?,
            Action::PushOnce => self.push_once(which, how).await?,
            Action::Claim => self.claim(which, how).await?,
            Action::ClaimAgain => self.claim_again(which, how).await?,
            Action::Beat => self.beat(which, how).await?,
            Action::Settle => self.settle(which, how).await?,
            Action::Announce => self.announce(which, how).await?,
            Action::Advance => self.advance(how).await,
            Action::TakeDue => self.take_due(which, how).await?,
            Action::Delivered | Action::Postpone | Action::Bury | Action::RetryCallback => {
                self.report(action, which, how).await?;
            }
            Action::RetryDead | Action::Remove | Action::Cancel => self.by_id(action, which, how).await?,
            Action::ReleaseWorker => self.release_worker(which).await?,
            Action::PauseOrResume => self.pause(how % 4 == 0).await?,
            Action::DisableOrEnable => self.disable((how % 4 == 0).then_some("410")).await?,
        }
        self.compare().await
    }

    async fn look(&self) -> std::result::Result<Look, Broken> {
        Look::at(&*self.queue).await
    }

    /// I2, each job in one place, holds when the queue shows what the model shows.
    async fn compare(&mut self) -> Found {
        let before = self.harness.now_ms();
        let look = self.look().await?;
        self.model.compare(&look, self.since(before), self.harness.manual_clock())
    }

    fn crowded(&self) -> bool {
        let model = &self.model;
        model.line.len() + model.held.len() + model.delayed.len() >= CROWD
    }

    fn worker(which: usize) -> WorkerId {
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

    async fn push(&mut self, which: usize, how: usize) -> Found {
        let (element, key) = self.element(which, how);
        self.say(("push", &element));
        self.queue.push(&element).await?;
        self.model.push(element, key);
        Ok(())
    }

    async fn push_once(&mut self, which: usize, how: usize) -> Found {
        let (element, key) = self.element(which, how);
        let before = self.harness.now_ms();
        let added = self.queue.push_once(&key, &element).await?;
        self.say(("push_once", &key, &element, added));
        self.model.pushed_once(element, key, added, self.since(before))
    }

    /// `how`: now and then the job is settled at once, so that a line gets shorter.
    async fn claim(&mut self, which: usize, how: usize) -> Found {
        self.made += 1;
        let claim = ClaimId::from_text(format!("claim-{}", self.made));
        let worker = Self::worker(which);
        if self.claims.len() == 24 {
            self.claims.pop_front();
        }
        self.claims.push_back((claim.clone(), worker.clone()));
        self.claim_as(&claim, &worker).await?;
        if how % 8 == 0 && self.model.held.contains_key(&claim) {
            self.compare().await?;
            self.settle_claim(&claim, Settlement::Done { callback: None }).await?;
        }
        Ok(())
    }

    async fn claim_again(&mut self, which: usize, how: usize) -> Found {
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
        if how % 4 != 0 && !held.is_empty() {
            return held
                .iter()
                .nth(which % held.len())
                .map(|(claim, held)| (claim.clone(), held.worker.clone()));
        }
        self.claims.get(which % self.claims.len().max(1)).cloned()
    }

    async fn beat(&mut self, which: usize, how: usize) -> Found {
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

    async fn settle(&mut self, which: usize, how: usize) -> Found {
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
            (room && how / 64 % 4 != 0).then(|| PendingCallback { id, job_id: job_id.clone(), body })
        };
        let settlement = match how / 4 % 10 {
            0..4 => Settlement::Done { callback: callback("completed") },
            4 | 5 => {
                let reason =
                    DeadReason { code: "BROKEN".to_owned(), message: format!("{} \u{e9}\"", self.made) };
                let dead_letter = (how % 3 != 0 && self.model.dead.len() < CROWD / 2).then_some(reason);
                Settlement::Failed { callback: callback("failed"), dead_letter }
            }
            6 | 7 => {
                let longest = if self.harness.manual_clock() && which % 16 == 0 { 3_600_000 } else { 300 };
                let after = Duration::from_millis((which * 37 % longest) as u64);
                Settlement::Retry { after, reason: format!("reason {}", self.made) }
            }
            8 => Settlement::GiveBack,
            _ => Settlement::Transfer { queue: self.other.name().to_owned() },
        };
        self.settle_claim(&claim, settlement).await
    }

    async fn settle_claim(&mut self, claim: &ClaimId, settlement: Settlement) -> Found {
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

    async fn announce(&mut self, which: usize, how: usize) -> Found {
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
    async fn advance(&mut self, how: usize) {
        let manual = self.harness.manual_clock();
        let lease = self.model.options.lease;
        let by = match how % 16 {
            0..8 if manual => Duration::from_millis((how / 16 % 60) as u64),
            0..12 if !manual => Duration::from_millis(5),
            14 if manual && how / 16 % 4 == 0 => Duration::from_secs(11 * 60),
            15 if manual && how / 16 % 16 == 0 => Duration::from_secs(25 * 3600),
            _ => lease + Duration::from_millis((how / 16 % 50) as u64),
        };
        self.say(("advance", by));
        self.harness.advance(by).await;
    }

    async fn take_due(&mut self, which: usize, how: usize) -> Found {
        let (limit, hide) = (which % 4, Duration::from_millis((how % 200) as u64));
        let before = self.harness.now_ms();
        let answer = self.queue.take_due(limit, hide).await?;
        let now = self.since(before);
        self.say(("take_due", limit, hide, now, &answer));
        self.model.callbacks.taken(limit, hide, now, &answer)
    }

    async fn report(&mut self, action: Action, which: usize, how: usize) -> Found {
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

    async fn by_id(&mut self, action: Action, which: usize, how: usize) -> Found {
        let model = &self.model;
        let lately: Vec<_> = if action == Action::RetryDead && how % 4 != 0 && !model.dead.is_empty() {
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

    async fn release_worker(&mut self, which: usize) -> Found {
        let worker = Self::worker(which);
        let before = self.harness.now_ms();
        let count = self.queue.release_worker(&worker).await?;
        let now = self.since(before);
        self.say(("release_worker", worker.as_str(), count));
        let look = self.look().await?;
        self.model.released(&worker, count, now, &look)
    }

    async fn pause(&mut self, pause: bool) -> Found {
        self.say(("pause", pause));
        if pause {
            self.queue.pause().await?
        } else {
            self.queue.resume().await?
        }
        self.model.paused = pause;
        Ok(())
    }

    async fn disable(&mut self, reason: Option<&str>) -> Found {
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
