//! Schedulers: which noise levels a run visits, and one step from each to the next.
//!
//! Classes, fields and numbers are those of diffusers 0.42.1, file by file:
//! `src/diffusers/schedulers/scheduling_euler_discrete.py` and `scheduling_euler_ancestral_discrete.py`. Schedules
//! and whole loops agree with it to a relative 1e-6; float64 is used where numpy uses it, float32 elsewhere.

mod betas;
mod config;
mod euler_ancestral_discrete;
mod euler_discrete;
mod numpy;
mod options;
mod prediction;
mod schedule;

use std::fmt::Debug;

pub use config::SchedulerConfig;
pub use euler_ancestral_discrete::EulerAncestralDiscreteScheduler;
pub use euler_discrete::EulerDiscreteScheduler;

use crate::noise::Noise;

/// Guides latents from noise to a sample, one step at a time. Made by [`SchedulerConfig::build`] for one number
/// of steps.
///
/// Steps are named by index, `0..timesteps().len()`. Slices may have any length, the same for all arguments of a
/// call. Methods panic when `step` is not below `timesteps().len()`; [`denoise`](crate::denoise::denoise) never
/// does that.
pub trait Scheduler: Send + Debug {
    /// What the model is told at each step, in training steps, from noisy to clean.
    fn timesteps(&self) -> &[f32];

    /// Noise level before each step, and after the last: standard deviation of the noise relative to the data.
    /// At least one more than there are timesteps.
    fn sigmas(&self) -> &[f32];

    /// Standard deviation that the first latents need: `Noise::normal` times this.
    fn init_noise_sigma(&self) -> f32;

    /// Turns the latents of a step into the model's input, in place.
    fn scale_model_input(&self, sample: &mut [f32], step: usize);

    /// Moves the latents (`sample`, not scaled) one step, in place. `noise` is drawn from by ancestral schedulers
    /// only, once a step.
    fn step(&mut self, model_output: &[f32], step: usize, sample: &mut [f32], noise: &mut Noise);

    /// The class's name in diffusers, e.g. `EulerDiscreteScheduler`.
    fn class_name(&self) -> &'static str;
}
