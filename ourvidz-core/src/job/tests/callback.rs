use super::*;
use crate::job::callback::{
    Asset, AssetMetadata, Callback, CallbackFormat, EnhancementStrategy, ErrorCode, SdxlMetadata,
};
use crate::job::{Media, ReferenceMode};
use crate::{Error, policy};

fn asset(index: u32) -> Asset {
    Asset {
        media: Media::Image,
        url: format!("u1/j1/{index}.png"),
        thumbnail_url: (index == 0).then(|| "u1/j1/0.thumb.webp".to_owned()),
        metadata: AssetMetadata {
            width: 1024,
            height: 576,
            format: "png".into(),
            batch_size: 3,
            steps: 50,
            guidance_scale: 6.2,
            seed: 7 + u64::from(index),
            file_size_bytes: 1234,
            asset_index: index,
            negative_prompt_used: true,
            sha256: None,
            denoise_strength: None,
            pipeline: None,
            resize_policy: None,
            frames: None,
            fps: None,
            duration_seconds: None,
        },
    }
}

fn completed() -> Callback {
    let job = accepted(&sdxl_value(json!({"compel_enabled": true, "compel_weights": "(fox:1.2)",
        "config": {"resolution": "1024x576", "steps": 80, "guidance_scale": 6.2, "num_images": 2},
        "metadata": {"reference_image_url": "https://x/y.png", "exact_copy_mode": true}})));
    let metadata = SdxlMetadata {
        generation_time: 9.25,
        scheduler: "EulerDiscreteScheduler".into(),
        precision: "fp32".into(),
        device: "cpu".into(),
        reference_error: Some("not fetched".into()),
        ..SdxlMetadata::new(&job, sdxl_of(&job), 7)
    };
    Callback::completed(&job, vec![asset(0), asset(1)], metadata)
}

#[test]
fn a_completed_body_reports_what_was_done() {
    let expected = json!({
        "job_id": "j1", "status": "completed", "error_message": null,
        "assets": [
            {"type": "image", "url": "u1/j1/0.png", "thumbnail_url": "u1/j1/0.thumb.webp", "metadata":
                {"width": 1024, "height": 576, "format": "png", "batch_size": 3, "steps": 50,
                 "guidance_scale": 6.2, "seed": 7, "file_size_bytes": 1234, "asset_index": 0,
                 "negative_prompt_used": true}},
            {"type": "image", "url": "u1/j1/1.png", "metadata":
                {"width": 1024, "height": 576, "format": "png", "batch_size": 3, "steps": 50,
                 "guidance_scale": 6.2, "seed": 8, "file_size_bytes": 1234, "asset_index": 1,
                 "negative_prompt_used": true}},
        ],
        "metadata": {
            "job_type": "sdxl_image_high", "content_type": "image", "seed": 7, "generation_time": 9.25,
            "num_images": 3, "batch_size": 3, "width": 1024, "height": 576, "steps": 50, "guidance_scale": 6.2,
            "negative_prompt_used": true, "scheduler": "EulerDiscreteScheduler", "precision": "fp32",
            "device": "cpu", "original_prompt": "a red fox", "final_prompt": "a red fox",
            "final_prompt_type": "string", "compel_enabled": true, "compel_weights": "(fox:1.2)",
            "compel_success": false, "enhancement_strategy": "fallback", "reference_mode": "none",
            "requested_reference_mode": "copy", "reference_error": "not fetched",
            "adjusted": [
                {"field": "config.num_images", "requested": 2, "effective": 3, "rule": "1, 3 or 6"},
                {"field": "config.steps", "requested": 80, "effective": 50,
                 "rule": "a whole number from 10 to 50"},
            ],
        },
    });
    let body = completed().body(CallbackFormat::Assets).unwrap();
    assert_eq!(body, expected);
    assert_eq!(serde_json::to_value(completed()).unwrap(), expected);
}

#[test]
fn the_older_shape_lists_urls() {
    let body = completed().body(CallbackFormat::Urls).unwrap();
    assert_eq!(body["assets"], json!(["u1/j1/0.png", "u1/j1/1.png"]));
    assert_eq!(body["metadata"], completed().body(CallbackFormat::Assets).unwrap()["metadata"]);
}

#[test]
fn a_processing_body_claims_nothing() {
    let callback =
        Callback { worker_id: Some("w1".into()), ..Callback::processing(&accepted(&wan_value(json!({})))) };
    let expected = json!({"job_id": "j1", "status": "processing", "error_message": null, "assets": [],
        "metadata": {"job_type": "video_fast", "content_type": "video"}, "worker_id": "w1"});
    assert_eq!(callback.body(CallbackFormat::Assets).unwrap(), expected);
}

#[test]
fn a_rejected_job_is_answered_with_its_field() {
    let rejected = refused(&sdxl_value(json!({"config": {"width": 1023}})));
    let expected = json!({"job_id": "j1", "status": "failed", "assets": [],
        "error_message": "config.width: width and height must be multiples of 8 from 64 to 4096, got 1023",
        "metadata": {"error_code": "INVALID_JOB", "error_type": "InvalidJob", "retryable": false,
            "field": "config.width", "job_type": "sdxl_image_high"}});
    let body = Callback::rejected(&rejected).unwrap().body(CallbackFormat::Assets).unwrap();
    assert_eq!(body, expected);

    let body = Callback::rejected(&refused(&sdxl_value(json!({"type": "chat_enhance"})))).unwrap();
    let metadata = serde_json::to_value(body).unwrap()["metadata"].clone();
    assert_eq!(
        (&metadata["error_code"], &metadata["field"]),
        (&json!("UNSUPPORTED_JOB_TYPE"), &json!("type"))
    );

    assert_eq!(Callback::rejected(&refused(&sdxl_value(json!({"id": null})))), None);
    assert_eq!(Callback::rejected(&parse("[").unwrap_err()), None);
}

#[test]
fn failures_of_accepted_jobs() {
    let job = accepted(&sdxl_value(json!({"prompt": "naked child"})));
    let body =
        serde_json::to_value(Callback::failed_with(&job, &policy::check_job(&job).unwrap_err())).unwrap();
    assert_eq!(body["metadata"]["error_code"], "CONTENT_POLICY");
    assert_eq!(body["metadata"]["retryable"], false);
    assert!(!body.to_string().contains("naked"), "{body}");

    let body = serde_json::to_value(Callback::failed(&job, ErrorCode::Storage, "the disk is full")).unwrap();
    assert_eq!((&body["error_message"], &body["status"]), (&json!("the disk is full"), &json!("failed")));
    assert_eq!(body["metadata"]["retryable"], true);

    let error = Error::NonFinite { tensor: "latents".into(), index: 3 };
    let body = serde_json::to_value(Callback::failed_with(&job, &error)).unwrap();
    assert_eq!(body["metadata"]["error_code"], "NON_FINITE");
}

#[test]
fn codes_are_screaming_and_distinct() {
    let mut names: Vec<_> = ErrorCode::ALL.iter().map(ErrorCode::to_string).collect();
    for (name, code) in names.iter().zip(ErrorCode::ALL) {
        assert!(name.bytes().all(|b| b.is_ascii_uppercase() || b == b'_'), "{name}");
        assert_eq!(name.replace('_', "").to_lowercase(), code.type_name().to_lowercase());
        assert_eq!(serde_json::to_value(code).unwrap(), json!(name));
    }
    names.sort();
    names.dedup();
    assert_eq!(names.len(), ErrorCode::ALL.len());
}

#[test]
fn metadata_without_weights_or_reference() {
    let job = accepted(&sdxl_value(json!({"negative_prompt": "", "compel_enabled": true})));
    let metadata = SdxlMetadata::new(&job, sdxl_of(&job), 0);
    assert_eq!(metadata.enhancement_strategy, EnhancementStrategy::None);
    assert_eq!((metadata.reference_mode, metadata.requested_reference_mode), (ReferenceMode::None, None));
    assert!(!metadata.negative_prompt_used);
    let value = serde_json::to_value(metadata).unwrap();
    assert_eq!(value["compel_weights"], Value::Null);
    assert!(value.get("compel_weights").is_some() && value.get("adjusted").is_none());
}
