use super::*;
use crate::job::{ReferenceMode, WanFrames};

#[test]
fn defaults_by_type() {
    let table = [
        ("image_fast", 1, 25, 6.5, false),
        ("image_high", 1, 50, 7.5, false),
        ("video_fast", 81, 25, 6.5, false),
        ("wan_video_high", 81, 50, 7.5, false),
        ("image7b_fast_enhanced", 1, 25, 6.5, true),
        ("video7b_high_enhanced", 81, 50, 7.5, true),
    ];
    for (job_type, num_frames, num_inference_steps, guidance_scale, enhance_prompt) in table {
        let job = accepted(&wan_value(json!({"type": job_type, "config": null, "metadata": null})));
        let expected = WanJob {
            prompt: "a red fox".into(),
            negative_prompt: None,
            seed: None,
            width: 480,
            height: 832,
            num_frames,
            fps: None,
            num_inference_steps,
            guidance_scale,
            sample_solver: None,
            sample_shift: 5.0,
            enhance_prompt,
            reference: None,
        };
        assert_eq!(wan_of(&job), &expected, "{job_type}");
        assert_eq!(job.adjusted, []);
    }
}

#[test]
fn the_config_is_honoured_and_clamped() {
    let job = accepted(&wan_value(json!({"negative_prompt": "fog", "config": {"size": "832*480",
        "sample_steps": 60, "sample_guide_scale": "5", "sample_solver": "dpm++", "sample_shift": 3,
        "frame_num": 83, "fps": 30, "enhance_prompt": true, "content_type": "image", "num_images": 1}})));
    let request = wan_of(&job);
    assert_eq!((request.width, request.height, request.num_frames, request.fps), (832, 480, 81, Some(24)));
    assert_eq!((request.num_inference_steps, request.guidance_scale, request.sample_shift), (50, 5.0, 3.0));
    assert_eq!(request.sample_solver.as_deref(), Some("dpm++"));
    assert_eq!((request.negative_prompt.as_deref(), request.enhance_prompt), (Some("fog"), true));
    let expected = [
        ("config.frame_num", json!(83), json!(81)),
        ("config.fps", json!(30), json!(24)),
        ("config.sample_steps", json!(60), json!(50)),
    ];
    assert_eq!(adjusted(&job), expected);
    for shift in [json!(0), json!(-1), json!("x")] {
        let error = refused(&wan_value(json!({"config": {"sample_shift": shift}}))).error.to_string();
        assert!(error.starts_with("config.sample_shift: must be"), "{error}");
    }
}

#[test]
fn frames_are_rounded_down_to_four_n_plus_one() {
    let table =
        [(-5, 1), (0, 1), (1, 1), (4, 1), (5, 5), (8, 5), (80, 77), (81, 81), (83, 81), (84, 81), (400, 81)];
    for (asked, made) in table {
        for name in ["frame_num", "frames", "num_frames"] {
            let job = accepted(&wan_value(json!({"config": {name: asked}})));
            assert_eq!(wan_of(&job).num_frames, made, "{asked}");
            assert_eq!(job.adjusted.is_empty(), asked == i64::from(made), "{asked}");
        }
    }
    let picture = accepted(&wan_value(json!({"type": "image_high", "config": {"frame_num": 83}})));
    assert_eq!(wan_of(&picture).num_frames, 1);
}

#[test]
fn sizes_map_to_one_of_two() {
    let table = [
        (json!({"size": "480*832"}), (480, 832), None),
        (json!({"width": 832, "height": 480}), (832, 480), None),
        (json!({"resolution": "1024x1024"}), (480, 832), Some("config.resolution")),
        (json!({"resolution": "1024x576"}), (832, 480), Some("config.resolution")),
        (json!({"resolution": "576x1024"}), (480, 832), Some("config.resolution")),
        (json!({"resolution": "1024x1024", "size": "832*480"}), (832, 480), None),
        (json!({"width": 1280, "height": 720, "resolution": "480x832"}), (480, 832), None),
        (json!({"width": 1280, "height": 720}), (832, 480), Some("config.width")),
        (json!({"width": 832}), (480, 832), None),
    ];
    for (config, size, changed) in table {
        let job = accepted(&wan_value(json!({ "config": config })));
        assert_eq!((wan_of(&job).width, wan_of(&job).height), size, "{config}");
        assert_eq!(job.adjusted.first().map(|a| a.field.as_str()), changed, "{config}");
    }
}

#[test]
fn the_reference_mode_follows_from_the_urls() {
    let config = ["image", "first_frame", "last_frame"];
    let single = || WanFrames::Single("s".into());
    let start = || WanFrames::Start("a".into());
    let end = || WanFrames::End("z".into());
    let both = || WanFrames::Both { start: "a".into(), end: "z".into() };
    let table = [
        (json!({"config": {config[0]: "s"}}), single()),
        (json!({"config": {config[1]: "a"}}), start()),
        (json!({"config": {config[2]: "z"}}), end()),
        (json!({"config": {config[1]: "a", config[2]: "z"}}), both()),
        (json!({"config": {config[0]: "s", config[1]: "a"}}), start()),
        (json!({"config": {config[0]: "s", config[2]: "z"}}), end()),
        (json!({"metadata": {"reference_image_url": "s"}}), single()),
        (json!({"metadata": {"start_reference_url": "a"}}), start()),
        (json!({"metadata": {"start_reference_url": "a", "end_reference_url": "z"}}), both()),
        (json!({"start_reference_url": "a", "end_reference_url": "z"}), both()),
        (json!({"config": {config[0]: "", config[1]: "a"}, "metadata": {"end_reference_url": "z"}}), both()),
        (json!({"config": {config[0]: "s", "reference_mode": "both"}}), single()),
    ];
    for (over, frames) in table {
        let job = accepted(&wan_value(over.clone()));
        assert_eq!(wan_of(&job).reference.as_ref().map(|r| &r.frames), Some(&frames), "{over}");
    }
    assert_eq!(accepted(&wan_value(json!({}))).requested_reference_mode(), ReferenceMode::None);
    let job = accepted(&wan_value(json!({"prompt": "", "config": {"image": "s"},
        "metadata": {"reference_strength": 1.5}})));
    assert_eq!(job.requested_reference_mode(), ReferenceMode::Single);
    assert_eq!(wan_of(&job).reference.as_ref().map(|r| r.denoise_strength), Some(0.0));
    assert_eq!(adjusted(&job), [("metadata.reference_strength", json!(1.5), json!(1.0))]);
}
