mod answer;
mod requests;
mod resumable;

use std::fmt;
use std::time::Duration;

use async_trait::async_trait;
use bytes::Bytes;
use reqwest::Method;
use reqwest::header::CONTENT_TYPE;
use secrecy::SecretString;
use serde::Deserialize;
use url::Url;

use self::answer::Answer;
use self::requests::{Reply, Requests};
use crate::{Error, Result, RetryPolicy, Storage, StorageKey, Stored, Timeouts};

/// How to reach a Supabase project.
#[derive(Debug, Clone)]
pub struct SupabaseConfig {
    /// `https://<project>.supabase.co`, or the address of an own server; `http` is taken too.
    pub url: Url,
    /// The service key (`service_role` or `sb_secret_..`): sent as `apikey` and as bearer token.
    pub service_key: SecretString,
    /// Connection and request limits. A request carries `chunk_size` bytes or `resumable_above` at most.
    pub timeouts: Timeouts,
    /// Larger files, in bytes, are uploaded resumably. Default 6 MiB, as Supabase advises.
    pub resumable_above: usize,
    /// Bytes of one request of a resumable upload, at least 64 KiB. Default 6 MiB, which hosted Supabase wants.
    pub chunk_size: usize,
    /// Repetition of requests that failed for a reason that passes.
    pub retry: RetryPolicy,
}

impl SupabaseConfig {
    /// The defaults for this project.
    pub fn new(url: Url, service_key: SecretString) -> Self {
        Self {
            url,
            service_key,
            timeouts: Timeouts::default(),
            resumable_above: 6 << 20,
            chunk_size: 6 << 20,
            retry: RetryPolicy::default(),
        }
    }
}

/// Supabase Storage over its REST interface; the key's bucket is the Supabase bucket, which must exist.
///
/// `put` overwrites (`x-upsert`) and repeats what failed; files above
/// [`resumable_above`](SupabaseConfig::resumable_above) go in chunks (TUS 1.0) and continue where the server
/// got to. Files are stored with `no-cache`, because a second run of a job replaces them; a CDN before a
/// public bucket can still serve the former content for 60 s.
pub struct SupabaseStorage {
    requests: Requests,
    resumable_above: usize,
    chunk_size: usize,
    retry: RetryPolicy,
}

impl SupabaseStorage {
    /// Checks the settings; connects with the first request.
    ///
    /// # Errors
    /// [`Error::Setting`].
    pub fn new(config: SupabaseConfig) -> Result<Self> {
        if config.chunk_size < 64 << 10 {
            return Err(Error::Setting {
                field: "supabase.chunk_size",
                rule: "must be at least 65536 bytes",
                value: config.chunk_size.to_string(),
            });
        }
        let requests = Requests::new(&config)?;
        let SupabaseConfig { resumable_above, chunk_size, retry, .. } = config;
        Ok(Self { requests, resumable_above, chunk_size, retry })
    }

    /// A URL with which anyone may upload the file of `key` once, by `PUT`, replacing what is there. The
    /// server decides how long it is good for (hosted: 2 h).
    ///
    /// # Errors
    /// As [`Storage::put`].
    pub async fn signed_upload_url(&self, key: &StorageKey) -> Result<Url> {
        let url = self.requests.url_of("object/upload/sign", key);
        let reply = self.retry.run(|| async {
            let request = self.requests.request(Method::POST, &url).header("x-upsert", "true");
            self.requests.send("sign", key, request).await?.map_err(|answer| answer.into_error("sign", key))
        });
        self.signed("object/upload/sign", key, &reply.await?)
    }

    fn signed(&self, route: &str, key: &StorageKey, reply: &Reply) -> Result<Url> {
        let signed: Signed = serde_json::from_slice(&reply.body).unwrap_or_default();
        // The path in the reply is not encoded, and relative to a base that proxies change.
        let Some((_, token)) = signed.url.rsplit_once("?token=") else {
            return Err(Error::Unexpected {
                action: "sign",
                key: key.clone(),
                expected: "a URL with a token".to_owned(),
                found: "something else".to_owned(),
            });
        };
        self.requests.with_token(route, key, token)
    }

    async fn put_whole(&self, key: &StorageKey, content_type: &str, bytes: &Bytes) -> Result<()> {
        let url = self.requests.url_of("object", key);
        let mut failed = 0;
        loop {
            let request = self.requests.request(Method::POST, &url);
            let request = request.header(CONTENT_TYPE, content_type).header("x-upsert", "true");
            let error = match self.requests.send("store", key, request.body(bytes.clone())).await {
                Ok(Ok(_)) => return Ok(()),
                Ok(Err(answer)) => answer.into_error("store", key),
                Err(error) => error,
            };
            // Another upload of this key, perhaps our own whose reply was lost.
            if matches!(error, Error::Busy { status: 409, .. }) && self.holds(key, bytes).await? {
                return Ok(());
            }
            failed += 1;
            self.retry.wait(failed, error).await?;
        }
    }

    /// Whether the server's file is `bytes`.
    async fn holds(&self, key: &StorageKey, bytes: &Bytes) -> Result<bool> {
        match self.info(key).await? {
            Some(info) if info.size.is_none_or(|size| size == bytes.len() as u64) => {}
            _ => return Ok(false),
        }
        match self.get(key).await {
            Ok(held) => Ok(held == *bytes),
            Err(Error::NotFound { .. }) => Ok(false),
            Err(error) => Err(error),
        }
    }

    async fn info(&self, key: &StorageKey) -> Result<Option<Info>> {
        // Not HEAD: a reply without a body cannot say which of its errors 400 means.
        let url = self.requests.url_of("object/info/authenticated", key);
        let call = || async {
            match self.requests.send("look for", key, self.requests.request(Method::GET, &url)).await? {
                Ok(reply) => Ok(Some(serde_json::from_slice(&reply.body).unwrap_or_default())),
                Err(answer) if answer.is_no_such_key() => Ok(None),
                Err(answer) => Err(answer.into_error("look for", key)),
            }
        };
        self.retry.run(call).await
    }
}

/// Fields of an object's description that matter here.
#[derive(Debug, Deserialize, Default)]
#[serde(default)]
struct Info {
    size: Option<u64>,
}

#[derive(Deserialize, Default)]
struct Signed {
    #[serde(rename = "signedURL", alias = "url", default)]
    url: String,
}

#[async_trait]
impl Storage for SupabaseStorage {
    async fn put(&self, key: &StorageKey, content_type: &str, bytes: Bytes) -> Result<Stored> {
        crate::storage::check_content_type(content_type)?;
        match bytes.len() > self.resumable_above {
            true => self.put_resumably(key, content_type, &bytes).await?,
            false => self.put_whole(key, content_type, &bytes).await?,
        }
        Ok(Stored::new(key, &bytes))
    }

    async fn get(&self, key: &StorageKey) -> Result<Bytes> {
        let url = self.requests.url_of("object/authenticated", key);
        let call = || async {
            match self.requests.download("read", key, self.requests.request(Method::GET, &url)).await? {
                Ok(reply) => Ok(reply.body),
                Err(answer) => Err(not_found_or(answer, "read", key)),
            }
        };
        self.retry.run(call).await
    }

    async fn delete(&self, key: &StorageKey) -> Result<()> {
        let url = self.requests.url_of("object", key);
        let call = || async {
            match self.requests.send("delete", key, self.requests.request(Method::DELETE, &url)).await? {
                Ok(_) => Ok(()),
                Err(answer) if answer.is_no_such_key() => Ok(()),
                Err(answer) => Err(answer.into_error("delete", key)),
            }
        };
        self.retry.run(call).await
    }

    async fn exists(&self, key: &StorageKey) -> Result<bool> {
        Ok(self.info(key).await?.is_some())
    }

    async fn signed_url(&self, key: &StorageKey, expires_in: Duration) -> Result<Url> {
        if key.path().contains('?') {
            // The server signs the path as it is written in the URL, where '?' cannot be.
            return Err(Error::Unsupported { store: "Supabase", action: "sign a key with '?'" });
        }
        let seconds = crate::storage::check_expiry(expires_in)?;
        let url = self.requests.url_to_sign(key);
        let reply = self.retry.run(|| async {
            let body = serde_json::json!({ "expiresIn": seconds });
            let request = self.requests.request(Method::POST, &url).json(&body);
            match self.requests.send("sign", key, request).await? {
                Ok(reply) => Ok(reply),
                Err(answer) => Err(not_found_or(answer, "sign", key)),
            }
        });
        self.signed("object/sign", key, &reply.await?)
    }
}

fn not_found_or(answer: Answer, action: &'static str, key: &StorageKey) -> Error {
    match answer.is_no_such_key() {
        true => Error::NotFound { key: key.clone() },
        false => answer.into_error(action, key),
    }
}

/// Without the key.
impl fmt::Debug for SupabaseStorage {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { requests, resumable_above, chunk_size, retry } = self;
        f.debug_struct("SupabaseStorage")
            .field("url", &requests.url(""))
            .field("resumable_above", resumable_above)
            .field("chunk_size", chunk_size)
            .field("retry", retry)
            .finish()
    }
}
