//! What holds of every scheduler for flow matching without a reference: exact models, runs from the middle, held
//! latents, a scheduler that is used twice.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

use std::cell::Cell;
use std::ops::ControlFlow;

use ourvidz_core::Error;
use ourvidz_core::denoise::{Run, denoise, denoise_from, start_of_strength};
use ourvidz_core::noise::{Noise, NoiseSource};
use ourvidz_core::scheduler::{Scheduler, SchedulerConfig};
use proptest::prelude::*;

const CLASSES: [&str; 3] = ["unipc", "dpm++", "flow_euler"];
const X0: [f32; 4] = [0.5, -1.0, 2.0, 0.0];

fn config(class: &str, order: usize, shift: f64) -> SchedulerConfig {
    let config = SchedulerConfig { solver_order: order, ..SchedulerConfig::wan_2_1() };
    config.with_class_name(class).unwrap().with_flow_shift(shift).unwrap()
}

fn all() -> impl Iterator<Item = SchedulerConfig> {
    CLASSES.into_iter().flat_map(|class| [1, 2, 3].map(|order| config(class, order, 5.0)))
}

fn noise() -> Noise {
    Noise::new(0, NoiseSource::TorchCpu)
}

/// The flow of a model that knows the clean sample: `(x - x0) / sigma`.
fn exact(x: &[f32], sigma: f32) -> Vec<f32> {
    x.iter().zip(X0).map(|(x, x0)| (x - x0) / sigma).collect()
}

/// Runs the exact model and gives back the latents after each step.
fn run(scheduler: &mut dyn Scheduler, latents: &mut [f32], run: Run<'_>) -> Vec<Vec<f32>> {
    let sigmas = scheduler.sigmas().to_vec();
    let (mut step, mut after) = (run.start, Vec::new());
    let model = |x: &[f32], _| {
        step += 1;
        Ok::<_, Error>(exact(x, sigmas[step - 1]))
    };
    denoise_from(scheduler, latents, &mut noise(), run, model, |step| {
        after.push(step.latents.to_vec());
        ControlFlow::Continue(())
    })
    .unwrap();
    after
}

#[track_caller]
fn assert_near(actual: &[f32], expected: &[f32], tolerance: f32) {
    for (a, b) in actual.iter().zip(expected) {
        assert!((a - b).abs() <= tolerance, "{actual:?}, expected {expected:?}");
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    /// Every step lands on the line from the noise to the clean sample, at its level.
    #[test]
    fn an_exact_model_is_followed_from_noise_to_the_clean_sample(
        class in prop::sample::select(CLASSES.to_vec()), order in 1..=3_usize, steps in 1..=100_usize,
        shift in 0.5..12.0_f64, seed in any::<u64>(),
    ) {
        let mut scheduler = config(class, order, shift).build(steps).unwrap();
        let start = Noise::new(seed, NoiseSource::TorchCpu).normal(4);
        let mut latents = X0.to_vec();
        scheduler.add_noise(&mut latents, &start, 0);
        let after = run(&mut *scheduler, &mut latents, Run::default());
        for (step, latents) in after.iter().enumerate() {
            let mut line = X0.to_vec();
            scheduler.add_noise(&mut line, &start, step + 1);
            // Each step divides by its level and may lose a few bits of the noise.
            assert_near(latents, &line, 1e-4);
        }
        assert_near(&latents, &X0, 1e-5);
    }

    /// Levels fall from near 1 to 0, timesteps with them, for any number of steps and any usual shift.
    #[test]
    fn levels_fall(
        class in prop::sample::select(CLASSES.to_vec()), steps in 1..=1000_usize, shift in 0.5..12.0_f64,
    ) {
        let scheduler = config(class, 2, shift).build(steps).unwrap();
        prop_assert_eq!(scheduler.timesteps().len(), steps);
        prop_assert_eq!(scheduler.sigmas().len(), steps + 1);
        prop_assert_eq!(scheduler.sigmas()[steps], 0.0);
        prop_assert!(scheduler.sigmas().windows(2).all(|pair| pair[0] > pair[1]));
        prop_assert!(scheduler.timesteps().windows(2).all(|pair| pair[0] >= pair[1]));
        // Shifted twice in f32, level 1 may round up: diffusers has 1000.00012 for flow Euler, 1 step, shift 1.67086.
        prop_assert!(scheduler.sigmas()[0] > 0.9 && scheduler.timesteps()[0] <= 1000.0 * (1.0 + 1e-6));
    }
}

#[test]
fn a_run_from_the_middle_starts_at_its_level() {
    for config in all() {
        let mut scheduler = config.build(10).unwrap();
        let mut latents = X0.to_vec();
        scheduler.add_noise(&mut latents, &[1.0, -1.0, 0.5, 2.0], 6);
        let after = run(&mut *scheduler, &mut latents, Run { start: 6, ..Run::default() });
        assert_eq!(after.len(), 4);
        assert_near(&latents, &X0, 1e-5);
    }
}

#[test]
fn a_run_from_the_end_changes_nothing_and_one_from_beyond_is_refused() {
    let mut scheduler = config("unipc", 2, 3.0).build(4).unwrap();
    let mut latents = X0.to_vec();
    assert!(run(&mut *scheduler, &mut latents, Run { start: 4, ..Run::default() }).is_empty());
    assert_eq!(latents, X0);
    let beyond = Run { start: 5, ..Run::default() };
    let model = |_: &[f32], _| -> Result<_, Error> { panic!("must not be asked") };
    let on_step = |_: ourvidz_core::denoise::Step<'_>| ControlFlow::Continue(());
    let error =
        denoise_from(&mut *scheduler, &mut latents, &mut noise(), beyond, model, on_step).unwrap_err();
    assert_eq!(error.to_string(), "start: must be at most the number of steps, 4, got 5");
}

/// What is held is what the model sees at every step, and the rest runs as if it were alone.
#[test]
fn held_latents_are_at_each_step_s_level_and_disturb_nothing() {
    let (clean, fresh) = ([7.0_f32, -7.0], [0.25_f32, -0.5]);
    for config in all() {
        let start = [0.1, -0.2, 0.3, -0.4];
        let mut free = start.to_vec();
        let mut scheduler = config.build(8).unwrap();
        let mut model = |x: &[f32], t: f32| Ok::<_, Error>(x.iter().map(|x| x * t / 2000.0).collect());
        let on_step = |_: ourvidz_core::denoise::Step<'_>| ControlFlow::Continue(());
        denoise(&mut *scheduler, &mut free, &mut noise(), &mut model, on_step).unwrap();

        let other = config.build(8).unwrap();
        let mut latents = start.to_vec();
        let calls = Cell::new(0);
        let mut hold = |scheduler: &dyn Scheduler, step: usize, latents: &mut [f32]| {
            assert_eq!(step, calls.replace(step + 1));
            latents[..2].copy_from_slice(&clean);
            scheduler.add_noise(&mut latents[..2], &fresh, step);
        };
        let seen = |x: &[f32], t: f32| {
            let mut expected = clean;
            other.add_noise(&mut expected, &fresh, calls.get() - 1);
            assert_eq!(x[..2], expected);
            model(x, t)
        };
        let run = Run { hold: Some(&mut hold), ..Run::default() };
        denoise_from(&mut *scheduler, &mut latents, &mut noise(), run, seen, on_step).unwrap();
        assert_eq!(calls.get(), 8);
        assert_eq!(latents[2..], free[2..]);
        assert_ne!(latents[..2], free[..2]);
    }
}

#[test]
fn a_scheduler_that_ran_runs_the_same_again() {
    for config in all() {
        let mut scheduler = config.build(6).unwrap();
        let model = |x: &[f32], t: f32| Ok::<_, Error>(x.iter().map(|x| (x * t / 100.0).sin()).collect());
        let mut results = [X0.to_vec(), X0.to_vec()];
        // The first run breaks off, with predictions in memory.
        let broken = |step: ourvidz_core::denoise::Step<'_>| match step.index {
            3 => ControlFlow::Break(()),
            _ => ControlFlow::Continue(()),
        };
        denoise(&mut *scheduler, &mut [9.0; 4], &mut noise(), model, broken).unwrap_err();
        for latents in &mut results {
            denoise(&mut *scheduler, latents, &mut noise(), model, |_| ControlFlow::Continue(())).unwrap();
        }
        let mut fresh = X0.to_vec();
        let mut scheduler = config.build(6).unwrap();
        denoise(&mut *scheduler, &mut fresh, &mut noise(), model, |_| ControlFlow::Continue(())).unwrap();
        assert_eq!(results, [fresh.clone(), fresh]);
    }
}

#[test]
fn higher_orders_are_nearer_to_a_smooth_flow() {
    // dx/dsigma = x, whose solution from 1 to 0 is x / e.
    let error = |class: &str, order: usize| {
        let mut scheduler = config(class, order, 1.0).build(40).unwrap();
        let mut latents = vec![1.0];
        let model = |x: &[f32], _| Ok::<_, Error>(x.to_vec());
        let start = f64::from(scheduler.sigmas()[0]);
        denoise(&mut *scheduler, &mut latents, &mut noise(), model, |_| ControlFlow::Continue(())).unwrap();
        (f64::from(latents[0]) - (-start).exp()).abs()
    };
    for class in ["unipc", "dpm++"] {
        assert!(error(class, 2) < error(class, 1) / 4.0, "{class}");
    }
    assert!(error("unipc", 1) < error("flow_euler", 1), "the corrector adds an order");
}

#[test]
fn strength_is_the_share_of_steps_that_run() {
    for (steps, strength, start) in [
        (20, 0.2, 16),
        (15, 0.05, 15),
        (10, 1.0, 0),
        (10, 0.0, 10),
        (100, 0.29, 72), // 28.999... in floating point, in Python too
    ] {
        assert_eq!(start_of_strength(steps, strength).unwrap(), start, "{steps} {strength}");
    }
    for strength in [-0.1, 1.5, f64::NAN] {
        let error = start_of_strength(10, strength).unwrap_err().to_string();
        assert_eq!(error, format!("strength: must be between 0 and 1, got {strength}"));
    }
}
