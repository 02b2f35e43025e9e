use proptest::prelude::*;

use super::*;

/// Any JSON, three levels deep.
fn any_json() -> impl Strategy<Value = Value> {
    let leaf = prop_oneof![
        Just(Value::Null),
        any::<bool>().prop_map(Value::from),
        any::<i64>().prop_map(Value::from),
        any::<u64>().prop_map(Value::from),
        any::<f64>().prop_map(Value::from),
        any::<String>().prop_map(Value::from),
        "-?[0-9]{1,5}([x*.][0-9]{0,5})?".prop_map(Value::from),
    ];
    leaf.prop_recursive(3, 24, 4, |inner| {
        prop_oneof![
            proptest::collection::vec(inner.clone(), 0..3).prop_map(Value::from),
            proptest::collection::btree_map("[a-z_]{1,8}|data", inner, 0..4)
                .prop_map(|map| Value::Object(map.into_iter().collect())),
        ]
    })
}

/// A job with any values under the names parse knows.
fn any_job() -> impl Strategy<Value = Value> {
    const CONFIG: &[&str] = &[
        "num_images",
        "batch_size",
        "num_inference_steps",
        "sample_steps",
        "steps",
        "guidance_scale",
        "width",
        "height",
        "size",
        "resolution",
        "seed",
        "negative_prompt",
        "frame_num",
        "fps",
        "sample_shift",
        "image",
        "first_frame",
        "enhance_prompt",
        "scheduler",
    ];
    const OTHER: &[&str] = &[
        "seed",
        "num_images",
        "reference_image_url",
        "denoise_strength",
        "reference_strength",
        "exact_copy_mode",
        "reference_type",
        "start_reference_url",
        "compel_weights",
        "compel_enabled",
    ];
    let level = |names: &'static [&'static str]| {
        proptest::collection::btree_map(
            proptest::sample::select(names).prop_map(str::to_owned),
            any_json(),
            0..4,
        )
        .prop_map(|map| Value::Object(map.into_iter().collect()))
    };
    let job_type = proptest::sample::select(crate::job::JobType::ALL.as_slice());
    (job_type, level(CONFIG), level(OTHER), level(OTHER)).prop_map(|(job_type, config, metadata, root)| {
        merged(sdxl_value(json!({"type": job_type, "config": config, "metadata": metadata})), &root)
    })
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(1000))]

    #[test]
    fn any_text_is_read_without_a_panic(raw in any::<String>()) {
        let _ = parse(&raw);
    }

    #[test]
    fn any_json_is_read_without_a_panic(value in any_json()) {
        let _ = parse(&value.to_string());
    }

    #[test]
    fn an_accepted_job_is_within_every_rule(value in any_job()) {
        match parse(&value.to_string()) {
            Err(rejected) => prop_assert_eq!(rejected.job_id.as_deref(), Some("j1")),
            Ok(job) => match &job.request {
                JobRequest::Sdxl(r) => {
                    prop_assert!([1, 3, 6].contains(&r.num_images));
                    prop_assert!((10..=50).contains(&r.num_inference_steps));
                    prop_assert!((1.0..=20.0).contains(&r.guidance_scale));
                    for side in [r.width, r.height].into_iter().flatten() {
                        prop_assert!(side.is_multiple_of(8) && (64..=4096).contains(&side));
                    }
                    if let Some(reference) = &r.reference {
                        prop_assert!((0.0..=1.0).contains(&reference.denoise_strength));
                    }
                }
                JobRequest::Wan(r) => {
                    prop_assert!(r.num_frames % 4 == 1 && r.num_frames <= 81);
                    prop_assert!(r.fps.is_none_or(|fps| (8..=24).contains(&fps)));
                    prop_assert!([(480, 832), (832, 480)].contains(&(r.width, r.height)));
                    prop_assert!(r.sample_shift > 0.0 && r.sample_shift.is_finite());
                }
            },
        }
    }
}
