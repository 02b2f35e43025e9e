//! The denoising loop: what the model and the observer see, and how a run ends early.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

use std::ops::ControlFlow;

use ourvidz_core::Error;
use ourvidz_core::denoise::{Step, denoise};
use ourvidz_core::noise::{Noise, NoiseSource};
use ourvidz_core::scheduler::SchedulerConfig;

type Predict<'a> = dyn FnMut(&[f32], f32) -> anyhow::Result<Vec<f32>> + 'a;
type OnStep<'a> = dyn FnMut(Step<'_>) -> ControlFlow<()> + 'a;

/// Four steps over three latents.
fn run(predict: &mut Predict<'_>, on_step: &mut OnStep<'_>) -> (anyhow::Result<()>, Vec<f32>) {
    let mut scheduler = SchedulerConfig::sdxl_base().build(4).unwrap();
    let mut noise = Noise::new(1, NoiseSource::TorchCpu);
    let mut latents = vec![1.0, -2.0, 3.0];
    let result = denoise(&mut *scheduler, &mut latents, &mut noise, predict, on_step);
    (result, latents)
}

fn error_of(predict: &mut Predict<'_>, on_step: &mut OnStep<'_>) -> Error {
    run(predict, on_step).0.unwrap_err().downcast().unwrap()
}

#[test]
fn model_sees_scaled_latents_and_observer_sees_every_step() {
    let scheduler = SchedulerConfig::sdxl_base().build(4).unwrap();
    let (mut inputs, mut timesteps, mut steps) = (Vec::new(), Vec::new(), Vec::new());
    let (result, latents) = run(
        &mut |x, t| {
            inputs.push(x.to_vec());
            timesteps.push(t);
            Ok(vec![0.5; 3])
        },
        &mut |step| {
            assert_eq!(step.num_inference_steps, 4);
            assert_eq!(step.noise_pred, [0.5; 3]);
            steps.push((step.index, step.timestep, step.latents.to_vec()));
            ControlFlow::Continue(())
        },
    );
    result.unwrap();
    assert_eq!(timesteps, [751.0, 501.0, 251.0, 1.0]);
    assert_eq!(steps.iter().map(|step| step.0).collect::<Vec<_>>(), [0, 1, 2, 3]);
    assert_eq!(steps.iter().map(|step| step.1).collect::<Vec<_>>(), timesteps);
    assert_eq!(steps[3].2, latents);
    let scale = (scheduler.sigmas()[0].powi(2) + 1.0).sqrt();
    assert_eq!(inputs[0], [1.0 / scale, -2.0 / scale, 3.0 / scale]);
    let scale = (scheduler.sigmas()[1].powi(2) + 1.0).sqrt();
    assert_eq!(inputs[1][2], steps[0].2[2] / scale);
}

#[test]
fn break_cancels_after_the_step() {
    let mut last = Vec::new();
    let mut on_step = |step: Step<'_>| {
        last = step.latents.to_vec();
        if step.index == 2 { ControlFlow::Break(()) } else { ControlFlow::Continue(()) }
    };
    let (result, latents) = run(&mut |x, _| Ok(x.to_vec()), &mut on_step);
    let error: Error = result.unwrap_err().downcast().unwrap();
    assert!(matches!(error, Error::Cancelled { step: 2, num_inference_steps: 4 }), "{error:?}");
    assert_eq!(latents, last);
}

#[test]
fn numbers_that_are_not_finite_name_the_step() {
    let mut calls = 0;
    let mut predict = |x: &[f32], _| {
        calls += 1;
        Ok(if calls == 2 { vec![0.0, f32::NAN, f32::INFINITY] } else { x.to_vec() })
    };
    match error_of(&mut predict, &mut |_| ControlFlow::Continue(())) {
        Error::NonFinite { tensor, index } => {
            assert_eq!((tensor.as_str(), index), ("model output of step 1", 1))
        }
        other => panic!("{other:?}"),
    }
    // Finite itself, but the step overflows.
    let mut predict = |_: &[f32], _| Ok(vec![0.0, 0.0, f32::MAX]);
    match error_of(&mut predict, &mut |_| panic!("the step must not be reported")) {
        Error::NonFinite { tensor, index } => {
            assert_eq!((tensor.as_str(), index), ("latents after step 0", 2))
        }
        other => panic!("{other:?}"),
    }
}

#[test]
fn prediction_of_another_length_is_refused() {
    let error = error_of(&mut |_, _| Ok(vec![0.0; 6]), &mut |_| ControlFlow::Continue(()));
    assert_eq!(error.to_string(), "model output: must have the latents' 3 elements, got 6");
}

#[test]
fn error_of_the_model_comes_back_as_it_is() {
    let (result, latents) =
        run(&mut |_, _| Err(anyhow::anyhow!("out of memory")), &mut |_| ControlFlow::Continue(()));
    assert_eq!(result.unwrap_err().to_string(), "out of memory");
    assert_eq!(latents, [1.0, -2.0, 3.0]);
}
