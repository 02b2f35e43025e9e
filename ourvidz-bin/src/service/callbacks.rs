use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context, Result};
use ourvidz_queue::Backend;
use ourvidz_queue::callback::{CallbackSender, CallbackTarget, Deliverer, DeliveryOptions};
use ourvidz_queue::signature::{CallbackSecret, WebhookSecret};
use ourvidz_queue::worker::CallbackHint;
use secrecy::SecretString;
use tokio::sync::oneshot;
use tokio::task::JoinHandle;

use crate::config::{CallbackSettings, Settings};

/// The task that delivers callbacks.
#[derive(Debug)]
pub(super) struct Delivery {
    deliverer: Arc<Deliverer>,
    outbox: Arc<dyn Backend>,
    stop: oneshot::Sender<()>,
    task: JoinHandle<()>,
}

/// How often [`Delivery::finish`] looks into the outbox.
const LOOK: Duration = Duration::from_millis(50);
/// How many callbacks it looks at: more than one job has.
const LOOKED_AT: usize = 100;

/// Starts delivering, if anybody is to be called.
pub(super) fn deliver(
    settings: &Settings,
    outbox: Arc<dyn Backend>,
    hint: CallbackHint,
) -> Result<Option<Delivery>> {
    let Some(callback) = &settings.callback else { return Ok(None) };
    let sender = CallbackSender::new(target(callback)?).with_context(|| callback.url.from.to_string())?;
    let deliverer = Arc::new(Deliverer::new(outbox.clone(), sender, DeliveryOptions::default())?);
    let (stop, stopped) = oneshot::channel();
    // What earlier workers left is due as well.
    hint.tell(Duration::ZERO);
    let running = deliverer.clone();
    let task = tokio::spawn(async move {
        let stopped = async {
            // A sender that was dropped asks the same.
            let _asked = stopped.await;
        };
        running.run(&hint, stopped).await;
    });
    Ok(Some(Delivery { deliverer, outbox, stop, task }))
}

impl Delivery {
    /// Waits until every callback was accepted or has met its first failure, at most `patience`, then ends the
    /// task. What is left stays in the outbox.
    pub(super) async fn finish(self, patience: Duration) {
        let tried = async {
            // A backend that does not answer is not waited for.
            while let Ok(waiting) = self.outbox.waiting_callbacks(LOOKED_AT).await {
                if waiting.iter().all(|entry| entry.last_error.is_some()) {
                    return waiting.len();
                }
                tokio::time::sleep(LOOK).await;
            }
            0
        };
        match tokio::time::timeout(patience, tried).await {
            Ok(0) => {}
            _ if patience.is_zero() => {}
            _ => tracing::warn!("callbacks wait in the outbox; the next worker delivers them"),
        }
        // The task may have ended by itself.
        let _asked = self.stop.send(());
        let _ended = self.task.await;
        tracing::info!(counts = ?self.deliverer.counts(), "callbacks");
    }
}

fn target(callback: &CallbackSettings) -> Result<CallbackTarget> {
    let mut target = CallbackTarget::new(&callback.url.value);
    target.allow_http = callback.allow_http;
    target.bearer = callback.bearer.as_ref().map(|key| SecretString::from(key.value.expose()));
    if let Some(secret) = &callback.secret {
        target.callback_secret = Some(CallbackSecret::new(secret.value.expose())?);
    }
    if let Some(secrets) = &callback.webhook_secret {
        for secret in secrets.value.expose().split_whitespace() {
            target.webhook_secrets.push(WebhookSecret::new(secret)?);
        }
    }
    Ok(target)
}
