use super::class_name::EULER;
use super::config::SchedulerConfig;
use super::options::PredictionType;
use super::prediction::{add_noise, euler_step, scale_model_input};
use super::schedule::{self, Schedule};
use super::{Scheduler, betas};
use crate::Result;
use crate::noise::Noise;

/// Euler's method without churn (`s_churn = 0`): algorithm 2 of Karras et al. (arXiv 2206.00364), first order.
/// Draws no noise.
#[derive(Clone, Debug)]
pub struct EulerDiscreteScheduler {
    schedule: Schedule,
    prediction_type: PredictionType,
}

impl EulerDiscreteScheduler {
    pub(super) fn new(config: &SchedulerConfig, num_inference_steps: usize) -> Result<Self> {
        let prediction_type = PredictionType::parse(&config.prediction_type)?;
        let training_sigmas = betas::training_sigmas(config)?;
        let schedule = schedule::euler(config, &training_sigmas, num_inference_steps)?;
        Ok(Self { schedule, prediction_type })
    }
}

impl Scheduler for EulerDiscreteScheduler {
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

    fn step(&mut self, model_output: &[f32], step: usize, sample: &mut [f32], _noise: &mut Noise) {
        debug_assert_eq!(model_output.len(), sample.len());
        let sigma = self.schedule.sigmas[step];
        let dt = self.schedule.sigmas[step + 1] - sigma;
        for (value, &output) in sample.iter_mut().zip(model_output) {
            *value = euler_step(self.prediction_type, output, *value, sigma, dt);
        }
    }

    fn class_name(&self) -> &'static str {
        EULER
    }
}
