use super::config::SchedulerConfig;
use super::numpy::{interp, linspace, linspace_f32};
use super::options::{
    FinalSigmasType, InterpolationType, PredictionType, TimestepSpacing, TimestepType, invalid,
};
use crate::Result;

/// What one run visits: `timesteps` for the model, `sigmas` for the sampler.
#[derive(Clone, Debug)]
pub(super) struct Schedule {
    pub(super) timesteps: Vec<f32>,
    pub(super) sigmas: Vec<f32>,
    pub(super) init_noise_sigma: f32,
}

impl Schedule {
    pub(super) fn new(timesteps: Vec<f32>, sigmas: Vec<f32>, spacing: TimestepSpacing) -> Self {
        let max = sigmas.iter().copied().fold(0.0, f32::max);
        // Leading starts below the last training step, so the first latents hold signal as well as noise.
        let init_noise_sigma = match spacing {
            TimestepSpacing::Linspace | TimestepSpacing::Trailing => max,
            TimestepSpacing::Leading => (max * max + 1.0).sqrt(),
        };
        Self { timesteps, sigmas, init_noise_sigma }
    }
}

/// Timesteps of `steps` steps, from noisy to clean. `steps` is in `1..=num_train_timesteps`.
pub(super) fn spaced_timesteps(config: &SchedulerConfig, spacing: TimestepSpacing, steps: usize) -> Vec<f32> {
    let train = config.num_train_timesteps;
    match spacing {
        TimestepSpacing::Linspace => {
            linspace(0.0, (train - 1) as f64, steps).iter().rev().map(|&t| t as f32).collect()
        }
        TimestepSpacing::Leading => {
            let ratio = train / steps;
            (0..steps).rev().map(|i| (i * ratio) as f32 + config.steps_offset as f32).collect()
        }
        // For some counts (61, 103, ... of 1000) rounding makes numpy.arange, hence diffusers, one element
        // longer, and the model is asked for timestep -1. Here `steps` is what is meant.
        TimestepSpacing::Trailing => {
            let ratio = train as f64 / steps as f64;
            let second = train as f64 - ratio;
            let delta = second - train as f64;
            let timestep = |i: usize| (train as f64 + i as f64 * delta).round_ties_even() as f32 - 1.0;
            (0..steps).map(timestep).collect()
        }
    }
}

/// The schedule of `EulerDiscreteScheduler.set_timesteps`.
pub(super) fn euler(config: &SchedulerConfig, training_sigmas: &[f32], steps: usize) -> Result<Schedule> {
    let spacing = TimestepSpacing::parse(&config.timestep_spacing)?;
    let mut timesteps = spaced_timesteps(config, spacing, steps);
    let (lowest, highest) = (training_sigmas[0], training_sigmas[training_sigmas.len() - 1]);

    let mut sigmas: Vec<f64> = match InterpolationType::parse(&config.interpolation_type)? {
        InterpolationType::Linear => {
            timesteps.iter().map(|&t| interp(f64::from(t), training_sigmas)).collect()
        }
        // One level more than steps, in diffusers too: the level after the last step is then the lowest.
        InterpolationType::LogLinear => {
            let logs = linspace_f32(highest.ln(), lowest.ln(), steps + 1);
            logs.iter().map(|log| f64::from(log.exp())).collect()
        }
    };
    if let Some(spaced) = respaced_sigmas(config, &sigmas, steps)? {
        let log_sigmas: Vec<f32> = training_sigmas.iter().map(|sigma| sigma.ln()).collect();
        timesteps = spaced.iter().map(|&sigma| timestep_of(sigma, &log_sigmas) as f32).collect();
        sigmas = spaced;
    }
    let last = match FinalSigmasType::parse(&config.final_sigmas_type)? {
        FinalSigmasType::Zero => 0.0,
        FinalSigmasType::SigmaMin => lowest,
    };
    let sigmas: Vec<f32> = sigmas.iter().map(|&sigma| sigma as f32).chain([last]).collect();

    let v_prediction = PredictionType::parse(&config.prediction_type)? == PredictionType::VPrediction;
    if TimestepType::parse(&config.timestep_type)? == TimestepType::Continuous && v_prediction {
        timesteps = sigmas[..sigmas.len() - 1].iter().map(|sigma| 0.25 * sigma.ln()).collect();
    }
    Ok(Schedule::new(timesteps, sigmas, spacing))
}

/// Karras or exponential sigmas between the ends of `sigmas`, or between those that the configuration names.
fn respaced_sigmas(config: &SchedulerConfig, sigmas: &[f64], steps: usize) -> Result<Option<Vec<f64>>> {
    if config.use_beta_sigmas {
        return Err(invalid("use_beta_sigmas", "must be false: beta sigmas are not supported", true));
    }
    if config.use_karras_sigmas && config.use_exponential_sigmas {
        let rule = "must not both be true";
        return Err(invalid("use_karras_sigmas and use_exponential_sigmas", rule, "true and true"));
    }
    for (field, sigma) in [("sigma_min", config.sigma_min), ("sigma_max", config.sigma_max)] {
        if let Some(sigma) = sigma
            && !(sigma.is_finite() && sigma > 0.0)
        {
            return Err(invalid(field, "must be a finite number above 0", sigma));
        }
    }
    let min = config.sigma_min.unwrap_or(sigmas[sigmas.len() - 1]);
    let max = config.sigma_max.unwrap_or(sigmas[0]);
    Ok(if config.use_karras_sigmas {
        const RHO: f64 = 7.0;
        let (low, high) = (min.powf(1.0 / RHO), max.powf(1.0 / RHO));
        let ramp = linspace(0.0, 1.0, steps);
        Some(ramp.iter().map(|x| (high + x * (low - high)).powf(RHO)).collect())
    } else if config.use_exponential_sigmas {
        Some(linspace(max.ln(), min.ln(), steps).iter().map(|log| log.exp()).collect())
    } else {
        None
    })
}

/// The fractional training step whose noise level is `sigma`: linear in the logarithm, clamped to the ends.
fn timestep_of(sigma: f64, log_sigmas: &[f32]) -> f64 {
    let log_sigma = sigma.max(1e-10).ln();
    if log_sigmas.len() < 2 {
        return 0.0;
    }
    let below = log_sigmas.iter().rposition(|&log| f64::from(log) <= log_sigma).unwrap_or(0);
    let low = below.min(log_sigmas.len() - 2);
    let span = log_sigmas[low] - log_sigmas[low + 1];
    let weight = ((f64::from(log_sigmas[low]) - log_sigma) / f64::from(span)).clamp(0.0, 1.0);
    (1.0 - weight) * low as f64 + weight * (low + 1) as f64
}
