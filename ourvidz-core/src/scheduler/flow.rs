use super::betas;
use super::class_name::check_shift;
use super::config::SchedulerConfig;
use super::numpy::linspace;
use super::options::{FinalSigmasType, invalid};
use crate::Result;

/// What one run of a scheduler for flow matching visits. `x_sigma = (1 - sigma) * x_0 + sigma * noise`.
#[derive(Clone, Debug)]
pub(super) struct FlowSchedule {
    pub(super) timesteps: Vec<f32>,
    pub(super) sigmas: Vec<f32>,
}

/// The schedule of `UniPCMultistepScheduler.set_timesteps` with `use_flow_sigmas`.
pub(super) fn unipc(config: &SchedulerConfig, steps: usize) -> Result<FlowSchedule> {
    check_multistep(config)?;
    let train = config.num_train_timesteps as f64;
    let mut sigmas = linspace(1.0, 1.0 / train, steps + 1);
    sigmas.truncate(steps);
    sigmas.iter_mut().for_each(|sigma| *sigma = shifted(*sigma, config.flow_shift));
    // At 1 nothing of the data would be left, and the logarithm of its share is infinite.
    const EPS: f64 = 1e-6;
    if (sigmas[0] - 1.0).abs() < EPS {
        sigmas[0] -= EPS;
    }
    let last = match FinalSigmasType::parse(&config.final_sigmas_type)? {
        FinalSigmasType::Zero => 0.0,
        FinalSigmasType::SigmaMin => sigmas[steps - 1] as f32,
    };
    multistep(config, &sigmas, last)
}

/// The schedule of `DPMSolverMultistepScheduler.set_timesteps` with `use_flow_sigmas`.
pub(super) fn dpmsolver(config: &SchedulerConfig, steps: usize) -> Result<FlowSchedule> {
    check_multistep(config)?;
    let train = config.num_train_timesteps as f64;
    let alphas = linspace(1.0, 1.0 / train, steps + 1);
    let sigmas: Vec<f64> =
        alphas[1..].iter().rev().map(|alpha| shifted(1.0 - alpha, config.flow_shift)).collect();
    let last = match FinalSigmasType::parse(&config.final_sigmas_type)? {
        FinalSigmasType::Zero => 0.0,
        FinalSigmasType::SigmaMin => betas::training_sigmas(config)?[0],
    };
    multistep(config, &sigmas, last)
}

/// The schedule of `FlowMatchEulerDiscreteScheduler.set_timesteps`.
pub(super) fn euler(config: &SchedulerConfig, steps: usize) -> Result<FlowSchedule> {
    check_shift("shift", config.shift)?;
    refuse(&[
        ("use_karras_sigmas", config.use_karras_sigmas),
        ("use_exponential_sigmas", config.use_exponential_sigmas),
        ("use_beta_sigmas", config.use_beta_sigmas),
        ("use_dynamic_shifting", config.use_dynamic_shifting),
        ("invert_sigmas", config.invert_sigmas),
        ("stochastic_sampling", config.stochastic_sampling),
    ])?;
    refuse_terminal(config)?;
    let train = config.num_train_timesteps as f32;
    // The ends of the training range, which torch shifts in float32.
    let end = |timestep: f32| {
        let (sigma, shift) = (timestep / train, config.shift as f32);
        let less = (config.shift - 1.0) as f32;
        f64::from(shift * sigma / (1.0 + less * sigma)) * f64::from(train)
    };
    let points = linspace(end(train), end(1.0), steps);
    let sigma = |timestep: &f64| shifted(timestep / f64::from(train), config.shift) as f32;
    let mut sigmas: Vec<f32> = points.iter().map(sigma).collect();
    let timesteps = sigmas.iter().map(|sigma| sigma * train).collect();
    sigmas.push(0.0);
    check_falling("shift", config.shift, &sigmas)?;
    Ok(FlowSchedule { timesteps, sigmas })
}

/// `x * s / (1 + (s - 1) * x)`: moves levels towards 1 for `shift` above 1.
fn shifted(sigma: f64, shift: f64) -> f64 {
    shift * sigma / (1.0 + (shift - 1.0) * sigma)
}

fn multistep(config: &SchedulerConfig, sigmas: &[f64], last: f32) -> Result<FlowSchedule> {
    // int64 in diffusers: cut off, not rounded.
    let timestep = |sigma: &f64| (sigma * config.num_train_timesteps as f64).trunc() as f32;
    let timesteps = sigmas.iter().map(timestep).collect();
    let sigmas: Vec<f32> = sigmas.iter().map(|&sigma| sigma as f32).chain([last]).collect();
    check_falling("flow_shift", config.flow_shift, &sigmas)?;
    if sigmas[0] >= 1.0 {
        return Err(too_far("flow_shift", config.flow_shift));
    }
    Ok(FlowSchedule { timesteps, sigmas })
}

/// What both multistep classes need of a configuration.
fn check_multistep(config: &SchedulerConfig) -> Result<()> {
    if !config.use_flow_sigmas {
        let rule = format!("must be true for {}: it is there for flow matching only", config.class_name);
        return Err(invalid("use_flow_sigmas", rule, false));
    }
    if config.prediction_type != "flow_prediction" {
        let rule = format!("must be flow_prediction for {}", config.class_name);
        return Err(invalid("prediction_type", rule, &config.prediction_type));
    }
    if !(1..=3).contains(&config.solver_order) {
        return Err(invalid("solver_order", "must be 1, 2 or 3", config.solver_order));
    }
    check_shift("flow_shift", config.flow_shift)?;
    refuse(&[
        ("use_karras_sigmas", config.use_karras_sigmas),
        ("use_exponential_sigmas", config.use_exponential_sigmas),
        ("use_beta_sigmas", config.use_beta_sigmas),
        ("use_dynamic_shifting", config.use_dynamic_shifting),
        ("thresholding", config.thresholding),
    ])
}

/// Refuses options that are on and not supported.
pub(super) fn refuse(options: &[(&str, bool)]) -> Result<()> {
    match options.iter().find(|(_, on)| *on) {
        Some((field, _)) => Err(invalid(field, "must be false: it is not supported for flow matching", true)),
        None => Ok(()),
    }
}

pub(super) fn refuse_terminal(config: &SchedulerConfig) -> Result<()> {
    match config.shift_terminal {
        Some(value) => Err(invalid("shift_terminal", "must be null: it is not supported", value)),
        None => Ok(()),
    }
}

/// Two levels that float32 cannot tell apart make a step of length 0, and a multistep solver divides by it.
fn check_falling(field: &str, shift: f64, sigmas: &[f32]) -> Result<()> {
    let steps = &sigmas[..sigmas.len() - 1];
    match steps.windows(2).all(|pair| pair[0] > pair[1]) && steps.iter().all(|sigma| *sigma > 0.0) {
        true => Ok(()),
        false => Err(too_far(field, shift)),
    }
}

fn too_far(field: &str, shift: f64) -> crate::Error {
    invalid(field, "must leave falling noise levels between 0 and 1 for this number of steps", shift)
}
