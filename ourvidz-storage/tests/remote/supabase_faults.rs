//! After each fault: one object with the right content, and no more requests than that needs.

use std::time::{Duration, Instant};

use axum::http::Method;
use ourvidz_storage::conformance::{Held, Observer};
use ourvidz_storage::{Error, RetryPolicy, Storage, SupabaseConfig, SupabaseStorage, Timeouts};

use crate::server::{Fault, Server};
use crate::supabase::{config, start};
use crate::supabase_mock::{Supabase, error_body};
use crate::{QUICK, SECRET, content, key, shown};

const PATH: &str = "u/j/0.png";

fn hidden(status: u16, code: &str) -> Fault {
    Fault::Answer(400, vec![], error_body(status, code, code, "not now"))
}

/// The server has this file and no other.
fn assert_holds(server: &Server<Supabase>, bytes: &[u8]) {
    let held = server.backend.held(&key(PATH));
    assert_eq!(held, Some(Held::new(bytes, Some("image/png".to_owned()))));
    assert_eq!(server.backend.state().objects.len(), 1);
    server.assert_all_failed();
}

#[tokio::test]
async fn what_passes_is_repeated_until_it_works() {
    let passing = [
        hidden(423, "ResourceLocked"),
        hidden(429, "SlowDown"),
        hidden(503, "LockTimeout"),
        hidden(544, "DatabaseTimeout"),
        Fault::Answer(544, vec![], error_body(544, "DatabaseTimeout", "x", "x")),
        Fault::Answer(500, vec![], error_body(500, "InternalError", "x", "x")),
        Fault::Answer(502, vec![], "<html>Bad gateway</html>".to_owned()),
        Fault::Answer(429, vec![], error_body(429, "SlowDown", "x", "x")),
        Fault::AbortAfter(0),
        Fault::AbortAfter(100_000),
        Fault::LoseReply,
        Fault::CutReply,
    ];
    for fault in passing {
        let (server, storage) = start().await;
        server.fail(Method::POST, "/object/", fault.clone());
        let bytes = content(1, 500_000);
        let stored = storage.put(&key(PATH), "image/png", bytes.clone()).await.unwrap();
        assert_eq!(stored.sha256, Held::new(&bytes, None).sha256);
        assert_holds(&server, &bytes);
        assert_eq!(server.count(Method::POST, "/object/"), 2, "{fault:?}");
    }
}

#[tokio::test]
async fn what_does_not_pass_is_asked_once() {
    let permanent = [(400, "InvalidKey"), (403, "AccessDenied"), (404, "NoSuchKey"), (413, "EntityTooLarge")];
    for (status, code) in permanent.into_iter().chain([(415, "InvalidMimeType"), (409, "NotSupported")]) {
        let (server, storage) = start().await;
        let message = format!("no, {SECRET}");
        server.fail(Method::POST, "", Fault::Answer(400, vec![], error_body(status, code, "x", &message)));
        let error = storage.put(&key(PATH), "image/png", content(1, 10)).await.unwrap_err();
        assert!(!error.retryable(), "{error:?}");
        assert!(
            matches!(&error, Error::Refused { status: s, code: c, .. } if *s == status && c == code),
            "{error:?}"
        );
        assert!(!shown(&error).contains(SECRET), "{}", shown(&error));
        assert_eq!(server.count(Method::POST, ""), 1, "{code}");
    }
}

#[tokio::test]
async fn after_the_last_try_the_error_says_that_it_may_pass() {
    let (server, storage) = start().await;
    for _ in 0..QUICK.attempts {
        server.fail(Method::POST, "", hidden(544, "DatabaseTimeout"));
    }
    let error = storage.put(&key(PATH), "image/png", content(1, 10)).await.unwrap_err();
    assert!(matches!(error, Error::Busy { status: 544, .. }) && error.retryable(), "{error:?}");
    server.assert_all_failed();
    assert_eq!(server.count(Method::POST, ""), QUICK.attempts as usize);

    for _ in 0..QUICK.attempts {
        server.fail(Method::POST, "", Fault::AbortAfter(0));
    }
    let error = storage.put(&key(PATH), "image/png", content(1, 10)).await.unwrap_err();
    assert!(matches!(error, Error::Network { .. }) && error.retryable(), "{error:?}");
    assert!(!shown(&error).contains(SECRET), "{}", shown(&error));
    assert!(server.backend.state().objects.is_empty());
}

#[tokio::test]
async fn a_duplicate_is_success_if_it_is_our_file() {
    for code in ["KeyAlreadyExists", "ResourceAlreadyExists"] {
        let (server, storage) = start().await;
        let bytes = content(1, 1000);
        server.fail(Method::POST, "/object/", Fault::LoseReply);
        server.fail(Method::POST, "/object/", hidden(409, code));
        storage.put(&key(PATH), "image/png", bytes.clone()).await.unwrap();
        assert_holds(&server, &bytes);
        assert_eq!(server.count(Method::POST, "/object/"), 2);
    }
}

#[tokio::test]
async fn a_duplicate_of_other_content_is_replaced() {
    // Of the same length, so that only the content tells.
    for (older, reads) in [(content(9, 1000), 1), (content(9, 1001), 0)] {
        let (server, storage) = start().await;
        storage.put(&key(PATH), "image/png", older).await.unwrap();
        server.fail(Method::POST, "/object/", hidden(409, "KeyAlreadyExists"));
        let bytes = content(1, 1000);
        storage.put(&key(PATH), "image/png", bytes.clone()).await.unwrap();
        assert_holds(&server, &bytes);
        assert_eq!(server.count(Method::GET, "/object/authenticated/"), reads);
    }
}

#[tokio::test]
async fn the_server_says_how_long_to_wait() {
    let server = Server::start(Supabase::new()).await;
    // An own pause would be minutes long.
    let retry = RetryPolicy { base: Duration::from_secs(3600), max: Duration::from_secs(3600), ..QUICK };
    let storage = SupabaseStorage::new(SupabaseConfig { retry, ..config(&server) }).unwrap();
    let busy = |seconds: &str| {
        let body = error_body(429, "SlowDown", "x", "x");
        Fault::Answer(429, vec![("retry-after", seconds.to_owned())], body)
    };
    server.fail(Method::POST, "", busy("0"));
    server.fail(Method::POST, "", busy("1"));
    let begin = Instant::now();
    storage.put(&key(PATH), "image/png", content(1, 10)).await.unwrap();
    let waited = begin.elapsed();
    assert!(waited >= Duration::from_secs(1) && waited < Duration::from_secs(60), "{waited:?}");
    assert_holds(&server, &content(1, 10));

    // Longer than the policy waits: for the caller to know.
    server.fail(Method::POST, "", busy("120"));
    let error = storage.put(&key(PATH), "image/png", content(1, 10)).await.unwrap_err();
    assert_eq!(error.retry_after(), Some(Duration::from_secs(120)));
    assert!(error.retryable());
    assert_eq!(server.count(Method::POST, ""), 4);
}

#[tokio::test]
async fn a_server_that_is_silent_is_asked_again() {
    let server = Server::start(Supabase::new()).await;
    let timeouts = Timeouts { request: Duration::from_secs(1), ..Timeouts::default() };
    let storage = SupabaseStorage::new(SupabaseConfig { timeouts, ..config(&server) }).unwrap();
    server.fail(Method::POST, "", Fault::Silence);
    server.fail(Method::GET, "/object/authenticated/", Fault::Silence);
    storage.put(&key(PATH), "image/png", content(1, 10)).await.unwrap();
    assert_eq!(storage.get(&key(PATH)).await.unwrap(), content(1, 10));
    assert_holds(&server, &content(1, 10));
    assert_eq!((server.count(Method::POST, ""), server.count(Method::GET, "")), (2, 2));
}

#[tokio::test]
async fn nobody_there_is_worth_another_try() {
    let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let url = format!("http://{}", listener.local_addr().unwrap()).parse().unwrap();
    drop(listener);
    let config = SupabaseConfig { retry: QUICK, ..SupabaseConfig::new(url, SECRET.into()) };
    let storage = SupabaseStorage::new(config).unwrap();
    let error = storage.put(&key(PATH), "image/png", content(1, 10)).await.unwrap_err();
    assert!(matches!(error, Error::Network { .. }) && error.retryable(), "{error:?}");
    assert!(!shown(&error).contains(SECRET));
}

#[tokio::test]
async fn reading_deleting_and_looking_are_repeated_too() {
    let (server, storage) = start().await;
    let (key, bytes) = (key(PATH), content(1, 300_000));
    storage.put(&key, "image/png", bytes.clone()).await.unwrap();

    server.fail(Method::GET, "/object/authenticated/", Fault::CutReply);
    server.fail(Method::GET, "/object/authenticated/", hidden(544, "DatabaseTimeout"));
    assert_eq!(storage.get(&key).await.unwrap(), bytes);

    server.fail(Method::GET, "/info/", hidden(423, "ResourceLocked"));
    assert!(storage.exists(&key).await.unwrap());
    // Of 400 alone nothing follows.
    server.fail(Method::GET, "/info/", Fault::Answer(400, vec![], String::new()));
    assert!(matches!(storage.exists(&key).await, Err(Error::Refused { .. })));
    server.fail(
        Method::GET,
        "/info/",
        Fault::Answer(404, vec![], r#"{"message":"no Route matched"}"#.to_owned()),
    );
    assert!(matches!(storage.exists(&key).await, Err(Error::Refused { status: 404, .. })));

    server.fail(Method::DELETE, "", Fault::LoseReply);
    storage.delete(&key).await.unwrap();
    assert_eq!(server.count(Method::DELETE, ""), 2);
    assert!(!storage.exists(&key).await.unwrap());
    server.assert_all_failed();
}
