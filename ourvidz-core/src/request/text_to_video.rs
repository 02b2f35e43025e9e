use super::check;
use crate::Result;
use crate::noise::NoiseSource;

/// One video, or one picture, from a prompt.
///
/// ```
/// use ourvidz_core::request::TextToVideo;
///
/// let request = TextToVideo { seed: Some(42), num_frames: 33, ..TextToVideo::new("a red fox in snow") };
/// assert!(request.validate().is_ok());
/// ```
#[derive(Clone, Debug, PartialEq)]
pub struct TextToVideo {
    /// What to show. Any length; logged at debug level only.
    pub prompt: String,
    /// What not to show. `None`: the model's own default.
    pub negative_prompt: Option<String>,
    /// Steps of the scheduler, 1 to 1000. Default 50.
    pub num_inference_steps: usize,
    /// How strongly the prompt steers, 0 to 100; 1 or less runs the model without guidance. Default 5.
    pub guidance_scale: f32,
    /// Pixels, a multiple of 16 from 16 to 4096. Default 832.
    pub width: usize,
    /// Pixels, a multiple of 16 from 16 to 4096. Default 480.
    pub height: usize,
    /// 1 to 1025. The VAE makes 4n + 1 frames: another number is rounded down to the next such. Default 81.
    pub num_frames: usize,
    /// Frames per second, 1 to 240. Default 16, the rate the model was trained at.
    pub fps: u32,
    /// Scheduler class or short name (`unipc`, `dpm++`, `flow_euler`). `None`: the checkpoint's.
    pub scheduler: Option<String>,
    /// Shift of the flow-matching schedule, above 0 and at most 100. `None`: the checkpoint's.
    pub shift: Option<f64>,
    /// `None`: the pipeline chooses and reports it.
    pub seed: Option<u64>,
    /// Whose random numbers the seed stands for.
    pub noise_source: NoiseSource,
}

impl TextToVideo {
    /// A request with the defaults of diffusers' `WanPipeline`: 50 steps, guidance 5, 832x480, 81 frames.
    pub fn new(prompt: impl Into<String>) -> Self {
        Self {
            prompt: prompt.into(),
            negative_prompt: None,
            num_inference_steps: 50,
            guidance_scale: 5.0,
            width: 832,
            height: 480,
            num_frames: 81,
            fps: 16,
            scheduler: None,
            shift: None,
            seed: None,
            noise_source: NoiseSource::default(),
        }
    }

    /// Checks every field against its range. Values are refused, never rounded, but for `num_frames`, whose
    /// rounding is the model's nature and is reported.
    ///
    /// # Errors
    ///
    /// [`Error::Invalid`](crate::Error::Invalid) with the field, the rule and the value of the first field outside
    /// its range.
    pub fn validate(&self) -> Result<()> {
        for (field, pixels) in [("width", self.width), ("height", self.height)] {
            let rule = "must be a multiple of 16 from 16 to 4096";
            check((16..=4096).contains(&pixels) && pixels % 16 == 0, field, rule, pixels)?;
        }
        check(
            (1..=1025).contains(&self.num_frames),
            "num_frames",
            "must be from 1 to 1025",
            self.num_frames,
        )?;
        check((1..=240).contains(&self.fps), "fps", "must be from 1 to 240", self.fps)?;
        let steps = self.num_inference_steps;
        check((1..=1000).contains(&steps), "num_inference_steps", "must be from 1 to 1000", steps)?;
        let scale = self.guidance_scale;
        // A NaN is in no range.
        check((0.0..=100.0).contains(&scale), "guidance_scale", "must be from 0 to 100", scale)?;
        match self.shift {
            Some(shift) => {
                check(shift > 0.0 && shift <= 100.0, "shift", "must be above 0 and at most 100", shift)
            }
            None => Ok(()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Error;

    fn field_refused(request: &TextToVideo) -> Option<String> {
        match request.validate() {
            Err(Error::Invalid { field, .. }) => Some(field),
            _ => None,
        }
    }

    #[test]
    fn both_ends_of_every_range() {
        let new = || TextToVideo::new("a fox");
        let cases = [
            (new(), None),
            (TextToVideo { width: 16, height: 4096, num_frames: 1, fps: 1, ..new() }, None),
            (TextToVideo { width: 8, ..new() }, Some("width")),
            (TextToVideo { height: 488, ..new() }, Some("height")),
            (TextToVideo { num_frames: 1025, fps: 240, shift: Some(100.0), ..new() }, None),
            (TextToVideo { num_frames: 0, ..new() }, Some("num_frames")),
            (TextToVideo { num_frames: 1026, ..new() }, Some("num_frames")),
            (TextToVideo { fps: 0, ..new() }, Some("fps")),
            (TextToVideo { fps: 241, ..new() }, Some("fps")),
            (TextToVideo { num_inference_steps: 0, ..new() }, Some("num_inference_steps")),
            (TextToVideo { guidance_scale: f32::NAN, ..new() }, Some("guidance_scale")),
            (TextToVideo { shift: Some(0.0), ..new() }, Some("shift")),
            (TextToVideo { shift: Some(f64::NAN), ..new() }, Some("shift")),
        ];
        for (request, field) in cases {
            assert_eq!(field_refused(&request).as_deref(), field, "{request:?}");
        }
    }
}
