use std::sync::Arc;

use bytes::Bytes;
use ourvidz_storage::{
    Error, LocalStorage, MemoryStorage, ReferenceFetcher, ReferenceLimits, ReferenceProblem, Storage,
    StorageKey,
};

use crate::pictures::png;

fn problem(error: Error) -> ReferenceProblem {
    match error {
        Error::Reference { problem, .. } => problem,
        other => panic!("{other}"),
    }
}

async fn stored(limits: ReferenceLimits) -> ReferenceFetcher {
    let storage = MemoryStorage::new();
    let key = StorageKey::new("user-library", "u1/cat.png").unwrap();
    storage.put(&key, "image/png", png()).await.unwrap();
    let key = StorageKey::new("user-library", "u1/note.txt").unwrap();
    storage.put(&key, "text/plain", Bytes::from_static(b"no picture")).await.unwrap();
    ReferenceFetcher::builder().storage(Arc::new(storage)).limits(limits).build().unwrap()
}

#[tokio::test]
async fn paths_are_read_from_storage() {
    let fetcher = stored(ReferenceLimits::default()).await;
    for path in ["user-library/u1/cat.png", "/user-library/u1/cat.png"] {
        fetcher.check(path).await.unwrap();
        let reference = fetcher.fetch(path).await.unwrap();
        assert_eq!((reference.bytes, reference.name.as_str()), (png(), path));
    }
    let missing = fetcher.fetch("user-library/u1/dog.png").await.unwrap_err();
    assert!(!missing.retryable());
    assert_eq!(problem(missing), ReferenceProblem::NotStored);
    assert_eq!(
        problem(fetcher.fetch("user-library/u1/note.txt").await.unwrap_err()),
        ReferenceProblem::Format
    );

    let small = stored(ReferenceLimits { max_bytes: 10, ..ReferenceLimits::default() }).await;
    let error = small.fetch("user-library/u1/cat.png").await.unwrap_err();
    assert_eq!(problem(error), ReferenceProblem::TooLarge { limit: 10 });
}

#[tokio::test]
async fn paths_that_leave_their_bucket_are_refused() {
    let folder = tempfile::tempdir().unwrap();
    std::fs::write(folder.path().join("secret.png"), png()).unwrap();
    let storage = LocalStorage::new(folder.path().join("files"));
    let key = StorageKey::new("b", "a.png").unwrap();
    storage.put(&key, "image/png", png()).await.unwrap();
    let fetcher = ReferenceFetcher::builder().storage(Arc::new(storage)).build().unwrap();
    assert!(fetcher.fetch("b/a.png").await.is_ok());
    for path in [
        "../secret.png",
        "b/../../secret.png",
        "/../secret.png",
        "b/../a.png",
        "b/./a.png",
        "b//a.png",
        "//b/a.png",
        "./b/a.png",
        "b/..",
        "..",
        ".",
        "/",
        "//",
        "b",
        "b/",
        "/b",
        "",
        "b/%2e%2e/%2e%2e/secret.png",
        "b\\..\\a.png",
        "b/a.png\0",
        "b/a.png\n",
        "C:/a.png",
        "C:\\a.png",
        "~/a.png",
        "b/\u{2025}/a.png",
        "b/.tmp-1",
        "/proc/self/environ\0.png",
    ] {
        let error = fetcher.fetch(path).await.unwrap_err();
        assert!(!error.retryable(), "{path:?}");
        assert!(matches!(problem(error), ReferenceProblem::Refused { .. }), "{path:?}");
    }
    // A path that any file system has, and no bucket.
    assert_eq!(problem(fetcher.fetch("/etc/passwd").await.unwrap_err()), ReferenceProblem::NotStored);
}

#[tokio::test]
async fn without_storage_paths_are_refused() {
    let fetcher = ReferenceFetcher::builder().build().unwrap();
    assert_eq!(problem(fetcher.fetch("b/a.png").await.unwrap_err()), ReferenceProblem::NoStorage);
    assert_eq!(problem(fetcher.check("b/a.png").await.unwrap_err()), ReferenceProblem::NoStorage);
}

#[derive(Debug)]
struct Broken(std::io::ErrorKind);

#[async_trait::async_trait]
impl Storage for Broken {
    async fn put(&self, key: &StorageKey, _: &str, _: Bytes) -> Result<ourvidz_storage::Stored, Error> {
        Err(self.error(key))
    }
    async fn get(&self, key: &StorageKey) -> Result<Bytes, Error> {
        Err(self.error(key))
    }
    async fn delete(&self, key: &StorageKey) -> Result<(), Error> {
        Err(self.error(key))
    }
    async fn exists(&self, key: &StorageKey) -> Result<bool, Error> {
        Err(self.error(key))
    }
}

impl Broken {
    fn error(&self, key: &StorageKey) -> Error {
        Error::Io { action: "read", key: key.clone(), source: self.0.into() }
    }
}

#[tokio::test]
async fn a_failing_storage_says_whether_to_try_again() {
    for (kind, retryable) in
        [(std::io::ErrorKind::TimedOut, true), (std::io::ErrorKind::PermissionDenied, false)]
    {
        let fetcher = ReferenceFetcher::builder().storage(Arc::new(Broken(kind))).build().unwrap();
        let error = fetcher.fetch("b/a.png").await.unwrap_err();
        assert_eq!(error.retryable(), retryable);
        assert!(std::error::Error::source(&error).is_some());
        assert_eq!(problem(error), ReferenceProblem::Storage { retryable });
    }
}
