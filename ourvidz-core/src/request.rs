//! What a caller asks of a pipeline.

mod text_to_video;

pub use text_to_video::TextToVideo;

use crate::noise::NoiseSource;
use crate::{Error, Result};

/// One or more images from a prompt.
///
/// ```
/// use ourvidz_core::request::TextToImage;
///
/// let request = TextToImage { seed: Some(42), num_images: 3, ..TextToImage::new("a red fox in snow") };
/// assert!(request.validate().is_ok()); // images with seeds 42, 43, 44
/// ```
#[derive(Clone, Debug, PartialEq)]
pub struct TextToImage {
    /// What to draw. Any length; logged at debug level only.
    pub prompt: String,
    /// What not to draw. `None` leaves it to the checkpoint: with `force_zeros_for_empty_prompt` the unconditional
    /// embeddings are zeros, otherwise those of the empty text. `Some("")` is always the empty text.
    pub negative_prompt: Option<String>,
    /// Steps of the scheduler, 1 to 1000. Default 25.
    pub num_inference_steps: usize,
    /// How strongly the prompt steers, 0 to 100; 1 or less runs the model without guidance. Default 7.5.
    pub guidance_scale: f32,
    /// Pixels, a multiple of 8 from 64 to 4096. Default 1024.
    pub width: usize,
    /// Pixels, a multiple of 8 from 64 to 4096. Default 1024.
    pub height: usize,
    /// 1 to 6. Default 1.
    pub num_images: usize,
    /// Seed of the first image; image `i` uses `seed + i`. `None`: the pipeline chooses and reports it.
    pub seed: Option<u64>,
    /// Whose random numbers the seed stands for.
    pub noise_source: NoiseSource,
}

impl TextToImage {
    /// A request with the defaults of the SDXL model card: 25 steps, guidance 7.5, 1024x1024, one image.
    pub fn new(prompt: impl Into<String>) -> Self {
        Self {
            prompt: prompt.into(),
            negative_prompt: None,
            num_inference_steps: 25,
            guidance_scale: 7.5,
            width: 1024,
            height: 1024,
            num_images: 1,
            seed: None,
            noise_source: NoiseSource::default(),
        }
    }

    /// Checks every field against its range. Values are refused, never rounded.
    ///
    /// # Errors
    ///
    /// [`Error::Invalid`] with the field, the rule and the value of the first field outside its range.
    pub fn validate(&self) -> Result<()> {
        for (field, pixels) in [("width", self.width), ("height", self.height)] {
            let rule = "must be a multiple of 8 from 64 to 4096";
            check((64..=4096).contains(&pixels) && pixels % 8 == 0, field, rule, pixels)?;
        }
        check((1..=6).contains(&self.num_images), "num_images", "must be from 1 to 6", self.num_images)?;
        let steps = self.num_inference_steps;
        check((1..=1000).contains(&steps), "num_inference_steps", "must be from 1 to 1000", steps)?;
        let scale = self.guidance_scale;
        // A NaN is in no range.
        check((0.0..=100.0).contains(&scale), "guidance_scale", "must be from 0 to 100", scale)?;
        let seed = self.seed.unwrap_or(0);
        let last_seed = seed.checked_add(self.num_images as u64 - 1);
        check(last_seed.is_some(), "seed", "must leave seed + num_images - 1 below 2^64", seed)
    }
}

fn check(holds: bool, field: &str, rule: &str, value: impl ToString) -> Result<()> {
    match holds {
        true => Ok(()),
        false => Err(Error::Invalid { field: field.into(), rule: rule.into(), value: value.to_string() }),
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used, clippy::panic)]
mod tests {
    use super::*;

    fn field_refused(request: &TextToImage) -> Option<String> {
        match request.validate() {
            Ok(()) => None,
            Err(Error::Invalid { field, .. }) => Some(field),
            Err(other) => panic!("{other:?}"),
        }
    }

    #[test]
    fn both_ends_of_every_range() {
        let new = || TextToImage::new("a fox");
        let cases = [
            (new(), None),
            (TextToImage { width: 64, height: 4096, ..new() }, None),
            (TextToImage { width: 56, ..new() }, Some("width")),
            (TextToImage { width: 1028, ..new() }, Some("width")),
            (TextToImage { height: 4104, ..new() }, Some("height")),
            (TextToImage { num_images: 6, ..new() }, None),
            (TextToImage { num_images: 0, ..new() }, Some("num_images")),
            (TextToImage { num_images: 7, ..new() }, Some("num_images")),
            (TextToImage { num_inference_steps: 1000, ..new() }, None),
            (TextToImage { num_inference_steps: 0, ..new() }, Some("num_inference_steps")),
            (TextToImage { num_inference_steps: 1001, ..new() }, Some("num_inference_steps")),
            (TextToImage { guidance_scale: 0.0, ..new() }, None),
            (TextToImage { guidance_scale: 100.0, ..new() }, None),
            (TextToImage { guidance_scale: -0.5, ..new() }, Some("guidance_scale")),
            (TextToImage { guidance_scale: 100.5, ..new() }, Some("guidance_scale")),
            (TextToImage { guidance_scale: f32::NAN, ..new() }, Some("guidance_scale")),
            (TextToImage { guidance_scale: f32::INFINITY, ..new() }, Some("guidance_scale")),
            (TextToImage { seed: Some(u64::MAX), ..new() }, None),
            (TextToImage { seed: Some(u64::MAX - 1), num_images: 2, ..new() }, None),
            (TextToImage { seed: Some(u64::MAX), num_images: 2, ..new() }, Some("seed")),
        ];
        for (request, field) in cases {
            assert_eq!(field_refused(&request).as_deref(), field, "{request:?}");
        }
    }

    #[test]
    fn refusal_states_rule_and_value() {
        let request = TextToImage { width: 1001, ..TextToImage::new("") };
        let error = request.validate().unwrap_err().to_string();
        assert_eq!(error, "width: must be a multiple of 8 from 64 to 4096, got 1001");
    }
}
