use super::*;
use crate::Error;
use crate::job::{Family, JobType, MAX_PROMPT_CHARS, Media, Quality};

#[test]
fn ids_and_types_have_three_spellings() {
    for (id, kind) in [("id", "type"), ("job_id", "job_type"), ("jobId", "jobType")] {
        let job = accepted(
            &json!({id: "j-1_a.b", kind: "sdxl_image_fast", "user_id": "u1", "prompt": "a", "extra": [1, {}]}),
        );
        assert_eq!((job.id.as_str(), job.job_type), ("j-1_a.b", JobType::SdxlImageFast));
    }
    let both = accepted(&sdxl_value(json!({"job_id": "legacy", "job_type": "video_fast"})));
    assert_eq!((both.id.as_str(), both.job_type), ("j1", JobType::SdxlImageHigh));
}

#[test]
fn types_have_one_family_quality_and_medium() {
    use Family::{Sdxl, Wan};
    use Media::{Image, Video};
    use Quality::{Fast, High};
    let table = [
        ("sdxl_image_fast", Sdxl, Fast, Image, false),
        ("sdxl_image_high", Sdxl, High, Image, false),
        ("image_fast", Wan, Fast, Image, false),
        ("image_high", Wan, High, Image, false),
        ("video_fast", Wan, Fast, Video, false),
        ("video_high", Wan, High, Video, false),
        ("image7b_fast_enhanced", Wan, Fast, Image, true),
        ("image7b_high_enhanced", Wan, High, Image, true),
        ("video7b_fast_enhanced", Wan, Fast, Video, true),
        ("video7b_high_enhanced", Wan, High, Video, true),
    ];
    assert_eq!(table.map(|row| row.0), JobType::ALL.map(JobType::as_str));
    for (name, family, quality, media, enhanced) in table {
        let job_type = JobType::from_name(name).unwrap();
        let found = (job_type.family(), job_type.quality(), job_type.media(), job_type.is_enhanced());
        assert_eq!(found, (family, quality, media, enhanced), "{name}");
        assert_eq!(job_type.to_string(), name);
    }
    assert_eq!(JobType::from_name("wan_video_fast"), Some(JobType::VideoFast));
    assert_eq!(JobType::from_name("wan_video_high"), Some(JobType::VideoHigh));
    for name in ["wan_image_fast", "wan_video", "wan_sdxl_image_fast", "chat_enhance", "SDXL_IMAGE_FAST", ""]
    {
        assert_eq!(JobType::from_name(name), None, "{name}");
    }
}

#[test]
fn refusals_name_the_field_as_spelled_and_keep_the_id() {
    let table = [
        (json!({"id": null}), "id is missing: the job's id"),
        (json!({"user_id": null}), "user_id is missing: the id of the user the job belongs to"),
        (json!({"type": null}), "type is missing: the job type, e.g. sdxl_image_fast"),
        (json!({"type": "chat_enhance"}), "type: chat_enhance is not a job type"),
        (json!({"type": 3}), "type: must be text, got 3"),
        (json!({"id": 7}), "id: must be text, got 7"),
        (
            json!({"prompt": null}),
            "prompt is missing: text to draw; only a job with a reference may have none",
        ),
        (
            json!({"prompt": " \n"}),
            "prompt is missing: text to draw; only a job with a reference may have none",
        ),
        (json!({"prompt": 5}), "prompt: must be text, got 5"),
        (json!({"config": []}), "config: must be an object, got []"),
        (json!({"metadata": "x"}), "metadata: must be an object, got \"x\""),
        (json!({"negative_prompt": {}}), "negative_prompt: must be text, got {}"),
        (json!({"config": {"negative_prompt": 1}}), "config.negative_prompt: must be text, got 1"),
        (json!({"compel_enabled": "maybe"}), "compel_enabled: must be true or false, got \"maybe\""),
        (json!({"config": {"steps": "many"}}), "config.steps: must be a number, got \"many\""),
        (
            json!({"config": {"guidance_scale": "NaN"}}),
            "config.guidance_scale: must be a number, got \"NaN\"",
        ),
        (
            json!({"config": {"guidance_scale": "inf"}}),
            "config.guidance_scale: must be a number, got \"inf\"",
        ),
        (json!({"config": {"num_images": [1]}}), "config.num_images: must be a number, got [1]"),
        (
            json!({"metadata": {"denoise_strength": true}}),
            "metadata.denoise_strength: must be a number, got true",
        ),
    ];
    for (over, message) in table {
        let rejected = refused(&sdxl_value(over.clone()));
        assert_eq!(rejected.error.to_string(), message);
        assert_eq!(rejected.job_id.is_some(), over.get("id").is_none(), "{over}");
    }
    let rejected = refused(&sdxl_value(json!({"type": "chat_enhance"})));
    assert!(matches!(rejected.error, Error::UnsupportedJobType { .. }));
    let read = (rejected.job_id.unwrap(), rejected.user_id.unwrap(), rejected.job_type.unwrap());
    assert_eq!(read, ("j1".into(), "u1".into(), "chat_enhance".into()));
}

#[test]
fn ids_that_are_no_path_segment_are_refused() {
    let long = "a".repeat(129);
    for bad in ["", ".", "..", "a..b", "../x", "a/b", "a\\b", "a b", "a\0", "é", "a\n", "%2e", long.as_str()]
    {
        for field in ["id", "user_id"] {
            let error = refused(&sdxl_value(json!({field: bad}))).error;
            assert!(
                matches!(&error, Error::Invalid { field: named, .. } if named == field),
                "{bad:?}: {error}"
            );
        }
    }
    let longest = "a".repeat(128);
    for good in ["550e8400-e29b-41d4-a716-446655440000", "a.b", ".a", "_", longest.as_str()] {
        assert_eq!(accepted(&sdxl_value(json!({"id": good, "user_id": good}))).user_id, good);
    }
}

#[test]
fn an_unsafe_id_can_still_be_answered_unless_it_is_long() {
    assert_eq!(refused(&sdxl_value(json!({"id": "../x"}))).job_id.as_deref(), Some("../x"));
    assert_eq!(refused(&sdxl_value(json!({"id": "a".repeat(129)}))).job_id, None);
}

#[test]
fn long_prompts_are_refused_and_their_text_is_not_repeated() {
    let just = "é".repeat(MAX_PROMPT_CHARS);
    assert_eq!(accepted(&sdxl_value(json!({"prompt": just}))).prompt(), just);
    for field in ["prompt", "negative_prompt"] {
        let message = refused(&sdxl_value(json!({field: format!("{just}x")}))).error.to_string();
        assert_eq!(message, format!("{field}: must have at most 10000 characters, got 10001 characters"));
    }
    let message = refused(&sdxl_value(json!({"config": {"steps": "y".repeat(500)}}))).error.to_string();
    assert!(message.len() < 150, "{message}");
}

#[test]
fn seeds_are_honoured_zero_included() {
    let table = [
        (json!({}), None),
        (json!({"config": {"seed": null}}), None),
        (json!({"config": {"seed": -1}}), None),
        (json!({"config": {"seed": 0}}), Some(0)),
        (json!({"config": {"seed": "42"}}), Some(42)),
        (json!({"config": {"seed": 42.0}}), Some(42)),
        (json!({"metadata": {"seed": 9}}), Some(9)),
        (json!({"config": {"seed": 3}, "metadata": {"seed": 9}}), Some(3)),
        (json!({"config": {"seed": null}, "metadata": {"seed": 9}}), Some(9)),
        (json!({"config": {"seed": u64::MAX}}), Some(u64::MAX)),
        (json!({"config": {"seed": u64::MAX.to_string()}}), Some(u64::MAX)),
    ];
    for (over, seed) in table {
        assert_eq!(accepted(&sdxl_value(over.clone())).seed(), seed, "{over}");
        assert_eq!(accepted(&wan_value(over.clone())).seed(), seed, "{over}");
    }
    for bad in [json!(-2), json!(1.5), json!("x"), json!(1e300), json!([1])] {
        let error = refused(&sdxl_value(json!({"config": {"seed": bad}}))).error;
        assert!(matches!(&error, Error::Invalid { field, .. } if field == "config.seed"), "{bad}: {error}");
    }
}
