use std::time::Duration;

use axum::http::Method;
use bytes::Bytes;
use ourvidz_storage::conformance::{self, Observer};
use ourvidz_storage::{Error, Storage, StorageKey, SupabaseConfig, SupabaseStorage, probe};
use secrecy::SecretString;

use crate::server::Server;
use crate::supabase_mock::Supabase;
use crate::{PATIENT, QUICK, SECRET, content, key, shown};

pub(crate) const CHUNK: usize = 256 << 10;

pub(crate) fn config(server: &Server<Supabase>) -> SupabaseConfig {
    SupabaseConfig {
        timeouts: PATIENT,
        chunk_size: CHUNK,
        retry: QUICK,
        ..SupabaseConfig::new(server.address.parse().unwrap(), SECRET.into())
    }
}

pub(crate) async fn start() -> (Server<Supabase>, SupabaseStorage) {
    let server = Server::start(Supabase::new()).await;
    let storage = SupabaseStorage::new(config(&server)).unwrap();
    (server, storage)
}

#[tokio::test]
async fn conforms() {
    let (server, storage) = start().await;
    conformance::all(&storage).await.unwrap();
    conformance::holds_what_was_put(&storage, &*server.backend).await.unwrap();
    assert!(server.backend.state().objects.is_empty());
    // 7 MB are above the limit, 3 MB are not; nothing was sent twice.
    assert_eq!(server.count(Method::PATCH, "/upload/resumable/"), 2 * 7_000_000usize.div_ceil(CHUNK));
    assert_eq!(server.count(Method::HEAD, ""), 0);
}

#[tokio::test]
async fn the_url_may_have_its_path_already() {
    let server = Server::start(Supabase::new()).await;
    for path in ["", "/", "/storage/v1", "/storage/v1/"] {
        let url = format!("{}{path}", server.address).parse().unwrap();
        let storage = SupabaseStorage::new(SupabaseConfig { url, ..config(&server) }).unwrap();
        probe(&storage, "workspace-temp").await.unwrap();
    }
}

#[tokio::test]
async fn a_missing_bucket_is_named_by_every_call() {
    let (server, storage) = start().await;
    let key = StorageKey::new("clips", "u/j/0.mp4").unwrap();
    let small = storage.put(&key, "video/mp4", content(1, 10)).await.map(drop);
    let large = storage.put(&key, "video/mp4", content(1, 7_000_000)).await.map(drop);
    let get = storage.get(&key).await.map(drop);
    let exists = storage.exists(&key).await.map(drop);
    let delete = storage.delete(&key).await;
    let signed = storage.signed_url(&key, Duration::from_secs(60)).await.map(drop);
    for result in [small, large, get, exists, delete, signed] {
        let error = result.unwrap_err();
        assert!(matches!(&error, Error::NoSuchBucket { bucket, .. } if bucket == "clips"), "{error:?}");
        assert!(!error.retryable());
    }
    let requests: usize =
        [Method::POST, Method::GET, Method::DELETE].map(|m| server.count(m, "")).iter().sum();
    assert_eq!(requests, 6, "a missing bucket was asked for again");
}

#[tokio::test]
async fn signed_urls_read_and_write_until_they_expire() {
    let (server, storage) = start().await;
    let client = reqwest::Client::new();
    // Characters that a URL keeps, that it encodes, and that the server's decodeURI would leave encoded.
    for path in ["u/j/0.png", "u/a b (1)/x=1&y,z+w;v:@$!'*.png"] {
        let key = key(path);
        let missing = storage.signed_url(&key, Duration::from_secs(60)).await;
        assert!(matches!(missing, Err(Error::NotFound { .. })), "{missing:?}");

        let up = storage.signed_upload_url(&key).await.unwrap();
        let request = client.put(up.clone()).header("content-type", "image/png").body(content(2, 500));
        assert_eq!(request.send().await.unwrap().status(), 200);
        assert_eq!(storage.get(&key).await.unwrap(), content(2, 500));

        let down = storage.signed_url(&key, Duration::from_secs(60)).await.unwrap();
        assert!(down.as_str().starts_with(&server.address), "{down}");
        let fetch = async || client.get(down.clone()).send().await.unwrap();
        assert_eq!(fetch().await.bytes().await.unwrap(), content(2, 500), "{path}");
        server.backend.state().now += 59;
        assert_eq!(fetch().await.status(), 200);
        server.backend.state().now += 1;
        assert_eq!(fetch().await.status(), 400);
    }
    let odd = storage.signed_url(&key("u/what?.png"), Duration::from_secs(60)).await;
    assert!(matches!(odd, Err(Error::Unsupported { .. })), "{odd:?}");
    let forever = storage.signed_url(&key("u/j/0.png"), Duration::from_secs(8 * 24 * 3600)).await;
    assert!(matches!(forever, Err(Error::Setting { field: "expires_in", .. })), "{forever:?}");
}

#[tokio::test]
async fn a_wrong_key_is_said_once_and_not_shown() {
    let (server, _) = start().await;
    let wrong = "wrong-key-that-nobody-shall-see";
    let service_key = SecretString::from(wrong);
    let storage = SupabaseStorage::new(SupabaseConfig { service_key, ..config(&server) }).unwrap();
    assert!(!format!("{storage:?}").contains(wrong));
    for len in [10, 7_000_000] {
        let error = storage.put(&key("u/j/0.png"), "image/png", content(1, len)).await.unwrap_err();
        assert!(matches!(error, Error::Unauthenticated { .. }), "{error:?}");
        assert!(!error.retryable() && !shown(&error).contains(wrong), "{}", shown(&error));
    }
    assert_eq!(server.count(Method::POST, ""), 2);
}

#[tokio::test]
async fn the_credentials_do_not_follow_a_redirect() {
    use crate::server::Fault;
    let (server, storage) = start().await;
    let other = Server::start(Supabase::new()).await;
    let elsewhere = vec![("location", format!("{}/storage/v1/object/x", other.address))];
    server.fail(Method::POST, "/object/", Fault::Answer(307, elsewhere, String::new()));
    let error = storage.put(&key("u/j/0.png"), "image/png", content(1, 10)).await.unwrap_err();
    assert!(matches!(error, Error::Refused { status: 307, .. }), "{error:?}");
    assert_eq!(other.count(Method::POST, ""), 0);
}

#[tokio::test]
async fn content_types_arrive() {
    let (server, storage) = start().await;
    for (path, kind, len) in [("a", "image/webp", 3), ("b", "video/mp4", 7_000_000)] {
        storage.put(&key(path), kind, content(1, len)).await.unwrap();
        assert_eq!(server.backend.held(&key(path)).unwrap().content_type.as_deref(), Some(kind));
    }
    assert_eq!(storage.get(&key("a")).await.unwrap(), content(1, 3));
    storage.put(&key("b"), "video/mp4", Bytes::new()).await.unwrap();
    assert_eq!(storage.get(&key("b")).await.unwrap(), Bytes::new());
}
