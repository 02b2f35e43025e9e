use std::f64::consts::FRAC_PI_2;

use super::config::SchedulerConfig;
use super::numpy::{cumprod, linspace_f32};
use super::options::{BetaSchedule, invalid};
use crate::Result;

/// Noise level of every training step, from clean to noisy: `sqrt((1 - a) / a)` of the cumulative alphas.
pub(super) fn training_sigmas(config: &SchedulerConfig) -> Result<Vec<f32>> {
    let mut betas = betas(config)?;
    if config.rescale_betas_zero_snr {
        betas = rescale_zero_terminal_snr(&betas);
    }
    let alphas: Vec<f32> = betas.iter().map(|beta| 1.0 - beta).collect();
    let mut alphas_cumprod = cumprod(&alphas);
    if config.rescale_betas_zero_snr
        && let Some(last) = alphas_cumprod.last_mut()
    {
        // Zero itself would make the first sigma infinite; diffusers takes float16's smallest number.
        *last = 2.0_f32.powi(-24);
    }
    let sigmas: Vec<f32> = alphas_cumprod.iter().map(|alpha| ((1.0 - alpha) / alpha).sqrt()).collect();
    match sigmas.iter().position(|sigma| !sigma.is_finite() || *sigma <= 0.0) {
        Some(step) => Err(invalid(
            "beta_start, beta_end or trained_betas",
            "must leave a finite noise level above 0 at every training step",
            format!("{} at training step {step}", sigmas[step]),
        )),
        None => Ok(sigmas),
    }
}

fn betas(config: &SchedulerConfig) -> Result<Vec<f32>> {
    let steps = config.num_train_timesteps;
    if let Some(trained) = &config.trained_betas {
        if trained.len() != steps {
            let rule = format!("must have num_train_timesteps = {steps} values");
            return Err(invalid("trained_betas", rule, format!("{} values", trained.len())));
        }
        return Ok(trained.iter().map(|&beta| beta as f32).collect());
    }
    let (start, end) = (config.beta_start, config.beta_end);
    Ok(match BetaSchedule::parse(&config.beta_schedule)? {
        BetaSchedule::Linear => linspace_f32(start as f32, end as f32, steps),
        BetaSchedule::ScaledLinear => {
            let roots = linspace_f32(start.sqrt() as f32, end.sqrt() as f32, steps);
            roots.iter().map(|root| root * root).collect()
        }
        BetaSchedule::SquaredcosCapV2 => betas_for_alpha_bar(steps),
    })
}

/// Cosine schedule of Nichol and Dhariwal (arXiv 2102.09672), betas capped at 0.999.
fn betas_for_alpha_bar(steps: usize) -> Vec<f32> {
    let alpha_bar = |step: usize| {
        let t = step as f64 / steps as f64;
        ((t + 0.008) / 1.008 * FRAC_PI_2).cos().powi(2)
    };
    (0..steps).map(|i| (1.0 - alpha_bar(i + 1) / alpha_bar(i)).min(0.999) as f32).collect()
}

/// Algorithm 1 of Lin et al. (arXiv 2305.08891): shifts and scales so that the last step is pure noise.
fn rescale_zero_terminal_snr(betas: &[f32]) -> Vec<f32> {
    let alphas: Vec<f32> = betas.iter().map(|beta| 1.0 - beta).collect();
    let mut alphas_bar: Vec<f32> = cumprod(&alphas).iter().map(|alpha| alpha.sqrt()).collect();
    let (Some(&first), Some(&last)) = (alphas_bar.first(), alphas_bar.last()) else {
        return Vec::new();
    };
    let scale = first / (first - last);
    for root in &mut alphas_bar {
        let shifted = (*root - last) * scale;
        *root = shifted * shifted;
    }
    let ratios = alphas_bar.windows(2).map(|pair| pair[1] / pair[0]);
    std::iter::once(alphas_bar[0]).chain(ratios).map(|alpha| 1.0 - alpha).collect()
}
