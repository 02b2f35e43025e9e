//! The denoising loop, with the model as a closure.

use std::fmt;
use std::ops::ControlFlow;

use crate::noise::Noise;
use crate::scheduler::Scheduler;
use crate::{Error, Result};

/// One finished step, as [`denoise`] reports it.
#[derive(Clone, Copy, Debug)]
pub struct Step<'a> {
    /// Counted from 0; a run that starts later has that index first.
    pub index: usize,
    /// How many steps the scheduler has, those before the start included.
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
    predict: impl FnMut(&[f32], f32) -> Result<Vec<f32>, E>,
    on_step: impl FnMut(Step<'_>) -> ControlFlow<()>,
) -> Result<(), E> {
    denoise_from(scheduler, latents, noise, Run::default(), predict, on_step)
}

/// Called before the model is, with the scheduler, the step and the latents, which it may change.
pub type Hold<'a> = dyn FnMut(&dyn Scheduler, usize, &mut [f32]) + 'a;

/// How [`denoise_from`] differs from [`denoise`]. The default is no difference.
#[derive(Default)]
pub struct Run<'a> {
    /// The first step, from [`start_of_strength`]; all of them at 0, none at the number of steps.
    pub start: usize,
    /// Writes known latents over those of the run, before the model sees them at each step. A reference frame is held
    /// there with [`Scheduler::add_noise`] at the step's noise level, always of the same noise. After the last step
    /// the caller writes it once more, clean.
    pub hold: Option<&'a mut Hold<'a>>,
}

impl fmt::Debug for Run<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Run").field("start", &self.start).field("hold", &self.hold.is_some()).finish()
    }
}

/// [`denoise`] that starts later, for image-to-image, or holds a part of the latents.
///
/// `latents` are at the noise level of step `start`: [`Scheduler::add_noise`] brings clean ones there. Schedulers treat
/// every element by itself, so what is held does not disturb the rest, but for what the model makes of it.
///
/// # Errors
///
/// Those of [`denoise`], and [`Error::Invalid`] for a `start` above the number of steps.
pub fn denoise_from<E: From<Error>>(
    scheduler: &mut dyn Scheduler,
    latents: &mut [f32],
    noise: &mut Noise,
    run: Run<'_>,
    mut predict: impl FnMut(&[f32], f32) -> Result<Vec<f32>, E>,
    mut on_step: impl FnMut(Step<'_>) -> ControlFlow<()>,
) -> Result<(), E> {
    let timesteps = scheduler.timesteps().to_vec();
    let num_inference_steps = timesteps.len();
    let Run { start, mut hold } = run;
    if start > num_inference_steps {
        let rule = format!("must be at most the number of steps, {num_inference_steps}");
        return Err(Error::Invalid { field: "start".into(), rule, value: start.to_string() }.into());
    }
    let mut model_input = latents.to_vec();
    for (index, timestep) in timesteps.into_iter().enumerate().skip(start) {
        if let Some(hold) = &mut hold {
            hold(scheduler, index, latents);
        }
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

/// The first step of image-to-image: `num_inference_steps` less `strength` (0 to 1) of them, rounded down, as
/// diffusers' pipelines have it. At 1 all steps run; near 0 none does, and the result is the start.
pub fn start_of_strength(num_inference_steps: usize, strength: f64) -> Result<usize> {
    if !(0.0..=1.0).contains(&strength) {
        return Err(Error::Invalid {
            field: "strength".into(),
            rule: "must be between 0 and 1".into(),
            value: strength.to_string(),
        });
    }
    let steps = (num_inference_steps as f64 * strength) as usize;
    Ok(num_inference_steps - steps.min(num_inference_steps))
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
