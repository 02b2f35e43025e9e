use super::*;
use crate::job::{DEFAULT_NEGATIVE_PROMPT, ReferenceMode, ReferenceType, SdxlReference};

#[test]
fn defaults_by_quality() {
    for (job_type, steps, guidance) in [("sdxl_image_fast", 15, 6.0), ("sdxl_image_high", 25, 7.5)] {
        for empty in [json!({}), json!({"config": null, "metadata": null, "negative_prompt": null})] {
            let job = accepted(&merged(sdxl_value(json!({"type": job_type})), &empty));
            let expected = SdxlJob {
                prompt: "a red fox".into(),
                negative_prompt: DEFAULT_NEGATIVE_PROMPT.into(),
                num_images: 1,
                num_inference_steps: steps,
                guidance_scale: guidance,
                width: None,
                height: None,
                seed: None,
                scheduler: None,
                reference: None,
                compel_enabled: false,
                compel_weights: None,
            };
            assert_eq!(sdxl_of(&job), &expected);
            assert_eq!(job.adjusted, []);
        }
    }
}

#[test]
fn the_payload_of_the_old_producer() {
    let job = accepted(&sdxl_value(json!({
        "config": {"size": "1024*1024", "sample_steps": 15, "sample_guide_scale": 6.0, "sample_solver": "unipc",
            "sample_shift": 5.0, "frame_num": 1, "enhance_prompt": false, "seed": 123456789, "expected_time": 30,
            "content_type": "image", "file_extension": "png", "num_images": 3},
        "created_at": "2025-07-16T00:00:00Z", "negative_prompt": "fog", "video_id": null, "image_id": "i",
        "model_variant": "lustify_sdxl", "bucket": "sdxl_image_fast",
        "metadata": {"negative_prompt": "fog", "seed": 123456789, "num_images": 3, "dual_worker_routing": true,
            "reference_image_url": "https://x/y.png", "reference_type": "style", "reference_strength": 0.75},
    })));
    let request = sdxl_of(&job);
    assert_eq!((request.num_inference_steps, request.guidance_scale, request.num_images), (15, 6.0, 3));
    assert_eq!((request.seed, request.negative_prompt.as_str()), (Some(123_456_789), "fog"));
    assert_eq!(request.scheduler.as_deref(), Some("unipc"));
    let reference = SdxlReference {
        image_url: "https://x/y.png".into(),
        denoise_strength: 0.25,
        exact_copy_mode: false,
        reference_type: Some(ReferenceType::Style),
    };
    assert_eq!(request.reference, Some(reference));
    assert_eq!(job.requested_reference_mode(), ReferenceMode::Style);
    assert_eq!(job.adjusted, []);
}

#[test]
fn steps_and_guidance_by_every_name_clamped() {
    let steps = |config: Value| {
        let job = accepted(&sdxl_value(json!({ "config": config })));
        (sdxl_of(&job).num_inference_steps, job.adjusted.len())
    };
    for name in ["num_inference_steps", "sample_steps", "steps"] {
        assert_eq!(steps(json!({name: 30})), (30, 0));
        assert_eq!(steps(json!({name: "30"})), (30, 0));
        assert_eq!(steps(json!({name: 30.0})), (30, 0));
        assert_eq!(steps(json!({name: 30.4})), (30, 1));
        assert_eq!(steps(json!({name: 9})), (10, 1));
        assert_eq!(steps(json!({name: -1e300})), (10, 1));
        assert_eq!(steps(json!({name: 51})), (50, 1));
        assert_eq!(steps(json!({name: null})), (25, 0));
    }
    assert_eq!(steps(json!({"steps": 11, "sample_steps": 12, "num_inference_steps": 13})), (13, 0));
    for name in ["guidance_scale", "sample_guide_scale"] {
        for (asked, used, changed) in
            [(json!(3.5), 3.5, 0), (json!("3.5"), 3.5, 0), (json!(0), 1.0, 1), (json!(20.5), 20.0, 1)]
        {
            let job = accepted(&sdxl_value(json!({"config": {name: asked}})));
            assert_eq!((sdxl_of(&job).guidance_scale, job.adjusted.len()), (used, changed), "{name} {asked}");
        }
    }
    let job = accepted(&sdxl_value(json!({"config": {"sample_steps": "80", "guidance_scale": 0.5}})));
    let expected =
        [("config.sample_steps", json!("80"), json!(50)), ("config.guidance_scale", json!(0.5), json!(1.0))];
    assert_eq!(adjusted(&job), expected);
}

#[test]
fn batches_are_one_three_or_six() {
    let table = [(-1, 1), (0, 1), (1, 1), (2, 3), (3, 3), (4, 6), (5, 6), (6, 6), (7, 6), (100, 6)];
    for (asked, made) in table {
        for name in ["num_images", "batch_size"] {
            let job = accepted(&sdxl_value(json!({"config": {name: asked}})));
            assert_eq!(sdxl_of(&job).num_images, made, "{asked}");
            assert_eq!(job.adjusted.is_empty(), asked == i64::from(made), "{asked}");
        }
    }
    assert_eq!(sdxl_of(&accepted(&sdxl_value(json!({"metadata": {"num_images": 6}})))).num_images, 6);
}

#[test]
fn sizes_by_every_name() {
    let table = [
        (json!({}), (None, None)),
        (json!({"width": 768, "height": 1344}), (Some(768), Some(1344))),
        (json!({"width": "768", "height": 1344.0}), (Some(768), Some(1344))),
        (json!({"width": 768}), (Some(768), None)),
        (json!({"size": "832*1216"}), (Some(832), Some(1216))),
        (json!({"size": " 832 x 1216 "}), (Some(832), Some(1216))),
        (json!({"resolution": "1024x576"}), (Some(1024), Some(576))),
        (json!({"resolution": "576X1024"}), (Some(576), Some(1024))),
        (json!({"resolution": "1024x576", "size": "1024*1024"}), (Some(1024), Some(576))),
        (json!({"resolution": "1024x576", "width": 512, "height": 512}), (Some(512), Some(512))),
        (json!({"resolution": "1024x576", "height": 512}), (Some(1024), Some(512))),
        (json!({"width": 64, "height": 4096}), (Some(64), Some(4096))),
    ];
    for (config, size) in table {
        let job = accepted(&sdxl_value(json!({ "config": config })));
        assert_eq!((sdxl_of(&job).width, sdxl_of(&job).height), size, "{config}");
    }
}

#[test]
fn sizes_are_refused_never_rounded() {
    const RULE: &str = "width and height must be multiples of 8 from 64 to 4096";
    const PAIR: &str = "must be WIDTHxHEIGHT or WIDTH*HEIGHT in pixels, like 1024x576";
    const SIDE: &str = "must be a whole number of pixels";
    let table = [
        (json!({"width": 1023}), format!("config.width: {RULE}, got 1023")),
        (json!({"height": "100"}), format!("config.height: {RULE}, got \"100\"")),
        (json!({"width": 56}), format!("config.width: {RULE}, got 56")),
        (json!({"width": 0}), format!("config.width: {RULE}, got 0")),
        (json!({"height": 4104}), format!("config.height: {RULE}, got 4104")),
        (json!({"resolution": "1024x577"}), format!("config.resolution: {RULE}, got \"1024x577\"")),
        (json!({"size": "1024"}), format!("config.size: {PAIR}, got \"1024\"")),
        (json!({"size": "1024x1024x3"}), format!("config.size: {PAIR}, got \"1024x1024x3\"")),
        (json!({"size": "-8x8"}), format!("config.size: {PAIR}, got \"-8x8\"")),
        (json!({"resolution": 1024}), "config.resolution: must be text, got 1024".into()),
        (json!({"width": -8}), format!("config.width: {SIDE}, got -8")),
        (json!({"width": 512.5}), format!("config.width: {SIDE}, got 512.5")),
        (json!({"width": 1e12}), format!("config.width: {SIDE}, got 1000000000000.0")),
        (json!({"width": "wide"}), "config.width: must be a number, got \"wide\"".into()),
    ];
    for (config, message) in table {
        assert_eq!(refused(&sdxl_value(json!({ "config": config }))).error.to_string(), message);
    }
}

#[test]
fn the_negative_prompt_given_is_taken_verbatim() {
    let table = [
        (json!({"negative_prompt": "a"}), "a"),
        (json!({"config": {"negative_prompt": "b"}}), "b"),
        (json!({"metadata": {"negative_prompt": "c"}}), "c"),
        (json!({"negative_prompt": "a", "config": {"negative_prompt": "b"}}), "a"),
        (json!({"config": {"negative_prompt": "b"}, "metadata": {"negative_prompt": "c"}}), "b"),
        (json!({"negative_prompt": ""}), ""),
        (json!({"negative_prompt": null, "config": {"negative_prompt": null}}), DEFAULT_NEGATIVE_PROMPT),
    ];
    for (over, expected) in table {
        assert_eq!(sdxl_of(&accepted(&sdxl_value(over.clone()))).negative_prompt, expected, "{over}");
    }
}

#[test]
fn references_by_every_name() {
    let url = "https://x/y.png";
    let table = [
        (json!({"metadata": {"reference_image_url": url}}), 0.5, "modify"),
        (json!({"reference_image_url": url, "reference_strength": 0.9}), 0.1, "modify"),
        (json!({"metadata": {"reference_image_url": url, "denoise_strength": 0.2}}), 0.2, "modify"),
        (json!({"metadata": {"reference_image_url": url, "denoise_strength": "0.2"}}), 0.2, "modify"),
        (
            json!({"metadata": {"reference_image_url": url}, "config": {"denoise_strength": 0.3}}),
            0.3,
            "modify",
        ),
        (
            json!({"metadata": {"reference_image_url": url, "denoise_strength": 0.2, "reference_strength": 0.1}}),
            0.2,
            "modify",
        ),
        (json!({"metadata": {"reference_image_url": url, "denoise_strength": 0}}), 0.0, "modify"),
        (json!({"metadata": {"reference_image_url": url, "denoise_strength": 7}}), 1.0, "modify"),
        (json!({"metadata": {"reference_image_url": url, "reference_strength": null}}), 0.5, "modify"),
        (json!({"reference_image_url": url, "reference_type": "composition"}), 0.5, "composition"),
        (json!({"metadata": {"reference_image_url": url, "reference_type": "character"}}), 0.5, "character"),
        (
            json!({"prompt": "", "metadata": {"reference_image_url": url, "exact_copy_mode": true}}),
            0.5,
            "copy",
        ),
        (
            json!({"prompt": null, "metadata": {"reference_image_url": url, "exact_copy_mode": "true"}}),
            0.5,
            "copy",
        ),
    ];
    for (over, denoise, mode) in table {
        let job = accepted(&sdxl_value(over.clone()));
        let reference = sdxl_of(&job).reference.as_ref().expect("a reference");
        assert_eq!(reference.image_url, url);
        assert!(
            (reference.denoise_strength - denoise).abs() < 1e-12,
            "{over}: {}",
            reference.denoise_strength
        );
        assert_eq!(job.requested_reference_mode().as_str(), mode, "{over}");
    }
}

#[test]
fn what_needs_a_reference_and_has_none_is_reported() {
    let job =
        accepted(&sdxl_value(json!({"metadata": {"exact_copy_mode": true, "reference_image_url": " "}})));
    assert_eq!(sdxl_of(&job).reference, None);
    assert_eq!(adjusted(&job), [("metadata.exact_copy_mode", json!(true), json!(false))]);
    let job =
        accepted(&sdxl_value(json!({"metadata": {"reference_image_url": "a/b", "reference_type": "pose"}})));
    assert_eq!(job.requested_reference_mode(), ReferenceMode::Modify);
    assert_eq!(adjusted(&job), [("metadata.reference_type", json!("pose"), Value::Null)]);
}

#[test]
fn compel_is_read_where_producers_put_it() {
    let job = accepted(&sdxl_value(json!({"compel_enabled": true, "compel_weights": "(fox:1.3)"})));
    assert_eq!(
        (sdxl_of(&job).compel_enabled, sdxl_of(&job).compel_weights.as_deref()),
        (true, Some("(fox:1.3)"))
    );
    let job = accepted(&sdxl_value(json!({"config": {"compel_enabled": 1}, "compel_weights": ""})));
    assert_eq!((sdxl_of(&job).compel_enabled, sdxl_of(&job).compel_weights.as_deref()), (true, None));
}
