use std::fmt;

use serde::{Serialize, Serializer};

/// The ten job types of the queues.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum JobType {
    /// `sdxl_image_fast`: 15 steps, guidance 6.0.
    SdxlImageFast,
    /// `sdxl_image_high`: 25 steps, guidance 7.5.
    SdxlImageHigh,
    /// `image_fast`: WAN, 1 frame, 25 steps, guidance 6.5.
    ImageFast,
    /// `image_high`: WAN, 1 frame, 50 steps, guidance 7.5.
    ImageHigh,
    /// `video_fast`: WAN, 81 frames, 25 steps, guidance 6.5.
    VideoFast,
    /// `video_high`: WAN, 81 frames, 50 steps, guidance 7.5.
    VideoHigh,
    /// `image7b_fast_enhanced`: as `image_fast`, prompt rewritten by Qwen first.
    Image7bFastEnhanced,
    /// `image7b_high_enhanced`: as `image_high`, prompt rewritten by Qwen first.
    Image7bHighEnhanced,
    /// `video7b_fast_enhanced`: as `video_fast`, prompt rewritten by Qwen first.
    Video7bFastEnhanced,
    /// `video7b_high_enhanced`: as `video_high`, prompt rewritten by Qwen first.
    Video7bHighEnhanced,
}

/// The model family that makes a job.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Family {
    /// Stable Diffusion XL.
    Sdxl,
    /// WAN 2.1.
    Wan,
}

/// The half of a type's name that sets its default steps and guidance.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Quality {
    /// Fewer steps.
    Fast,
    /// More steps.
    High,
}

/// What a job makes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Media {
    /// PNG pictures.
    Image,
    /// One MP4 video.
    Video,
}

impl JobType {
    /// Every type, SDXL first.
    pub const ALL: [JobType; 10] = [
        JobType::SdxlImageFast,
        JobType::SdxlImageHigh,
        JobType::ImageFast,
        JobType::ImageHigh,
        JobType::VideoFast,
        JobType::VideoHigh,
        JobType::Image7bFastEnhanced,
        JobType::Image7bHighEnhanced,
        JobType::Video7bFastEnhanced,
        JobType::Video7bHighEnhanced,
    ];

    /// The type of a name on the wire; `wan_video_fast` and `wan_video_high` are `video_fast` and
    /// `video_high`. `None` for any other name.
    pub fn from_name(name: &str) -> Option<Self> {
        let bare = name.strip_prefix("wan_").filter(|rest| rest.starts_with("video_")).unwrap_or(name);
        Self::ALL.into_iter().find(|job_type| job_type.as_str() == bare)
    }

    /// The name on the wire.
    pub fn as_str(self) -> &'static str {
        match self {
            JobType::SdxlImageFast => "sdxl_image_fast",
            JobType::SdxlImageHigh => "sdxl_image_high",
            JobType::ImageFast => "image_fast",
            JobType::ImageHigh => "image_high",
            JobType::VideoFast => "video_fast",
            JobType::VideoHigh => "video_high",
            JobType::Image7bFastEnhanced => "image7b_fast_enhanced",
            JobType::Image7bHighEnhanced => "image7b_high_enhanced",
            JobType::Video7bFastEnhanced => "video7b_fast_enhanced",
            JobType::Video7bHighEnhanced => "video7b_high_enhanced",
        }
    }

    /// Which model makes it.
    pub fn family(self) -> Family {
        match self {
            JobType::SdxlImageFast | JobType::SdxlImageHigh => Family::Sdxl,
            _ => Family::Wan,
        }
    }

    /// Fast or high.
    pub fn quality(self) -> Quality {
        match self {
            JobType::SdxlImageFast
            | JobType::ImageFast
            | JobType::VideoFast
            | JobType::Image7bFastEnhanced
            | JobType::Video7bFastEnhanced => Quality::Fast,
            _ => Quality::High,
        }
    }

    /// Pictures or video.
    pub fn media(self) -> Media {
        match self {
            JobType::VideoFast
            | JobType::VideoHigh
            | JobType::Video7bFastEnhanced
            | JobType::Video7bHighEnhanced => Media::Video,
            _ => Media::Image,
        }
    }

    /// Whether the prompt is rewritten by Qwen unless the job says otherwise.
    pub fn is_enhanced(self) -> bool {
        self.as_str().ends_with("_enhanced")
    }
}

impl fmt::Display for JobType {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

impl Serialize for JobType {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(self.as_str())
    }
}
