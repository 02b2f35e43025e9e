#![allow(clippy::unwrap_used)]

use proptest::prelude::*;

use super::*;

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

/// RFC 4231, test cases 1 to 4, 6 and 7 (5 is of a truncated output).
#[test]
fn hmac_is_that_of_rfc_4231() {
    let counting: Vec<u8> = (1..=25).collect();
    let long_data = b"This is a test using a larger than block-size key and a larger than block-size data. \
        The key needs to be hashed before being used by the HMAC algorithm.";
    let table: [(&[u8], &[u8], &str); 6] = [
        (&[0x0b; 20], b"Hi There", "b0344c61d8db38535ca8afceaf0bf12b881dc200c9833da726e9376c2e32cff7"),
        (
            b"Jefe",
            b"what do ya want for nothing?",
            "5bdcc146bf60754e6a042426089575c75a003f089d2739839dec58b964ec3843",
        ),
        (&[0xaa; 20], &[0xdd; 50], "773ea91e36800e46854db8ebd09181a72959098b3ef8c122d9635514ced565fe"),
        (&counting, &[0xcd; 50], "82558a389a443c0ea4cc819899f2083a85f0faa3e578f8077a2e3ff46729665b"),
        (
            &[0xaa; 131],
            b"Test Using Larger Than Block-Size Key - Hash Key First",
            "60e431591ee0b67f0d8a26aacbf5b77f8e0bc6213728c5140546040f0ee37f54",
        ),
        (&[0xaa; 131], long_data, "9b09ffa71b942fcb27635fbcd5b0e944bfdc63644f0713938a7f51535c3a35e2"),
    ];
    for (case, (key, data, expected)) in table.into_iter().enumerate() {
        assert_eq!(hex(&sign(key, &[data])), expected, "case {case}");
    }
}

/// The second case of RFC 4231 through the header.
#[test]
fn the_callback_header_is_the_hex_of_the_hmac() {
    let secret = CallbackSecret::new("Jefe").unwrap();
    let expected = "sha256=5bdcc146bf60754e6a042426089575c75a003f089d2739839dec58b964ec3843";
    assert_eq!(secret.header(b"what do ya want for nothing?"), expected);
}

/// The example that the Standard Webhooks libraries publish.
#[test]
fn the_webhook_headers_are_those_of_the_published_example() {
    let headers = |secret: &str| {
        let secret = WebhookSecret::new(secret).unwrap();
        secret.headers("msg_p5jXN8AQM9LWM0D4loKWxJek", 1_614_265_330, br#"{"test": 2432232314}"#).unwrap()
    };
    let published = headers("whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw");
    let expected = [
        ("webhook-id", "msg_p5jXN8AQM9LWM0D4loKWxJek"),
        ("webhook-timestamp", "1614265330"),
        ("webhook-signature", "v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE="),
    ];
    assert_eq!(published.pairs(), expected);
    assert_eq!(headers("MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"), published);
}

#[test]
fn every_secret_of_a_rotation_signs() {
    let secrets = [
        WebhookSecret::new("whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw").unwrap(),
        WebhookSecret::new(&STANDARD.encode([7; 32])).unwrap(),
    ];
    let (id, timestamp, body) = ("msg_p5jXN8AQM9LWM0D4loKWxJek", 1_614_265_330, br#"{"test": 2432232314}"#);
    let both = WebhookHeaders::signed(&secrets, id, timestamp, body).unwrap();
    let other = secrets[1].headers(id, timestamp, body).unwrap().signature;
    assert_ne!(other, "v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE=");
    assert_eq!(both.signature, format!("v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE= {other}"));
    let none = WebhookHeaders::signed(&[], id, timestamp, body);
    assert!(matches!(none, Err(Error::InvalidSecret { .. })));
}

#[test]
fn unusable_secrets_are_refused_without_showing_them() {
    assert!(CallbackSecret::new("").is_err());
    let short = format!("whsec_{}", STANDARD.encode([7; 23]));
    let long = format!("whsec_{}", STANDARD.encode([7; 65]));
    for secret in ["", "whsec_", "whsec_not base64!", short.as_str(), long.as_str()] {
        let error = WebhookSecret::new(secret).unwrap_err();
        let shown = format!("{error} {error:?}");
        assert!(matches!(error, Error::InvalidSecret { .. }));
        assert!(secret.len() < 8 || !shown.contains(&secret["whsec_".len()..]), "{shown}");
    }
    for size in [24, 64] {
        assert!(WebhookSecret::new(&STANDARD.encode(vec![7; size])).is_ok(), "{size}");
    }
}

#[test]
fn debug_hides_secrets() {
    let callback = format!("{:?}", CallbackSecret::new("hunter2").unwrap());
    let webhook = format!("{:?}", WebhookSecret::new("whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw").unwrap());
    assert_eq!((callback.as_str(), webhook.as_str()), ("CallbackSecret(hidden)", "WebhookSecret(hidden)"));
}

#[test]
fn ids_that_would_blur_what_is_signed_are_refused() {
    let secret = WebhookSecret::new("whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw").unwrap();
    for id in ["", "a.b", "a b", "a\r\nx: y", "é"] {
        assert!(matches!(secret.headers(id, 1, b"{}"), Err(Error::InvalidHeader { .. })), "{id:?}");
    }
}

proptest! {
    #[test]
    fn another_body_or_secret_has_another_signature(
        key in "[a-z]{1,100}", other_key in "[a-z]{1,100}",
        body in any::<Vec<u8>>(), other_body in any::<Vec<u8>>(),
    ) {
        let secret = CallbackSecret::new(&key).unwrap();
        let other = CallbackSecret::new(&other_key).unwrap();
        prop_assert_eq!(body == other_body, secret.header(&body) == secret.header(&other_body));
        prop_assert_eq!(key == other_key, secret.header(&body) == other.header(&body));
    }
}
