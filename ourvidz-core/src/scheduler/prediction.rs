use super::options::PredictionType;

/// Moves one element along the line from `sample` towards the clean value that the model predicts: Euler's method
/// for the probability-flow ODE, from noise level `sigma` to `sigma + dt`.
pub(super) fn euler_step(kind: PredictionType, model_output: f32, sample: f32, sigma: f32, dt: f32) -> f32 {
    let pred_original_sample = match kind {
        PredictionType::Epsilon => sample - sigma * model_output,
        PredictionType::VPrediction => {
            let variance = sigma * sigma + 1.0;
            model_output * (-sigma / variance.sqrt()) + sample / variance
        }
        PredictionType::Sample => model_output,
    };
    let derivative = (sample - pred_original_sample) / sigma;
    sample + derivative * dt
}

/// Brings latents of noise level `sigma` to unit variance.
pub(super) fn scale_model_input(sample: &mut [f32], sigma: f32) {
    let scale = (sigma * sigma + 1.0).sqrt();
    sample.iter_mut().for_each(|value| *value /= scale);
}

/// `scale * sample + sigma * noise`, in place.
pub(super) fn add_noise(sample: &mut [f32], noise: &[f32], scale: f32, sigma: f32) {
    debug_assert_eq!(sample.len(), noise.len());
    for (value, &noise) in sample.iter_mut().zip(noise) {
        *value = scale * *value + sigma * noise;
    }
}
