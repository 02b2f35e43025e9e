use serde::{Deserialize, Deserializer, Serialize};

use super::class_name::{ANCESTRAL, DPMSOLVER, EULER, FLOW_EULER, UNIPC, class_from};
use super::options::invalid;
use super::{
    DPMSolverMultistepScheduler, EulerAncestralDiscreteScheduler, EulerDiscreteScheduler,
    FlowMatchEulerDiscreteScheduler, Scheduler, UniPCMultistepScheduler,
};
use crate::{Error, Result};

/// A checkpoint's `scheduler/scheduler_config.json`: fields and defaults of diffusers' schedulers.
///
/// Fields of other classes are ignored, as diffusers ignores them. Options are text here and checked by
/// [`build`](Self::build), which names a field that it cannot honour. "Euler" below are the two classes for a noise
/// schedule of betas, "multistep" `UniPCMultistepScheduler` and `DPMSolverMultistepScheduler`, "flow" those two and
/// `FlowMatchEulerDiscreteScheduler`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct SchedulerConfig {
    /// `EulerDiscreteScheduler` (default), `EulerAncestralDiscreteScheduler`, `UniPCMultistepScheduler`,
    /// `DPMSolverMultistepScheduler` or `FlowMatchEulerDiscreteScheduler`.
    #[serde(rename = "_class_name")]
    pub class_name: String,
    /// Training steps; timesteps lie in `0..num_train_timesteps`. Default 1000.
    pub num_train_timesteps: usize,
    /// First beta, default 0.0001. Betas are Euler's; of flow classes DPM-Solver++ has its `sigma_min` from them.
    pub beta_start: f64,
    /// Last beta, default 0.02.
    pub beta_end: f64,
    /// `linear` (default), `scaled_linear`, `squaredcos_cap_v2`.
    pub beta_schedule: String,
    /// Betas themselves, `num_train_timesteps` of them; start, end and schedule are then unused.
    pub trained_betas: Option<Vec<f64>>,
    /// What the model predicts. Euler: `epsilon` (default), `v_prediction`, `sample` (not ancestral). Multistep:
    /// `flow_prediction`, which `FlowMatchEulerDiscreteScheduler` always means.
    pub prediction_type: String,
    /// `linear` (default) or `log_linear`. `EulerDiscreteScheduler` only.
    pub interpolation_type: String,
    /// Noise levels of Karras et al. (arXiv 2206.00364), rho = 7. Not ancestral; `true` is
    /// refused by flow classes.
    #[serde(deserialize_with = "null_is_false")]
    pub use_karras_sigmas: bool,
    /// Noise levels evenly spaced in their logarithm. Not ancestral; `true` is refused by flow classes.
    #[serde(deserialize_with = "null_is_false")]
    pub use_exponential_sigmas: bool,
    /// Not supported; `true` is refused. Not ancestral.
    #[serde(deserialize_with = "null_is_false")]
    pub use_beta_sigmas: bool,
    /// Lowest level of Karras and exponential sigmas; absent: the schedule's.
    pub sigma_min: Option<f64>,
    /// Highest level of Karras and exponential sigmas; absent: the schedule's.
    pub sigma_max: Option<f64>,
    /// Euler: `linspace` (default), `leading`, `trailing`: table 2 of Lin et al. (arXiv 2305.08891).
    pub timestep_spacing: String,
    /// `discrete` (default) or `continuous`, which with `v_prediction` tells the model `0.25 * ln(sigma)`.
    /// `EulerDiscreteScheduler` only.
    pub timestep_type: String,
    /// Added to every timestep of `leading`. Default 0.
    pub steps_offset: usize,
    /// Euler: rescale the betas so that the last training step is pure noise.
    #[serde(deserialize_with = "null_is_false")]
    pub rescale_betas_zero_snr: bool,
    /// Level after the last step: `zero` (default) or `sigma_min`, which is that of training step 0 of the betas
    /// (`EulerDiscreteScheduler`, DPM-Solver++) or the last step's own (UniPC). Not ancestral, not flow Euler.
    pub final_sigmas_type: String,
    /// Multistep: must be `true` with them; noise levels of flow matching, from 1 to 0. Default false.
    #[serde(deserialize_with = "null_is_false")]
    pub use_flow_sigmas: bool,
    /// Multistep: levels are `s x / (1 + (s - 1) x)`. Default 1.
    pub flow_shift: f64,
    /// The same for `FlowMatchEulerDiscreteScheduler`, applied twice, as diffusers does: to the range and to each
    /// level. Default 1.
    pub shift: f64,
    /// Multistep: how many predictions a step uses, 1 to 3. Default 2.
    pub solver_order: usize,
    /// UniPC: `bh2` (default), `bh1`. DPM-Solver++: `midpoint` (default), `heun`. A name of the other class means the
    /// default, as in diffusers.
    pub solver_type: Option<String>,
    /// Multistep: lower orders in the last steps (default); DPM-Solver++ below 15 steps only.
    pub lower_order_final: bool,
    /// DPM-Solver++: first order in the last step. Default false, and with `final_sigmas_type` `zero` always so.
    pub euler_at_final: bool,
    /// UniPC: steps, counted from 0, whose result is not corrected by the next prediction. Default none.
    pub disable_corrector: Vec<i64>,
    /// UniPC: must be `true` (default).
    pub predict_x0: bool,
    /// UniPC: another scheduler as the predictor; not supported, must be null.
    pub solver_p: Option<serde_json::Value>,
    /// DPM-Solver++: `dpmsolver++` (default), and `deis` means it, as in diffusers. Others are refused.
    pub algorithm_type: String,
    /// DPM-Solver++: not supported; `true` is refused.
    #[serde(deserialize_with = "null_is_false")]
    pub use_lu_lambdas: bool,
    /// Multistep: not supported; `true` is refused.
    #[serde(deserialize_with = "null_is_false")]
    pub thresholding: bool,
    /// Flow: not supported; `true` is refused.
    #[serde(deserialize_with = "null_is_false")]
    pub use_dynamic_shifting: bool,
    /// UniPC and flow Euler: not supported, must be null.
    pub shift_terminal: Option<f64>,
    /// Flow Euler: not supported; `true` is refused.
    #[serde(deserialize_with = "null_is_false")]
    pub invert_sigmas: bool,
    /// Flow Euler: not supported; `true` is refused.
    #[serde(deserialize_with = "null_is_false")]
    pub stochastic_sampling: bool,
}

impl SchedulerConfig {
    /// Reads the text of `scheduler_config.json`, a JSON object. A field may be `-Infinity`, which diffusers writes
    /// for `DPMSolverMultistepScheduler`.
    pub fn from_json(text: &str) -> Result<Self> {
        let text = text.replace(": -Infinity", ": null");
        // serde alone would take an array for the fields in order.
        serde_json::from_str::<serde_json::Map<String, serde_json::Value>>(&text)
            .and_then(|_| serde_json::from_str(&text))
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

    /// The configuration of `Wan2.1-T2V-1.3B-Diffusers`: UniPC of order 2, `bh2`, flow shift 3 (480p).
    pub fn wan_2_1() -> Self {
        Self {
            class_name: UNIPC.into(),
            prediction_type: "flow_prediction".into(),
            use_flow_sigmas: true,
            flow_shift: 3.0,
            solver_type: Some("bh2".into()),
            ..Self::default()
        }
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
            UNIPC => Box::new(UniPCMultistepScheduler::new(self, num_inference_steps)?),
            DPMSOLVER => Box::new(DPMSolverMultistepScheduler::new(self, num_inference_steps)?),
            FLOW_EULER => Box::new(FlowMatchEulerDiscreteScheduler::new(self, num_inference_steps)?),
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
            use_flow_sigmas: false,
            flow_shift: 1.0,
            shift: 1.0,
            solver_order: 2,
            solver_type: None,
            lower_order_final: true,
            euler_at_final: false,
            disable_corrector: Vec::new(),
            predict_x0: true,
            solver_p: None,
            algorithm_type: "dpmsolver++".into(),
            use_lu_lambdas: false,
            thresholding: false,
            use_dynamic_shifting: false,
            shift_terminal: None,
            invert_sigmas: false,
            stochastic_sampling: false,
        }
    }
}

/// diffusers writes these switches as `null` too.
fn null_is_false<'de, D: Deserializer<'de>>(deserializer: D) -> Result<bool, D::Error> {
    Ok(Option::deserialize(deserializer)?.unwrap_or(false))
}
