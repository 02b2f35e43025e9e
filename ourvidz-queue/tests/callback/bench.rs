use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context, Result, bail};
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use hmac::{Hmac, KeyInit, Mac};
use ourvidz_queue::callback::{CallbackSender, CallbackTarget, Deliverer, DeliveryOptions};
use ourvidz_queue::signature::{CallbackSecret, WebhookSecret};
use ourvidz_queue::{
    ClaimId, Claimed, Clock, JobQueue, ManualClock, MemoryQueue, Outbox, PendingCallback, QueueOptions,
    Settled, Settlement, WorkerId,
};
use sha2::Sha256;

use crate::receiver::Got;

pub(crate) const BEARER: &str = "service-key-5up3r";
pub(crate) const CALLBACK_SECRET: &str = "callback-s3cr3t";
pub(crate) const WEBHOOK_SECRETS: [&str; 2] =
    ["whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw", "whsec_b2xkIHNlY3JldCB0aGF0IGlzIHJvdGF0ZWQgb3V0"];
/// In the years when the tests were written, with milliseconds.
pub(crate) const START_MS: u64 = 1_780_000_000_123;

/// A queue whose clock stands, and what puts callbacks into its outbox.
pub(crate) struct Bench {
    pub(crate) clock: ManualClock,
    pub(crate) queue: MemoryQueue,
}

impl Bench {
    pub(crate) fn new() -> Result<Self> {
        let clock = ManualClock::new(START_MS);
        // Leases outlive the longest schedule.
        let options = QueueOptions { lease: Duration::from_secs(86_400), ..QueueOptions::default() };
        let queue = MemoryQueue::with_clock("sdxl_queue", options, Clock::Manual(clock.clone()))?;
        Ok(Self { clock, queue })
    }

    pub(crate) fn sender(&self, url: &str) -> Result<CallbackSender> {
        Ok(CallbackSender::with_clock(target(url)?, Clock::Manual(self.clock.clone()))?)
    }

    pub(crate) fn deliverer(&self, url: &str) -> Result<Deliverer> {
        self.deliverer_of(Arc::new(self.queue.clone()), url)
    }

    pub(crate) fn deliverer_of(&self, outbox: Arc<dyn Outbox>, url: &str) -> Result<Deliverer> {
        Ok(Deliverer::new(outbox, self.sender(url)?, DeliveryOptions::default())?)
    }

    /// Pushes a job and takes it.
    pub(crate) async fn claim(&self, job_id: &str) -> Result<ClaimId> {
        self.queue.push(&format!(r#"{{"id":"{job_id}"}}"#)).await?;
        let claim = ClaimId::new();
        match self.queue.claim(&claim, &WorkerId::new("w")).await? {
            Claimed::Job(_) => Ok(claim),
            other => bail!("{other:?}"),
        }
    }

    pub(crate) async fn announce(&self, claim: &ClaimId, job_id: &str) -> Result<()> {
        assert!(self.queue.announce(claim, &callback(job_id, "processing")).await?);
        Ok(())
    }

    pub(crate) async fn settle(&self, claim: &ClaimId, job_id: &str) -> Result<()> {
        let settlement = Settlement::Done { callback: Some(callback(job_id, "completed")) };
        assert_eq!(self.queue.settle(claim, &settlement).await?, Settled::Applied);
        Ok(())
    }

    /// A job that is done.
    pub(crate) async fn complete(&self, job_id: &str) -> Result<()> {
        let claim = self.claim(job_id).await?;
        self.settle(&claim, job_id).await
    }

    pub(crate) async fn waiting(&self) -> Result<Vec<String>> {
        let entries = self.queue.waiting_callbacks(100).await?;
        Ok(entries.into_iter().map(|entry| entry.callback.id).collect())
    }

    /// Ids and last errors.
    pub(crate) async fn dead(&self) -> Result<Vec<(String, String)>> {
        let entries = self.queue.dead_callbacks(100).await?;
        Ok(entries
            .into_iter()
            .map(|entry| (entry.callback.id, entry.last_error.unwrap_or_default()))
            .collect())
    }
}

pub(crate) fn target(url: &str) -> Result<CallbackTarget> {
    Ok(CallbackTarget {
        bearer: Some(BEARER.to_owned().into()),
        callback_secret: Some(CallbackSecret::new(CALLBACK_SECRET)?),
        webhook_secrets: WEBHOOK_SECRETS.map(WebhookSecret::new).into_iter().collect::<Result<_, _>>()?,
        ..CallbackTarget::new(url)
    })
}

/// Its body has what serialising again would change: spaces, key order, a number's digits, an escape.
pub(crate) fn callback(job_id: &str, status: &str) -> PendingCallback {
    let body = format!(
        r#"{{ "status":"{status}", "job_id" : "{job_id}","n":1.50,"prompt":"a private f\u006fx \u00e9 é"}}"#
    );
    PendingCallback { id: PendingCallback::id_of(job_id, status), job_id: job_id.to_owned(), body }
}

/// Checks both kinds of signatures with other code than the crate's.
pub(crate) fn verify(got: &Got) -> Result<()> {
    let expected: String =
        hmac(CALLBACK_SECRET.as_bytes(), &got.body)?.iter().map(|byte| format!("{byte:02x}")).collect();
    let signature = got.header("x-callback-signature").context("no X-Callback-Signature")?;
    assert_eq!(signature, format!("sha256={expected}"));

    let (id, timestamp) = (got.id(), got.header("webhook-timestamp").context("no timestamp")?);
    let signed = [id.as_bytes(), b".", timestamp.as_bytes(), b".", &got.body].concat();
    let mut expected = Vec::new();
    for secret in WEBHOOK_SECRETS {
        let key = STANDARD.decode(secret.trim_start_matches("whsec_"))?;
        expected.push(format!("v1,{}", STANDARD.encode(hmac(&key, &signed)?)));
    }
    assert_eq!(got.header("webhook-signature"), Some(expected.join(" ").as_str()));
    Ok(())
}

fn hmac(key: &[u8], data: &[u8]) -> Result<Vec<u8>> {
    let mut mac = <Hmac<Sha256> as KeyInit>::new_from_slice(key)?;
    mac.update(data);
    Ok(mac.finalize().into_bytes().to_vec())
}
