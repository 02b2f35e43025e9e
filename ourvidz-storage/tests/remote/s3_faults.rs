//! After each fault: one object with the right content, no upload left behind, no request too many.

use std::time::Duration;

use axum::http::Method;
use ourvidz_storage::conformance::{Held, Observer};
use ourvidz_storage::{Error, RetryPolicy, S3Config, S3Storage, Storage, Timeouts};

use crate::s3::{config, start};
use crate::s3_mock::{S3, error_body};
use crate::server::{Fault, Server};
use crate::{QUICK, SECRET, content, key, shown};

const PATH: &str = "u/j/0.png";
const LARGE: usize = 6_500_000;

fn answer(status: u16, code: &str) -> Fault {
    Fault::Answer(status, vec![], error_body(code))
}

fn assert_holds(server: &Server<S3>, bytes: &[u8]) {
    let held = server.backend.held(&key(PATH));
    assert_eq!(held, Some(Held::new(bytes, Some("image/png".to_owned()))));
    assert_eq!(server.backend.state().objects.len(), 1);
    assert!(server.backend.state().uploads.is_empty());
    server.assert_all_failed();
}

#[tokio::test]
async fn what_passes_is_repeated_until_it_works() {
    let passing = [
        answer(500, "InternalError"),
        answer(503, "SlowDown"),
        answer(429, "TooManyRequests"),
        answer(400, "RequestTimeout"),
        answer(409, "OperationAborted"),
        Fault::Answer(502, vec![], "<html>Bad gateway</html>".to_owned()),
        Fault::AbortAfter(0),
        Fault::AbortAfter(100_000),
        Fault::LoseReply,
    ];
    for fault in passing {
        let (server, storage) = start().await;
        server.fail(Method::PUT, "", fault.clone());
        storage.put(&key(PATH), "image/png", content(1, 500_000)).await.unwrap();
        assert_holds(&server, &content(1, 500_000));
        assert_eq!(server.count(Method::PUT, ""), 2, "{fault:?}");
    }
}

#[tokio::test]
async fn what_does_not_pass_is_asked_once() {
    for (status, code) in [(403, "AccessDenied"), (400, "EntityTooLarge"), (301, "PermanentRedirect")] {
        let (server, storage) = start().await;
        server.fail(Method::PUT, "", answer(status, code));
        let error = storage.put(&key(PATH), "image/png", content(1, 10)).await.unwrap_err();
        assert!(
            matches!(&error, Error::Refused { status: s, code: c, .. } if *s == status && c == code),
            "{error:?}"
        );
        assert!(!error.retryable());
        assert_eq!(server.count(Method::PUT, ""), 1, "{code}");
    }
}

#[tokio::test]
async fn after_the_last_try_the_error_says_that_it_may_pass() {
    let (server, storage) = start().await;
    for _ in 0..QUICK.attempts {
        server.fail(Method::PUT, "", answer(503, "SlowDown"));
    }
    let error = storage.put(&key(PATH), "image/png", content(1, 10)).await.unwrap_err();
    assert!(matches!(&error, Error::Busy { status: 503, code, .. } if code == "SlowDown"), "{error:?}");
    assert_eq!(server.count(Method::PUT, ""), QUICK.attempts as usize);
    for _ in 0..QUICK.attempts {
        server.fail(Method::PUT, "", Fault::AbortAfter(0));
    }
    let error = storage.put(&key(PATH), "image/png", content(1, 10)).await.unwrap_err();
    assert!(matches!(error, Error::Network { .. }) && error.retryable(), "{error:?}");
    assert!(!shown(&error).contains(SECRET), "{}", shown(&error));
}

#[tokio::test]
async fn the_server_says_how_long_to_wait() {
    let server = Server::start(S3::new()).await;
    let retry = RetryPolicy { base: Duration::from_secs(3600), max: Duration::from_secs(3600), ..QUICK };
    let storage = S3Storage::new(S3Config { retry, ..config(&server) }).unwrap();
    let busy =
        |seconds: &str| Fault::Answer(503, vec![("retry-after", seconds.to_owned())], error_body("SlowDown"));
    server.fail(Method::PUT, "", busy("0"));
    storage.put(&key(PATH), "image/png", content(1, 10)).await.unwrap();
    assert_holds(&server, &content(1, 10));
    server.fail(Method::PUT, "", busy("120"));
    let error = storage.put(&key(PATH), "image/png", content(1, 10)).await.unwrap_err();
    assert_eq!(error.retry_after(), Some(Duration::from_secs(120)));
    assert_eq!(server.count(Method::PUT, ""), 3);
}

#[tokio::test]
async fn every_request_of_an_upload_in_parts_is_repeated() {
    // POST: begin and complete. PUT: two parts.
    let faults = [
        (Method::POST, answer(500, "InternalError")),
        (Method::POST, Fault::AbortAfter(0)),
        (Method::PUT, answer(503, "SlowDown")),
        (Method::PUT, Fault::AbortAfter(1_000_000)),
        (Method::PUT, Fault::LoseReply),
    ];
    for (method, fault) in faults {
        let (server, storage) = start().await;
        server.fail(method.clone(), "", fault.clone());
        storage.put(&key(PATH), "image/png", content(1, LARGE)).await.unwrap();
        assert_holds(&server, &content(1, LARGE));
        let counts = (server.count(Method::POST, ""), server.count(Method::PUT, ""));
        assert_eq!(counts, if method == Method::POST { (3, 2) } else { (2, 3) }, "{fault:?}");
    }
}

#[tokio::test]
async fn a_completion_is_repeated_and_a_lost_reply_to_it_is_checked_against_the_file() {
    let begun = || Fault::Backend("begin");
    for fault in
        [Fault::Backend("200 with an error"), answer(500, "InternalError"), Fault::LoseReply, Fault::CutReply]
    {
        let (server, storage) = start().await;
        server.fail(Method::POST, "", begun());
        server.fail(Method::POST, "", fault.clone());
        storage.put(&key(PATH), "image/png", content(1, LARGE)).await.unwrap();
        assert_holds(&server, &content(1, LARGE));
        assert_eq!((server.count(Method::POST, ""), server.count(Method::PUT, "")), (3, 2), "{fault:?}");
    }
}

#[tokio::test]
async fn an_upload_the_server_forgot_is_made_again() {
    // An older file of this length: only the content tells.
    let (server, storage) = start().await;
    storage.put(&key(PATH), "image/png", content(9, LARGE)).await.unwrap();
    server.fail(Method::POST, "", Fault::Backend("begin"));
    server.fail(Method::POST, "", answer(404, "NoSuchUpload"));
    storage.put(&key(PATH), "image/png", content(1, LARGE)).await.unwrap();
    assert_holds(&server, &content(1, LARGE));
    assert_eq!(server.count(Method::POST, ""), 2 + 4);
}

#[tokio::test]
async fn an_upload_in_parts_that_fails_is_aborted() {
    for fault in [answer(403, "AccessDenied"), answer(500, "InternalError")] {
        let (server, storage) = start().await;
        server.fail(Method::PUT, "", Fault::Backend("first part"));
        for _ in 0..QUICK.attempts {
            server.fail(Method::PUT, "", fault.clone());
        }
        let error = storage.put(&key(PATH), "image/png", content(1, LARGE)).await.unwrap_err();
        assert!(
            matches!(error, Error::Refused { status: 403, .. } | Error::Busy { status: 500, .. }),
            "{error:?}"
        );
        assert_eq!(server.count(Method::DELETE, ""), 1);
        assert!(server.backend.state().uploads.is_empty() && server.backend.state().objects.is_empty());
    }
}

#[tokio::test]
async fn reading_deleting_and_looking_are_repeated_too() {
    let (server, storage) = start().await;
    let (key, bytes) = (key(PATH), content(1, 300_000));
    storage.put(&key, "image/png", bytes.clone()).await.unwrap();
    server.fail(Method::GET, "", Fault::CutReply);
    server.fail(Method::GET, "", answer(503, "SlowDown"));
    assert_eq!(storage.get(&key).await.unwrap(), bytes);
    server.fail(Method::HEAD, "", Fault::Answer(500, vec![], String::new()));
    assert!(storage.exists(&key).await.unwrap());
    server.fail(Method::HEAD, "", Fault::Answer(403, vec![], String::new()));
    assert!(matches!(storage.exists(&key).await, Err(Error::Refused { status: 403, .. })));
    server.fail(Method::DELETE, "", Fault::LoseReply);
    storage.delete(&key).await.unwrap();
    assert_eq!(server.count(Method::DELETE, ""), 2);
    assert!(!storage.exists(&key).await.unwrap());
    server.assert_all_failed();
}

#[tokio::test]
async fn a_server_that_is_silent_is_asked_again() {
    let server = Server::start(S3::new()).await;
    let timeouts = Timeouts { request: Duration::from_secs(1), ..Timeouts::default() };
    let storage = S3Storage::new(S3Config { timeouts, ..config(&server) }).unwrap();
    server.fail(Method::PUT, "", Fault::Silence);
    storage.put(&key(PATH), "image/png", content(1, 10)).await.unwrap();
    assert_holds(&server, &content(1, 10));
    assert_eq!(server.count(Method::PUT, ""), 2);
}
