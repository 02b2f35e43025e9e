//! What every [`Storage`] does, as functions that panic when one does not.
//!
//! They write below `conformance/` in the bucket `workspace-temp` and delete what they wrote. [`all`] needs the
//! store alone; [`holds_what_was_put`] looks into it.

use bytes::Bytes;

use crate::storage::sha256_hex;
use crate::{Error, Result, Storage, StorageKey};

const BUCKET: &str = "workspace-temp";

/// Runs every function of this module that needs the store alone.
///
/// # Errors
/// The store's own, where it should have succeeded.
///
/// # Panics
/// When the store does something else than the trait says.
pub async fn all(storage: &dyn Storage) -> Result<()> {
    put_then_get(storage).await?;
    odd_characters_are_kept(storage).await?;
    what_no_store_takes_is_refused(storage).await?;
    put_overwrites(storage).await?;
    missing_is_not_found(storage).await?;
    delete_is_idempotent(storage).await?;
    keys_are_apart(storage).await?;
    concurrent_puts_leave_one_whole_version(storage).await?;
    crate::probe(storage, BUCKET).await?;
    Ok(())
}

/// Looks into the store beside [`Storage`], e.g. into the server of a remote one.
pub trait Observer: Sync {
    /// What is held under `key`.
    fn held(&self, key: &StorageKey) -> Option<Held>;
}

/// What an [`Observer`] sees of a file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Held {
    /// SHA-256 of the content, 64 lower-case hexadecimal digits.
    pub sha256: String,
    /// The content type; `None` where the store keeps none.
    pub content_type: Option<String>,
}

impl Held {
    /// Describes `bytes`.
    pub fn new(bytes: &[u8], content_type: Option<String>) -> Self {
        Self { sha256: sha256_hex(bytes), content_type }
    }
}

/// Content of 0 bytes, 1 byte and 7 MB is in the store as it was put, with its content type, replaced and
/// removed when it is here.
///
/// # Errors
/// The store's own.
///
/// # Panics
/// When the store holds anything else.
pub async fn holds_what_was_put(storage: &dyn Storage, observer: &dyn Observer) -> Result<()> {
    let key = key("held/0.bin")?;
    let files = [
        ("video/mp4", content(30, 7_000_000)),
        ("image/webp", content(31, 1)),
        ("image/png", content(32, 0)),
    ];
    assert_eq!(observer.held(&key), None);
    for (content_type, bytes) in files {
        let stored = storage.put(&key, content_type, bytes).await?;
        let held = observer.held(&key);
        assert_eq!(held.as_ref().map(|held| &held.sha256), Some(&stored.sha256), "{content_type}");
        if let Some(kept) = held.and_then(|held| held.content_type) {
            assert_eq!(kept, content_type);
        }
    }
    storage.delete(&key).await?;
    assert_eq!(observer.held(&key), None);
    Ok(())
}

/// Keys of every character a [`StorageKey`] can have, and content told apart by them.
///
/// # Errors
/// The store's own.
///
/// # Panics
/// When a file is not found again, or two keys share one.
pub async fn odd_characters_are_kept(storage: &dyn Storage) -> Result<()> {
    let mut keys = vec![key("odd/a b (1)/x=1&y,z+w;v:@$!'*?.png")?, key("odd/...a/b..")?, key("odd/ab.png")?];
    for character in "!-_.*'() &$=@;:+,?".chars() {
        keys.push(key(&format!("odd/a{character}b.png"))?);
    }
    for (seed, key) in (40..).zip(&keys) {
        storage.put(key, "image/png", content(seed, 50)).await?;
    }
    for (seed, key) in (40..).zip(&keys) {
        assert!(storage.exists(key).await?, "{key}");
        assert_eq!(storage.get(key).await?, content(seed, 50), "{key}");
    }
    for key in &keys {
        storage.delete(key).await?;
        assert!(!storage.exists(key).await?, "{key}");
    }
    Ok(())
}

/// Keys with letters beyond ASCII are no keys, and a content type that is no header is refused for good.
///
/// # Errors
/// The store's own.
///
/// # Panics
/// When either is taken.
pub async fn what_no_store_takes_is_refused(storage: &dyn Storage) -> Result<()> {
    for path in ["\u{e9}.png", "\u{732b}/0.png", "u/\u{1f600}.png", "u\u{a0}/0.png"] {
        assert!(matches!(key(path), Err(Error::InvalidKey { .. })), "{path:?}");
    }
    let key = key("refused/0.png")?;
    for content_type in ["", "png", "image/png\r\nx-upsert: false"] {
        let put = storage.put(&key, content_type, content(1, 1)).await;
        assert!(matches!(&put, Err(error) if !error.retryable()), "{content_type:?}: {put:?}");
    }
    assert!(!storage.exists(&key).await?);
    Ok(())
}

/// Content of 0 bytes, 1 byte and 7 MB comes back, with its size and SHA-256.
///
/// # Errors
/// The store's own.
///
/// # Panics
/// When the content, the size or the hash differ.
pub async fn put_then_get(storage: &dyn Storage) -> Result<()> {
    for (name, bytes) in [("empty", content(0, 0)), ("byte", content(1, 1)), ("large", content(2, 7_000_000))]
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
    StorageKey::new(BUCKET, format!("conformance/{path}"))
}

/// Bytes that differ by seed in every block, so that a mixture of two contents equals neither.
fn content(seed: u8, len: usize) -> Bytes {
    let block: Vec<u8> = (0..=255u8).map(|i| i.wrapping_mul(31).wrapping_add(seed)).collect();
    let mut bytes = block.repeat(len.div_ceil(block.len()));
    bytes.truncate(len);
    bytes.into()
}
