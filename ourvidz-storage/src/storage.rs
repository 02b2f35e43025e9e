use std::time::Duration;

use async_trait::async_trait;
use bytes::Bytes;
use sha2::{Digest, Sha256};
use url::Url;

use crate::{Error, Result, StorageKey};

/// Longest life of a signed URL, in seconds: 7 days, the limit of S3.
const MAX_EXPIRY: u64 = 7 * 24 * 3600;

/// Stores whole files. Implementations pass the functions of the `conformance` module.
#[async_trait]
pub trait Storage: Send + Sync + std::fmt::Debug {
    /// Stores `bytes` under `key`, replacing what was there. When this returns, the file is durable; when it
    /// fails or is dropped, readers see the previous file or the new one, whole. Remote stores have repeated
    /// what passes before they report it.
    ///
    /// # Errors
    /// Those of [`Error`] that the store can have; [`retryable`](crate::Error::retryable) says whether to try
    /// again. [`Error::Setting`] for a content type that is not `type/subtype` in visible ASCII.
    async fn put(&self, key: &StorageKey, content_type: &str, bytes: Bytes) -> Result<Stored>;

    /// Reads a whole file.
    ///
    /// # Errors
    /// [`Error::NotFound`], or the store's own.
    async fn get(&self, key: &StorageKey) -> Result<Bytes>;

    /// Removes a file. Nothing stored under the key is success.
    ///
    /// # Errors
    /// The store's own.
    async fn delete(&self, key: &StorageKey) -> Result<()>;

    /// Whether a file is stored under `key`.
    ///
    /// # Errors
    /// The store's own.
    async fn exists(&self, key: &StorageKey) -> Result<bool>;

    /// A URL with which anyone may read the file until it expires: 1 second to 7 days from now, whole seconds.
    /// Supabase asks the server and finds out whether the file is there; S3 signs without asking.
    ///
    /// # Errors
    /// [`Error::Unsupported`] from stores without such URLs, [`Error::Setting`] for another time,
    /// [`Error::NotFound`], or the store's own.
    async fn signed_url(&self, key: &StorageKey, expires_in: Duration) -> Result<Url> {
        let _ = (key, expires_in);
        Err(Error::Unsupported { store: "this store", action: "sign URLs" })
    }
}

/// What was stored.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Stored {
    /// Where.
    pub key: StorageKey,
    /// Size in bytes.
    pub size: u64,
    /// SHA-256 of the content, 64 lower-case hexadecimal digits.
    pub sha256: String,
}

impl Stored {
    /// Describes `bytes` stored under `key`.
    pub fn new(key: &StorageKey, bytes: &[u8]) -> Self {
        Self { key: key.clone(), size: bytes.len() as u64, sha256: sha256_hex(bytes) }
    }
}

/// A content type goes into a header.
pub(crate) fn check_content_type(content_type: &str) -> Result<()> {
    let mut parts = content_type.split('/');
    let whole =
        parts.next().is_some_and(|kind| !kind.is_empty()) && parts.next().is_some_and(|sub| !sub.is_empty());
    if whole && content_type.bytes().all(|b| b == b' ' || b.is_ascii_graphic()) {
        return Ok(());
    }
    let rule = "must be type/subtype in visible ASCII";
    Err(Error::Setting { field: "content_type", rule, value: content_type.to_owned() })
}

/// The seconds a signed URL is good for.
pub(crate) fn check_expiry(expires_in: Duration) -> Result<u64> {
    match expires_in.as_secs() {
        seconds @ 1..=MAX_EXPIRY => Ok(seconds),
        _ => Err(Error::Setting {
            field: "expires_in",
            rule: "must be from 1 second to 7 days",
            value: format!("{expires_in:?}"),
        }),
    }
}

pub(crate) fn sha256_hex(bytes: &[u8]) -> String {
    Sha256::digest(bytes).iter().map(|byte| format!("{byte:02x}")).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn content_types_and_expiries_have_rules() {
        for good in ["image/png", "video/mp4", "text/plain; charset=utf-8"] {
            assert!(check_content_type(good).is_ok(), "{good}");
        }
        for bad in ["", "png", "/png", "image/", "image/png\r\nx: y", "image/é"] {
            assert!(matches!(check_content_type(bad), Err(Error::Setting { .. })), "{bad:?}");
        }
        assert!(matches!(check_expiry(Duration::from_millis(1500)), Ok(1)));
        assert!(matches!(check_expiry(Duration::from_secs(MAX_EXPIRY)), Ok(MAX_EXPIRY)));
        for bad in [Duration::from_millis(999), Duration::from_secs(MAX_EXPIRY + 1)] {
            assert!(matches!(check_expiry(bad), Err(Error::Setting { .. })), "{bad:?}");
        }
    }

    #[test]
    fn sha256_is_that_of_fips_180() {
        assert_eq!(sha256_hex(b"abc"), "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad");
        assert_eq!(sha256_hex(b""), "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855");
    }
}
