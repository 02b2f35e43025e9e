//! Thousands of random steps, each compared with a model.

mod acts;
mod callbacks;
mod claim;
mod end;
mod look;
mod model;
mod span;
mod step;
mod tends;

use std::collections::VecDeque;
use std::sync::Arc;
use std::time::Duration;

use rand::rngs::StdRng;
use rand::{Rng, SeedableRng};

use self::look::Look;
use self::model::Model;
use self::span::Span;
use self::step::Action;
pub use self::step::Step;
use super::Harness;
use crate::{Backend, ClaimId, FairShare, PopSide, QueueOptions, Result, Settlement, WorkerId};

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
            Action::PauseOrResume => self.pause(how.is_multiple_of(4)).await?,
            Action::DisableOrEnable => self.disable(how.is_multiple_of(4).then_some("410")).await?,
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
}
