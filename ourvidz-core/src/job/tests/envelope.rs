use super::*;
use crate::Error;
use crate::job::MAX_ENVELOPE_DEPTH;

#[test]
fn every_envelope_holds_the_same_job() {
    let job = sdxl_value(json!({"config": {"seed": 7}}));
    let text = job.to_string();
    let forms = [
        ("object", job.clone()),
        ("data, text", json!({ "data": text })),
        ("array of text", json!([text])),
        ("text", json!(text)),
        ("data, object", json!({ "data": job })),
        ("array of object", json!([job])),
        ("text in an array in text", json!(json!([text]).to_string())),
        ("data in an array", json!([{ "data": text }])),
    ];
    for (name, form) in forms {
        assert_eq!(accepted(&form), accepted(&job), "{name}");
    }
}

#[test]
fn a_job_with_a_data_key_is_not_an_envelope() {
    let job = sdxl_value(json!({"data": {"id": "other"}}));
    assert_eq!(accepted(&job).id, "j1");
}

#[test]
fn wrapping_has_a_limit() {
    let wrapped = |times: usize| {
        let job = sdxl_value(json!({}));
        (0..times).fold(job, |inner, _| json!([inner])).to_string()
    };
    assert!(parse(&wrapped(MAX_ENVELOPE_DEPTH - 1)).is_ok());
    let error = parse(&wrapped(MAX_ENVELOPE_DEPTH)).unwrap_err().error;
    assert_eq!(error.to_string(), "job: must be wrapped at most 8 times, got more");
    // Far deeper than the parser's own stack limit.
    assert!(parse(&"[".repeat(100_000)).is_err());
}

#[test]
fn what_is_no_job_is_refused_without_an_id() {
    let refused = [
        ("", None),
        ("not json", None),
        ("{\"id\": \"j1\"", None),
        ("\"{\\\"id\\\":\"", None),
        ("null", Some("job: must be a JSON object, got null")),
        ("true", Some("job: must be a JSON object, got a boolean")),
        ("17", Some("job: must be a JSON object, got a number")),
        ("[]", Some("job: an array must hold exactly one job, got 0 items")),
        ("[{}, {}]", Some("job: an array must hold exactly one job, got 2 items")),
        ("[null]", Some("job: must be a JSON object, got null")),
    ];
    for (raw, message) in refused {
        let rejected = parse(raw).unwrap_err();
        assert_eq!((rejected.job_id, rejected.user_id, rejected.job_type), (None, None, None), "{raw}");
        match message {
            Some(message) => assert_eq!(rejected.error.to_string(), message, "{raw}"),
            None => assert!(matches!(rejected.error, Error::Json { .. }), "{raw}"),
        }
    }
}
