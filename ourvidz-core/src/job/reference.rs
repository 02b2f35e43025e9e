use std::fmt;

use serde::{Serialize, Serializer};

use super::fields::Fields;
use crate::Result;

/// How a reference shapes the result, as callbacks report it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
#[non_exhaustive]
pub enum ReferenceMode {
    /// No reference was applied.
    #[default]
    None,
    /// SDXL: image-to-image at a denoise strength.
    Modify,
    /// SDXL: exact copy.
    Copy,
    /// SDXL: the reference's style.
    Style,
    /// SDXL: the reference's composition.
    Composition,
    /// SDXL: the reference's character.
    Character,
    /// WAN: one reference picture for the whole video.
    Single,
    /// WAN: the first frame.
    Start,
    /// WAN: the last frame.
    End,
    /// WAN: first and last frame.
    Both,
}

/// `reference_type` of an SDXL job.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ReferenceType {
    /// `style`
    Style,
    /// `composition`
    Composition,
    /// `character`
    Character,
}

/// A reference picture of an SDXL job.
#[derive(Debug, Clone, PartialEq)]
pub struct SdxlReference {
    /// A URL or a storage path (`bucket/key`), as the job wrote it; nothing has been checked or fetched.
    pub image_url: String,
    /// Share of the noise schedule that is run, 0 to 1: 0 keeps the reference, 1 ignores it. Default 0.5;
    /// `1 - reference_strength` when the job gives that older field.
    pub denoise_strength: f64,
    /// Whether the result is to be the reference itself.
    pub exact_copy_mode: bool,
    /// What of the reference counts; `None` for plain image-to-image.
    pub reference_type: Option<ReferenceType>,
}

/// Reference frames of a WAN job.
#[derive(Debug, Clone, PartialEq)]
pub struct WanReference {
    /// Which frames, with their URLs.
    pub frames: WanFrames,
    /// 0 to 1, as in [`SdxlReference::denoise_strength`].
    pub denoise_strength: f64,
}

/// URLs or storage paths of WAN reference frames, as the job wrote them.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum WanFrames {
    /// One picture for the whole video.
    Single(String),
    /// The first frame.
    Start(String),
    /// The last frame.
    End(String),
    /// First and last frame.
    Both {
        /// The first frame.
        start: String,
        /// The last frame.
        end: String,
    },
}

impl SdxlReference {
    /// The mode the job asks for: `copy`, else the reference type, else `modify`.
    pub fn mode(&self) -> ReferenceMode {
        match (self.exact_copy_mode, self.reference_type) {
            (true, _) => ReferenceMode::Copy,
            (_, Some(ReferenceType::Style)) => ReferenceMode::Style,
            (_, Some(ReferenceType::Composition)) => ReferenceMode::Composition,
            (_, Some(ReferenceType::Character)) => ReferenceMode::Character,
            (_, None) => ReferenceMode::Modify,
        }
    }

    pub(super) fn read(fields: &mut Fields<'_>) -> Result<Option<Self>> {
        let denoise_strength = denoise_strength(fields)?;
        let reference_type = reference_type(fields);
        let copy = ["metadata.exact_copy_mode", "config.exact_copy_mode", "exact_copy_mode"];
        let exact_copy_mode = fields.flag(&copy)?.unwrap_or(false);
        let urls = ["metadata.reference_image_url", "config.reference_image_url", "reference_image_url"];
        let Some(image_url) = fields.filled_text(&urls)? else {
            if let (true, Some(found)) = (exact_copy_mode, fields.find(&copy)) {
                fields.adjust(found, false.into(), "needs reference_image_url");
            }
            return Ok(None);
        };
        Ok(Some(Self { image_url, denoise_strength, exact_copy_mode, reference_type }))
    }
}

impl WanReference {
    /// The mode the frames amount to.
    pub fn mode(&self) -> ReferenceMode {
        match self.frames {
            WanFrames::Single(_) => ReferenceMode::Single,
            WanFrames::Start(_) => ReferenceMode::Start,
            WanFrames::End(_) => ReferenceMode::End,
            WanFrames::Both { .. } => ReferenceMode::Both,
        }
    }

    /// A single picture counts only without start and end frames.
    pub(super) fn read(fields: &mut Fields<'_>) -> Result<Option<Self>> {
        let denoise_strength = denoise_strength(fields)?;
        let single =
            fields.filled_text(&["config.image", "metadata.reference_image_url", "reference_image_url"])?;
        let start = fields.filled_text(&[
            "config.first_frame",
            "metadata.start_reference_url",
            "start_reference_url",
        ])?;
        let end =
            fields.filled_text(&["config.last_frame", "metadata.end_reference_url", "end_reference_url"])?;
        let frames = match (single, start, end) {
            (_, Some(start), Some(end)) => WanFrames::Both { start, end },
            (_, Some(start), None) => WanFrames::Start(start),
            (_, None, Some(end)) => WanFrames::End(end),
            (Some(single), None, None) => WanFrames::Single(single),
            (None, None, None) => return Ok(None),
        };
        Ok(Some(Self { frames, denoise_strength }))
    }
}

impl ReferenceMode {
    /// The name on the wire.
    pub fn as_str(self) -> &'static str {
        match self {
            ReferenceMode::None => "none",
            ReferenceMode::Modify => "modify",
            ReferenceMode::Copy => "copy",
            ReferenceMode::Style => "style",
            ReferenceMode::Composition => "composition",
            ReferenceMode::Character => "character",
            ReferenceMode::Single => "single",
            ReferenceMode::Start => "start",
            ReferenceMode::End => "end",
            ReferenceMode::Both => "both",
        }
    }
}

impl fmt::Display for ReferenceMode {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

impl Serialize for ReferenceMode {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(self.as_str())
    }
}

/// `denoise_strength` where any level has it, else `1 - reference_strength`, else 0.5.
fn denoise_strength(fields: &mut Fields<'_>) -> Result<f64> {
    let denoise = ["metadata.denoise_strength", "config.denoise_strength", "denoise_strength"];
    let strength = ["metadata.reference_strength", "config.reference_strength", "reference_strength"];
    if fields.find(&denoise).is_none() && fields.find(&strength).is_some() {
        return Ok(1.0 - fields.clamped(&strength, 0.0..=1.0, 0.5)?);
    }
    fields.clamped(&denoise, 0.0..=1.0, 0.5)
}

/// A type nobody documented is dropped and reported.
fn reference_type(fields: &mut Fields<'_>) -> Option<ReferenceType> {
    let found = fields.find(&["metadata.reference_type", "config.reference_type", "reference_type"])?;
    match found.value.as_str().map(str::trim) {
        Some("style") => Some(ReferenceType::Style),
        Some("composition") => Some(ReferenceType::Composition),
        Some("character") => Some(ReferenceType::Character),
        Some("") => None,
        _ => {
            fields.adjust(found, serde_json::Value::Null, "style, composition or character");
            None
        }
    }
}
