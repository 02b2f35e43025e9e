//! The HTTP client below `object_store`, which repeats by this crate's policy.

use async_trait::async_trait;
use object_store::ClientOptions;
use object_store::client::{
    HttpClient, HttpConnector, HttpError, HttpErrorKind, HttpRequest, HttpResponse, HttpResponseBody,
    HttpService,
};
use reqwest::{Client, Method};

use super::answer::Answer;
use crate::retry::retry_after;
use crate::{Result, RetryPolicy, Timeouts, http};

/// Repeats requests without a reply, and replies that say "later", `Retry-After` included. Every request of
/// this crate can be sent twice; a signature is good for 15 minutes.
#[derive(Debug, Clone)]
pub(super) struct Transport {
    client: Client,
    timeouts: Timeouts,
    retry: RetryPolicy,
}

impl Transport {
    pub(super) fn new(timeouts: &Timeouts, retry: RetryPolicy) -> Result<Self> {
        Ok(Self { client: http::client(timeouts)?, timeouts: *timeouts, retry })
    }

    /// One try. What is not a success becomes an error with the [`Answer`] as its source.
    async fn once(&self, request: HttpRequest) -> Result<HttpResponse, HttpError> {
        let method = request.method().clone();
        let head = HttpService::call(&self.client, request);
        let reply = match tokio::time::timeout(self.timeouts.request, head).await {
            Ok(reply) => reply?,
            Err(elapsed) => return Err(HttpError::new(HttpErrorKind::Timeout, elapsed)),
        };
        let status = reply.status();
        if status.is_success() && method != Method::POST {
            return Ok(reply);
        }
        let after = retry_after(reply.headers());
        let (parts, body) = reply.into_parts();
        // A reply to HEAD has no body; that of an error may break off and its status still count.
        let body = match (body.bytes().await, status.is_success()) {
            (Ok(body), _) => body,
            (Err(error), true) => return Err(error),
            (Err(_), false) => Default::default(),
        };
        let text = String::from_utf8_lossy(&body);
        let answer = match status.is_success() {
            true => Answer::of_success(&text),
            false => Some(Answer::read(status.as_u16(), after, &text)),
        };
        match answer {
            Some(answer) => Err(HttpError::new(HttpErrorKind::Unknown, answer)),
            None => Ok(HttpResponse::from_parts(parts, HttpResponseBody::from(body))),
        }
    }
}

impl HttpConnector for Transport {
    fn connect(&self, _: &ClientOptions) -> object_store::Result<HttpClient> {
        Ok(HttpClient::new(self.clone()))
    }
}

#[async_trait]
impl HttpService for Transport {
    async fn call(&self, request: HttpRequest) -> Result<HttpResponse, HttpError> {
        let mut failed = 0;
        loop {
            let error = match self.once(request.clone()).await {
                Ok(reply) => return Ok(reply),
                Err(error) => error,
            };
            let answer = std::error::Error::source(&error).and_then(|source| source.downcast_ref::<Answer>());
            if answer.is_some_and(|answer| !answer.is_later()) {
                return Err(error);
            }
            failed += 1;
            let pause = self.retry.pause(failed, answer.and_then(|answer| answer.retry_after));
            let Some(pause) = pause else { return Err(error) };
            tracing::warn!(failed, attempts = self.retry.attempts, ?pause, %error, "storage: trying again");
            tokio::time::sleep(pause).await;
        }
    }
}
