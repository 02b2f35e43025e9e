//! Euler schedulers against diffusers 0.42.1, goldens of `scripts/goldens/scheduler_euler.py`: timesteps, sigmas
//! and the sample after every step of a loop on the closed-form model `scaled_input * t / (t + 1)`.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

#[allow(dead_code)]
mod golden;

use std::collections::HashMap;
use std::ops::ControlFlow;

use golden::{Golden, assert_close};
use ourvidz_core::Error;
use ourvidz_core::denoise::denoise;
use ourvidz_core::noise::{Noise, NoiseSource};
use ourvidz_core::scheduler::SchedulerConfig;

const TOLERANCE: f32 = 1e-6;

/// CPU noise is itself within 1e-6 of torch's, and a step that shrinks the sample 20 times magnifies that.
const TOLERANCE_WITH_NOISE: f32 = 5e-6;

#[test]
fn schedules_equal_diffusers() {
    let (golden, cases) = cases();
    for (name, (config, steps)) in &cases {
        let scheduler = config.build(*steps).unwrap();
        assert_eq!(scheduler.class_name(), config.class_name, "{name}");
        let check = |what: &str, actual: &[f32], floor: f32| {
            let name = format!("{name}.{what}");
            assert_close(&name, actual, golden.tensor(&name), TOLERANCE, floor);
        };
        check("timesteps", scheduler.timesteps(), 1e-3);
        check("sigmas", scheduler.sigmas(), 1e-3);
        check("init_noise_sigma", &[scheduler.init_noise_sigma()], 1e-3);
    }
}

#[test]
fn loops_equal_diffusers() {
    let (golden, cases) = cases();
    for (name, (config, steps)) in &cases {
        let mut samples = run(config, *steps);
        if samples.len() > 100 * 16 {
            samples.drain(4 * 16..samples.len() - 4 * 16); // as the script does
        }
        let ancestral = config.class_name == "EulerAncestralDiscreteScheduler";
        let tolerance = if ancestral { TOLERANCE_WITH_NOISE } else { TOLERANCE };
        let expected = golden.tensor(&format!("{name}.samples"));
        assert_eq!(samples.len(), expected.len(), "{name}");
        for (step, (ours, theirs)) in samples.chunks(16).zip(expected.chunks(16)).enumerate() {
            let largest = theirs.iter().fold(f32::MIN_POSITIVE, |max, x| max.max(x.abs()));
            assert_close(&format!("{name} step {step}"), ours, theirs, tolerance, largest);
        }
    }
}

#[test]
fn noise_levels_equal_diffusers() {
    let (golden, cases) = cases();
    let noise: Vec<f32> = (0..16).map(|i| ((i % 5) as f32 - 2.0) / 2.0).collect();
    for (name, (config, steps)) in &cases {
        let scheduler = config.build(*steps).unwrap();
        let expected = golden.tensor(&format!("{name}.noised"));
        for (step, theirs) in [0, steps / 2, steps - 1].into_iter().zip(expected.chunks(16)) {
            let mut sample: Vec<f32> = (0..16).map(|i| (i as f32 - 8.0) / 8.0).collect();
            scheduler.add_noise(&mut sample, &noise, step);
            let largest = theirs.iter().fold(f32::MIN_POSITIVE, |max, x| max.max(x.abs()));
            assert_close(&format!("{name} noised {step}"), &sample, theirs, TOLERANCE, largest);
        }
    }
}

/// The samples after each step, one after another.
fn run(config: &SchedulerConfig, steps: usize) -> Vec<f32> {
    let mut scheduler = config.build(steps).unwrap();
    let start = scheduler.init_noise_sigma();
    let mut latents: Vec<f32> = (0..16).map(|i| (i as f32 - 8.0) / 8.0 * start).collect();
    let mut noise = Noise::new(7, NoiseSource::TorchCpu);
    let mut samples = Vec::new();
    let model = |x: &[f32], t: f32| Ok::<_, Error>(x.iter().map(|x| x * t / (t + 1.0)).collect());
    denoise(&mut *scheduler, &mut latents, &mut noise, model, |step| {
        samples.extend_from_slice(step.latents);
        ControlFlow::Continue(())
    })
    .unwrap();
    samples
}

/// Case name to its configuration, read from JSON like a checkpoint's, and number of steps.
fn cases() -> (Golden, HashMap<String, (SchedulerConfig, usize)>) {
    let golden = Golden::read("scheduler_euler");
    let json: HashMap<String, (serde_json::Value, usize)> =
        serde_json::from_str(golden.metadata("cases")).unwrap();
    let read = |config: serde_json::Value| SchedulerConfig::from_json(&config.to_string()).unwrap();
    let cases: HashMap<_, _> = json.into_iter().map(|(name, (c, steps))| (name, (read(c), steps))).collect();
    assert_eq!(cases.len(), 101);
    (golden, cases)
}
