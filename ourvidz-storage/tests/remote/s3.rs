use std::time::Duration;

use axum::http::Method;
use ourvidz_storage::conformance::{self, Held, Observer};
use ourvidz_storage::{Error, S3Config, S3Credentials, S3Storage, Storage, StorageKey};

use crate::s3_mock::{ID, S3};
use crate::server::Server;
use crate::{PATIENT, QUICK, SECRET, content, key, shown};

pub(crate) fn config(server: &Server<S3>) -> S3Config {
    let credentials = S3Credentials::Key { id: ID.into(), secret: SECRET.into(), token: None };
    S3Config {
        endpoint: Some(server.address.parse().unwrap()),
        timeouts: PATIENT,
        retry: QUICK,
        multipart_above: 6 << 20,
        part_size: 5 << 20,
        ..S3Config::new("us-east-1", credentials)
    }
}

pub(crate) async fn start() -> (Server<S3>, S3Storage) {
    let server = Server::start(S3::new()).await;
    let storage = S3Storage::new(config(&server)).unwrap();
    (server, storage)
}

#[tokio::test]
async fn conforms() {
    let (server, storage) = start().await;
    conformance::all(&storage).await.unwrap();
    conformance::holds_what_was_put(&storage, &*server.backend).await.unwrap();
    assert!(server.backend.state().objects.is_empty());
    assert!(server.backend.state().uploads.is_empty());
    // Two files of 7 MB in two parts each; a request to begin and one to complete.
    assert_eq!(server.count(Method::POST, ""), 4);
}

#[tokio::test]
async fn one_bucket_can_hold_all() {
    let server = Server::start(S3::new()).await;
    let bucket = Some("results".to_owned());
    let storage = S3Storage::new(S3Config { bucket, ..config(&server) }).unwrap();
    conformance::all(&storage).await.unwrap();

    // Buckets of keys are folders here, which need not be made.
    let clip = StorageKey::new("clips", "u/j/0.mp4").unwrap();
    storage.put(&clip, "video/mp4", content(1, 10)).await.unwrap();
    let inside = StorageKey::new("results", "clips/u/j/0.mp4").unwrap();
    let held = Held::new(&content(1, 10), Some("video/mp4".to_owned()));
    assert_eq!(server.backend.held(&inside), Some(held));
}

#[tokio::test]
async fn a_missing_bucket_is_named() {
    let (server, storage) = start().await;
    let key = StorageKey::new("clips", "u/j/0.mp4").unwrap();
    let small = storage.put(&key, "video/mp4", content(1, 10)).await.map(drop);
    let large = storage.put(&key, "video/mp4", content(1, 7_000_000)).await.map(drop);
    let get = storage.get(&key).await.map(drop);
    let delete = storage.delete(&key).await;
    for result in [small, large, get, delete] {
        let error = result.unwrap_err();
        assert!(matches!(&error, Error::NoSuchBucket { bucket, .. } if bucket == "clips"), "{error:?}");
        assert!(!error.retryable());
    }
    let requests: usize = [Method::PUT, Method::POST, Method::GET].map(|m| server.count(m, "")).iter().sum();
    assert_eq!((requests, server.count(Method::DELETE, "")), (3, 1));

    let bucket = Some("nowhere".to_owned());
    let storage = S3Storage::new(S3Config { bucket, ..config(&server) }).unwrap();
    let error = storage.get(&key).await.unwrap_err();
    assert!(matches!(&error, Error::NoSuchBucket { bucket, .. } if bucket == "nowhere"), "{error:?}");
}

#[tokio::test]
async fn signed_urls_read_and_write_until_they_expire() {
    let (server, storage) = start().await;
    let client = reqwest::Client::new();
    for path in ["u/j/0.png", "u/a b (1)/x=1&y,z+w;v:@$!'*?.png"] {
        server.backend.state().now = 0;
        let key = key(path);
        let minute = Duration::from_secs(60);
        let up = storage.signed_upload_url(&key, minute).await.unwrap();
        assert_eq!(client.put(up).body(content(2, 500)).send().await.unwrap().status(), 200);
        let down = storage.signed_url(&key, minute).await.unwrap();
        assert!(!down.as_str().contains(SECRET));
        let fetch = async || client.get(down.clone()).send().await.unwrap();
        assert_eq!(fetch().await.bytes().await.unwrap(), content(2, 500), "{path}");
        server.backend.state().now = 60;
        assert_eq!(fetch().await.status(), 403);
    }
    let forever = storage.signed_url(&key("u/j/0.png"), Duration::from_secs(8 * 24 * 3600)).await;
    assert!(matches!(forever, Err(Error::Setting { field: "expires_in", .. })), "{forever:?}");
}

#[tokio::test]
async fn wrong_credentials_are_said_once_and_not_shown() {
    let (server, _) = start().await;
    let credentials = S3Credentials::Key { id: "another".into(), secret: SECRET.into(), token: None };
    let storage = S3Storage::new(S3Config { credentials, ..config(&server) }).unwrap();
    let error = storage.put(&key("u/j/0.png"), "image/png", content(1, 10)).await.unwrap_err();
    assert!(matches!(error, Error::Unauthenticated { .. }) && !error.retryable(), "{error:?}");
    assert_eq!(server.count(Method::PUT, ""), 1);
    assert!(!shown(&error).contains(SECRET));
    assert!(!format!("{storage:?}").contains(SECRET), "{storage:?}");
}
