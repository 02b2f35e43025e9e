//! Schedulers: which noise levels a run visits, and one step from each to the next.
//!
//! Classes, fields and numbers are those of diffusers 0.42.1, `src/diffusers/schedulers/scheduling_*.py`. Schedules
//! and whole loops agree with it to a relative 1e-6 (DPM-Solver++ of third order: 5e-6, where diffusers itself loses
//! as much to float32); float64 is used where numpy uses it, float32 elsewhere.
//!
//! | class | noise schedule | noise level of a step |
//! |---|---|---|
//! | [`EulerDiscreteScheduler`] | betas (SDXL) | `x + sigma * noise` |
//! | [`EulerAncestralDiscreteScheduler`] | betas (SDXL) | `x + sigma * noise` |
//! | [`UniPCMultistepScheduler`] | flow matching (WAN) | `(1 - sigma) * x + sigma * noise` |
//! | [`DPMSolverMultistepScheduler`] | flow matching (WAN) | `(1 - sigma) * x + sigma * noise` |
//! | [`FlowMatchEulerDiscreteScheduler`] | flow matching (WAN) | `(1 - sigma) * x + sigma * noise` |

mod betas;
mod class_name;
mod config;
mod dpmsolver_multistep;
mod euler_ancestral_discrete;
mod euler_discrete;
mod flow;
mod flow_match_euler_discrete;
mod history;
mod numpy;
mod options;
mod prediction;
mod schedule;
mod unipc_multistep;
mod unipc_system;

use std::fmt::Debug;

pub use config::SchedulerConfig;
pub use dpmsolver_multistep::DPMSolverMultistepScheduler;
pub use euler_ancestral_discrete::EulerAncestralDiscreteScheduler;
pub use euler_discrete::EulerDiscreteScheduler;
pub use flow_match_euler_discrete::FlowMatchEulerDiscreteScheduler;
pub use unipc_multistep::UniPCMultistepScheduler;

use crate::noise::Noise;

/// Guides latents from noise to a sample, one step at a time. Made by [`SchedulerConfig::build`] for one number
/// of steps.
///
/// Steps are named by index, `0..timesteps().len()`. Slices may have any length, the same for all arguments of a
/// call and all steps of a run. Methods panic when `step` is not below `timesteps().len()`;
/// [`denoise`](crate::denoise::denoise) never does that.
///
/// A scheduler is for one run at a time. The multistep classes remember earlier predictions; a step that does not
/// follow the last one taken (the first of another run) forgets them.
pub trait Scheduler: Send + Debug {
    /// What the model is told at each step, in training steps, from noisy to clean.
    fn timesteps(&self) -> &[f32];

    /// Noise level before each step, and after the last: standard deviation of the noise relative to the data.
    /// At least one more than there are timesteps.
    fn sigmas(&self) -> &[f32];

    /// Standard deviation that the first latents of a run from step 0 need: `Noise::normal` times this.
    fn init_noise_sigma(&self) -> f32;

    /// Turns the latents of a step into the model's input, in place.
    fn scale_model_input(&self, sample: &mut [f32], step: usize);

    /// Brings clean latents to the noise level before `step`, in place: where image-to-image starts, and how a
    /// reference is held at each step. `noise` has standard deviation 1. `step` may also be `timesteps().len()`, the
    /// level after the last step. diffusers' `add_noise`, and `scale_noise` of flow Euler.
    fn add_noise(&self, sample: &mut [f32], noise: &[f32], step: usize);

    /// Moves the latents (`sample`, not scaled) one step, in place. `noise` is drawn from by ancestral schedulers
    /// only, once a step.
    fn step(&mut self, model_output: &[f32], step: usize, sample: &mut [f32], noise: &mut Noise);

    /// The class's name in diffusers, e.g. `EulerDiscreteScheduler`.
    fn class_name(&self) -> &'static str;
}
