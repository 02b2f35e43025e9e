use std::fmt;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use reqwest::header::{AUTHORIZATION, HeaderMap, HeaderValue};
use reqwest::{Client, Url};
use secrecy::{ExposeSecret, SecretString};
use serde_json::Value;

use crate::lua::{Failure, Reply, failure_of_text};
use crate::{Error, Result};

/// Sends commands to a REST URL, one in a request.
pub(super) struct Http {
    client: Client,
    url: Url,
    /// What the server said last, so that it does not answer from a replica that is behind it.
    sync_token: Mutex<Option<HeaderValue>>,
    /// Whether the server writes text in base64 when asked to.
    base64: AtomicBool,
}

impl fmt::Debug for Http {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Http").field("url", &self.url.as_str()).finish_non_exhaustive()
    }
}

const SYNC_TOKEN: &str = "upstash-sync-token";
/// Larger replies are not read: the service's own limit is 10 MB a request, and base64 adds a third.
const MAX_REPLY_BYTES: usize = 32 << 20;

impl Http {
    pub(super) fn new(
        url: &str,
        token: &SecretString,
        connect: Duration,
        response: Duration,
    ) -> Result<Self> {
        let invalid = |value: String| Error::InvalidOption {
            name: "url",
            rule: "must be https://host or http://host without user, password and query",
            value,
        };
        let parsed = Url::parse(url).map_err(|_| invalid("text that is not a URL".into()))?;
        let plain = parsed.username().is_empty() && parsed.password().is_none() && parsed.query().is_none();
        if !matches!(parsed.scheme(), "https" | "http") || !plain || !parsed.has_host() {
            return Err(invalid(format!("{}://{}", parsed.scheme(), parsed.host_str().unwrap_or_default())));
        }
        let secret = |rule| Error::InvalidSecret { name: "Upstash token", rule };
        if token.expose_secret().trim().is_empty() {
            return Err(secret("must not be empty"));
        }
        let mut bearer = HeaderValue::from_str(&format!("Bearer {}", token.expose_secret().trim()))
            .map_err(|_| secret("must be visible ASCII"))?;
        bearer.set_sensitive(true);
        let headers = HeaderMap::from_iter([(AUTHORIZATION, bearer)]);
        let client = Client::builder()
            .default_headers(headers)
            .connect_timeout(connect)
            .timeout(response)
            // The token is for this host only.
            .redirect(reqwest::redirect::Policy::none())
            .build()
            .map_err(|source| Error::Refused { action: "set up HTTP", source: Box::new(source) })?;
        Ok(Self { client, url: parsed, sync_token: Mutex::default(), base64: AtomicBool::new(true) })
    }

    /// Finds out whether the server writes base64: compatible servers may ignore the wish.
    pub(super) async fn probe(&self) -> Result<(), Failure> {
        const WORD: &str = "ourvidz?";
        self.base64.store(true, Ordering::Relaxed);
        let value = self.send(&["ECHO".into(), WORD.into()]).await?;
        self.base64.store(value != WORD, Ordering::Relaxed);
        Ok(())
    }

    pub(super) async fn command(&self, words: &[String]) -> Result<Reply, Failure> {
        let value = self.send(words).await?;
        Ok(reply(value, self.base64.load(Ordering::Relaxed)))
    }

    async fn send(&self, words: &[String]) -> Result<Value, Failure> {
        let mut request = self.client.post(self.url.clone()).json(words);
        if self.base64.load(Ordering::Relaxed) {
            request = request.header("Upstash-Encoding", "base64");
        }
        let token = self.sync_token.lock().unwrap_or_else(PoisonError::into_inner).clone();
        if let Some(token) = token {
            request = request.header(SYNC_TOKEN, token);
        }
        let response = request.send().await.map_err(|error| {
            let never_sent = error.is_connect() || error.is_builder();
            let source = Box::new(error.without_url());
            if never_sent { Failure::NotDone(source) } else { Failure::Unknown(source) }
        })?;
        if let Some(token) = response.headers().get(SYNC_TOKEN) {
            *self.sync_token.lock().unwrap_or_else(PoisonError::into_inner) = Some(token.clone());
        }
        let status = response.status().as_u16();
        let body = read(response).await?;
        let mut value: Value = serde_json::from_slice(&body).unwrap_or(Value::Null);
        match (status, value.get("error").and_then(Value::as_str)) {
            (200, None) => match value.get_mut("result") {
                Some(result) => Ok(result.take()),
                None => {
                    Err(Failure::Unknown(format!("HTTP 200 without a result: {}", start_of(&body)).into()))
                }
            },
            // A gateway's words; whether the database did it, nobody knows.
            (408 | 500.., _) => Err(Failure::Unknown(format!("HTTP {status}: {}", start_of(&body)).into())),
            (429, _) => Err(Failure::NotDone(format!("HTTP 429: {}", start_of(&body)).into())),
            (_, Some(error)) if status != 401 && status != 403 => {
                Err(failure_of_text(error, format!("HTTP {status}: {error}").into()))
            }
            _ => Err(Failure::Refused(format!("HTTP {status}: {}", start_of(&body)).into())),
        }
    }
}

async fn read(mut response: reqwest::Response) -> Result<Vec<u8>, Failure> {
    let mut body = Vec::new();
    while let Some(chunk) =
        response.chunk().await.map_err(|error| Failure::Unknown(Box::new(error.without_url())))?
    {
        if body.len() + chunk.len() > MAX_REPLY_BYTES {
            return Err(Failure::Refused(format!("the reply has more than {MAX_REPLY_BYTES} bytes").into()));
        }
        body.extend_from_slice(&chunk);
    }
    Ok(body)
}

fn start_of(body: &[u8]) -> String {
    String::from_utf8_lossy(body).chars().take(200).collect()
}

fn reply(value: Value, base64: bool) -> Reply {
    match value {
        Value::Null => Reply::Nil,
        Value::Bool(yes) => Reply::Int(i64::from(yes)),
        Value::Number(number) => match number.as_i64() {
            Some(number) => Reply::Int(number),
            None => Reply::Text(number.to_string().into_bytes()),
        },
        // `OK` stays as it is, and is not base64.
        Value::String(text) if base64 => {
            Reply::Text(STANDARD.decode(&text).unwrap_or_else(|_| text.into_bytes()))
        }
        Value::String(text) => Reply::Text(text.into_bytes()),
        Value::Array(items) => Reply::List(items.into_iter().map(|item| reply(item, base64)).collect()),
        object @ Value::Object(_) => Reply::Text(object.to_string().into_bytes()),
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;
    use serde_json::json;

    #[test]
    fn replies_in_both_encodings() {
        let encoded = reply(json!(["am9i", 3, null, "OK", ["eA=="]]), true);
        let plain = reply(json!(["job", 3, null, "OK", ["x"]]), false);
        assert_eq!(encoded, plain);
        assert_eq!(plain.list().unwrap()[0].text().unwrap(), "job");
    }

    #[test]
    fn urls_and_tokens_have_their_rules() {
        let make = |url, token: &str| {
            let second = Duration::from_secs(1);
            Http::new(url, &SecretString::from(token), second, second)
        };
        for url in ["", "redis://host", "https://user:secret@host", "https://host?_token=secret"] {
            let error = make(url, "t").unwrap_err();
            assert!(matches!(error, Error::InvalidOption { name: "url", .. }), "{error}");
            assert!(!format!("{error:?}").contains("secret"), "{error:?}");
        }
        for token in ["", " ", "a\nb"] {
            assert!(matches!(make("https://host", token), Err(Error::InvalidSecret { .. })), "{token:?}");
        }
        assert!(!format!("{:?}", make("https://host", "secret").unwrap()).contains("secret"));
    }
}
