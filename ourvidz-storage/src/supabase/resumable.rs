//! Resumable uploads (TUS 1.0): `POST` gives an upload URL, `PATCH` appends at an offset, `HEAD` tells it.

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use bytes::Bytes;
use reqwest::header::{CONTENT_TYPE, HeaderMap, LOCATION};
use reqwest::{Method, RequestBuilder};

use super::SupabaseStorage;
use super::answer::Answer;
use super::requests::Reply;
use crate::{Error, Result, StorageKey};

const ROUTE: &str = "upload/resumable";
const ACTION: &str = "store";

/// What is known of an upload.
#[derive(Debug, Clone)]
enum State {
    /// There is none.
    New,
    /// The server said that it has `offset` bytes.
    At { url: String, offset: usize },
    /// A request failed; the server had `offset` bytes before.
    Unknown { url: String, offset: usize, conflict: bool },
}

/// Why a step did not work.
enum Failure {
    /// The upload URL is no more: begin anew.
    Gone(Error),
    /// The server has another offset than we thought.
    Conflict(Error),
    /// Anything else.
    Other(Error),
}

impl From<Error> for Failure {
    fn from(error: Error) -> Self {
        Self::Other(error)
    }
}

impl SupabaseStorage {
    /// Uploads in chunks. What fails is repeated from the offset the server has, as often as the policy says
    /// without a byte of progress; an upload URL that is gone is replaced as often.
    pub(super) async fn put_resumably(&self, key: &StorageKey, kind: &str, bytes: &Bytes) -> Result<()> {
        let mut state = State::New;
        let (mut failed, mut begun, mut most) = (0, 0, 0);
        loop {
            let step = match &state {
                State::New => {
                    (begun, most) = (begun + 1, 0);
                    let url = self.create_upload(key, kind, bytes.len()).await;
                    url.map(|url| State::At { url, offset: 0 }).map_err(Failure::Other)
                }
                State::At { offset, .. } if *offset == bytes.len() => return Ok(()),
                State::At { url, offset } => self.append(key, url, *offset, bytes).await,
                State::Unknown { url, offset, conflict } => {
                    let at = self.offset_of(key, url, bytes.len()).await;
                    match at {
                        // Complete, but nobody said that it became the file.
                        Ok(at) if at == bytes.len() && self.holds(key, bytes).await? => return Ok(()),
                        Ok(at) if at == bytes.len() => Err(Failure::Gone(incomplete(key, "no such file"))),
                        Ok(at) if at == *offset && *conflict => {
                            Err(Failure::Gone(incomplete(key, "an upload that takes no more")))
                        }
                        Ok(at) => Ok(State::At { url: url.clone(), offset: at }),
                        Err(failure) => Err(failure),
                    }
                }
            };
            let (next, error) = match (step, state) {
                (Ok(next), _) => {
                    if let State::At { offset, .. } = &next
                        && *offset > most
                    {
                        (most, failed) = (*offset, 0);
                    }
                    state = next;
                    continue;
                }
                (Err(Failure::Gone(error)), _) if begun >= self.retry.attempts => return Err(error),
                (Err(Failure::Gone(error)), _) => (State::New, error),
                (Err(Failure::Conflict(error)), State::At { url, offset }) => {
                    (State::Unknown { url, offset, conflict: true }, error)
                }
                (Err(Failure::Other(error)), State::At { url, offset }) => {
                    (State::Unknown { url, offset, conflict: false }, error)
                }
                (Err(Failure::Conflict(error) | Failure::Other(error)), same) => (same, error),
            };
            state = next;
            failed += 1;
            self.retry.wait(failed, error).await?;
        }
    }

    async fn create_upload(&self, key: &StorageKey, kind: &str, len: usize) -> Result<String> {
        let metadata = [("bucketName", key.bucket()), ("objectName", key.path()), ("contentType", kind)];
        let metadata = metadata.map(|(name, value)| format!("{name} {}", STANDARD.encode(value))).join(",");
        let request = tus(self.requests.request(Method::POST, self.requests.url(ROUTE)))
            .header("upload-length", len)
            .header("upload-metadata", metadata)
            .header("x-upsert", "true");
        let reply = self.requests.send(ACTION, key, request).await?;
        let reply = reply.map_err(|answer| answer.into_error(ACTION, key))?;
        let location = reply.headers.get(LOCATION).and_then(|location| location.to_str().ok());
        // Its host is what the server believes to be, behind proxies often another, and the service key must
        // go nowhere else: only the id is taken.
        let id = location.and_then(|location| location.split(['?', '#']).next()?.rsplit('/').next());
        match id.filter(|id| !id.is_empty()) {
            Some(id) => Ok(format!("{}/{id}", self.requests.url(ROUTE))),
            None => Err(unexpected(key, "the URL of an upload", "none")),
        }
    }

    async fn append(
        &self,
        key: &StorageKey,
        url: &str,
        offset: usize,
        bytes: &Bytes,
    ) -> Result<State, Failure> {
        let end = bytes.len().min(offset + self.chunk_size);
        let request = tus(self.requests.request(Method::PATCH, url))
            .header("upload-offset", offset)
            .header("x-upsert", "true")
            .header(CONTENT_TYPE, "application/offset+octet-stream")
            .body(bytes.slice(offset..end));
        let reply = self.upload_reply(key, request).await?;
        match offset_in(&reply.headers) {
            Some(at) if at > offset && at <= bytes.len() => Ok(State::At { url: url.to_owned(), offset: at }),
            at => Err(Failure::Conflict(unexpected(key, &format!("offset {end}"), &format!("{at:?}")))),
        }
    }

    async fn offset_of(&self, key: &StorageKey, url: &str, len: usize) -> Result<usize, Failure> {
        let request = tus(self.requests.request(Method::HEAD, url));
        let reply = self.upload_reply(key, request).await.map_err(|failure| match failure {
            Failure::Conflict(error) => Failure::Gone(error),
            other => other,
        })?;
        match offset_in(&reply.headers) {
            Some(at) if at <= len => Ok(at),
            at => Err(Failure::Gone(unexpected(key, &format!("at most {len} bytes"), &format!("{at:?}")))),
        }
    }

    async fn upload_reply(&self, key: &StorageKey, request: RequestBuilder) -> Result<Reply, Failure> {
        let answer = match self.requests.send(ACTION, key, request).await? {
            Ok(reply) => return Ok(reply),
            Err(answer) => answer,
        };
        Err(match answer.status {
            404 | 410 if !answer.is_no_such_bucket() => Failure::Gone(passing(answer, key)),
            409 => Failure::Conflict(passing(answer, key)),
            _ => Failure::Other(answer.into_error(ACTION, key)),
        })
    }
}

/// An error of an upload URL, which is not one of the file: another upload may do.
fn passing(answer: Answer, key: &StorageKey) -> Error {
    match answer.into_error(ACTION, key) {
        Error::Refused { action, key, status, code, message } => {
            Error::Busy { action, key, status, code, message, retry_after: None }
        }
        other => other,
    }
}

fn tus(request: RequestBuilder) -> RequestBuilder {
    request.header("tus-resumable", "1.0.0")
}

fn offset_in(headers: &HeaderMap) -> Option<usize> {
    headers.get("upload-offset")?.to_str().ok()?.parse().ok()
}

fn incomplete(key: &StorageKey, found: &str) -> Error {
    unexpected(key, "the uploaded file", found)
}

fn unexpected(key: &StorageKey, expected: &str, found: &str) -> Error {
    let (expected, found) = (expected.to_owned(), found.to_owned());
    Error::Unexpected { action: ACTION, key: key.clone(), expected, found }
}
