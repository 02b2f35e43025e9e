use std::error::Error as _;
use std::fmt;
use std::time::Duration;

use reqwest::header::{AUTHORIZATION, CONTENT_TYPE, HeaderValue};
use reqwest::redirect::Policy;
use reqwest::{Client, Request, Response};
use secrecy::ExposeSecret;
use url::Url;

use super::{CallbackTarget, Outcome};
use crate::signature::{CALLBACK_SIGNATURE, WebhookHeaders};
use crate::{Clock, Error, PendingCallback, Result};

/// Sends callbacks, one request each. Redirects are not followed and no proxy is read from the environment.
pub struct CallbackSender {
    client: Client,
    url: Url,
    bearer: Option<HeaderValue>,
    target: CallbackTarget,
    clock: Clock,
}

/// Of an answer's body, only so much is read, for so long, so that the connection can be used again.
const MAX_ANSWER_BYTES: usize = 64 * 1024;
const MAX_ANSWER_TIME: Duration = Duration::from_secs(1);
const CONNECT_TIMEOUT: Duration = Duration::from_secs(10);
const MAX_REASON_CHARS: usize = 300;

impl CallbackSender {
    /// Checks the target and prepares the client. Timestamps are the machine's.
    ///
    /// # Errors
    /// [`Error::InvalidOption`] for the URL, the time limit or a client that cannot be made (TLS),
    /// [`Error::InvalidSecret`] for the bearer key.
    pub fn new(target: CallbackTarget) -> Result<Self> {
        Self::with_clock(target, Clock::System)
    }

    /// As [`CallbackSender::new`], with timestamps of the given clock.
    ///
    /// # Errors
    /// As [`CallbackSender::new`].
    pub fn with_clock(target: CallbackTarget, clock: Clock) -> Result<Self> {
        let url = target.endpoint()?;
        let bearer = target.bearer.as_ref().map(|key| bearer(key.expose_secret())).transpose()?;
        let client = Client::builder()
            .redirect(Policy::none())
            .no_proxy()
            .connect_timeout(CONNECT_TIMEOUT)
            .user_agent(concat!("ourvidz/", env!("CARGO_PKG_VERSION")))
            .build();
        let client = client.map_err(|error| Error::InvalidOption {
            name: "callback TLS",
            rule: "must be usable by the HTTP client",
            value: reason(error),
        })?;
        Ok(Self { client, url, bearer, target, clock })
    }

    /// The time limit of one delivery.
    pub fn timeout(&self) -> Duration {
        self.target.timeout
    }

    /// Delivers once. The body goes out byte for byte as it is kept; the timestamp is that of now.
    pub async fn send(&self, callback: &PendingCallback) -> Outcome {
        let request = match self.request(callback) {
            Ok(request) => request,
            Err(error) => return Outcome::Invalid { reason: error.to_string() },
        };
        match tokio::time::timeout(self.target.timeout, self.client.execute(request)).await {
            Ok(Ok(response)) => {
                let outcome = Outcome::of(response.status(), response.headers(), self.clock.now_ms());
                // The status has decided; a body that breaks off or does not end changes nothing.
                let _elapsed = tokio::time::timeout(MAX_ANSWER_TIME, read_away(response)).await;
                outcome
            }
            Ok(Err(error)) => Outcome::no_answer(reason(error)),
            Err(_) => Outcome::no_answer(format!("no answer within {:?}", self.target.timeout)),
        }
    }

    fn request(&self, callback: &PendingCallback) -> Result<Request> {
        let body = callback.body.as_bytes();
        let mut request = self.client.post(self.url.clone()).header(CONTENT_TYPE, "application/json");
        if let Some(bearer) = &self.bearer {
            request = request.header(AUTHORIZATION, bearer.clone());
        }
        if let Some(secret) = &self.target.callback_secret {
            request = request.header(CALLBACK_SIGNATURE, secret.header(body));
        }
        if !self.target.webhook_secrets.is_empty() {
            let seconds = self.clock.now_ms() / 1000;
            let headers = WebhookHeaders::signed(&self.target.webhook_secrets, &callback.id, seconds, body)?;
            for (name, value) in headers.pairs() {
                request = request.header(name, value);
            }
        }
        request.body(body.to_vec()).build().map_err(|error| Error::InvalidOption {
            name: "callback",
            rule: "must make a request",
            value: reason(error),
        })
    }
}

impl fmt::Debug for CallbackSender {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("CallbackSender").field("target", &self.target).finish_non_exhaustive()
    }
}

fn bearer(key: &str) -> Result<HeaderValue> {
    let invalid = |rule| Error::InvalidSecret { name: "callback bearer key", rule };
    if key.is_empty() || !key.bytes().all(|byte| byte.is_ascii_graphic()) {
        return Err(invalid("must be visible ASCII, at least one character"));
    }
    let value = HeaderValue::from_str(&format!("Bearer {key}"));
    let mut value = value.map_err(|_| invalid("must be able to stand in a header"))?;
    value.set_sensitive(true);
    Ok(value)
}

async fn read_away(mut response: Response) {
    let mut read = 0;
    while let Ok(Some(piece)) = response.chunk().await {
        read += piece.len();
        if read >= MAX_ANSWER_BYTES {
            break;
        }
    }
}

/// The error and its causes, without the address.
fn reason(error: reqwest::Error) -> String {
    let error = error.without_url();
    let mut text = error.to_string();
    let mut source = error.source();
    while let Some(cause) = source {
        text = format!("{text}: {cause}");
        source = cause.source();
    }
    text.chars().take(MAX_REASON_CHARS).collect()
}
