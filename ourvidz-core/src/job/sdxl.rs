use super::fields::{Fields, Found};
use super::job_type::{JobType, Quality};
use super::reference::SdxlReference;
use super::size;
use crate::{Error, Result};

/// The negative prompt of an SDXL job that gives none. An empty one that is given stays empty.
pub const DEFAULT_NEGATIVE_PROMPT: &str = "blurry, low quality, distorted, deformed, bad anatomy, watermark, \
                                           signature, text, logo, extra limbs, missing limbs";

/// An SDXL job with effective values.
#[derive(Debug, Clone, PartialEq)]
pub struct SdxlJob {
    /// As the producer wrote it. Empty only when there is a reference.
    pub prompt: String,
    /// The job's, else [`DEFAULT_NEGATIVE_PROMPT`].
    pub negative_prompt: String,
    /// 1, 3 or 6; other numbers are rounded up to one of them, above 6 down. Default 1.
    pub num_images: u32,
    /// 10 to 50. Default 15 (fast), 25 (high).
    pub num_inference_steps: u32,
    /// 1 to 20. Default 6.0 (fast), 7.5 (high).
    pub guidance_scale: f64,
    /// Pixels, a multiple of 8 from 64 to 4096. `None`: the model's own, 1024 for SDXL.
    pub width: Option<u32>,
    /// Pixels, a multiple of 8 from 64 to 4096. `None`: the model's own, 1024 for SDXL.
    pub height: Option<u32>,
    /// Seed of the first picture, picture i has `seed + i`. `None`: the worker draws a 32-bit one.
    pub seed: Option<u64>,
    /// The scheduler or solver the job names. Informative: producers send WAN's solver here as well.
    pub scheduler: Option<String>,
    /// The picture to start from.
    pub reference: Option<SdxlReference>,
    /// Whether `compel_weights` are to be applied.
    pub compel_enabled: bool,
    /// Weights such as `(beautiful:1.3), (soft light:1.2)`.
    pub compel_weights: Option<String>,
}

impl SdxlJob {
    /// Whether a negative prompt takes part: one that is not empty, in a run with guidance.
    pub fn negative_prompt_used(&self) -> bool {
        !self.negative_prompt.trim().is_empty() && self.guidance_scale > 1.0
    }

    pub(super) fn read(fields: &mut Fields<'_>, job_type: JobType) -> Result<Self> {
        let (default_steps, default_guidance) = match job_type.quality() {
            Quality::Fast => (15, 6.0),
            Quality::High => (25, 7.5),
        };
        let reference = SdxlReference::read(fields)?;
        let (width, height) = read_size(fields)?;
        Ok(Self {
            prompt: read_prompt(fields, reference.is_some())?,
            negative_prompt: fields
                .prompt_text(&["negative_prompt", "config.negative_prompt", "metadata.negative_prompt"])?
                .unwrap_or_else(|| DEFAULT_NEGATIVE_PROMPT.to_owned()),
            num_images: read_num_images(fields)?,
            num_inference_steps: read_steps(fields, default_steps)?,
            guidance_scale: read_guidance_scale(fields, default_guidance)?,
            width,
            height,
            seed: fields.seed()?,
            scheduler: fields.filled_text(&["config.scheduler", "config.sample_solver"])?,
            reference,
            compel_enabled: fields
                .flag(&["compel_enabled", "config.compel_enabled", "metadata.compel_enabled"])?
                .unwrap_or(false),
            compel_weights: fields.filled_text(&[
                "compel_weights",
                "config.compel_weights",
                "metadata.compel_weights",
            ])?,
        })
    }
}

pub(super) fn read_prompt(fields: &Fields<'_>, has_reference: bool) -> Result<String> {
    const RULE: &str = "text to draw; only a job with a reference may have none";
    match fields.prompt_text(&["prompt"])? {
        Some(prompt) if has_reference || !prompt.trim().is_empty() => Ok(prompt),
        None if has_reference => Ok(String::new()),
        _ => Err(Error::Missing { field: "prompt".to_owned(), rule: RULE.to_owned() }),
    }
}

pub(super) fn read_steps(fields: &mut Fields<'_>, default: u32) -> Result<u32> {
    fields.clamped_count(
        &["config.num_inference_steps", "config.sample_steps", "config.steps"],
        10..=50,
        default,
    )
}

pub(super) fn read_guidance_scale(fields: &mut Fields<'_>, default: f64) -> Result<f64> {
    fields.clamped(&["config.guidance_scale", "config.sample_guide_scale"], 1.0..=20.0, default)
}

/// Rounds as today's producer does before it queues.
fn read_num_images(fields: &mut Fields<'_>) -> Result<u32> {
    let Some(found) = fields.find(&["config.num_images", "config.batch_size", "metadata.num_images"]) else {
        return Ok(1);
    };
    let asked = found.number()?;
    let effective: u32 = match asked {
        _ if asked <= 1.0 => 1,
        _ if asked <= 3.0 => 3,
        _ => 6,
    };
    if f64::from(effective) != asked {
        fields.adjust(found, effective.into(), "1, 3 or 6");
    }
    Ok(effective)
}

/// `width` and `height` win over `resolution`, that over `size`. Never rounded: another size is another picture.
fn read_size(fields: &Fields<'_>) -> Result<(Option<u32>, Option<u32>)> {
    let named = size::named_pair(fields)?;
    let side = |spelling: &'static str, pick: fn((u32, u32)) -> u32| match (fields.find(&[spelling]), named) {
        (Some(found), _) => checked(found, size::side(found)?).map(Some),
        (None, Some((found, pair))) => checked(found, pick(pair)).map(Some),
        (None, None) => Ok(None),
    };
    Ok((side("config.width", |(width, _)| width)?, side("config.height", |(_, height)| height)?))
}

fn checked(found: Found<'_>, side: u32) -> Result<u32> {
    if side.is_multiple_of(8) && (64..=4096).contains(&side) {
        return Ok(side);
    }
    Err(found.breaks("width and height must be multiples of 8 from 64 to 4096"))
}
