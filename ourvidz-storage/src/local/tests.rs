#![allow(clippy::unwrap_used)]

use super::*;

fn names(folder: &Path) -> Vec<String> {
    let mut names: Vec<_> = fs::read_dir(folder)
        .unwrap()
        .map(|entry| entry.unwrap().file_name().into_string().unwrap())
        .collect();
    names.sort();
    names
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn conforms() {
    let root = tempfile::tempdir().unwrap();
    crate::conformance::all(&LocalStorage::new(root.path())).await.unwrap();
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
