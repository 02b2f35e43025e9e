#![allow(clippy::unwrap_used)]

use super::*;

fn credentials() -> Credentials {
    Credentials {
        service_key: Some("service-secret".into()),
        access_key_id: Some("id-secret".into()),
        secret_access_key: Some("access-secret".into()),
        session_token: None,
    }
}

fn parsed(url: &str) -> StoreConfig {
    StoreConfig::parse(url, credentials()).unwrap()
}

#[test]
fn every_kind_of_store_has_a_url() {
    for (url, folder) in [("/srv/files", "/srv/files"), ("files", "files"), ("file:///srv/a%20b", "/srv/a b")]
    {
        assert!(
            matches!(parsed(url), StoreConfig::Local { root } if root.as_path() == std::path::Path::new(folder)),
            "{url}"
        );
    }
    assert!(matches!(parsed("memory:"), StoreConfig::Memory));
    let StoreConfig::Supabase(supabase) = parsed("supabase+https://abc.supabase.co") else { unreachable!() };
    assert_eq!(supabase.url.as_str(), "https://abc.supabase.co/");
    let StoreConfig::Supabase(supabase) = parsed("supabase+http://kong:8000") else { unreachable!() };
    assert_eq!(supabase.url.as_str(), "http://kong:8000/");

    let StoreConfig::S3(s3) = parsed("s3://?region=eu-central-1") else { unreachable!() };
    assert_eq!((s3.bucket, s3.region.as_str(), s3.endpoint), (None, "eu-central-1", None));
    let url =
        "s3://Results?endpoint=https%3A%2F%2Fx.r2.cloudflarestorage.com&region=auto&virtual_hosted=true";
    let StoreConfig::S3(s3) = parsed(url) else { unreachable!() };
    assert_eq!((s3.bucket.as_deref(), s3.region.as_str()), (Some("Results"), "auto"));
    assert_eq!(s3.endpoint.unwrap().as_str(), "https://x.r2.cloudflarestorage.com/");
    assert!(s3.virtual_hosted);
    let url = "s3://b?region=r&credentials=instance";
    let StoreConfig::S3(s3) = StoreConfig::parse(url, Credentials::default()).unwrap() else {
        unreachable!()
    };
    assert!(matches!(s3.credentials, S3Credentials::Instance));
}

#[test]
fn what_breaks_a_rule_is_named_and_no_secret_is() {
    let refused = [
        ("", "storage.url"),
        ("ftp://host/files", "storage.url"),
        ("memory://x", "storage.url"),
        ("file://host/files", "storage.url"),
        ("supabase+https://", "storage.url"),
        ("supabase+https://user:hidden@abc.supabase.co", "storage.url"),
        ("s3://id:hidden@bucket?region=r", "storage.url"),
        ("s3://bucket/below?region=r", "storage.url"),
        ("s3://bucket?region=r&secret_access_key=hidden", "storage.url"),
        ("s3://bucket", "s3.region"),
        ("s3://bucket?region=r&credentials=hope", "s3.credentials"),
        ("s3://bucket?region=r&virtual_hosted=perhaps", "s3.virtual_hosted"),
        ("s3://bucket?endpoint=nowhere", "s3.endpoint"),
    ];
    for (url, field) in refused {
        let error = StoreConfig::parse(url, credentials()).unwrap_err();
        assert!(matches!(error, Error::Setting { field: named, .. } if named == field), "{url}: {error}");
        assert!(!error.to_string().contains("hidden") && !error.retryable(), "{url}: {error}");
    }
    for (url, field) in [
        ("supabase+https://abc.supabase.co", "supabase.service_key"),
        ("s3://b?region=r", "s3.access_key_id"),
    ] {
        let error = StoreConfig::parse(url, Credentials::default()).unwrap_err();
        assert!(matches!(error, Error::Setting { field: named, .. } if named == field), "{url}: {error}");
    }
}

#[test]
fn stores_check_the_rest_and_show_no_secret() {
    for url in ["memory:", "files", "supabase+https://abc.supabase.co", "s3://b?region=r", "s3://?region=r"] {
        let config = parsed(url);
        let shown = format!("{config:?} {:?}", open(config.clone()).unwrap());
        assert!(!shown.contains("secret\"") && !shown.contains("-secret"), "{shown}");
    }
    let StoreConfig::Supabase(supabase) = parsed("supabase+https://abc.supabase.co") else { unreachable!() };
    let small = SupabaseConfig { chunk_size: 1000, ..supabase.clone() };
    let error = open(StoreConfig::Supabase(small)).unwrap_err();
    assert_eq!(error.to_string(), "supabase.chunk_size must be at least 65536 bytes, got \"1000\"");
    for key in ["", "two\nlines"] {
        let odd = SupabaseConfig { service_key: key.into(), ..supabase.clone() };
        let error = open(StoreConfig::Supabase(odd)).unwrap_err();
        assert!(matches!(error, Error::Setting { field: "supabase.service_key", .. }), "{error}");
        assert!(!error.to_string().contains("lines"), "{error}");
    }
    let StoreConfig::S3(s3) = parsed("s3://b?region=r") else { unreachable!() };
    let small = S3Config { part_size: 1 << 20, ..s3.clone() };
    assert!(matches!(open(StoreConfig::S3(small)), Err(Error::Setting { field: "s3.part_size", .. })));
    let odd = S3Config { bucket: Some("a/b".to_owned()), ..s3 };
    assert!(matches!(open(StoreConfig::S3(odd)), Err(Error::Setting { field: "s3.bucket", .. })));
}
