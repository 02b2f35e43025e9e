//! Schedulers for flow matching against diffusers 0.42.1, goldens of `scripts/goldens/scheduler_flow.py`: timesteps,
//! sigmas, noise levels, and the sample after every step of a loop, from its first step and from its middle.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

#[allow(dead_code)]
mod golden;

use std::collections::HashMap;
use std::ops::ControlFlow;

use golden::{Golden, assert_close};
use ourvidz_core::Error;
use ourvidz_core::denoise::{Run, denoise_from};
use ourvidz_core::noise::{Noise, NoiseSource};
use ourvidz_core::scheduler::SchedulerConfig;
use serde::Deserialize;

const TOLERANCE: f32 = 1e-6;

/// Third order divides a difference of `exp(h)` by `h` squared, 100 and more times its last bit; torch's `exp` is one
/// bit off at one of these steps.
const TOLERANCE_DPM_3: f32 = 5e-6;

#[derive(Deserialize)]
struct Case {
    class: String,
    config: serde_json::Value,
    steps: usize,
    schedule: String,
    #[serde(default)]
    begin: usize,
}

impl Case {
    /// Read from JSON like a checkpoint's.
    fn config(&self) -> SchedulerConfig {
        let mut json = self.config.clone();
        json["_class_name"] = self.class.clone().into();
        SchedulerConfig::from_json(&json.to_string()).unwrap()
    }
}

#[derive(Deserialize)]
struct Cases {
    cases: HashMap<String, Case>,
    not_finite: HashMap<String, Case>,
}

fn cases() -> (Golden, Cases) {
    let path = format!("{}/tests/golden/scheduler_flow.json", env!("CARGO_MANIFEST_DIR"));
    let cases: Cases = serde_json::from_str(&std::fs::read_to_string(path).unwrap()).unwrap();
    assert_eq!((cases.cases.len(), cases.not_finite.len()), (484, 54));
    (Golden::read("scheduler_flow"), cases)
}

#[test]
fn schedules_equal_diffusers() {
    let (golden, cases) = cases();
    for case in cases.cases.values().chain(cases.not_finite.values()) {
        let Ok(scheduler) = case.config().build(case.steps) else { continue };
        assert_eq!(scheduler.class_name(), case.class);
        assert_eq!(scheduler.init_noise_sigma(), 1.0);
        // int64 there, but for Euler's.
        let tolerance = if case.class.starts_with("Flow") { TOLERANCE } else { 0.0 };
        let name = format!("{}.timesteps", case.schedule);
        assert_close(&name, scheduler.timesteps(), golden.tensor(&name), tolerance, 1e-3);
        let name = format!("{}.sigmas", case.schedule);
        assert_close(&name, scheduler.sigmas(), golden.tensor(&name), TOLERANCE, 1e-3);
    }
}

#[test]
fn noise_levels_equal_diffusers() {
    let (golden, cases) = cases();
    for case in cases.cases.values() {
        let scheduler = case.config().build(case.steps).unwrap();
        let name = format!("{}.noised", case.schedule);
        let mut samples = Vec::new();
        for step in 0..case.steps {
            let mut sample = golden.tensor("clean").to_vec();
            scheduler.add_noise(&mut sample, golden.tensor("sample"), step);
            samples.extend(sample);
        }
        assert_close(&name, &samples, golden.tensor(&name), TOLERANCE, 1.0);
    }
}

#[test]
fn loops_equal_diffusers() {
    let (golden, cases) = cases();
    for (name, case) in &cases.cases {
        let samples = run(case, &golden).unwrap();
        let expected = golden.tensor(&format!("{name}.samples"));
        assert_eq!(samples.len(), expected.len(), "{name}");
        let third = case.class.starts_with("DPM") && case.config["solver_order"] == 3;
        let tolerance = if third { TOLERANCE_DPM_3 } else { TOLERANCE };
        for (step, (ours, theirs)) in samples.chunks(16).zip(expected.chunks(16)).enumerate() {
            let largest = theirs.iter().fold(f32::MIN_POSITIVE, |max, x| max.max(x.abs()));
            assert_close(&format!("{name} step {step}"), ours, theirs, tolerance, largest);
        }
    }
}

/// Where diffusers has infinities, a run is refused before it starts, or `bh1` goes to zero: then the last step is what
/// the model means, and those before it are the same as with another last level.
#[test]
fn loops_without_a_number_there_are_refused_or_end_at_the_prediction() {
    let (golden, cases) = cases();
    let (mut refused, mut finite) = (0, 0);
    for (name, case) in &cases.not_finite {
        let samples = match run(case, &golden) {
            Err(Error::Invalid { field, .. }) => {
                assert_eq!(field, "lower_order_final", "{name}");
                refused += 1;
                continue;
            }
            other => other.unwrap(),
        };
        finite += 1;
        assert_eq!(case.config["solver_type"], "bh1", "{name}");
        assert_eq!(case.config["final_sigmas_type"], "zero", "{name}");
        let (before, last) = samples.split_at((case.steps - 1) * 16);
        let from = if before.is_empty() { golden.tensor("sample") } else { &before[before.len() - 16..] };
        let sigma = golden.tensor(&format!("{}.sigmas", case.schedule))[case.steps - 1];
        let outputs = &golden.tensor("model_outputs")[(case.steps - 1) * 16..];
        let meant: Vec<f32> = from.iter().zip(outputs).map(|(x, v)| x - sigma * v).collect();
        assert_close(name, last, &meant, TOLERANCE, 1.0);
        if !before.is_empty() {
            // The script's next configuration is the same with `sigma_min`.
            let number: usize = name.split('-').nth(1).unwrap().parse().unwrap();
            let twin = format!("unipc-{}-{}", number + 1, case.steps);
            assert_eq!(cases.cases[&twin].config["final_sigmas_type"], "sigma_min");
            let expected = &golden.tensor(&format!("{twin}.samples"))[..before.len()];
            let largest = expected.iter().fold(f32::MIN_POSITIVE, |max, x| max.max(x.abs()));
            assert_close(name, before, expected, TOLERANCE, largest);
        }
    }
    assert_eq!((refused, finite), (28, 26));
}

/// The samples after each step, one after another.
fn run(case: &Case, golden: &Golden) -> Result<Vec<f32>, Error> {
    let mut scheduler = case.config().build(case.steps)?;
    let mut latents = golden.tensor("sample").to_vec();
    let mut outputs = golden.tensor("model_outputs").chunks(16).skip(case.begin);
    let mut noise = Noise::new(0, NoiseSource::TorchCpu);
    let mut samples = Vec::new();
    let run = Run { start: case.begin, ..Run::default() };
    let model = |_: &[f32], _| Ok::<_, Error>(outputs.next().unwrap().to_vec());
    denoise_from(&mut *scheduler, &mut latents, &mut noise, run, model, |step| {
        samples.extend_from_slice(step.latents);
        ControlFlow::Continue(())
    })?;
    Ok(samples)
}
