use std::collections::HashMap;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};

use axum::Router;
use axum::http::{HeaderMap, HeaderValue, StatusCode, Uri};
use axum::response::IntoResponse;
use ourvidz_storage::{Error, ReferenceLimits, ReferenceProblem};

use crate::corpus::{CLOSED, MALFORMED};
use crate::pictures::png;
use crate::server::{Scripted, opened, serve};

fn problem(error: Error) -> ReferenceProblem {
    match error {
        Error::Reference { problem, .. } => problem,
        other => panic!("{other}"),
    }
}

/// `/chain/3` leads to the picture by three redirects.
fn chain(status: u16) -> Router {
    let status = StatusCode::from_u16(status).unwrap();
    Router::new().fallback(move |uri: Uri| async move {
        match uri.path().trim_start_matches("/chain/").parse::<u32>() {
            Ok(0) => png().into_response(),
            Ok(left) => (status, [("location", format!("/chain/{}", left - 1))]).into_response(),
            Err(_) => StatusCode::NOT_FOUND.into_response(),
        }
    })
}

#[tokio::test]
async fn three_redirects_are_followed_and_no_more() {
    for status in [301, 302, 303, 307, 308] {
        let address = serve(chain(status)).await;
        let fetcher = opened(address).build().unwrap();
        for hops in 0..=3 {
            assert_eq!(fetcher.fetch(&format!("http://{address}/chain/{hops}")).await.unwrap().width, 24);
        }
        let error = fetcher.fetch(&format!("http://{address}/chain/4")).await.unwrap_err();
        assert!(!error.retryable());
        assert_eq!(problem(error), ReferenceProblem::TooManyRedirects { limit: 3 });
    }
    let address = serve(chain(302)).await;
    let none = ReferenceLimits { max_redirects: 0, ..ReferenceLimits::default() };
    let fetcher = opened(address).limits(none).build().unwrap();
    assert!(fetcher.fetch(&format!("http://{address}/chain/0")).await.is_ok());
    let error = fetcher.fetch(&format!("http://{address}/chain/1")).await.unwrap_err();
    assert_eq!(problem(error), ReferenceProblem::TooManyRedirects { limit: 0 });
}

/// The whole corpus as places that redirects lead to, at the first and at the second hop.
#[tokio::test]
async fn redirects_to_closed_hosts_are_refused() {
    // What the URL parser mends to a harmless URL, or to a path on the same server, is allowed here: only what
    // is connected to counts.
    let unmended = |url: &&str| {
        let base: url::Url = "http://127.0.0.1:1/".parse().unwrap();
        HeaderValue::from_str(url).is_ok()
            && base.join(url).is_ok_and(|next| {
                let name = next.host_str().unwrap_or_default();
                name != "8.8.8.8"
                    && !(name == "pictures.example.com"
                        && next.port().is_none()
                        && next.username().is_empty())
            })
    };
    let closed: Vec<&str> = CLOSED.iter().chain(&MALFORMED).copied().filter(unmended).collect();
    assert!(closed.len() > 110, "{}", closed.len());

    let seen = Arc::new(AtomicUsize::new(0));
    let (places, counter) = (closed.clone(), seen.clone());
    let address = serve(Router::new().fallback(move |uri: Uri| async move {
        counter.fetch_add(1, Ordering::SeqCst);
        let (hops, index) = uri.path().trim_start_matches('/').split_once('/').unwrap();
        let location = match hops {
            "1" => HeaderValue::from_str(places[index.parse::<usize>().unwrap()]).unwrap(),
            _ => HeaderValue::from_str(&format!("/1/{index}")).unwrap(),
        };
        let mut headers = HeaderMap::new();
        headers.insert("location", location);
        (StatusCode::FOUND, headers)
    }))
    .await;
    let lookup = Scripted::new(&[&["93.184.215.14"]]);
    let fetcher = opened(address).lookup(lookup.clone()).build().unwrap();
    for (index, place) in closed.iter().enumerate() {
        for hops in [1, 2] {
            let error = fetcher.fetch(&format!("http://{address}/{hops}/{index}")).await.unwrap_err();
            let text = format!("{error} {error:?}");
            assert!(!error.retryable(), "{place}");
            assert!(matches!(problem(error), ReferenceProblem::RedirectRefused { .. }), "{place}: {text}");
            assert!(!text.contains("169.254") && !text.contains("10."), "{text}");
        }
    }
    assert_eq!((seen.load(Ordering::SeqCst), lookup.asked()), (3 * closed.len(), 0));
}

#[tokio::test]
async fn a_redirect_to_a_name_with_a_closed_address_is_refused() {
    let address = serve(Router::new().fallback(|| async {
        (StatusCode::FOUND, [("location", "https://rebound.example.com/secret-place?secret")])
    }))
    .await;
    let lookup = Scripted::new(&[&["10.0.0.7"]]);
    let fetcher = opened(address).lookup(lookup.clone()).build().unwrap();
    let error = fetcher.fetch(&format!("http://{address}/a")).await.unwrap_err();
    let text = format!("{error} {error:?}");
    assert!(!text.contains("10.0.0.7") && !text.contains("secret") && !text.contains("rebound"), "{text}");
    assert!(matches!(problem(error), ReferenceProblem::RedirectRefused { .. }));
    assert_eq!(lookup.asked(), 1);
}

#[tokio::test]
async fn a_redirect_takes_no_query_along() {
    let seen: Arc<Mutex<HashMap<String, HeaderMap>>> = Arc::default();
    let kept = seen.clone();
    let address = serve(Router::new().fallback(move |uri: Uri, headers: HeaderMap| async move {
        let first = uri.path() == "/first";
        kept.lock().unwrap().insert(uri.to_string(), headers);
        if first {
            (StatusCode::FOUND, [("location", "/second")]).into_response()
        } else {
            png().into_response()
        }
    }))
    .await;
    let fetcher = opened(address).build().unwrap();
    fetcher.fetch(&format!("http://{address}/first?token=secret")).await.unwrap();
    let seen = seen.lock().unwrap();
    let second = seen.get("/second").unwrap();
    assert!(second.values().all(|value| !value.to_str().unwrap().contains("secret")));
    assert!(!second.contains_key("referer") && !second.contains_key("authorization"));
}
