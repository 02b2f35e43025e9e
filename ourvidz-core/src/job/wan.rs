use serde_json::json;

use super::fields::Fields;
use super::job_type::{JobType, Media, Quality};
use super::reference::WanReference;
use super::sdxl::{read_guidance_scale, read_prompt, read_steps};
use super::size;
use crate::{Error, Result};

/// A WAN job with effective values.
#[derive(Debug, Clone, PartialEq)]
pub struct WanJob {
    /// As the producer wrote it. Empty only when there is a reference.
    pub prompt: String,
    /// The job's; `None` stands for the model's own default.
    pub negative_prompt: Option<String>,
    /// `None`: the worker draws a 32-bit one.
    pub seed: Option<u64>,
    /// 480 or 832 pixels; with `height` one of the two sizes the model was trained for.
    pub width: u32,
    /// 832 or 480 pixels.
    pub height: u32,
    /// 4n + 1 from 1 to 81, rounded down. Default 81; always 1 for picture types.
    pub num_frames: u32,
    /// Frames per second, 8 to 24; `None` for the worker's own default, which is 16, the rate the model was trained at.
    pub fps: Option<u32>,
    /// 10 to 50. Default 25 (fast), 50 (high).
    pub num_inference_steps: u32,
    /// 1 to 20. Default 6.5 (fast), 7.5 (high).
    pub guidance_scale: f64,
    /// The solver the job names, e.g. `unipc` or `dpm++`.
    pub sample_solver: Option<String>,
    /// Shift of the flow-matching schedule, above 0. Default 5.0.
    pub sample_shift: f64,
    /// Whether Qwen rewrites the prompt first. Default: the `*_enhanced` types.
    pub enhance_prompt: bool,
    /// The frames to start from, go through or end with.
    pub reference: Option<WanReference>,
}

impl WanJob {
    pub(super) fn read(fields: &mut Fields<'_>, job_type: JobType) -> Result<Self> {
        let (default_steps, default_guidance) = match job_type.quality() {
            Quality::Fast => (25, 6.5),
            Quality::High => (50, 7.5),
        };
        let reference = WanReference::read(fields)?;
        let (width, height) = read_size(fields)?;
        Ok(Self {
            prompt: read_prompt(fields, reference.is_some())?,
            negative_prompt: fields.prompt_text(&[
                "negative_prompt",
                "config.negative_prompt",
                "metadata.negative_prompt",
            ])?,
            seed: fields.seed()?,
            width,
            height,
            num_frames: read_num_frames(fields, job_type.media())?,
            fps: match fields.find(&["config.fps"]) {
                Some(_) => Some(fields.clamped_count(&["config.fps"], 8..=24, 16)?),
                None => None,
            },
            num_inference_steps: read_steps(fields, default_steps)?,
            guidance_scale: read_guidance_scale(fields, default_guidance)?,
            sample_solver: fields.filled_text(&["config.sample_solver", "config.scheduler"])?,
            sample_shift: read_sample_shift(fields)?,
            enhance_prompt: fields.flag(&["config.enhance_prompt"])?.unwrap_or(job_type.is_enhanced()),
            reference,
        })
    }
}

/// A supported size wins whatever its spelling; any other one says only which way up the video is. Today's
/// producer sends `resolution: "1024x1024"` with every video.
fn read_size(fields: &mut Fields<'_>) -> Result<(u32, u32)> {
    let mut sizes = Vec::new();
    let (width, height) = (fields.find(&["config.width"]), fields.find(&["config.height"]));
    if let (Some(width), Some(height)) = (width, height) {
        sizes.push((width, (size::side(width)?, size::side(height)?)));
    }
    for spelling in ["config.size", "config.resolution"] {
        if let Some(found) = fields.find(&[spelling]) {
            sizes.push((found, size::pair(found)?));
        }
    }
    let supported = |size: (u32, u32)| matches!(size, (480, 832) | (832, 480));
    if let Some((_, size)) = sizes.iter().find(|(_, size)| supported(*size)) {
        return Ok(*size);
    }
    let Some((found, (width, height))) = sizes.first().copied() else { return Ok((480, 832)) };
    let (width, height) = if width > height { (832, 480) } else { (480, 832) };
    fields.adjust(found, json!(format!("{width}x{height}")), "480x832 or 832x480");
    Ok((width, height))
}

fn read_num_frames(fields: &mut Fields<'_>, media: Media) -> Result<u32> {
    if media == Media::Image {
        return Ok(1);
    }
    let Some(found) = fields.find(&["config.frame_num", "config.frames", "config.num_frames"]) else {
        return Ok(81);
    };
    let asked = found.number()?;
    // The VAE makes one frame and then four per latent frame.
    let effective = (asked.clamp(1.0, 83.0) as u32 - 1) / 4 * 4 + 1;
    if f64::from(effective) != asked {
        fields.adjust(found, effective.into(), "4n + 1 from 1 to 81, rounded down");
    }
    Ok(effective)
}

fn read_sample_shift(fields: &Fields<'_>) -> Result<f64> {
    let Some(found) = fields.find(&["config.sample_shift"]) else { return Ok(5.0) };
    match found.number()? {
        shift if shift > 0.0 => Ok(shift),
        shift => Err(Error::Invalid {
            field: found.path.to_owned(),
            rule: "must be above 0".to_owned(),
            value: shift.to_string(),
        }),
    }
}
