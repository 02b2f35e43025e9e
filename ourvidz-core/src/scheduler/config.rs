use serde::{Deserialize, Deserializer, Serialize};

use super::options::invalid;
use super::{EulerAncestralDiscreteScheduler, EulerDiscreteScheduler, Scheduler};
use crate::{Error, Result};

/// A checkpoint's `scheduler/scheduler_config.json`: fields and defaults of diffusers' Euler schedulers.
///
/// Fields of other classes are ignored, as diffusers ignores them. Options are text here and checked by
/// [`build`](Self::build), which names a field that it cannot honour.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct SchedulerConfig {
    /// `EulerDiscreteScheduler` (default) or `EulerAncestralDiscreteScheduler`.
    #[serde(rename = "_class_name")]
    pub class_name: String,
    /// Training steps; timesteps lie in `0..num_train_timesteps`. Default 1000.
    pub num_train_timesteps: usize,
    /// First beta, default 0.0001.
    pub beta_start: f64,
    /// Last beta, default 0.02.
    pub beta_end: f64,
    /// `linear` (default), `scaled_linear`, `squaredcos_cap_v2`.
    pub beta_schedule: String,
    /// Betas themselves, `num_train_timesteps` of them; start, end and schedule are then unused.
    pub trained_betas: Option<Vec<f64>>,
    /// What the model predicts: `epsilon` (default), `v_prediction`, `sample` (not ancestral).
    pub prediction_type: String,
    /// `linear` (default) or `log_linear`. Not ancestral.
    pub interpolation_type: String,
    /// Noise levels of Karras et al. (arXiv 2206.00364), rho = 7. Not ancestral.
    #[serde(deserialize_with = "null_is_false")]
    pub use_karras_sigmas: bool,
    /// Noise levels evenly spaced in their logarithm. Not ancestral.
    #[serde(deserialize_with = "null_is_false")]
    pub use_exponential_sigmas: bool,
    /// Not supported; `true` is refused. Not ancestral.
    #[serde(deserialize_with = "null_is_false")]
    pub use_beta_sigmas: bool,
    /// Lowest level of Karras and exponential sigmas; absent: the schedule's.
    pub sigma_min: Option<f64>,
    /// Highest level of Karras and exponential sigmas; absent: the schedule's.
    pub sigma_max: Option<f64>,
    /// `linspace` (default), `leading`, `trailing`: table 2 of Lin et al. (arXiv 2305.08891).
    pub timestep_spacing: String,
    /// `discrete` (default) or `continuous`, which with `v_prediction` tells the model `0.25 * ln(sigma)`. Not
    /// ancestral.
    pub timestep_type: String,
    /// Added to every timestep of `leading`. Default 0.
    pub steps_offset: usize,
    /// Rescale the betas so that the last training step is pure noise.
    #[serde(deserialize_with = "null_is_false")]
    pub rescale_betas_zero_snr: bool,
    /// Level after the last step: `zero` (default) or `sigma_min`, that of training step 0. Not ancestral.
    pub final_sigmas_type: String,
}

impl SchedulerConfig {
    /// Reads the text of `scheduler_config.json`, a JSON object.
    pub fn from_json(text: &str) -> Result<Self> {
        // serde alone would take an array for the fields in order.
        serde_json::from_str::<serde_json::Map<String, serde_json::Value>>(text)
            .and_then(|_| serde_json::from_str(text))
            .map_err(|source| Error::Json { what: "scheduler_config.json".into(), source })
    }

    /// The configuration of `stable-diffusion-xl-base-1.0`: Euler, epsilon, leading, offset 1.
    pub fn sdxl_base() -> Self {
        Self {
            beta_start: 0.00085,
            beta_end: 0.012,
            beta_schedule: "scaled_linear".into(),
            timestep_spacing: "leading".into(),
            steps_offset: 1,
            ..Self::default()
        }
    }

    /// The same noise schedule sampled by another class: diffusers' `OtherScheduler.from_config(config)`.
    ///
    /// Accepts the class's name or a short one (`euler`, `euler_a`, `euler_ancestral`), in any case.
    pub fn with_class_name(mut self, name: &str) -> Result<Self> {
        self.class_name = class_from(name)?.into();
        Ok(self)
    }

    /// The schedule for a run of `1..=num_train_timesteps` steps.
    pub fn build(&self, num_inference_steps: usize) -> Result<Box<dyn Scheduler>> {
        if self.num_train_timesteps == 0 {
            return Err(invalid("num_train_timesteps", "must be at least 1", 0));
        }
        if !(1..=self.num_train_timesteps).contains(&num_inference_steps) {
            let rule = format!("must be between 1 and num_train_timesteps = {}", self.num_train_timesteps);
            return Err(invalid("num_inference_steps", rule, num_inference_steps));
        }
        Ok(match class_from(&self.class_name)? {
            ANCESTRAL => Box::new(EulerAncestralDiscreteScheduler::new(self, num_inference_steps)?),
            _ => Box::new(EulerDiscreteScheduler::new(self, num_inference_steps)?),
        })
    }
}

impl Default for SchedulerConfig {
    fn default() -> Self {
        Self {
            class_name: EULER.into(),
            num_train_timesteps: 1000,
            beta_start: 0.0001,
            beta_end: 0.02,
            beta_schedule: "linear".into(),
            trained_betas: None,
            prediction_type: "epsilon".into(),
            interpolation_type: "linear".into(),
            use_karras_sigmas: false,
            use_exponential_sigmas: false,
            use_beta_sigmas: false,
            sigma_min: None,
            sigma_max: None,
            timestep_spacing: "linspace".into(),
            timestep_type: "discrete".into(),
            steps_offset: 0,
            rescale_betas_zero_snr: false,
            final_sigmas_type: "zero".into(),
        }
    }
}

pub(super) const EULER: &str = "EulerDiscreteScheduler";
pub(super) const ANCESTRAL: &str = "EulerAncestralDiscreteScheduler";

fn class_from(name: &str) -> Result<&'static str> {
    let plain: String = name.chars().filter(char::is_ascii_alphanumeric).collect();
    match plain.to_ascii_lowercase().as_str() {
        "eulerdiscretescheduler" | "eulerdiscrete" | "euler" => Ok(EULER),
        "eulerancestraldiscretescheduler" | "eulerancestraldiscrete" | "eulerancestral" | "eulera" => {
            Ok(ANCESTRAL)
        }
        _ => Err(invalid("_class_name", format!("must be {EULER} or {ANCESTRAL}"), name)),
    }
}

/// diffusers writes these switches as `null` too.
fn null_is_false<'de, D: Deserializer<'de>>(deserializer: D) -> Result<bool, D::Error> {
    Ok(Option::deserialize(deserializer)?.unwrap_or(false))
}
