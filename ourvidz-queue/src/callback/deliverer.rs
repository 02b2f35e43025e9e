use std::pin::pin;
use std::sync::Arc;
use std::time::Duration;

use tokio::time::{Instant, sleep_until, timeout};

use super::delivery::{MIN_BACKOFF, Shared};
use super::pump::Pump;
use super::{CallbackSender, DeliveryCounts, DeliverySchedule};
use crate::worker::CallbackHint;
use crate::{DueCallbacks, Error, Outbox, Result, RetryPolicy};

/// Delivers the callbacks of one outbox. Several may work on one outbox, in several processes.
///
/// Callbacks of one job are delivered one after the other by one deliverer; two deliverers may overtake each
/// other, which the receiver bears: it ignores what comes after the end of a job.
#[derive(Debug)]
pub struct Deliverer {
    shared: Arc<Shared>,
    options: DeliveryOptions,
    hide: Duration,
}

/// How callbacks are delivered.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DeliveryOptions {
    /// When a failed delivery is tried again.
    pub schedule: DeliverySchedule,
    /// Deliveries at the same time, 1 to 64. Default 4.
    pub concurrency: usize,
    /// How often the outbox is asked though nothing is known to wait, for callbacks of processes that give no
    /// hint. 1 s to 24 h. Default 5 min.
    pub idle_poll: Duration,
    /// How long deliveries under way may go on after the shutdown. At most 5 min. Default 5 s.
    pub grace: Duration,
}

/// When the backend does not answer.
const BACKOFF: RetryPolicy =
    RetryPolicy { max_attempts: u32::MAX, base: Duration::from_secs(1), cap: Duration::from_secs(60) };
/// Clocks of a backend and of this machine may differ by so much over one hiding.
const SLACK: Duration = Duration::from_secs(1);

impl Default for DeliveryOptions {
    fn default() -> Self {
        Self {
            schedule: DeliverySchedule::default(),
            concurrency: 4,
            idle_poll: Duration::from_secs(300),
            grace: Duration::from_secs(5),
        }
    }
}

impl DeliveryOptions {
    fn validate(&self) -> Result<()> {
        let invalid = |name, rule, value: String| Err(Error::InvalidOption { name, rule, value });
        if !(1..=64).contains(&self.concurrency) {
            return invalid("delivery concurrency", "must be 1 to 64", self.concurrency.to_string());
        }
        if self.idle_poll < Duration::from_secs(1) || self.idle_poll > Duration::from_secs(86_400) {
            return invalid("delivery idle_poll", "must be 1 s to 24 h", format!("{:?}", self.idle_poll));
        }
        if self.grace > Duration::from_secs(300) {
            return invalid("delivery grace", "must be at most 5 min", format!("{:?}", self.grace));
        }
        Ok(())
    }
}

impl Deliverer {
    /// Delivers from `outbox` through `sender`.
    ///
    /// # Errors
    /// [`Error::InvalidOption`].
    pub fn new(outbox: Arc<dyn Outbox>, sender: CallbackSender, options: DeliveryOptions) -> Result<Self> {
        options.validate()?;
        // One delivery may wait for another of its job, and both have to be reported.
        let hide = sender.timeout() * 2 + Duration::from_secs(30);
        let shared = Arc::new(Shared::new(outbox, sender, options.schedule.clone()));
        Ok(Self { shared, options, hide })
    }

    /// For how long a callback that was taken is hidden from other deliverers: twice the sender's time limit
    /// and 30 s.
    pub fn hide(&self) -> Duration {
        self.hide
    }

    /// What was done so far.
    pub fn counts(&self) -> DeliveryCounts {
        self.shared.counters.read()
    }

    /// Delivers until `shutdown` is ready, then for [`DeliveryOptions::grace`] what is under way; what is not
    /// reported by then is due again after [`Deliverer::hide`].
    ///
    /// Meant to be a task of its own. It never ends by itself: errors of the backend are logged and waited
    /// out. A worker tells `hint` when callbacks are due; while nothing is known to wait, the outbox is asked
    /// every [`DeliveryOptions::idle_poll`] only. Who enables an outbox or retries a callback should tell
    /// `hint` too.
    pub async fn run(&self, hint: &CallbackHint, shutdown: impl Future<Output = ()> + Send) {
        let mut shutdown = pin!(shutdown);
        let mut pump = Pump::new(Arc::clone(&self.shared), self.options.concurrency);
        let mut plan = Plan { next: Instant::now(), not_before: Instant::now(), failures: 0 };
        loop {
            tokio::select! {
                biased;
                () = &mut shutdown => break,
                again_in = pump.next_ended() => {
                    if let Some(again_in) = again_in {
                        plan.sooner(Instant::now() + again_in);
                    }
                }
                () = hint.next() => plan.sooner(Instant::now()),
                () = sleep_until(plan.next), if pump.free() > 0 => {
                    let began = Instant::now();
                    let mut take = pin!(self.shared.outbox.take_due(pump.free(), self.hide));
                    let (taken, stop) = tokio::select! {
                        taken = &mut take => (Some(taken), false),
                        // What is being taken would be hidden for nothing.
                        () = &mut shutdown => (timeout(self.options.grace, take).await.ok(), true),
                    };
                    if let Some(taken) = taken {
                        self.took(&mut pump, &mut plan, taken, began);
                    }
                    if stop {
                        break;
                    }
                }
            }
        }
        self.finish(&mut pump).await;
    }

    /// Delivers what is due now and returns when nothing is; says when the next callback is due, if one waits.
    /// For commands that flush an outbox.
    ///
    /// # Errors
    /// Those of [`Outbox::take_due`].
    pub async fn deliver_due(&self) -> Result<Option<Duration>> {
        let mut pump = Pump::new(Arc::clone(&self.shared), self.options.concurrency);
        loop {
            let began = Instant::now();
            let due = self.shared.outbox.take_due(pump.free(), self.hide).await?;
            if due.entries.is_empty() {
                return Ok(due.next_in);
            }
            pump.start(due.entries, began + self.hide);
            while !pump.is_idle() {
                pump.next_ended().await;
            }
        }
    }

    fn took(&self, pump: &mut Pump, plan: &mut Plan, taken: Result<DueCallbacks>, began: Instant) {
        let now = Instant::now();
        let due = match taken {
            Ok(due) => due,
            Err(error) => return plan.failed(now, &error),
        };
        plan.failures = 0;
        let known = if due.entries.is_empty() {
            due.next_in.map(|next_in| next_in.max(MIN_BACKOFF))
        } else {
            // What was just hidden counts as waiting. It is not asked for: its delivery says when it is due.
            due.next_in.filter(|next_in| *next_in + SLACK < self.hide)
        };
        plan.next = now + known.unwrap_or(self.options.idle_poll).min(self.options.idle_poll);
        pump.start(due.entries, began + self.hide);
    }

    async fn finish(&self, pump: &mut Pump) {
        let drain = async {
            while !pump.is_idle() {
                pump.next_ended().await;
            }
        };
        if timeout(self.options.grace, drain).await.is_err() {
            let left = pump.len();
            tracing::warn!(
                left,
                "callback: deliveries broken off by the shutdown; they come back by themselves"
            );
        }
    }
}

/// When the outbox is asked next.
#[derive(Debug)]
struct Plan {
    next: Instant,
    /// A backend that failed is not asked before, whatever is due.
    not_before: Instant,
    failures: u32,
}

impl Plan {
    fn sooner(&mut self, due: Instant) {
        self.next = self.next.min(due).max(self.not_before);
    }

    fn failed(&mut self, now: Instant, error: &Error) {
        self.failures = self.failures.saturating_add(1);
        let wait = BACKOFF.delay_after(self.failures.min(32), rand::random()).unwrap_or(BACKOFF.cap);
        let wait = wait.max(MIN_BACKOFF);
        self.not_before = now + wait;
        self.next = self.not_before;
        let failures = self.failures;
        tracing::warn!(failures, ?wait, %error, "callback: the outbox cannot be asked; trying again");
    }
}
