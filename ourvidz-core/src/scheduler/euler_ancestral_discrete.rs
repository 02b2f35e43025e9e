use super::class_name::ANCESTRAL;
use super::config::SchedulerConfig;
use super::numpy::interp;
use super::options::{PredictionType, TimestepSpacing, invalid};
use super::prediction::{add_noise, euler_step, scale_model_input};
use super::schedule::{Schedule, spaced_timesteps};
use super::{Scheduler, betas};
use crate::Result;
use crate::noise::Noise;

/// Euler's method with ancestral noise: each step goes below the next level and adds noise up to it
/// (k-diffusion's `sample_euler_ancestral`, eta = 1). Draws noise of the latents' length at every step, the last
/// included, where its weight is 0.
///
/// As in diffusers, the configuration's sigma options (Karras, exponential, beta, interpolation, final) do not
/// apply.
#[derive(Clone, Debug)]
pub struct EulerAncestralDiscreteScheduler {
    schedule: Schedule,
    prediction_type: PredictionType,
}

impl EulerAncestralDiscreteScheduler {
    pub(super) fn new(config: &SchedulerConfig, num_inference_steps: usize) -> Result<Self> {
        let prediction_type = PredictionType::parse(&config.prediction_type)?;
        if prediction_type == PredictionType::Sample {
            let rule = format!("must be epsilon or v_prediction for {ANCESTRAL}");
            return Err(invalid("prediction_type", rule, &config.prediction_type));
        }
        let spacing = TimestepSpacing::parse(&config.timestep_spacing)?;
        let training_sigmas = betas::training_sigmas(config)?;
        let timesteps = spaced_timesteps(config, spacing, num_inference_steps);
        let sigma = |&timestep: &f32| interp(f64::from(timestep), &training_sigmas) as f32;
        let sigmas = timesteps.iter().map(sigma).chain([0.0]).collect();
        Ok(Self { schedule: Schedule::new(timesteps, sigmas, spacing), prediction_type })
    }
}

impl Scheduler for EulerAncestralDiscreteScheduler {
    fn timesteps(&self) -> &[f32] {
        &self.schedule.timesteps
    }

    fn sigmas(&self) -> &[f32] {
        &self.schedule.sigmas
    }

    fn init_noise_sigma(&self) -> f32 {
        self.schedule.init_noise_sigma
    }

    fn scale_model_input(&self, sample: &mut [f32], step: usize) {
        scale_model_input(sample, self.schedule.sigmas[step]);
    }

    fn add_noise(&self, sample: &mut [f32], noise: &[f32], step: usize) {
        add_noise(sample, noise, 1.0, self.schedule.sigmas[step]);
    }

    fn step(&mut self, model_output: &[f32], step: usize, sample: &mut [f32], noise: &mut Noise) {
        debug_assert_eq!(model_output.len(), sample.len());
        let (from, to) = (self.schedule.sigmas[step], self.schedule.sigmas[step + 1]);
        let up = (to * to * (from * from - to * to) / (from * from)).sqrt();
        let down = (to * to - up * up).sqrt();
        let noise = noise.normal(sample.len());
        for ((value, &output), fresh) in sample.iter_mut().zip(model_output).zip(noise) {
            *value = euler_step(self.prediction_type, output, *value, from, down - from) + fresh * up;
        }
    }

    fn class_name(&self) -> &'static str {
        ANCESTRAL
    }
}
