use super::Scheduler;
use super::class_name::FLOW_EULER;
use super::config::SchedulerConfig;
use super::flow::{self, FlowSchedule};
use super::prediction::add_noise;
use crate::Result;
use crate::noise::Noise;

/// Euler's method for flow matching: `x + (sigma_next - sigma) * v`. Draws no noise.
#[derive(Clone, Debug)]
pub struct FlowMatchEulerDiscreteScheduler {
    schedule: FlowSchedule,
}

impl FlowMatchEulerDiscreteScheduler {
    pub(super) fn new(config: &SchedulerConfig, num_inference_steps: usize) -> Result<Self> {
        Ok(Self { schedule: flow::euler(config, num_inference_steps)? })
    }
}

impl Scheduler for FlowMatchEulerDiscreteScheduler {
    fn timesteps(&self) -> &[f32] {
        &self.schedule.timesteps
    }

    fn sigmas(&self) -> &[f32] {
        &self.schedule.sigmas
    }

    fn init_noise_sigma(&self) -> f32 {
        1.0
    }

    fn scale_model_input(&self, _sample: &mut [f32], _step: usize) {}

    fn add_noise(&self, sample: &mut [f32], noise: &[f32], step: usize) {
        let sigma = self.schedule.sigmas[step];
        add_noise(sample, noise, 1.0 - sigma, sigma);
    }

    fn step(&mut self, model_output: &[f32], step: usize, sample: &mut [f32], _noise: &mut Noise) {
        debug_assert_eq!(model_output.len(), sample.len());
        let dt = self.schedule.sigmas[step + 1] - self.schedule.sigmas[step];
        for (value, &output) in sample.iter_mut().zip(model_output) {
            *value += dt * output;
        }
    }

    fn class_name(&self) -> &'static str {
        FLOW_EULER
    }
}
