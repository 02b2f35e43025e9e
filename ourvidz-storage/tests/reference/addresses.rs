use std::sync::Arc;

use ourvidz_storage::{Error, ReferenceFetcher, ReferenceProblem, ReferenceRules};
use tokio::net::TcpListener;

use crate::corpus::{CLOSED, MALFORMED, PUBLIC};
use crate::pictures::{encode, gradient};
use crate::server::{Scripted, rules, serve_at};

fn problem(error: Error) -> ReferenceProblem {
    match error {
        Error::Reference { problem, .. } => problem,
        other => panic!("{other}"),
    }
}

fn asking(lookup: &Arc<Scripted>) -> ReferenceFetcher {
    ReferenceFetcher::builder().lookup(lookup.clone()).build().unwrap()
}

#[tokio::test]
async fn closed_hosts_are_refused_without_a_look_up() {
    let lookup = Scripted::new(&[&["93.184.215.14"]]);
    let fetcher = asking(&lookup);
    for url in CLOSED.iter().chain(&MALFORMED) {
        for error in [fetcher.check(url).await.unwrap_err(), fetcher.fetch(url).await.unwrap_err()] {
            assert!(!error.retryable(), "{url:?}");
            assert!(matches!(problem(error), ReferenceProblem::Refused { .. }), "{url:?}");
        }
    }
    assert_eq!(lookup.asked(), 0);
}

#[tokio::test]
async fn closed_hosts_are_refused_over_http_too() {
    let everything = ReferenceRules { allow_http: true, ports: vec![8080], ..ReferenceRules::default() };
    let fetcher = ReferenceFetcher::builder().rules(everything).build().unwrap();
    for url in CLOSED {
        let url = url.replacen("https", "http", 1).replacen(":443", ":8080", 1);
        let refused = problem(fetcher.fetch(&url).await.unwrap_err());
        assert!(matches!(refused, ReferenceProblem::Refused { .. }), "{url:?}");
    }
}

#[tokio::test]
async fn public_hosts_pass() {
    let lookup = Scripted::new(&[]);
    let fetcher = asking(&lookup);
    for (url, address) in PUBLIC {
        lookup.set(&[address]);
        fetcher.check(url).await.unwrap_or_else(|error| panic!("{url}: {error}"));
    }
}

#[tokio::test]
async fn names_with_closed_addresses_are_refused() {
    let addresses = [
        "127.0.0.1",
        "0.0.0.0",
        "10.0.0.1",
        "172.16.0.1",
        "192.168.0.1",
        "169.254.169.254",
        "100.64.0.1",
        "192.0.2.1",
        "198.18.0.1",
        "224.0.0.1",
        "240.0.0.1",
        "255.255.255.255",
        "::1",
        "::",
        "fe80::1",
        "fd00::1",
        "fec0::1",
        "ff02::1",
        "::ffff:127.0.0.1",
        "::ffff:8.8.8.8",
        "::10.0.0.1",
        "64:ff9b::a00:1",
        "64:ff9b:1::1",
        "2002:7f00:1::",
        "2001::1",
        "2001:db8::1",
    ];
    let lookup = Scripted::new(&[]);
    let fetcher = asking(&lookup);
    for (done, address) in addresses.into_iter().enumerate() {
        lookup.set(&[address]);
        let url = "https://pictures.example.com/a.png";
        for error in [fetcher.check(url).await.unwrap_err(), fetcher.fetch(url).await.unwrap_err()] {
            assert!(!error.retryable() && !format!("{error} {error:?}").contains(address), "{address}");
            assert!(matches!(problem(error), ReferenceProblem::Refused { .. }), "{address}");
        }
        assert_eq!(lookup.asked(), 2 * (done + 1));
    }
    let unknown = asking(&Scripted::new(&[])).fetch("https://pictures.example.com/").await.unwrap_err();
    assert!(unknown.retryable());
    assert_eq!(problem(unknown), ReferenceProblem::Unresolved);
}

/// Two machines with one port: what is connected to is what was checked, and nobody asks a second time.
#[tokio::test]
async fn a_name_that_changes_its_address_changes_nothing() {
    let (checked, port) = loop {
        let other = TcpListener::bind("127.0.0.2:0").await.unwrap();
        let port = other.local_addr().unwrap().port();
        if let Ok(inner) = TcpListener::bind(("127.0.0.1", port)).await {
            let serve = |side: u32| {
                let bytes = encode(gradient(side, 1), image::ImageFormat::Png);
                axum::Router::new().fallback(move || async move { bytes })
            };
            serve_at(inner, serve(1));
            serve_at(other, serve(2));
            break ("127.0.0.2", port);
        }
    };
    let rules = ReferenceRules { allow_http: true, ports: vec![port], ..rules(&["127.0.0.2/32"]) };
    let fetch = async |lookup: &Arc<Scripted>| {
        let fetcher =
            ReferenceFetcher::builder().rules(rules.clone()).lookup(lookup.clone()).build().unwrap();
        fetcher.fetch(&format!("http://pictures.example.com:{port}/a.png")).await
    };

    let lookup = Scripted::new(&[&[checked], &["127.0.0.1"]]);
    assert_eq!(fetch(&lookup).await.unwrap().width, 2);
    assert_eq!(lookup.asked(), 1);
    assert!(matches!(problem(fetch(&lookup).await.unwrap_err()), ReferenceProblem::Refused { .. }));

    // Of several addresses the permitted ones remain, wherever they stand.
    let lookup = Scripted::new(&[&["127.0.0.1", "::1", checked]]);
    assert_eq!(fetch(&lookup).await.unwrap().width, 2);
}

#[tokio::test]
async fn a_private_host_is_open_on_its_own_port_and_scheme_only() {
    let lookup = Scripted::new(&[&["10.0.0.5"]]);
    let list = ["http://minio:9000", "*.store.internal", "10.1.0.0/16", "https://10.2.0.1:9000"];
    let fetcher = ReferenceFetcher::builder().rules(rules(&list)).lookup(lookup).build().unwrap();
    for url in [
        "http://minio:9000/a",
        "https://minio:9000/a",
        "https://a.store.internal/a",
        "https://A.b.store.internal./a",
        "https://10.1.2.3/a",
        "https://10.2.0.1:9000/a",
    ] {
        fetcher.check(url).await.unwrap_or_else(|error| panic!("{url}: {error}"));
    }
    for url in [
        "http://minio/a",
        "https://minio/a",
        "http://minio:9001/a",
        "https://store.internal/a",
        "https://astore.internal/a",
        "http://a.store.internal/a",
        "https://a.store.internal:9000/a",
        "http://10.1.2.3/a",
        "https://10.2.0.1/a",
        "https://10.2.0.2:9000/a",
        "http://10.2.0.1:9000/a",
        "https://[::ffff:10.1.2.3]/a",
        "https://0xa010203/a",
        "https://pictures.example.com/a",
    ] {
        let refused = fetcher.check(url).await.map_err(problem);
        assert!(matches!(refused, Err(ReferenceProblem::Refused { .. })), "{url}: {refused:?}");
    }
}

#[tokio::test]
async fn an_exclusive_list_admits_its_hosts_at_public_addresses() {
    let only = ["*.supabase.co", "cdn.example.com:8443"].map(|rule| rule.parse().unwrap()).to_vec();
    let rules = ReferenceRules { only, ..rules(&["store.internal"]) };
    let check = async |url: &str, address: &str| {
        let lookup = Scripted::new(&[&[address]]);
        let fetcher = ReferenceFetcher::builder().rules(rules.clone()).lookup(lookup).build().unwrap();
        fetcher.check(url).await
    };
    for (url, address, expected) in [
        ("https://p.supabase.co/a", "8.8.8.8", true),
        ("https://p.supabase.co/a", "10.0.0.1", false),
        ("https://cdn.example.com:8443/a", "8.8.8.8", true),
        ("https://cdn.example.com/a", "8.8.8.8", false),
        ("https://store.internal/a", "10.0.0.1", true),
        ("https://supabase.co/a", "8.8.8.8", false),
        ("https://p.supabase.co.example.com/a", "8.8.8.8", false),
        ("https://8.8.8.8/a", "8.8.8.8", false),
    ] {
        assert_eq!(check(url, address).await.is_ok(), expected, "{url} {address}");
    }
}
