use async_trait::async_trait;
use bytes::Bytes;
use sha2::{Digest, Sha256};

use crate::{Result, StorageKey};

/// Stores whole files. Implementations pass the functions of the `conformance` module.
#[async_trait]
pub trait Storage: Send + Sync + std::fmt::Debug {
    /// Stores `bytes` under `key`, replacing what was there. When this returns, the file is durable; when it
    /// fails or is dropped, readers see the previous file or the new one, whole.
    ///
    /// # Errors
    /// [`Error::Io`](crate::Error::Io); [`retryable`](crate::Error::retryable) says whether to try again.
    async fn put(&self, key: &StorageKey, content_type: &str, bytes: Bytes) -> Result<Stored>;

    /// Reads a whole file.
    ///
    /// # Errors
    /// [`Error::NotFound`](crate::Error::NotFound), or [`Error::Io`](crate::Error::Io).
    async fn get(&self, key: &StorageKey) -> Result<Bytes>;

    /// Removes a file. Nothing stored under the key is success.
    ///
    /// # Errors
    /// [`Error::Io`](crate::Error::Io).
    async fn delete(&self, key: &StorageKey) -> Result<()>;

    /// Whether a file is stored under `key`.
    ///
    /// # Errors
    /// [`Error::Io`](crate::Error::Io).
    async fn exists(&self, key: &StorageKey) -> Result<bool>;
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

pub(crate) fn sha256_hex(bytes: &[u8]) -> String {
    Sha256::digest(bytes).iter().map(|byte| format!("{byte:02x}")).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sha256_is_that_of_fips_180() {
        assert_eq!(sha256_hex(b"abc"), "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad");
        assert_eq!(sha256_hex(b""), "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855");
    }
}
