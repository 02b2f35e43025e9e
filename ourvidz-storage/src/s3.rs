mod answer;
mod transport;

use std::collections::HashMap;
use std::fmt;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use async_trait::async_trait;
use bytes::Bytes;
use object_store::aws::{AmazonS3, AmazonS3Builder};
use object_store::path::Path;
use object_store::signer::Signer;
use object_store::{Attribute, Attributes, ObjectStore, ObjectStoreExt, PutOptions, PutPayload};
use reqwest::Method;
use secrecy::{ExposeSecret, SecretString};
use url::Url;

use self::transport::Transport;
use crate::{Error, Result, RetryPolicy, Storage, StorageKey, Stored, Timeouts};

/// Who asks an S3 server.
#[derive(Debug, Clone)]
pub enum S3Credentials {
    /// An access key.
    Key {
        /// Its id.
        id: SecretString,
        /// Its secret.
        secret: SecretString,
        /// Of temporary credentials.
        token: Option<SecretString>,
    },
    /// The role of the AWS machine this runs on, from its metadata service.
    Instance,
}

/// How to reach an S3 server.
#[derive(Debug, Clone)]
pub struct S3Config {
    /// `None` for AWS. R2: `https://<account>.r2.cloudflarestorage.com`; Supabase:
    /// `https://<project>.storage.supabase.co/storage/v1/s3`; MinIO: its address, `http` is taken too.
    pub endpoint: Option<Url>,
    /// E.g. `eu-central-1`; R2 calls it `auto`, MinIO takes `us-east-1`.
    pub region: String,
    /// `None`: the key's bucket is the S3 bucket. `Some`: everything is in this one, under
    /// `{key's bucket}/{path}`.
    pub bucket: Option<String>,
    /// Bucket as part of the host name instead of the path. Default false.
    pub virtual_hosted: bool,
    /// Who asks.
    pub credentials: S3Credentials,
    /// Connection and request limits. A request carries `part_size` bytes or `multipart_above` at most.
    pub timeouts: Timeouts,
    /// Larger files, in bytes, are uploaded in parts. Default 16 MiB.
    pub multipart_above: usize,
    /// Bytes of a part, 5 MiB to 5 GiB, the limits of S3. Default 8 MiB.
    pub part_size: usize,
    /// Repetition of requests that failed for a reason that passes.
    pub retry: RetryPolicy,
}

impl S3Config {
    /// The defaults, for AWS.
    pub fn new(region: impl Into<String>, credentials: S3Credentials) -> Self {
        Self {
            endpoint: None,
            region: region.into(),
            bucket: None,
            virtual_hosted: false,
            credentials,
            timeouts: Timeouts::default(),
            multipart_above: 16 << 20,
            part_size: 8 << 20,
            retry: RetryPolicy::default(),
        }
    }
}

/// A server that speaks S3: AWS, R2, MinIO, Supabase. Buckets must exist.
///
/// `put` signs the SHA-256 of what it sends, which the server checks, and repeats what failed. An upload in
/// parts that fails is aborted; one cut off by the end of the process stays until a lifecycle rule of the
/// bucket removes it.
pub struct S3Storage {
    config: S3Config,
    transport: Transport,
    /// One client per S3 bucket, made with the first request.
    stores: Mutex<HashMap<String, Arc<AmazonS3>>>,
}

impl S3Storage {
    /// Checks the settings; connects with the first request.
    ///
    /// # Errors
    /// [`Error::Setting`].
    pub fn new(config: S3Config) -> Result<Self> {
        let broken = |field, rule, value: String| Err(Error::Setting { field, rule, value });
        if !(5 << 20..=5 << 30).contains(&config.part_size) {
            let rule = "must be from 5242880 to 5368709120 bytes";
            return broken("s3.part_size", rule, config.part_size.to_string());
        }
        if config.region.is_empty() {
            return broken("s3.region", "must be given, e.g. eu-central-1, or auto for R2", String::new());
        }
        if let Some(endpoint) = &config.endpoint {
            if !matches!(endpoint.scheme(), "https" | "http") || endpoint.host_str().is_none() {
                return broken("s3.endpoint", "must be an https or http URL", endpoint.scheme().to_owned());
            }
            if !endpoint.username().is_empty() || endpoint.password().is_some() || endpoint.query().is_some()
            {
                let host = endpoint.host_str().unwrap_or_default().to_owned();
                return broken("s3.endpoint", "must have neither user nor query", host);
            }
        }
        if let Some(bucket) = &config.bucket {
            // The same rule as for the bucket of a key.
            if let Err(Error::InvalidKey { rule, .. }) = StorageKey::new(bucket, "x") {
                return broken("s3.bucket", rule, bucket.clone());
            }
        }
        let transport = Transport::new(&config.timeouts, config.retry)?;
        Ok(Self { config, transport, stores: Mutex::default() })
    }

    /// A URL with which anyone may upload the file of `key`, by `PUT`, until it expires: 1 second to 7 days
    /// from now. Made without asking the server.
    ///
    /// # Errors
    /// [`Error::Setting`] for another time.
    pub async fn signed_upload_url(&self, key: &StorageKey, expires_in: Duration) -> Result<Url> {
        self.sign(Method::PUT, key, expires_in).await
    }

    async fn sign(&self, method: Method, key: &StorageKey, expires_in: Duration) -> Result<Url> {
        let seconds = crate::storage::check_expiry(expires_in)?;
        let (store, path) = self.place(key)?;
        let signed = store.signed_url(method, &path, Duration::from_secs(seconds)).await;
        signed.map_err(|error| answer::error(error, "sign", key, self.bucket_of(key)))
    }

    fn bucket_of<'a>(&'a self, key: &'a StorageKey) -> &'a str {
        self.config.bucket.as_deref().unwrap_or(key.bucket())
    }

    /// The client of the key's S3 bucket, and the path in it.
    fn place(&self, key: &StorageKey) -> Result<(Arc<AmazonS3>, Path)> {
        let path = match self.config.bucket {
            None => Path::parse(key.path()),
            Some(_) => Path::parse(key.to_string()),
        };
        let rule = "must be a path that S3 takes";
        let path = path.map_err(|_| Error::InvalidKey { key: key.to_string(), rule })?;
        let bucket = self.bucket_of(key);
        // Each critical section is one call on the map, so a poisoned lock guards a whole map.
        let mut stores = self.stores.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(store) = stores.get(bucket) {
            return Ok((store.clone(), path));
        }
        let store = Arc::new(self.store(bucket)?);
        stores.insert(bucket.to_owned(), store.clone());
        Ok((store, path))
    }

    fn store(&self, bucket: &str) -> Result<AmazonS3> {
        let config = &self.config;
        let mut builder = AmazonS3Builder::new()
            .with_bucket_name(bucket)
            .with_region(&config.region)
            .with_virtual_hosted_style_request(config.virtual_hosted)
            // Not every server has the request that deletes many.
            .with_disable_bulk_delete(true)
            // The transport repeats.
            .with_retry(object_store::RetryConfig { max_retries: 0, ..Default::default() })
            .with_http_connector(self.transport.clone());
        if let Some(endpoint) = &config.endpoint {
            let mut endpoint = endpoint.clone();
            if config.virtual_hosted {
                // object_store takes the endpoint as it is, and expects the bucket in it.
                let host = format!("{bucket}.{}", endpoint.host_str().unwrap_or_default());
                let _ = endpoint.set_host(Some(&host));
            }
            builder = builder
                .with_endpoint(endpoint.as_str().trim_end_matches('/'))
                .with_allow_http(endpoint.scheme() == "http");
        }
        if let S3Credentials::Key { id, secret, token } = &config.credentials {
            builder =
                builder.with_access_key_id(id.expose_secret()).with_secret_access_key(secret.expose_secret());
            if let Some(token) = token {
                builder = builder.with_token(token.expose_secret());
            }
        }
        let rule = "must make an S3 client";
        builder.build().map_err(|error| Error::Setting { field: "s3", rule, value: error.to_string() })
    }

    async fn put_in_parts(&self, key: &StorageKey, kind: Attributes, bytes: &Bytes) -> Result<()> {
        let (store, path) = self.place(key)?;
        let failed = |error| answer::error(error, "store", key, self.bucket_of(key));
        let mut upload = store.put_multipart_opts(&path, kind.into()).await.map_err(failed)?;
        let parts = async {
            // One after the other: a slow line is not shared, and a part that fails stops the rest.
            for begin in (0..bytes.len()).step_by(self.config.part_size) {
                let end = bytes.len().min(begin + self.config.part_size);
                upload.put_part(PutPayload::from_bytes(bytes.slice(begin..end))).await?;
            }
            upload.complete().await
        };
        let Err(error) = parts.await.map_err(failed) else { return Ok(()) };
        // The completion may have worked and its reply been lost: the upload is gone, the file there.
        if (error.retryable() || answer::is_no_such_upload(&error))
            && matches!(self.holds(key, bytes).await, Ok(true))
        {
            return Ok(());
        }
        if let Err(error) = upload.abort().await {
            let error = failed(error);
            tracing::warn!(%key, %error, "storage: parts of a failed upload may remain");
        }
        Err(answer::passing(error))
    }

    /// Whether the server's file is `bytes`.
    async fn holds(&self, key: &StorageKey, bytes: &Bytes) -> Result<bool> {
        let (store, path) = self.place(key)?;
        match store.head(&path).await {
            Ok(head) if head.size == bytes.len() as u64 => Ok(self.get(key).await? == *bytes),
            Ok(_) | Err(object_store::Error::NotFound { .. }) => Ok(false),
            Err(error) => Err(answer::error(error, "look for", key, self.bucket_of(key))),
        }
    }
}

#[async_trait]
impl Storage for S3Storage {
    async fn put(&self, key: &StorageKey, content_type: &str, bytes: Bytes) -> Result<Stored> {
        crate::storage::check_content_type(content_type)?;
        let kind = || Attributes::from_iter([(Attribute::ContentType, content_type.to_owned())]);
        if bytes.len() > self.config.multipart_above {
            // Requests are repeated inside; the whole only if its upload was lost.
            let mut failed = 0;
            while let Err(error) = self.put_in_parts(key, kind(), &bytes).await {
                failed += 1;
                match answer::is_no_such_upload(&error) {
                    true => self.config.retry.wait(failed, error).await?,
                    false => return Err(error),
                }
            }
        } else {
            let (store, path) = self.place(key)?;
            let payload = PutPayload::from_bytes(bytes.clone());
            let options = PutOptions { attributes: kind(), ..PutOptions::default() };
            let put = store.put_opts(&path, payload, options).await;
            put.map_err(|error| answer::error(error, "store", key, self.bucket_of(key)))?;
        }
        Ok(Stored::new(key, &bytes))
    }

    async fn get(&self, key: &StorageKey) -> Result<Bytes> {
        let (store, path) = self.place(key)?;
        // The transport repeats requests, not replies that break off.
        let read = || async {
            let read = async { store.get(&path).await?.bytes().await };
            read.await.map_err(|error| answer::error(error, "read", key, self.bucket_of(key)))
        };
        let mut failed = 0;
        loop {
            match read().await {
                Err(error @ Error::Network { .. }) => {
                    failed += 1;
                    self.config.retry.wait(failed, error).await?;
                }
                other => return other,
            }
        }
    }

    async fn delete(&self, key: &StorageKey) -> Result<()> {
        let (store, path) = self.place(key)?;
        match store
            .delete(&path)
            .await
            .map_err(|error| answer::error(error, "delete", key, self.bucket_of(key)))
        {
            Err(Error::NotFound { .. }) => Ok(()),
            other => other,
        }
    }

    /// A bucket that does not exist has no files either: the reply does not tell them apart.
    async fn exists(&self, key: &StorageKey) -> Result<bool> {
        let (store, path) = self.place(key)?;
        match store
            .head(&path)
            .await
            .map_err(|error| answer::error(error, "look for", key, self.bucket_of(key)))
        {
            Ok(_) => Ok(true),
            Err(Error::NotFound { .. }) => Ok(false),
            Err(error) => Err(error),
        }
    }

    async fn signed_url(&self, key: &StorageKey, expires_in: Duration) -> Result<Url> {
        self.sign(Method::GET, key, expires_in).await
    }
}

/// Without the credentials.
impl fmt::Debug for S3Storage {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("S3Storage").field("config", &self.config).finish_non_exhaustive()
    }
}
