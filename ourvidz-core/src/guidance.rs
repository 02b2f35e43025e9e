//! Classifier-free guidance: two predictions of the model made into one.

/// `unconditional + guidance_scale * (conditional - unconditional)` (Ho and Salimans, arXiv 2207.12598).
///
/// A scale of 1 gives the conditional prediction. The slices have equal lengths; what one has more is left out.
pub fn classifier_free_guidance(unconditional: &[f32], conditional: &[f32], guidance_scale: f32) -> Vec<f32> {
    debug_assert_eq!(unconditional.len(), conditional.len());
    let guided = |(u, c): (&f32, &f32)| u + guidance_scale * (c - u);
    unconditional.iter().zip(conditional).map(guided).collect()
}

/// Gives a guided prediction the spread of the conditional one, then mixes by `guidance_rescale` in 0..=1: section
/// 3.4 of Lin et al. (arXiv 2305.08891), diffusers' function of this name.
///
/// The slices are the whole prediction of *one* sample and have equal lengths: the standard deviation is over all of
/// it. A constant `noise_cfg` gives NaN, as in diffusers.
pub fn rescale_noise_cfg(noise_cfg: &[f32], noise_pred_text: &[f32], guidance_rescale: f32) -> Vec<f32> {
    let ratio = (spread(noise_pred_text) / spread(noise_cfg)) as f32;
    noise_cfg
        .iter()
        .map(|value| guidance_rescale * (value * ratio) + (1.0 - guidance_rescale) * value)
        .collect()
}

/// Standard deviation times the square root of the count, which cancels in a ratio.
fn spread(values: &[f32]) -> f64 {
    let mean = values.iter().copied().map(f64::from).sum::<f64>() / values.len() as f64;
    values.iter().map(|&value| (f64::from(value) - mean).powi(2)).sum::<f64>().sqrt()
}
