#![allow(clippy::unwrap_used)]

use super::*;

fn error(status: u16, body: &str) -> Error {
    let answer = Answer::read(StatusCode::from_u16(status).unwrap(), &HeaderMap::new(), body.as_bytes());
    answer.into_error("store", &StorageKey::new("clips", "u/j/0.mp4").unwrap())
}

fn body(status: &str, code: &str, message: &str) -> String {
    format!(r#"{{"statusCode":"{status}","error":"x","code":"{code}","message":"{message}"}}"#)
}

#[test]
fn the_status_in_the_body_decides() {
    let retryable = [
        ("423", "ResourceLocked"),
        ("429", "SlowDown"),
        ("500", "InternalError"),
        ("503", "LockTimeout"),
        ("503", "DatabaseReadOnly"),
        ("544", "DatabaseTimeout"),
        ("409", "KeyAlreadyExists"),
        ("409", "ResourceAlreadyExists"),
    ];
    for (status, code) in retryable {
        let error = error(400, &body(status, code, "m"));
        assert!(error.retryable(), "{status} {code}");
        let Error::Busy { status: read, code: named, .. } = error else { unreachable!("{error:?}") };
        assert_eq!((read.to_string().as_str(), named.as_str()), (status, code));
    }
    let permanent = [
        ("400", "InvalidKey"),
        ("403", "AccessDenied"),
        ("404", "NoSuchKey"),
        ("409", "FeatureNotEnabled"),
        ("413", "EntityTooLarge"),
        ("415", "InvalidMimeType"),
    ];
    for (status, code) in permanent {
        let error = error(400, &body(status, code, "m"));
        assert!(!error.retryable(), "{status} {code}");
        let Error::Refused { status: read, code: named, .. } = error else { unreachable!("{error:?}") };
        assert_eq!((read.to_string().as_str(), named.as_str()), (status, code));
    }
}

#[test]
fn a_missing_bucket_is_named() {
    let newer = body("404", "NoSuchBucket", "Bucket not found");
    let older = r#"{"statusCode":404,"error":"Bucket not found","message":"Bucket not found"}"#;
    for (status, body) in [(400, newer.as_str()), (400, older), (404, "Bucket not found")] {
        let error = error(status, body);
        assert!(matches!(&error, Error::NoSuchBucket { bucket, .. } if bucket == "clips"), "{error:?}");
        assert!(error.to_string().contains("\"clips\"") && !error.retryable(), "{error}");
    }
}

#[test]
fn credentials_have_their_own_error() {
    let storage = body("400", "InvalidJWT", "jwt malformed");
    let gateway = r#"{"message":"No API key found in request"}"#;
    let other = body("403", "AccessDenied", "Invalid Compact JWS");
    for (status, body) in [(400, storage.as_str()), (401, gateway), (400, &other)] {
        let error = error(status, body);
        assert!(matches!(error, Error::Unauthenticated { .. }), "{error:?}");
        assert!(!error.retryable());
    }
}

#[test]
fn only_storage_itself_says_that_a_file_is_absent() {
    let read = |status: u16, body: &str| {
        Answer::read(StatusCode::from_u16(status).unwrap(), &HeaderMap::new(), body.as_bytes())
    };
    let older = r#"{"statusCode":"404","error":"not_found","message":"Object not found"}"#;
    assert!(read(400, older).is_no_such_key());
    assert!(read(400, &body("404", "NoSuchKey", "Object not found")).is_no_such_key());
    assert!(!read(404, r#"{"message":"no Route matched with those values"}"#).is_no_such_key());
    assert!(!read(400, &body("404", "NoSuchBucket", "Bucket not found")).is_no_such_key());
    assert!(!read(400, "").is_no_such_key());
}

#[test]
fn what_is_not_json_keeps_the_status() {
    let error = error(502, "<html>Bad gateway</html>");
    let text = error.to_string();
    assert!(matches!(error, Error::Busy { status: 502, .. }), "{error:?}");
    assert!(text.contains("Bad Gateway") && !text.contains("html"), "{text}");
    // A status of no known number.
    assert!(matches!(self::error(544, ""), Error::Busy { status: 544, .. }));
    assert!(matches!(self::error(302, ""), Error::Refused { status: 302, .. }));
}

#[test]
fn secrets_and_control_characters_are_not_repeated() {
    let body = body("403", "AccessDenied", "token abc.def.ghi is\\u001b[31m bad");
    let answer = Answer::read(StatusCode::BAD_REQUEST, &HeaderMap::new(), body.as_bytes());
    let answer = answer.without("abc.def.ghi");
    assert_eq!(answer.message, "token [secret] is[31m bad");
    let long = Answer::read(StatusCode::BAD_REQUEST, &HeaderMap::new(), "x".repeat(5000).as_bytes());
    assert_eq!(long.message.len(), MAX_MESSAGE);
}
