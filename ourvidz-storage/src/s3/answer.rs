//! What a reply that is not a success means.

use std::error::Error as StdError;
use std::fmt;
use std::time::Duration;

use object_store::client::HttpError;

use crate::{Error, StorageKey};

const MAX_MESSAGE: usize = 300;

/// The status, and `Code` and `Message` of the XML. The transport makes it the source of `object_store`'s
/// error, which shows neither itself.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Answer {
    pub(super) status: u16,
    code: String,
    message: String,
    pub(super) retry_after: Option<Duration>,
}

impl Answer {
    pub(super) fn read(status: u16, retry_after: Option<Duration>, body: &str) -> Self {
        let element = |name| element(body, name).unwrap_or_default();
        Self { status, code: element("Code"), message: element("Message"), retry_after }
    }

    /// A success whose body is an error, which S3 sends when it has begun to reply before it was done.
    pub(super) fn of_success(body: &str) -> Option<Self> {
        let error = body.contains("<Error>").then(|| element(body, "Code"))?;
        Some(Self { status: 500, ..Self::read(500, None, body) }).filter(|_| error.is_some())
    }

    /// Whether the server may manage later.
    pub(super) fn is_later(&self) -> bool {
        matches!(self.status, 408 | 423 | 425 | 429 | 500..)
            // 400: the server waited for the body. 409: another request was first.
            || matches!(self.code.as_str(), "RequestTimeout" | "OperationAborted" | "SlowDown" | "InternalError")
    }

    fn into_error(self, action: &'static str, key: &StorageKey, bucket: &str) -> Error {
        let later = self.is_later();
        let (key, Self { status, code, message, retry_after }) = (key.clone(), self);
        let message = message.into_boxed_str();
        match (status, code.as_str()) {
            (_, "NoSuchBucket") => Error::NoSuchBucket { action, bucket: bucket.to_owned() },
            _ if later => Error::Busy { action, key, status, code, message, retry_after },
            (404, "" | "NoSuchKey") if action != "store" => Error::NotFound { key },
            (401, _)
            | (_, "InvalidAccessKeyId" | "SignatureDoesNotMatch" | "InvalidToken" | "ExpiredToken") => {
                Error::Unauthenticated { action, code, message }
            }
            _ => Error::Refused { action, key, status, code, message },
        }
    }
}

impl fmt::Display for Answer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} ({}: {})", self.status, self.code, self.message)
    }
}

impl StdError for Answer {}

/// Sorts by what the server said, or by what of its reply is missing.
pub(super) fn error(
    error: object_store::Error,
    action: &'static str,
    key: &StorageKey,
    bucket: &str,
) -> Error {
    let mut no_reply = false;
    let mut source: Option<&(dyn StdError + 'static)> = Some(&error);
    while let Some(current) = source {
        if let Some(answer) = current.downcast_ref::<Answer>() {
            return answer.clone().into_error(action, key, bucket);
        }
        no_reply |= current.is::<HttpError>();
        source = current.source();
    }
    let key = key.clone();
    match no_reply {
        true => Error::Network { action, key, source: Box::new(error) },
        false => Error::Unexpected {
            action,
            key,
            expected: "a reply of S3".to_owned(),
            found: clean(&error.to_string()),
        },
    }
}

/// The upload in parts is no more; another may do.
pub(super) fn is_no_such_upload(error: &Error) -> bool {
    matches!(error, Error::Refused { code, .. } | Error::Busy { code, .. } if code == "NoSuchUpload")
}

/// Of a lost upload, the error that says to try again.
pub(super) fn passing(error: Error) -> Error {
    match error {
        Error::Refused { action, key, status, code, message } if code == "NoSuchUpload" => {
            Error::Busy { action, key, status, code, message, retry_after: None }
        }
        other => other,
    }
}

fn element(xml: &str, name: &str) -> Option<String> {
    let (_, rest) = xml.split_once(&format!("<{name}>"))?;
    let (text, _) = rest.split_once(&format!("</{name}>"))?;
    Some(clean(text))
}

fn clean(text: &str) -> String {
    text.trim().chars().filter(|c| !c.is_control()).take(MAX_MESSAGE).collect()
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    fn error(action: &'static str, status: u16, code: &str) -> Error {
        let body = format!("<Error><Code>{code}</Code><Message>because</Message></Error>");
        let key = StorageKey::new("clips", "u/j/0.mp4").unwrap();
        Answer::read(status, None, &body).into_error(action, &key, "all")
    }

    #[test]
    fn the_code_decides_before_the_status() {
        for (status, code) in
            [(400, "RequestTimeout"), (409, "OperationAborted"), (503, "SlowDown"), (500, ""), (429, "")]
        {
            let error = error("store", status, code);
            assert!(error.retryable() && matches!(error, Error::Busy { .. }), "{status} {code} {error:?}");
        }
        for (status, code) in
            [(403, "AccessDenied"), (400, "EntityTooLarge"), (301, "PermanentRedirect"), (404, "NoSuchKey")]
        {
            let error = error("store", status, code);
            assert!(
                !error.retryable() && matches!(error, Error::Refused { .. }),
                "{status} {code} {error:?}"
            );
        }
        for (status, code) in [(403, "SignatureDoesNotMatch"), (403, "InvalidAccessKeyId"), (401, "")] {
            let error = error("store", status, code);
            assert!(!error.retryable() && matches!(error, Error::Unauthenticated { .. }), "{error:?}");
        }
        assert!(matches!(error("read", 404, "NoSuchKey"), Error::NotFound { .. }));
        assert!(matches!(error("look for", 404, ""), Error::NotFound { .. }));
        let bucket = error("read", 404, "NoSuchBucket");
        assert!(matches!(&bucket, Error::NoSuchBucket { bucket, .. } if bucket == "all"), "{bucket:?}");
    }

    #[test]
    fn a_success_can_be_an_error() {
        let body = "<?xml version=\"1.0\"?>\n<Error><Code>InternalError</Code><Message>m</Message></Error>";
        assert!(Answer::of_success(body).unwrap().is_later());
        assert_eq!(Answer::of_success("<CompleteMultipartUploadResult/>"), None);
    }
}
