use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use axum::body::{Body, Bytes};
use axum::http::{HeaderMap, StatusCode, Uri};
use axum::routing::get;
use futures_util::{StreamExt, stream};
use image::{DynamicImage, ImageFormat};
use ourvidz_storage::{
    Error, Reference, ReferenceFetcher, ReferenceFormat, ReferenceLimits, ReferenceProblem,
};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpListener;
use tokio::sync::Semaphore;

use crate::pictures::{encode, gradient, png};
use crate::server::{opened, serve};

async fn fetch_with(limits: ReferenceLimits, router: Router) -> Result<Reference, (bool, ReferenceProblem)> {
    let address = serve(router).await;
    let fetcher = opened(address).limits(limits).build().unwrap();
    fetched(&fetcher, address).await
}

async fn fetched(f: &ReferenceFetcher, address: SocketAddr) -> Result<Reference, (bool, ReferenceProblem)> {
    f.fetch(&format!("http://{address}/a?token=secret")).await.map_err(|error| {
        assert!(!format!("{error} {error:?}").contains("secret"));
        match error {
            Error::Reference { ref problem, .. } => (error.retryable(), problem.clone()),
            other => panic!("{other}"),
        }
    })
}

fn answering<T>(answer: T) -> Router
where
    T: axum::response::IntoResponse + Clone + Send + Sync + 'static,
{
    Router::new().fallback(move || async move { answer })
}

#[tokio::test]
async fn pictures_of_the_three_formats_arrive() {
    for (format, expected, mime) in [
        (ImageFormat::Png, ReferenceFormat::Png, "image/png"),
        (ImageFormat::Jpeg, ReferenceFormat::Jpeg, "image/jpeg"),
        (ImageFormat::WebP, ReferenceFormat::WebP, "image/webp"),
    ] {
        let picture = gradient(24, 16);
        let bytes = encode(picture.clone(), format);
        // The announced type is another one: the content decides.
        let router = answering(([("content-type", "text/html")], bytes.clone()));
        let reference = fetch_with(ReferenceLimits::default(), router).await.unwrap();
        assert_eq!((reference.format, reference.width, reference.height), (expected, 24, 16));
        assert_eq!((&reference.bytes, reference.format.content_type()), (&bytes, mime));
        let decoded = reference.decode(&ReferenceLimits::default()).await.unwrap();
        if format == ImageFormat::Jpeg {
            let own = image::load_from_memory(&bytes).unwrap();
            assert_eq!(DynamicImage::from(decoded), own);
        } else {
            assert_eq!(decoded, picture);
        }
    }
}

#[tokio::test]
async fn the_request_holds_nothing_but_the_url() {
    let seen: Arc<std::sync::Mutex<Option<HeaderMap>>> = Arc::default();
    let kept = seen.clone();
    let router = Router::new().fallback(move |headers: HeaderMap| async move {
        *kept.lock().unwrap() = Some(headers);
        png()
    });
    let reference = fetch_with(ReferenceLimits::default(), router).await.unwrap();
    assert_eq!(reference.sha256.len(), 64);
    assert!(reference.name.starts_with("http://127.0.0.1") && !reference.name.contains('?'));
    let headers = seen.lock().unwrap().take().unwrap();
    let mut names: Vec<&str> = headers.keys().map(|name| name.as_str()).collect();
    names.sort_unstable();
    assert_eq!(names, ["accept", "accept-encoding", "host", "user-agent"]);
    assert_eq!(headers["accept-encoding"], "identity");
}

#[tokio::test]
async fn what_is_too_large_is_cut_off() {
    let limits = ReferenceLimits { max_bytes: 1000, ..ReferenceLimits::default() };
    let too_large = (false, ReferenceProblem::TooLarge { limit: 1000 });

    let mut padded = png().to_vec();
    assert!(padded.len() < 1000);
    padded.resize(1000, 0);
    assert_eq!(fetch_with(limits.clone(), answering(padded.clone())).await.unwrap().bytes.len(), 1000);

    // Announced: nothing of the body is waited for.
    let announced = Router::new().fallback(|| async {
        ([("content-length", "1001")], Body::from_stream(stream::pending::<Result<Bytes, std::io::Error>>()))
    });
    assert_eq!(fetch_with(limits.clone(), announced).await.unwrap_err(), too_large);

    // Not announced, and without end.
    let endless = Router::new().fallback(|| async {
        let piece = Ok::<_, std::io::Error>(Bytes::from_static(&[7; 100]));
        Body::from_stream(stream::iter(std::iter::repeat_with(move || match &piece {
            Ok(piece) => Ok(piece.clone()),
            Err(_) => Err(std::io::Error::other("never")),
        })))
    });
    assert_eq!(fetch_with(limits, endless).await.unwrap_err(), too_large);
}

#[tokio::test]
async fn what_takes_too_long_is_given_up() {
    let limit = Duration::from_millis(150);
    let limits = ReferenceLimits { fetch_timeout: limit, ..ReferenceLimits::default() };
    let timed_out = (true, ReferenceProblem::TimedOut { limit });

    let silent = Router::new().fallback(std::future::pending::<()>);
    assert_eq!(fetch_with(limits.clone(), silent).await.unwrap_err(), timed_out);

    let stuck = Router::new().fallback(|| async {
        let first = stream::iter([Ok::<_, std::io::Error>(png().slice(..30))]);
        Body::from_stream(first.chain(stream::pending()))
    });
    assert_eq!(fetch_with(limits.clone(), stuck).await.unwrap_err(), timed_out);

    // One limit for all hops together.
    let moved = Router::new().fallback(|uri: Uri| async move {
        if uri.path() != "/a" {
            std::future::pending::<()>().await;
        }
        (StatusCode::FOUND, [("location", "/b")])
    });
    assert_eq!(fetch_with(limits, moved).await.unwrap_err(), timed_out);
}

#[tokio::test]
async fn statuses_say_whether_to_try_again() {
    for (status, retryable) in [
        (204, false),
        (206, false),
        (300, false),
        (304, false),
        (400, false),
        (401, false),
        (403, false),
        (404, false),
        (408, true),
        (410, false),
        (425, true),
        (429, true),
        (451, false),
        (500, true),
        (502, true),
        (503, true),
        (504, true),
        (544, true),
    ] {
        let router = answering((StatusCode::from_u16(status).unwrap(), png()));
        let problem = fetch_with(ReferenceLimits::default(), router).await.unwrap_err();
        assert_eq!(problem, (retryable, ReferenceProblem::Status { status }));
    }
}

#[tokio::test]
async fn bodies_that_are_no_pictures_are_refused() {
    let html = answering(([("content-type", "image/png")], "<!doctype html><title>Sign in</title>"));
    for router in [html, answering(""), answering("GIF89a\x01\0\x01\0"), answering("\u{feff}\u{89}PNG")] {
        let problem = fetch_with(ReferenceLimits::default(), router).await.unwrap_err();
        assert_eq!(problem, (false, ReferenceProblem::Format));
    }
    for encoding in ["gzip", "br", "deflate", "identity, gzip"] {
        let router = answering(([("content-encoding", encoding)], png()));
        let problem = fetch_with(ReferenceLimits::default(), router).await.unwrap_err();
        assert_eq!(problem, (false, ReferenceProblem::ContentEncoding), "{encoding}");
    }
    let router = answering(([("content-encoding", "identity")], png()));
    assert!(fetch_with(ReferenceLimits::default(), router).await.is_ok());
}

/// Answers every connection with these bytes and closes it.
async fn raw(answer: Vec<u8>) -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    tokio::spawn(async move {
        while let Ok((mut stream, _)) = listener.accept().await {
            let mut request = [0; 4096];
            let _ = stream.read(&mut request).await;
            let _ = stream.write_all(&answer).await;
        }
    });
    address
}

#[tokio::test]
async fn broken_connections_are_worth_another_try() {
    let picture = png();
    let half = &picture[..picture.len() / 2];
    let head = format!("HTTP/1.1 200 OK\r\nContent-Length: {}\r\n\r\n", picture.len());
    let chunked =
        b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n8\r\n\x89PNG\r\n\x1a\n\r\n40\r\nabc".to_vec();
    for answer in [Vec::new(), b"HTTP/1.1 200 O".to_vec(), [head.as_bytes(), half].concat(), chunked] {
        let address = raw(answer).await;
        let fetcher = opened(address).build().unwrap();
        assert_eq!(fetched(&fetcher, address).await.unwrap_err(), (true, ReferenceProblem::Connection));
    }
    // Nobody listens.
    let address = TcpListener::bind("127.0.0.1:0").await.unwrap().local_addr().unwrap();
    let fetcher = opened(address).build().unwrap();
    assert_eq!(fetched(&fetcher, address).await.unwrap_err(), (true, ReferenceProblem::Connection));
}

#[tokio::test]
async fn a_server_without_tls_is_not_asked_again() {
    let address = serve(answering("")).await;
    let fetcher = opened(address).build().unwrap();
    match fetcher.fetch(&format!("https://{address}/a.png")).await {
        Err(Error::Reference { problem: ReferenceProblem::Protocol, .. }) => {}
        other => panic!("{other:?}"),
    }
}

/// Fetchers are shared by the jobs of a worker.
#[tokio::test]
async fn several_fetches_run_at_once() {
    let all_here = Arc::new(Semaphore::new(0));
    let router = Router::new().fallback_service(get(move || async move {
        all_here.add_permits(1);
        let _permits = all_here.acquire_many(4).await.unwrap();
        png()
    }));
    let address = serve(router).await;
    let fetcher = opened(address).build().unwrap();
    let (a, b, c, d) = tokio::join!(
        fetched(&fetcher, address),
        fetched(&fetcher, address),
        fetched(&fetcher, address),
        fetched(&fetcher, address)
    );
    assert!([a, b, c, d].iter().all(Result::is_ok));
}
