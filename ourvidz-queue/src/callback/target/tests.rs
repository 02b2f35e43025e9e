#![allow(clippy::unwrap_used)]

use super::*;

#[test]
fn the_default_form_of_the_wire() {
    for project in ["https://abc.supabase.co", "https://abc.supabase.co/"] {
        let target = CallbackTarget::supabase(project, SecretString::from("key"));
        assert_eq!(target.endpoint().unwrap().as_str(), "https://abc.supabase.co/functions/v1/job-callback");
        assert_eq!(target.timeout, Duration::from_secs(30));
        assert!(target.bearer.is_some() && !target.allow_http);
    }
}

#[test]
fn plain_http_goes_to_loopback_only() {
    for url in
        ["http://localhost:54321/f", "http://127.0.0.1/f", "http://127.9.9.9:1/f", "http://[::1]:8000/"]
    {
        assert!(CallbackTarget::new(url).endpoint().is_ok(), "{url}");
    }
    for url in ["http://example.com/", "http://10.0.0.1/", "http://localhost.example.com/", "http://[::2]/"] {
        let error = CallbackTarget::new(url).endpoint().unwrap_err().to_string();
        let rule = "must be https, unless the host is loopback or http is allowed";
        assert_eq!(error, format!("callback URL: {rule}, got {url}"));
        let allowed = CallbackTarget { allow_http: true, ..CallbackTarget::new(url) };
        assert!(allowed.endpoint().is_ok(), "{url}");
    }
}

#[test]
fn what_is_no_address_is_refused() {
    for url in
        ["", "example.com/f", "/f", "ftp://example.com/", "file:///etc/passwd", "https://", "https://a b/"]
    {
        let target = CallbackTarget { allow_http: true, ..CallbackTarget::new(url) };
        assert!(matches!(target.endpoint(), Err(Error::InvalidOption { name: "callback URL", .. })), "{url}");
    }
    for millis in [0, 300_001] {
        let timeout = Duration::from_millis(millis);
        let target = CallbackTarget { timeout, ..CallbackTarget::new("https://example.com/") };
        assert!(target.endpoint().unwrap_err().to_string().starts_with("callback timeout: must be 1 ms"));
    }
}

#[test]
fn errors_and_debug_show_no_secret() {
    let secret = "s3cr3t";
    let urls = [
        "https://user:s3cr3t@example.com/f",
        "https://s3cr3t@example.com/f",
        "https://user:s3cr3t?@example.com:x/",
        "https://user:x@s3cr3t@example.com/f",
        "http://example.com/f?key=s3cr3t",
        "http://example.com/f#s3cr3t",
        "user:s3cr3t@example.com",
    ];
    for url in urls {
        let target = CallbackTarget {
            bearer: Some(SecretString::from(secret)),
            callback_secret: Some(CallbackSecret::new(secret).unwrap()),
            webhook_secrets: vec![WebhookSecret::new("s3cr3taaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa").unwrap()],
            ..CallbackTarget::new(url)
        };
        let error = target.endpoint().unwrap_err();
        let texts = [error.to_string(), format!("{error:?}"), format!("{target:?}"), format!("{target:#?}")];
        for text in texts {
            assert!(!text.contains(secret), "{url}: {text}");
            assert!(text.contains("example.com") || url.starts_with("https://user:s3cr3t?"), "{url}: {text}");
        }
    }
}
