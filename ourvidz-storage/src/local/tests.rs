#![allow(clippy::unwrap_used)]

use super::*;
use crate::conformance::{self, Held, Observer};

fn names(folder: &Path) -> Vec<String> {
    let mut names: Vec<_> = fs::read_dir(folder)
        .unwrap()
        .map(|entry| entry.unwrap().file_name().into_string().unwrap())
        .collect();
    names.sort();
    names
}

impl Observer for LocalStorage {
    fn held(&self, key: &StorageKey) -> Option<Held> {
        fs::read(self.path_of(key)).ok().map(|bytes| Held::new(&bytes, None))
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn conforms() {
    let root = tempfile::tempdir().unwrap();
    let storage = LocalStorage::new(root.path());
    conformance::all(&storage).await.unwrap();
    conformance::holds_what_was_put(&storage, &storage).await.unwrap();
}

#[tokio::test]
async fn a_put_leaves_one_file_in_its_place() {
    let root = tempfile::tempdir().unwrap();
    let storage = LocalStorage::new(root.path().join("not/yet/there"));
    let key = StorageKey::new("workspace-temp", "u/j/0.png").unwrap();
    storage.put(&key, "image/png", Bytes::from_static(b"one")).await.unwrap();
    storage.put(&key, "image/png", Bytes::from_static(b"two")).await.unwrap();
    let path = root.path().join("not/yet/there/workspace-temp/u/j/0.png");
    assert_eq!(fs::read(&path).unwrap(), b"two");
    assert_eq!(path, storage.path_of(&key));
    assert_eq!(names(path.parent().unwrap()), ["0.png"]);
}

#[tokio::test]
async fn a_put_that_fails_leaves_nothing() {
    let root = tempfile::tempdir().unwrap();
    let storage = LocalStorage::new(root.path());
    fs::create_dir_all(root.path().join("b/u/taken/below")).unwrap();

    // The rename fails after the whole file was written beside it.
    let taken = StorageKey::new("b", "u/taken").unwrap();
    let error = storage.put(&taken, "image/png", Bytes::from_static(b"x")).await.unwrap_err();
    assert!(matches!(&error, Error::Io { action: "write", key, .. } if *key == taken), "{error:?}");
    assert!(std::error::Error::source(&error).is_some());
    assert!(!error.retryable(), "{error:?}");
    assert_eq!(names(&root.path().join("b/u")), ["taken"]);

    // A file where a folder should be.
    fs::write(root.path().join("b/file"), b"kept").unwrap();
    let below = StorageKey::new("b", "file/0.png").unwrap();
    let error = storage.put(&below, "image/png", Bytes::from_static(b"x")).await.unwrap_err();
    assert!(!error.retryable(), "{error:?}");
    assert_eq!(fs::read(root.path().join("b/file")).unwrap(), b"kept");
    assert_eq!(names(&root.path().join("b")), ["file", "u"]);
}

#[tokio::test]
async fn a_folder_is_not_a_file() {
    let root = tempfile::tempdir().unwrap();
    fs::create_dir_all(root.path().join("b/u/j")).unwrap();
    let storage = LocalStorage::new(root.path());
    let folder = StorageKey::new("b", "u/j").unwrap();
    assert!(!storage.exists(&folder).await.unwrap());
    assert!(matches!(storage.get(&folder).await, Err(Error::NotFound { .. })));
}

#[test]
fn a_full_disk_is_worth_another_try_and_a_forbidden_path_is_not() {
    let error = |kind: io::ErrorKind| Error::Io {
        action: "write",
        key: StorageKey::new("b", "p").unwrap(),
        source: kind.into(),
    };
    for kind in [io::ErrorKind::StorageFull, io::ErrorKind::Interrupted, io::ErrorKind::TimedOut] {
        assert!(error(kind).retryable(), "{kind:?}");
    }
    for kind in [io::ErrorKind::PermissionDenied, io::ErrorKind::ReadOnlyFilesystem] {
        assert!(!error(kind).retryable(), "{kind:?}");
    }
}

#[tokio::test]
async fn the_sweep_removes_old_unfinished_files_and_nothing_else() {
    let root = tempfile::tempdir().unwrap();
    let storage = LocalStorage::new(root.path().join("files"));
    assert_eq!(storage.sweep_unfinished().await.unwrap(), 0);

    let key = StorageKey::new("b", "u/j/0.png").unwrap();
    storage.put(&key, "image/png", Bytes::from_static(b"kept")).await.unwrap();
    let folder = root.path().join("files/b/u/j");
    let old = std::time::SystemTime::now() - std::time::Duration::from_secs(3601);
    for (name, is_old) in [(".tmp-1-0-1", true), (".tmp-2-0-1", false), ("old.png", true)] {
        let file = File::create(folder.join(name)).unwrap();
        if is_old {
            file.set_modified(old).unwrap();
        }
    }
    assert_eq!(storage.sweep_unfinished().await.unwrap(), 1);
    assert_eq!(names(&folder), [".tmp-2-0-1", "0.png", "old.png"]);
    assert_eq!(storage.get(&key).await.unwrap(), "kept");
}

#[tokio::test]
async fn a_folder_has_no_signed_urls() {
    let root = tempfile::tempdir().unwrap();
    let key = StorageKey::new("b", "u/j/0.png").unwrap();
    let signed = LocalStorage::new(root.path()).signed_url(&key, std::time::Duration::from_secs(60)).await;
    assert!(matches!(signed, Err(Error::Unsupported { .. })), "{signed:?}");
}
