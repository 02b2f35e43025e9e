//! Uploads in chunks that break off go on where the server is.

use axum::http::Method;
use ourvidz_storage::conformance::{Held, Observer};
use ourvidz_storage::{Error, Storage, SupabaseConfig, SupabaseStorage};

use crate::server::{Fault, Server};
use crate::supabase::{CHUNK, config};
use crate::supabase_mock::Supabase;
use crate::{QUICK, content, key};

const LEN: usize = 4 * CHUNK - 1000;
const UPLOAD: &str = "/upload/resumable/";
const CREATE: &str = "/upload/resumable";

async fn start() -> (Server<Supabase>, SupabaseStorage) {
    let server = Server::start(Supabase::new()).await;
    let storage = SupabaseStorage::new(SupabaseConfig { resumable_above: CHUNK, ..config(&server) }).unwrap();
    (server, storage)
}

async fn put(server: &Server<Supabase>, storage: &SupabaseStorage) {
    let bytes = content(3, LEN);
    storage.put(&key("u/j/0.mp4"), "video/mp4", bytes.clone()).await.unwrap();
    let held = server.backend.held(&key("u/j/0.mp4"));
    assert_eq!(held, Some(Held::new(&bytes, Some("video/mp4".to_owned()))));
    assert_eq!(server.backend.state().objects.len(), 1);
    server.assert_all_failed();
}

fn sent(server: &Server<Supabase>) -> usize {
    server.seen(Method::PATCH, UPLOAD).iter().map(|seen| seen.body).sum()
}

#[tokio::test]
async fn an_upload_is_one_url_and_a_request_per_chunk() {
    let (server, storage) = start().await;
    put(&server, &storage).await;
    let patches = server.seen(Method::PATCH, UPLOAD);
    assert_eq!(patches.iter().map(|seen| seen.body).collect::<Vec<_>>(), [CHUNK, CHUNK, CHUNK, CHUNK - 1000]);
    assert_eq!((server.count(Method::POST, CREATE), server.count(Method::HEAD, "")), (1, 0));
}

#[tokio::test]
async fn a_chunk_that_breaks_off_is_continued_from_the_servers_offset() {
    let (server, storage) = start().await;
    server.fail(Method::PATCH, UPLOAD, Fault::AbortAfter(100_000));
    server.fail(Method::PATCH, UPLOAD, Fault::AbortAfter(30_000));
    put(&server, &storage).await;
    // Not one byte went twice.
    assert_eq!(sent(&server), LEN);
    assert_eq!((server.count(Method::POST, CREATE), server.count(Method::HEAD, UPLOAD)), (1, 2));
}

#[tokio::test]
async fn a_chunk_whose_reply_is_lost_is_not_sent_again() {
    let (server, storage) = start().await;
    server.fail(Method::PATCH, UPLOAD, Fault::LoseReply);
    put(&server, &storage).await;
    assert_eq!(sent(&server), LEN);
    assert_eq!((server.count(Method::POST, CREATE), server.count(Method::HEAD, UPLOAD)), (1, 1));
}

#[tokio::test]
async fn a_lost_reply_to_the_last_chunk_is_checked_against_the_file() {
    let (server, storage) = start().await;
    for _ in 0..4 {
        server.fail(Method::PATCH, UPLOAD, Fault::LoseReply);
    }
    put(&server, &storage).await;
    assert_eq!(sent(&server), LEN);
    assert_eq!(server.count(Method::GET, "/object/authenticated/"), 1);
}

#[tokio::test]
async fn bytes_that_did_not_become_the_file_are_sent_anew() {
    // An older file of this length is there, so neither existence nor size can deceive.
    for older in [None, Some(content(77, LEN))] {
        let (server, storage) = start().await;
        if let Some(older) = older {
            storage.put(&key("u/j/0.mp4"), "video/mp4", older).await.unwrap();
        }
        let before = server.count(Method::POST, CREATE);
        for _ in 0..3 {
            // Patches before the last are done as ever.
            server.fail(Method::PATCH, UPLOAD, Fault::Backend("not the last"));
        }
        server.fail(Method::PATCH, UPLOAD, Fault::Backend("finish"));
        put(&server, &storage).await;
        assert_eq!(server.count(Method::POST, CREATE) - before, 2);
    }
}

#[tokio::test]
async fn an_upload_url_that_is_gone_is_replaced() {
    for status in [404, 410] {
        let (server, storage) = start().await;
        server.fail(Method::PATCH, UPLOAD, Fault::Backend("first"));
        server.fail(Method::PATCH, UPLOAD, Fault::Answer(status, vec![], "gone".to_owned()));
        put(&server, &storage).await;
        assert_eq!((server.count(Method::POST, CREATE), sent(&server)), (2, 2 * CHUNK + LEN));
    }
    // Found out when asking for the offset.
    for status in [404, 409, 410] {
        let (server, storage) = start().await;
        server.fail(Method::PATCH, UPLOAD, Fault::AbortAfter(10));
        server.fail(Method::HEAD, UPLOAD, Fault::Answer(status, vec![], String::new()));
        put(&server, &storage).await;
        assert_eq!(server.count(Method::POST, CREATE), 2, "{status}");
    }
}

#[tokio::test]
async fn a_conflict_goes_on_where_the_server_is_or_begins_anew() {
    let (server, storage) = start().await;
    server.fail(Method::PATCH, UPLOAD, Fault::Answer(409, vec![], "Upload-Offset conflict".to_owned()));
    put(&server, &storage).await;
    // The server had no other offset, so that upload takes no more.
    assert_eq!(server.count(Method::POST, CREATE), 2);

    let (server, storage) = start().await;
    server.fail(Method::PATCH, UPLOAD, Fault::AbortAfter(1000));
    let ahead = vec![("upload-offset", "500".to_owned())];
    server.fail(Method::HEAD, UPLOAD, Fault::Answer(200, ahead, String::new()));
    put(&server, &storage).await;
    // The wrong offset was refused with 409, the right one asked for.
    assert_eq!((server.count(Method::POST, CREATE), server.count(Method::HEAD, UPLOAD)), (1, 2));
}

#[tokio::test]
async fn what_passes_is_waited_out() {
    for status in [423, 429, 500, 544] {
        let (server, storage) = start().await;
        for method in [Method::POST, Method::PATCH, Method::HEAD] {
            server.fail(method, CREATE, Fault::Answer(status, vec![], "not now".to_owned()));
        }
        put(&server, &storage).await;
        assert_eq!((server.count(Method::POST, CREATE), server.count(Method::HEAD, UPLOAD)), (2, 2));
        assert_eq!(sent(&server), CHUNK + LEN);
    }
}

#[tokio::test]
async fn tries_are_counted_without_progress_only() {
    let (server, storage) = start().await;
    // More failures than one chunk is tried, each with some bytes.
    for _ in 0..3 * QUICK.attempts {
        server.fail(Method::PATCH, UPLOAD, Fault::AbortAfter(1000));
    }
    put(&server, &storage).await;
    assert_eq!(sent(&server), LEN);

    for _ in 0..QUICK.attempts {
        server.fail(Method::PATCH, UPLOAD, Fault::AbortAfter(0));
    }
    let error = storage.put(&key("u/j/1.mp4"), "video/mp4", content(4, LEN)).await.unwrap_err();
    assert!(matches!(error, Error::Network { .. }) && error.retryable(), "{error:?}");
    assert!(server.backend.held(&key("u/j/1.mp4")).is_none());
}

#[tokio::test]
async fn a_server_that_forgets_every_upload_is_given_up() {
    let (server, storage) = start().await;
    for _ in 0..QUICK.attempts {
        server.fail(Method::PATCH, UPLOAD, Fault::Backend("first"));
        server.fail(Method::PATCH, UPLOAD, Fault::Answer(404, vec![], "gone".to_owned()));
    }
    let error = storage.put(&key("u/j/0.mp4"), "video/mp4", content(3, LEN)).await.unwrap_err();
    assert!(error.retryable(), "{error:?}");
    assert_eq!(server.count(Method::POST, CREATE), QUICK.attempts as usize);
}

#[tokio::test]
async fn what_does_not_pass_is_asked_once() {
    let (server, storage) = start().await;
    server.fail(Method::POST, CREATE, Fault::Answer(413, vec![], "Maximum size exceeded".to_owned()));
    let error = storage.put(&key("u/j/0.mp4"), "video/mp4", content(3, LEN)).await.unwrap_err();
    assert!(matches!(&error, Error::Refused { status: 413, .. }), "{error:?}");
    assert_eq!(server.count(Method::POST, CREATE), 1);
    server.fail(Method::PATCH, UPLOAD, Fault::Answer(403, vec![], "new row violates policy".to_owned()));
    let error = storage.put(&key("u/j/0.mp4"), "video/mp4", content(3, LEN)).await.unwrap_err();
    assert!(matches!(&error, Error::Refused { status: 403, .. }), "{error:?}");
    assert_eq!(server.count(Method::PATCH, UPLOAD), 1);
}
