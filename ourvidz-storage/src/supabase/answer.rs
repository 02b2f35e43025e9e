//! What a reply that is not a success means.

use std::time::Duration;

use reqwest::StatusCode;
use reqwest::header::HeaderMap;
use serde::Deserialize;

use crate::retry::retry_after;
use crate::{Error, StorageKey};

const MAX_MESSAGE: usize = 300;

/// Supabase Storage answers 400 to nearly everything and says the status it means in the body:
/// `{"statusCode":"409","error":"Duplicate","code":"KeyAlreadyExists","message":".."}`. Older servers have no
/// `code`; resumable uploads answer with the real status and plain text.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Answer {
    pub(super) status: u16,
    pub(super) code: String,
    message: String,
    retry_after: Option<Duration>,
    /// The body says a status, so Storage itself answered and not a gateway before it.
    from_storage: bool,
}

#[derive(Deserialize, Default)]
#[serde(default)]
struct Body {
    #[serde(rename = "statusCode")]
    status_code: serde_json::Value,
    error: serde_json::Value,
    code: serde_json::Value,
    message: serde_json::Value,
}

impl Answer {
    pub(super) fn read(status: StatusCode, headers: &HeaderMap, body: &[u8]) -> Self {
        let retry_after = retry_after(headers);
        let reason = status.canonical_reason().unwrap_or("no reason given");
        let Ok(body) = serde_json::from_slice::<Body>(body) else {
            let text = String::from_utf8_lossy(body);
            // Pages of gateways are not for messages.
            let plain = !text.trim().is_empty() && !text.trim_start().starts_with('<');
            let message = clean(if plain { &text } else { reason });
            let from_storage = false;
            return Self {
                status: status.as_u16(),
                code: reason.to_owned(),
                message,
                retry_after,
                from_storage,
            };
        };
        let meant = text(&body.status_code).and_then(|text| text.parse().ok());
        let meant = meant.filter(|status| (400..600).contains(status));
        let code = text(&body.code).or_else(|| text(&body.error)).unwrap_or_else(|| reason.to_owned());
        let message = text(&body.message).or_else(|| text(&body.error)).unwrap_or_else(|| reason.to_owned());
        Self {
            status: meant.unwrap_or(status.as_u16()),
            code: clean(&code),
            message: clean(&message),
            retry_after,
            from_storage: meant.is_some(),
        }
    }

    pub(super) fn is_no_such_bucket(&self) -> bool {
        self.code == "NoSuchBucket" || self.message.eq_ignore_ascii_case("bucket not found")
    }

    /// Nothing is stored under the key. A gateway's 404, e.g. for a wrong URL, is not that.
    pub(super) fn is_no_such_key(&self) -> bool {
        !self.is_no_such_bucket() && (self.code == "NoSuchKey" || self.from_storage && self.status == 404)
    }

    /// Whether the key is taken, which with `x-upsert` is an upload that ran into another.
    fn is_taken(&self) -> bool {
        self.status == 409
            && matches!(self.code.as_str(), "KeyAlreadyExists" | "ResourceAlreadyExists" | "Duplicate")
    }

    pub(super) fn into_error(self, action: &'static str, key: &StorageKey) -> Error {
        let key = key.clone();
        if self.is_no_such_bucket() {
            return Error::NoSuchBucket { action, bucket: key.bucket().to_owned() };
        }
        let taken = self.is_taken();
        let Self { status, code, message, retry_after, .. } = self;
        let message = message.into_boxed_str();
        match status {
            401 => Error::Unauthenticated { action, code, message },
            _ if code == "InvalidJWT" || status == 403 && is_about_the_token(&message) => {
                Error::Unauthenticated { action, code, message }
            }
            408 | 423 | 425 | 429 | 500.. => Error::Busy { action, key, status, code, message, retry_after },
            _ if taken || code == "SlowDown" => {
                Error::Busy { action, key, status, code, message, retry_after }
            }
            _ => Error::Refused { action, key, status, code, message },
        }
    }

    /// Replaces a secret the server may have repeated.
    pub(super) fn without(mut self, secret: &str) -> Self {
        for text in [&mut self.code, &mut self.message] {
            if !secret.is_empty() && text.contains(secret) {
                *text = text.replace(secret, "[secret]");
            }
        }
        self
    }
}

/// A key that is none is answered like a file that is forbidden, but for the words.
fn is_about_the_token(message: &str) -> bool {
    let message = message.to_ascii_lowercase();
    ["jwt", "jws", "signature verification"].iter().any(|word| message.contains(word))
}

fn text(value: &serde_json::Value) -> Option<String> {
    match value {
        serde_json::Value::String(text) if !text.is_empty() => Some(text.clone()),
        serde_json::Value::Number(number) => Some(number.to_string()),
        _ => None,
    }
}

fn clean(text: &str) -> String {
    text.trim().chars().filter(|c| !c.is_control()).take(MAX_MESSAGE).collect()
}

#[cfg(test)]
mod tests;
