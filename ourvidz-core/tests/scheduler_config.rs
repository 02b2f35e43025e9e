//! What a `scheduler_config.json` may say, and how it is refused.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

use ourvidz_core::Error;
use ourvidz_core::scheduler::SchedulerConfig;

/// The file of `stable-diffusion-xl-base-1.0`, with its fields of other schedulers.
const SDXL_BASE: &str = r#"{
    "_class_name": "EulerDiscreteScheduler", "_diffusers_version": "0.19.0.dev0",
    "beta_end": 0.012, "beta_schedule": "scaled_linear", "beta_start": 0.00085, "clip_sample": false,
    "interpolation_type": "linear", "num_train_timesteps": 1000, "prediction_type": "epsilon",
    "sample_max_value": 1.0, "set_alpha_to_one": false, "skip_prk_steps": true, "steps_offset": 1,
    "timestep_spacing": "leading", "trained_betas": null, "use_karras_sigmas": null
}"#;

#[test]
fn sdxl_base_is_the_published_file() {
    assert_eq!(SchedulerConfig::from_json(SDXL_BASE).unwrap(), SchedulerConfig::sdxl_base());
}

#[test]
fn configuration_survives_json() {
    let config = SchedulerConfig { sigma_min: Some(0.002), ..SchedulerConfig::sdxl_base() };
    let text = serde_json::to_string(&config).unwrap();
    assert!(text.contains(r#""_class_name":"EulerDiscreteScheduler""#), "{text}");
    assert_eq!(SchedulerConfig::from_json(&text).unwrap(), config);
}

#[test]
fn class_names_short_and_long() {
    for (name, class) in [
        ("EulerDiscreteScheduler", "EulerDiscreteScheduler"),
        ("euler", "EulerDiscreteScheduler"),
        ("Euler-Discrete", "EulerDiscreteScheduler"),
        ("euler a", "EulerAncestralDiscreteScheduler"),
        ("euler_ancestral", "EulerAncestralDiscreteScheduler"),
        ("EulerAncestralDiscreteScheduler", "EulerAncestralDiscreteScheduler"),
    ] {
        let config = SchedulerConfig::sdxl_base().with_class_name(name).unwrap();
        assert_eq!(config.class_name, class, "{name}");
        assert_eq!(config.build(4).unwrap().class_name(), class);
    }
    let error = SchedulerConfig::sdxl_base().with_class_name("ddim").unwrap_err().to_string();
    let expected = "_class_name: must be EulerDiscreteScheduler or EulerAncestralDiscreteScheduler, got ddim";
    assert_eq!(error, expected);
}

#[test]
fn unsupported_values_are_refused_by_field() {
    for (json, field) in [
        (r#"{"_class_name": "DDIMScheduler"}"#, "_class_name"),
        (r#"{"beta_schedule": "sigmoid"}"#, "beta_schedule"),
        (r#"{"prediction_type": "flow"}"#, "prediction_type"),
        (
            r#"{"_class_name": "EulerAncestralDiscreteScheduler", "prediction_type": "sample"}"#,
            "prediction_type",
        ),
        (r#"{"timestep_spacing": "even"}"#, "timestep_spacing"),
        (r#"{"timestep_type": "both"}"#, "timestep_type"),
        (r#"{"interpolation_type": "cubic"}"#, "interpolation_type"),
        (r#"{"final_sigmas_type": "one"}"#, "final_sigmas_type"),
        (r#"{"use_beta_sigmas": true}"#, "use_beta_sigmas"),
        (
            r#"{"use_karras_sigmas": true, "use_exponential_sigmas": true}"#,
            "use_karras_sigmas and use_exponential_sigmas",
        ),
        (r#"{"use_karras_sigmas": true, "sigma_min": 0.0}"#, "sigma_min"),
        (r#"{"use_karras_sigmas": true, "sigma_max": -1.0}"#, "sigma_max"),
        (r#"{"trained_betas": [0.1, 0.2]}"#, "trained_betas"),
        (r#"{"num_train_timesteps": 0}"#, "num_train_timesteps"),
        (r#"{"num_train_timesteps": 3}"#, "num_inference_steps"),
        (r#"{"beta_start": 2.0, "beta_end": 3.0}"#, "beta_start, beta_end or trained_betas"),
    ] {
        match SchedulerConfig::from_json(json).unwrap().build(4) {
            Err(Error::Invalid { field: found, .. }) => assert_eq!(found, field, "{json}"),
            other => panic!("{json}: {other:?}"),
        }
    }
}

#[test]
fn steps_are_checked() {
    let config = SchedulerConfig::sdxl_base();
    for (steps, valid) in [(0, false), (1, true), (1000, true), (1001, false)] {
        assert_eq!(config.build(steps).is_ok(), valid, "{steps}");
    }
}

#[test]
fn text_that_is_not_a_configuration_is_a_json_error() {
    for text in ["", "[]", r#"{"beta_start": "small"}"#, r#"{"steps_offset": -1}"#] {
        let error = SchedulerConfig::from_json(text).unwrap_err();
        assert!(matches!(error, Error::Json { .. }), "{text}: {error:?}");
    }
}

/// At these counts numpy.arange rounds itself one element too long.
#[test]
fn trailing_has_as_many_steps_as_asked_for() {
    let config = SchedulerConfig { timestep_spacing: "trailing".into(), ..SchedulerConfig::sdxl_base() };
    for steps in 1..=1000 {
        let scheduler = config.build(steps).unwrap();
        assert_eq!(scheduler.timesteps().len(), steps);
        assert_eq!(scheduler.sigmas().len(), steps + 1);
        assert_eq!(scheduler.timesteps()[0], 999.0);
        assert!(scheduler.timesteps()[steps - 1] >= 0.0, "{steps}");
    }
}
