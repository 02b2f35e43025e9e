use std::time::{Duration, Instant};

use bytes::Bytes;

use crate::{Error, Result, Storage, StorageKey};

/// How long each step of [`probe()`] took.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Probe {
    /// Writing.
    pub put: Duration,
    /// Reading back.
    pub get: Duration,
    /// Deleting.
    pub delete: Duration,
}

/// Whether files can be stored in `bucket`: writes a file of some 50 bytes below `ourvidz-probe/`, reads it
/// back and deletes it. Its type is `image/png`: a bucket that only takes other types refuses it.
///
/// # Errors
/// The store's own; [`Error::Unexpected`] if other content came back. The file is deleted even then.
pub async fn probe(storage: &dyn Storage, bucket: &str) -> Result<Probe> {
    let now = std::time::UNIX_EPOCH.elapsed().unwrap_or_default().as_nanos();
    let id = format!("{now:x}-{:08x}", rand::random::<u32>());
    let key = StorageKey::new(bucket, format!("ourvidz-probe/{id}.png"))?;
    let content = Bytes::from(format!("OurVidz storage probe {id}"));

    let begin = Instant::now();
    storage.put(&key, "image/png", content.clone()).await?;
    let put = begin.elapsed();

    let begin = Instant::now();
    let read = storage.get(&key).await;
    let get = begin.elapsed();

    let begin = Instant::now();
    let deleted = storage.delete(&key).await;
    let delete = begin.elapsed();

    let read = read?;
    deleted?;
    match read == content {
        true => Ok(Probe { put, get, delete }),
        false => Err(Error::Unexpected {
            action: "read",
            key,
            expected: format!("the {} bytes just written", content.len()),
            found: format!("{} others", read.len()),
        }),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{MemoryStorage, Stored};
    use async_trait::async_trait;

    #[tokio::test]
    async fn leaves_nothing() -> Result<()> {
        let storage = MemoryStorage::new();
        probe(&storage, "workspace-temp").await?;
        assert!(storage.keys().is_empty());
        assert!(matches!(probe(&storage, "a/b").await, Err(Error::InvalidKey { .. })));
        Ok(())
    }

    #[derive(Debug, Default)]
    struct Forgetful(MemoryStorage);

    #[async_trait]
    impl Storage for Forgetful {
        async fn put(&self, key: &StorageKey, content_type: &str, _: Bytes) -> Result<Stored> {
            self.0.put(key, content_type, Bytes::from_static(b"other")).await
        }

        async fn get(&self, key: &StorageKey) -> Result<Bytes> {
            self.0.get(key).await
        }

        async fn delete(&self, key: &StorageKey) -> Result<()> {
            self.0.delete(key).await
        }

        async fn exists(&self, key: &StorageKey) -> Result<bool> {
            self.0.exists(key).await
        }
    }

    #[tokio::test]
    async fn other_content_is_an_error_and_deleted() {
        let storage = Forgetful::default();
        let probed = probe(&storage, "b").await;
        assert!(matches!(probed, Err(Error::Unexpected { .. })), "{probed:?}");
        assert!(storage.0.keys().is_empty());
    }
}
