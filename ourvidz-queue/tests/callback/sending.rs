use std::time::{Duration, UNIX_EPOCH};

use anyhow::Result;
use axum::http::Method;
use ourvidz_queue::callback::{CallbackSender, CallbackTarget, Outcome};
use ourvidz_queue::signature::WebhookSecret;
use ourvidz_queue::{Clock, Error, ManualClock, PendingCallback};
use tokio::net::TcpListener;

use crate::bench::{BEARER, Bench, START_MS, callback, target, verify};
use crate::receiver::{Receiver, Reply, raw, write};

fn failed(outcome: Outcome) -> (Option<u16>, Option<Duration>, String) {
    match outcome {
        Outcome::Failed { status, retry_after, reason } => (status, retry_after, reason),
        other => panic!("{other:?}"),
    }
}

#[tokio::test]
async fn the_exact_bytes_are_signed_and_sent() -> Result<()> {
    let receiver = Receiver::start(vec![], Reply::Status(200)).await?;
    let sender = Bench::new()?.sender(&receiver.url)?;
    let callback = callback("j1", "completed");
    assert_eq!(sender.send(&callback).await, Outcome::Accepted { status: 200 });
    let got = &receiver.got()[0];
    assert_eq!(got.body, callback.body.as_bytes());
    assert_eq!((got.method.clone(), got.path.as_str()), (Method::POST, "/functions/v1/job-callback"));
    assert_eq!(got.header("content-type"), Some("application/json"));
    assert_eq!(got.header("authorization"), Some(format!("Bearer {BEARER}").as_str()));
    assert_eq!(got.header("user-agent"), Some(concat!("ourvidz/", env!("CARGO_PKG_VERSION"))));
    assert_eq!(got.header("webhook-id"), Some("j1:completed"));
    assert_eq!(got.header("webhook-timestamp"), Some((START_MS / 1000).to_string().as_str()));
    verify(got)
}

/// The example that the Standard Webhooks libraries publish.
#[tokio::test]
async fn the_published_signature_arrives() -> Result<()> {
    let receiver = Receiver::start(vec![], Reply::Status(200)).await?;
    let webhook_secrets = vec![WebhookSecret::new("whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw")?];
    let target = CallbackTarget { webhook_secrets, ..CallbackTarget::new(&receiver.url) };
    let sender = CallbackSender::with_clock(target, Clock::Manual(ManualClock::new(1_614_265_330_999)))?;
    let id = "msg_p5jXN8AQM9LWM0D4loKWxJek".to_owned();
    let callback = PendingCallback { id, job_id: "j1".into(), body: r#"{"test": 2432232314}"#.into() };
    sender.send(&callback).await;
    let got = &receiver.got()[0];
    assert_eq!(got.header("webhook-signature"), Some("v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE="));
    Ok(())
}

#[tokio::test]
async fn without_secrets_nothing_is_signed() -> Result<()> {
    let receiver = Receiver::start(vec![], Reply::Status(204)).await?;
    let sender = CallbackSender::new(CallbackTarget::new(&receiver.url))?;
    assert_eq!(sender.send(&callback("j1", "failed")).await, Outcome::Accepted { status: 204 });
    let got = &receiver.got()[0];
    let names =
        ["authorization", "x-callback-signature", "webhook-id", "webhook-timestamp", "webhook-signature"];
    assert_eq!(names.map(|name| got.header(name)), [None; 5]);
    Ok(())
}

#[tokio::test]
async fn every_status_has_its_meaning() -> Result<()> {
    let receiver = Receiver::start(vec![], Reply::Status(500)).await?;
    let sender = Bench::new()?.sender(&receiver.url)?;
    let callback = callback("j1", "completed");
    for status in [200, 201, 202, 204, 299] {
        receiver.answer_with(Reply::Status(status));
        assert_eq!(sender.send(&callback).await, Outcome::Accepted { status });
    }
    for status in [400, 404, 405, 413, 414, 415, 422] {
        receiver.answer_with(Reply::Status(status));
        assert_eq!(sender.send(&callback).await, Outcome::Refused { status });
    }
    for status in [401, 403] {
        receiver.answer_with(Reply::Status(status));
        assert_eq!(sender.send(&callback).await, Outcome::Unauthorized { status });
    }
    receiver.answer_with(Reply::Status(410));
    assert_eq!(sender.send(&callback).await, Outcome::Gone);
    for status in [402, 408, 409, 418, 423, 429, 500, 501, 502, 503, 504, 520, 599] {
        receiver.answer_with(Reply::Status(status));
        let (code, retry_after, reason) = failed(sender.send(&callback).await);
        assert_eq!((code, retry_after), (Some(status), None));
        assert!(reason.starts_with(&status.to_string()), "{reason}");
    }
    Ok(())
}

#[tokio::test]
async fn redirects_are_not_followed() -> Result<()> {
    let elsewhere = Receiver::start(vec![], Reply::Status(200)).await?;
    let receiver = Receiver::start(vec![], Reply::Status(200)).await?;
    let sender = Bench::new()?.sender(&receiver.url)?;
    for status in [301, 302, 303, 307, 308] {
        receiver.answer_with(Reply::With(status, "location", elsewhere.url.clone()));
        let (code, _, reason) = failed(sender.send(&callback("j1", "completed")).await);
        assert_eq!(code, Some(status));
        assert!(reason.ends_with("redirects are not followed"), "{reason}");
        assert!(!reason.contains(&elsewhere.url), "{reason}");
    }
    assert_eq!((receiver.got().len(), elsewhere.got().len()), (5, 0));
    Ok(())
}

#[tokio::test]
async fn a_busy_receiver_says_when() -> Result<()> {
    let date = httpdate::fmt_http_date(UNIX_EPOCH + Duration::from_secs(START_MS / 1000 + 61));
    let script = vec![
        Reply::With(429, "retry-after", "120".to_owned()),
        Reply::With(503, "retry-after", date),
        Reply::With(500, "retry-after", "120".to_owned()),
    ];
    let receiver = Receiver::start(script, Reply::Status(200)).await?;
    let sender = Bench::new()?.sender(&receiver.url)?;
    let mut asked = Vec::new();
    for _ in 0..3 {
        asked.push(failed(sender.send(&callback("j1", "completed")).await).1);
    }
    // The clock stands at 123 ms after the second.
    assert_eq!(asked, [Some(Duration::from_secs(120)), Some(Duration::from_millis(60_877)), None]);
    Ok(())
}

#[tokio::test]
async fn a_connection_that_breaks_is_a_failure_without_status() -> Result<()> {
    let callback = callback("j1", "completed");
    let nobody = {
        let listener = TcpListener::bind("127.0.0.1:0").await?;
        format!("http://{}/", listener.local_addr()?)
    };
    let (before, _task) = raw("", |stream| async { drop(stream) }).await;
    let (after, _task) = raw("é\"}", |stream| async { drop(stream) }).await;
    for url in [nobody, before, after] {
        let (status, retry_after, reason) = failed(Bench::new()?.sender(&url)?.send(&callback).await);
        assert_eq!((status, retry_after), (None, None));
        assert!(reason.contains(": ") && !reason.contains(&url), "{reason}");
    }
    Ok(())
}

#[tokio::test]
async fn a_silent_receiver_is_left_after_the_time_limit() -> Result<()> {
    let receiver = Receiver::start(vec![], Reply::Silence).await?;
    let timeout = Duration::from_millis(30);
    let sender = CallbackSender::new(CallbackTarget { timeout, ..target(&receiver.url)? })?;
    let (status, _, reason) = failed(sender.send(&callback("j1", "completed")).await);
    assert_eq!((status, reason.as_str()), (None, "no answer within 30ms"));
    Ok(())
}

#[tokio::test]
async fn an_endless_answer_is_not_read() -> Result<()> {
    const MIB: usize = 1 << 20;
    let (url, written) = raw("é\"}", |stream| async move {
        write(&stream, b"HTTP/1.1 200 OK\r\ncontent-type: text/plain\r\n\r\n").await.unwrap();
        let mut mebibytes = 0;
        while mebibytes < 256 && write(&stream, &[b'x'; MIB]).await.is_ok() {
            mebibytes += 1;
        }
        mebibytes
    })
    .await;
    let sender = Bench::new()?.sender(&url)?;
    assert_eq!(sender.send(&callback("j1", "completed")).await, Outcome::Accepted { status: 200 });
    let mebibytes = written.await?;
    assert!(mebibytes < 64, "{mebibytes} MiB went into the socket's buffers");
    Ok(())
}

#[tokio::test]
async fn an_answer_that_breaks_off_after_its_status_counts() -> Result<()> {
    let head = b"HTTP/1.1 201 Created\r\ncontent-length: 1000\r\n\r\nabc";
    let (url, _task) = raw("é\"}", move |stream| async move { write(&stream, head).await }).await;
    let sender = Bench::new()?.sender(&url)?;
    assert_eq!(sender.send(&callback("j1", "completed")).await, Outcome::Accepted { status: 201 });
    Ok(())
}

#[tokio::test]
async fn an_id_that_cannot_be_signed_is_not_sent() -> Result<()> {
    let receiver = Receiver::start(vec![], Reply::Status(200)).await?;
    let sender = Bench::new()?.sender(&receiver.url)?;
    let callback = PendingCallback { id: "a.b".to_owned(), ..callback("j1", "completed") };
    let outcome = sender.send(&callback).await;
    assert!(
        matches!(&outcome, Outcome::Invalid { reason } if reason.starts_with("webhook-id")),
        "{outcome:?}"
    );
    assert_eq!((outcome.status(), receiver.got().len()), (None, 0));
    Ok(())
}

#[test]
fn unusable_targets_are_refused() {
    let new = |url: &str, key: &str| {
        CallbackSender::new(CallbackTarget {
            bearer: Some(key.to_owned().into()),
            ..CallbackTarget::new(url)
        })
    };
    for key in ["", "two words", "line\nbreak", "schlüssel"] {
        let error = new("https://example.com/", key).unwrap_err();
        assert!(matches!(error, Error::InvalidSecret { name: "callback bearer key", .. }), "{error}");
        assert!(key.is_empty() || !format!("{error} {error:?}").contains(key));
    }
    assert!(matches!(
        new("http://example.com/", "k"),
        Err(Error::InvalidOption { name: "callback URL", .. })
    ));
    assert!(new("https://example.com/", "k").is_ok());
}
