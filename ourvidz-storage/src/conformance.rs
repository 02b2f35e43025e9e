//! What every [`Storage`] does, as functions that panic when one does not.
//!
//! They write below `conformance/` in the bucket `workspace-temp` and delete what they wrote.

use bytes::Bytes;

use crate::storage::sha256_hex;
use crate::{Error, Result, Storage, StorageKey};

/// Runs every function of this module.
///
/// # Errors
/// The store's own, where it should have succeeded.
///
/// # Panics
/// When the store does something else than the trait says.
pub async fn all(storage: &dyn Storage) -> Result<()> {
    put_then_get(storage).await?;
    put_overwrites(storage).await?;
    missing_is_not_found(storage).await?;
    delete_is_idempotent(storage).await?;
    keys_are_apart(storage).await?;
    concurrent_puts_leave_one_whole_version(storage).await
}

/// Content of 0 bytes, 1 byte and 3 MB comes back, with its size and SHA-256.
///
/// # Errors
/// The store's own.
///
/// # Panics
/// When the content, the size or the hash differ.
pub async fn put_then_get(storage: &dyn Storage) -> Result<()> {
    for (name, bytes) in [("empty", content(0, 0)), ("byte", content(1, 1)), ("large", content(2, 3_000_000))]
    {
        let key = key(&format!("put/{name}.png"))?;
        let stored = storage.put(&key, "image/png", bytes.clone()).await?;
        assert_eq!(stored.key, key);
        assert_eq!(stored.size, bytes.len() as u64);
        assert_eq!(stored.sha256, sha256_hex(&bytes), "{name}: the hash reported is not of what was given");
        assert!(storage.exists(&key).await?, "{name}: stored, yet absent");
        let back = storage.get(&key).await?;
        assert_eq!(sha256_hex(&back), stored.sha256, "{name}: other content came back");
        storage.delete(&key).await?;
    }
    Ok(())
}

/// A second put replaces the first, shorter content included.
///
/// # Errors
/// The store's own.
///
/// # Panics
/// When anything of the first content is left.
pub async fn put_overwrites(storage: &dyn Storage) -> Result<()> {
    let key = key("overwrite/0.png")?;
    for bytes in [content(3, 5000), content(4, 70), content(5, 9000)] {
        storage.put(&key, "image/png", bytes.clone()).await?;
        assert_eq!(storage.get(&key).await?, bytes);
    }
    storage.delete(&key).await
}

/// A key nothing was stored under.
///
/// # Errors
/// The store's own.
///
/// # Panics
/// When `get` gives anything but [`Error::NotFound`] with the key, or `exists` is true.
pub async fn missing_is_not_found(storage: &dyn Storage) -> Result<()> {
    let key = key("missing/0.png")?;
    assert!(!storage.exists(&key).await?);
    match storage.get(&key).await {
        Err(error @ Error::NotFound { .. }) => {
            assert!(!error.retryable());
            assert!(matches!(error, Error::NotFound { key: named } if named == key));
        }
        other => assert!(matches!(other, Err(Error::NotFound { .. })), "{other:?}"),
    }
    Ok(())
}

/// Deleting removes, and deleting again succeeds.
///
/// # Errors
/// The store's own.
///
/// # Panics
/// When the file is still there.
pub async fn delete_is_idempotent(storage: &dyn Storage) -> Result<()> {
    let key = key("delete/0.png")?;
    storage.put(&key, "image/png", content(6, 10)).await?;
    for _ in 0..2 {
        storage.delete(&key).await?;
        assert!(!storage.exists(&key).await?);
    }
    storage.put(&key, "image/png", content(7, 10)).await?;
    assert_eq!(storage.get(&key).await?, content(7, 10));
    storage.delete(&key).await
}

/// Keys that look alike name different files.
///
/// # Errors
/// The store's own.
///
/// # Panics
/// When two keys share a file.
pub async fn keys_are_apart(storage: &dyn Storage) -> Result<()> {
    let keys = [key("apart/0.png")?, key("apart/0.thumb.webp")?, key("apart/1.png")?, key("apart/A/0.png")?];
    for (seed, key) in (8..).zip(&keys) {
        storage.put(key, "image/png", content(seed, 100)).await?;
    }
    for (seed, key) in (8..).zip(&keys) {
        assert_eq!(storage.get(key).await?, content(seed, 100), "{key}");
    }
    let [first, others @ ..] = &keys;
    storage.delete(first).await?;
    for key in others {
        assert!(storage.exists(key).await?, "{key} went with {first}");
        storage.delete(key).await?;
    }
    Ok(())
}

/// Four writers and a reader at once: every read, and what is left, is one writer's whole content.
///
/// # Errors
/// The store's own.
///
/// # Panics
/// When a mixture or a part is read.
pub async fn concurrent_puts_leave_one_whole_version(storage: &dyn Storage) -> Result<()> {
    let key = key("concurrent/0.png")?;
    let versions = [content(20, 300_000), content(21, 200_000), content(22, 100_000), content(23, 1)];
    storage.put(&key, "image/png", versions[0].clone()).await?;
    let write = |version: usize| {
        let (key, versions) = (&key, &versions);
        async move {
            for _ in 0..8 {
                storage.put(key, "image/png", versions[version].clone()).await?;
            }
            Ok::<_, Error>(())
        }
    };
    let read = async {
        for _ in 0..32 {
            let bytes = storage.get(&key).await?;
            assert!(versions.contains(&bytes), "read {} bytes that nobody wrote", bytes.len());
        }
        Ok::<_, Error>(())
    };
    tokio::try_join!(write(0), write(1), write(2), write(3), read)?;
    assert!(versions.contains(&storage.get(&key).await?));
    storage.delete(&key).await
}

fn key(path: &str) -> Result<StorageKey> {
    StorageKey::new("workspace-temp", format!("conformance/{path}"))
}

/// Bytes that differ by seed in every block, so that a mixture of two contents equals neither.
fn content(seed: u8, len: usize) -> Bytes {
    (0..len).map(|i| (i as u8).wrapping_mul(31).wrapping_add(seed)).collect()
}
