//! The denoising loop, with the model as a closure.

use std::ops::ControlFlow;

use crate::noise::Noise;
use crate::scheduler::Scheduler;
use crate::{Error, Result};

/// One finished step, as [`denoise`] reports it.
#[derive(Clone, Copy, Debug)]
pub struct Step<'a> {
    /// Counted from 0.
    pub index: usize,
    /// How many steps the run has.
    pub num_inference_steps: usize,
    /// What the model was told.
    pub timestep: f32,
    /// The model's prediction.
    pub noise_pred: &'a [f32],
    /// The latents after the step.
    pub latents: &'a [f32],
}

/// Takes latents through every step of `scheduler`, in place.
///
/// `latents` start at the scheduler's first noise level: noise times
/// [`init_noise_sigma`](Scheduler::init_noise_sigma). `predict` gets the latents scaled for the model and the
/// timestep, and returns a prediction of the same length, guidance applied. `on_step` is called after every step.
///
/// # Errors
///
/// What `predict` returns; [`Error::Invalid`] for a prediction of another length; [`Error::NonFinite`] when a
/// prediction or the latents hold an infinity or NaN; [`Error::Cancelled`] when `on_step` breaks. `latents` are then
/// those of the last step that was taken.
pub fn denoise<E: From<Error>>(
    scheduler: &mut dyn Scheduler,
    latents: &mut [f32],
    noise: &mut Noise,
    mut predict: impl FnMut(&[f32], f32) -> Result<Vec<f32>, E>,
    mut on_step: impl FnMut(Step<'_>) -> ControlFlow<()>,
) -> Result<(), E> {
    let timesteps = scheduler.timesteps().to_vec();
    let num_inference_steps = timesteps.len();
    let mut model_input = latents.to_vec();
    for (index, timestep) in timesteps.into_iter().enumerate() {
        model_input.copy_from_slice(latents);
        scheduler.scale_model_input(&mut model_input, index);
        let noise_pred = predict(&model_input, timestep)?;
        check_length(&noise_pred, latents.len())?;
        check_finite(&noise_pred, || format!("model output of step {index}"))?;

        scheduler.step(&noise_pred, index, latents, noise);
        check_finite(latents, || format!("latents after step {index}"))?;

        let step = Step { index, num_inference_steps, timestep, noise_pred: &noise_pred, latents };
        if on_step(step).is_break() {
            return Err(Error::Cancelled { step: index, num_inference_steps }.into());
        }
    }
    Ok(())
}

fn check_length(noise_pred: &[f32], latents: usize) -> Result<()> {
    if noise_pred.len() == latents {
        return Ok(());
    }
    Err(Error::Invalid {
        field: "model output".into(),
        rule: format!("must have the latents' {latents} elements"),
        value: noise_pred.len().to_string(),
    })
}

fn check_finite(values: &[f32], tensor: impl Fn() -> String) -> Result<()> {
    match values.iter().position(|value| !value.is_finite()) {
        Some(index) => Err(Error::NonFinite { tensor: tensor(), index }),
        None => Ok(()),
    }
}
