use ourvidz_sdxl::TextToImage;

/// `Software` of every picture.
pub(crate) const SOFTWARE: (&str, &str) = ("Software", concat!("ourvidz ", env!("CARGO_PKG_VERSION")));

/// What image tools read from the chunk `parameters`. `seed` is the picture's own.
pub(crate) fn parameters(request: &TextToImage, scheduler: &str, seed: u64) -> String {
    let negative = request.negative_prompt.as_deref().map(|text| format!("\nNegative prompt: {text}"));
    format!(
        "{}{}\nSteps: {}, Sampler: {scheduler}, CFG scale: {}, Seed: {seed}, Size: {}x{}, RNG: {}",
        request.prompt,
        negative.unwrap_or_default(),
        request.num_inference_steps,
        request.guidance_scale,
        request.width,
        request.height,
        request.noise_source,
    )
}
