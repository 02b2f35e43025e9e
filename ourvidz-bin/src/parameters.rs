use ourvidz_sdxl::TextToImage;
use ourvidz_wan::{ReferenceMethod, TextToVideo, negative_prompt};

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

/// The same of a video or a picture of WAN: an MP4's comment, a PNG's chunk.
pub(crate) fn video_parameters(
    request: &TextToVideo,
    frames: usize,
    scheduler: &str,
    reference: Option<ReferenceMethod>,
) -> String {
    let negative = negative_prompt(request).unwrap_or_default();
    let shift = request.shift.map(|shift| format!(", Shift: {shift}")).unwrap_or_default();
    let reference = reference.map(|method| format!(", Reference: {}", method.as_str())).unwrap_or_default();
    format!(
        "{}{}{negative}\nSteps: {}, Sampler: {scheduler}, CFG scale: {}, Seed: {}, Size: {}x{}, Frames: {frames}, \
         FPS: {}{shift}, RNG: {}{reference}",
        request.prompt,
        if negative.is_empty() { "" } else { "\nNegative prompt: " },
        request.num_inference_steps,
        request.guidance_scale,
        request.seed.unwrap_or_default(),
        request.width,
        request.height,
        request.fps,
        request.noise_source,
    )
}
