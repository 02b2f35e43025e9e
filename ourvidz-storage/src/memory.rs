use std::collections::BTreeMap;
use std::sync::{Mutex, MutexGuard, PoisonError};

use async_trait::async_trait;
use bytes::Bytes;

use crate::{Error, Result, Storage, StorageKey, Stored};

/// Files in memory, for tests. Nothing survives the value.
#[derive(Debug, Default)]
pub struct MemoryStorage {
    files: Mutex<BTreeMap<StorageKey, File>>,
}

#[derive(Debug)]
struct File {
    content_type: String,
    bytes: Bytes,
}

impl MemoryStorage {
    /// An empty store.
    pub fn new() -> Self {
        Self::default()
    }

    /// Every key, sorted.
    pub fn keys(&self) -> Vec<StorageKey> {
        self.files().keys().cloned().collect()
    }

    /// The content type a file was stored with.
    pub fn content_type(&self, key: &StorageKey) -> Option<String> {
        self.files().get(key).map(|file| file.content_type.clone())
    }

    // Each critical section is one call on the map, so a poisoned lock guards a whole map.
    fn files(&self) -> MutexGuard<'_, BTreeMap<StorageKey, File>> {
        self.files.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[async_trait]
impl Storage for MemoryStorage {
    async fn put(&self, key: &StorageKey, content_type: &str, bytes: Bytes) -> Result<Stored> {
        crate::storage::check_content_type(content_type)?;
        let stored = Stored::new(key, &bytes);
        self.files().insert(key.clone(), File { content_type: content_type.to_owned(), bytes });
        Ok(stored)
    }

    async fn get(&self, key: &StorageKey) -> Result<Bytes> {
        let file = self.files().get(key).map(|file| file.bytes.clone());
        file.ok_or_else(|| Error::NotFound { key: key.clone() })
    }

    async fn delete(&self, key: &StorageKey) -> Result<()> {
        self.files().remove(key);
        Ok(())
    }

    async fn exists(&self, key: &StorageKey) -> Result<bool> {
        Ok(self.files().contains_key(key))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    use crate::conformance::{self, Held, Observer};

    impl Observer for MemoryStorage {
        fn held(&self, key: &StorageKey) -> Option<Held> {
            let files = self.files();
            files.get(key).map(|file| Held::new(&file.bytes, Some(file.content_type.clone())))
        }
    }

    #[tokio::test]
    async fn conforms() -> Result<()> {
        let storage = MemoryStorage::new();
        conformance::all(&storage).await?;
        conformance::holds_what_was_put(&storage, &storage).await
    }

    #[tokio::test]
    async fn remembers_the_content_type() -> Result<()> {
        let storage = MemoryStorage::new();
        let key = StorageKey::new("b", "u/j/0.png")?;
        storage.put(&key, "image/png", Bytes::from_static(b"x")).await?;
        assert_eq!(storage.content_type(&key).as_deref(), Some("image/png"));
        assert_eq!(storage.keys(), [key]);
        Ok(())
    }
}
