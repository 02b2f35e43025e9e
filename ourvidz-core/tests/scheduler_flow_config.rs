//! What a `scheduler_config.json` for flow matching may say, how it is refused, and what changing its class does.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

use ourvidz_core::Error;
use ourvidz_core::scheduler::SchedulerConfig;

/// The file of `Wan2.1-T2V-1.3B-Diffusers`.
const WAN: &str = r#"{
    "_class_name": "UniPCMultistepScheduler", "_diffusers_version": "0.33.0.dev0",
    "beta_end": 0.02, "beta_schedule": "linear", "beta_start": 0.0001, "disable_corrector": [],
    "dynamic_thresholding_ratio": 0.995, "final_sigmas_type": "zero", "flow_shift": 3.0, "lower_order_final": true,
    "num_train_timesteps": 1000, "predict_x0": true, "prediction_type": "flow_prediction",
    "rescale_betas_zero_snr": false, "sample_max_value": 1.0, "solver_order": 2, "solver_p": null,
    "solver_type": "bh2", "steps_offset": 0, "thresholding": false, "timestep_spacing": "linspace",
    "trained_betas": null, "use_beta_sigmas": false, "use_exponential_sigmas": false, "use_flow_sigmas": true,
    "use_karras_sigmas": false
}"#;

#[test]
fn wan_2_1_is_the_published_file_and_survives_json() {
    let config = SchedulerConfig::from_json(WAN).unwrap();
    assert_eq!(config, SchedulerConfig::wan_2_1());
    assert_eq!(SchedulerConfig::from_json(&serde_json::to_string(&config).unwrap()).unwrap(), config);
}

#[test]
fn class_names_short_and_long() {
    for (name, class) in [
        ("unipc", "UniPCMultistepScheduler"),
        ("UniPC", "UniPCMultistepScheduler"),
        ("UniPCMultistepScheduler", "UniPCMultistepScheduler"),
        ("dpm++", "DPMSolverMultistepScheduler"),
        ("dpmsolver++", "DPMSolverMultistepScheduler"),
        ("dpmpp", "DPMSolverMultistepScheduler"),
        ("DPMSolverMultistepScheduler", "DPMSolverMultistepScheduler"),
        ("flow_euler", "FlowMatchEulerDiscreteScheduler"),
        ("euler", "FlowMatchEulerDiscreteScheduler"),
        ("FlowMatchEulerDiscreteScheduler", "FlowMatchEulerDiscreteScheduler"),
    ] {
        let config = SchedulerConfig::wan_2_1().with_class_name(name).unwrap();
        assert_eq!(config.class_name, class, "{name}");
        assert_eq!(config.build(4).unwrap().class_name(), class);
    }
}

#[test]
fn a_class_of_the_other_family_is_refused() {
    for name in ["euler_a", "EulerDiscreteScheduler", "ddim"] {
        let error = SchedulerConfig::wan_2_1().with_class_name(name).unwrap_err().to_string();
        let rule =
            "must be UniPCMultistepScheduler, DPMSolverMultistepScheduler or FlowMatchEulerDiscreteScheduler";
        assert_eq!(error, format!("_class_name: {rule}, got {name}"));
    }
    for name in ["unipc", "dpm++", "flow_euler"] {
        let error = SchedulerConfig::sdxl_base().with_class_name(name).unwrap_err().to_string();
        let rule = "must be EulerDiscreteScheduler or EulerAncestralDiscreteScheduler";
        assert_eq!(error, format!("_class_name: {rule}, got {name}"));
    }
    let error = SchedulerConfig::sdxl_base().with_flow_shift(3.0).unwrap_err().to_string();
    assert!(error.starts_with("flow_shift: applies to flow matching only"), "{error}");
}

#[test]
fn the_shift_comes_along_to_another_class() {
    let euler = SchedulerConfig::wan_2_1().with_class_name("euler").unwrap();
    assert_eq!(euler.shift, 3.0);
    let text = r#"{"_class_name": "FlowMatchEulerDiscreteScheduler", "shift": 5.0}"#;
    let euler = SchedulerConfig::from_json(text).unwrap();
    assert!(euler.is_flow());
    for name in ["unipc", "dpm++"] {
        let other = euler.clone().with_class_name(name).unwrap();
        let expected = SchedulerConfig::wan_2_1().with_flow_shift(5.0).unwrap();
        let expected = expected.with_class_name(name).unwrap();
        assert_eq!(other.build(7).unwrap().sigmas(), expected.build(7).unwrap().sigmas(), "{name}");
    }
}

/// A name of the other multistep class means the default, as in diffusers.
#[test]
fn solver_type_of_the_other_class_is_the_default() {
    let dpm = SchedulerConfig::wan_2_1().with_class_name("dpm++").unwrap();
    assert_eq!(dpm.solver_type.as_deref(), Some("bh2"));
    let midpoint = SchedulerConfig { solver_type: Some("midpoint".into()), ..dpm.clone() };
    let heun = SchedulerConfig { solver_type: Some("heun".into()), ..dpm.clone() };
    let shown = |config: &SchedulerConfig| format!("{:?}", config.build(5).unwrap());
    assert_eq!(shown(&dpm), shown(&midpoint));
    assert_ne!(shown(&dpm), shown(&heun));
    let unipc = |kind: Option<&str>| SchedulerConfig {
        solver_type: kind.map(str::to_owned),
        ..SchedulerConfig::wan_2_1()
    };
    assert_eq!(shown(&unipc(Some("heun"))), shown(&unipc(Some("bh2"))));
    assert_eq!(shown(&unipc(None)), shown(&unipc(Some("bh2"))));
    assert_ne!(shown(&unipc(Some("bh1"))), shown(&unipc(Some("bh2"))));
}

#[test]
fn unsupported_values_are_refused_by_field() {
    for (class, json, field) in [
        ("unipc dpm", r#"{"use_flow_sigmas": false}"#, "use_flow_sigmas"),
        ("unipc dpm", r#"{"prediction_type": "epsilon"}"#, "prediction_type"),
        ("unipc dpm", r#"{"solver_order": 0}"#, "solver_order"),
        ("unipc dpm", r#"{"solver_order": 4}"#, "solver_order"),
        ("unipc dpm", r#"{"solver_type": "rk4"}"#, "solver_type"),
        ("unipc dpm", r#"{"final_sigmas_type": "one"}"#, "final_sigmas_type"),
        ("unipc dpm", r#"{"thresholding": true}"#, "thresholding"),
        ("unipc dpm", r#"{"flow_shift": 0.0}"#, "flow_shift"),
        ("unipc dpm", r#"{"flow_shift": -3.0}"#, "flow_shift"),
        ("unipc dpm", r#"{"flow_shift": 1e9}"#, "flow_shift"),
        ("unipc dpm flow", r#"{"use_karras_sigmas": true}"#, "use_karras_sigmas"),
        ("unipc dpm flow", r#"{"use_exponential_sigmas": true}"#, "use_exponential_sigmas"),
        ("unipc dpm flow", r#"{"use_beta_sigmas": true}"#, "use_beta_sigmas"),
        ("unipc dpm flow", r#"{"use_dynamic_shifting": true}"#, "use_dynamic_shifting"),
        ("unipc flow", r#"{"shift_terminal": 0.1}"#, "shift_terminal"),
        ("unipc", r#"{"predict_x0": false}"#, "predict_x0"),
        ("unipc", r#"{"solver_p": {}}"#, "solver_p"),
        ("unipc", r#"{"lower_order_final": false}"#, "lower_order_final"),
        ("dpm", r#"{"algorithm_type": "sde-dpmsolver++"}"#, "algorithm_type"),
        ("dpm", r#"{"use_lu_lambdas": true}"#, "use_lu_lambdas"),
        ("flow", r#"{"shift": 0.0}"#, "shift"),
        ("flow", r#"{"shift": 1e9}"#, "shift"),
        ("flow", r#"{"invert_sigmas": true}"#, "invert_sigmas"),
        ("flow", r#"{"stochastic_sampling": true}"#, "stochastic_sampling"),
        ("unipc dpm flow", r#"{"num_train_timesteps": 3}"#, "num_inference_steps"),
    ] {
        for class in class.split(' ') {
            let name = if class == "flow" { "flow_euler" } else { class };
            let config = SchedulerConfig::wan_2_1().with_class_name(name).unwrap();
            let mut value = serde_json::to_value(config).unwrap();
            let changes: serde_json::Map<_, _> = serde_json::from_str(json).unwrap();
            value.as_object_mut().unwrap().extend(changes);
            match SchedulerConfig::from_json(&value.to_string()).unwrap().build(4) {
                Err(Error::Invalid { field: found, .. }) => assert_eq!(found, field, "{class} {json}"),
                other => panic!("{class} {json}: {other:?}"),
            }
        }
    }
}

/// A flow configuration is not for a class of betas, which would take its prediction for noise.
#[test]
fn euler_of_betas_refuses_a_flow_prediction() {
    let config =
        SchedulerConfig { class_name: "EulerDiscreteScheduler".into(), ..SchedulerConfig::wan_2_1() };
    assert!(config.build(4).unwrap_err().to_string().starts_with("prediction_type: must be one of epsilon"));
}

/// diffusers writes minus infinity, which is not JSON, for this class.
#[test]
fn minus_infinity_is_read() {
    let text = r#"{
  "_class_name": "DPMSolverMultistepScheduler",
  "lambda_min_clipped": -Infinity,
  "prediction_type": "flow_prediction",
  "use_flow_sigmas": true
}"#;
    SchedulerConfig::from_json(text).unwrap().build(4).unwrap();
}
