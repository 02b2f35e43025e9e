//! Reference pictures: what a video begins from, starts with or ends with.

mod ending;
mod hold;
mod picture;
mod vace;

use image::RgbImage;

pub use picture::cover;

pub(crate) use ending::Ending;
pub(crate) use hold::{Hold, LatentShape, Still, first_frame, still_video};
pub(crate) use vace::control;

use ourvidz_runtime::Tensor;

use crate::{Error, Result};

/// Reference pictures of a video, and how far it may leave a single one. Pictures may have any size: they are resized
/// to cover the frame, and cut to it around the centre.
#[derive(Debug, Clone, PartialEq)]
pub struct Reference {
    /// The pictures.
    pub frames: ReferenceFrames,
    /// For [`ReferenceFrames::Single`] with a text-to-video checkpoint: share of the noise schedule that is run, 0 to
    /// 1. 0 keeps the picture as a still video, 1 ignores it. Otherwise unused.
    pub denoise_strength: f64,
}

/// Which frames are given.
#[derive(Clone, PartialEq)]
pub enum ReferenceFrames {
    /// One picture that the whole video begins from.
    Single(RgbImage),
    /// The first frame.
    Start(RgbImage),
    /// The last frame.
    End(RgbImage),
    /// The first and the last frame.
    Both {
        /// The first frame.
        start: RgbImage,
        /// The last frame.
        end: RgbImage,
    },
}

/// How a reference took part in a video.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum ReferenceMethod {
    /// The run began from the noised latents of the picture.
    LatentInit,
    /// The picture's latents were held at the first or last latent frame, at each step's noise level. The four frames
    /// of the last one pass into the picture as the VAE decodes it by itself.
    LatentHold,
    /// The checkpoint's own way: control latents and masks of VACE.
    Vace,
}

impl ReferenceMethod {
    /// `latent_init`, `latent_hold` or `vace`.
    pub fn as_str(self) -> &'static str {
        match self {
            ReferenceMethod::LatentInit => "latent_init",
            ReferenceMethod::LatentHold => "latent_hold",
            ReferenceMethod::Vace => "vace",
        }
    }
}

/// What a run begins from, beside noise: made by [`WanPipeline::prepare`](crate::WanPipeline::prepare) for one request.
#[derive(Debug, Default)]
pub struct Prepared {
    pub(crate) kind: Kind,
    /// Latent frames before the video's own, which are not decoded.
    pub(crate) prefix: usize,
}

#[derive(Debug, Default)]
pub(crate) enum Kind {
    /// Noise alone.
    #[default]
    Noise,
    /// Latents [1, C, F, H, W] that the run begins from, at step `start`.
    Init { latents: Tensor, start: usize },
    /// Latent frames that stay.
    Hold(Hold),
    /// Control latents [1, C_control, F, H, W] of VACE; `reference` where a picture is among them.
    Control { hidden_states: Tensor, reference: bool },
}

impl Prepared {
    /// How the reference takes part; `None` without one.
    pub fn method(&self) -> Option<ReferenceMethod> {
        match &self.kind {
            Kind::Noise | Kind::Control { reference: false, .. } => None,
            Kind::Init { .. } => Some(ReferenceMethod::LatentInit),
            Kind::Hold(_) => Some(ReferenceMethod::LatentHold),
            Kind::Control { reference: true, .. } => Some(ReferenceMethod::Vace),
        }
    }

    /// Control latents [1, C_control, F, H/8, W/8] of a VACE checkpoint: those of what stays, of what is made, and the
    /// mask.
    pub fn control(&self) -> Option<&Tensor> {
        if let Kind::Control { hidden_states, .. } = &self.kind { Some(hidden_states) } else { None }
    }

    /// Latents [1, C, 3, H/8, W/8] of a picture standing still that the video must end with.
    pub(crate) fn ending(&self) -> Option<&Tensor> {
        match &self.kind {
            Kind::Hold(hold) => hold.last.as_ref().map(|still| &still.latents),
            _ => None,
        }
    }

    /// Checks that it was made for latents [1, C, F, H/8, W/8] of this shape.
    ///
    /// # Errors
    /// [`Error::Input`]
    pub(crate) fn check(&self, shape: &[usize]) -> Result<()> {
        let fits = match &self.kind {
            Kind::Noise | Kind::Control { .. } => true,
            Kind::Init { latents, .. } => latents.shape() == shape,
            Kind::Hold(hold) => hold.fits(shape),
        };
        if fits {
            return Ok(());
        }
        let rule = "the reference prepared for a request of the same size".to_owned();
        Err(Error::Input { input: "prepared", rule, value: format!("another with latents {shape:?}") })
    }

    /// The first step that is run, counted from 0.
    pub fn first_step(&self) -> usize {
        if let Kind::Init { start, .. } = &self.kind { *start } else { 0 }
    }
}

/// Which frames and their sizes: pictures are no text.
impl std::fmt::Debug for ReferenceFrames {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let size = |image: &RgbImage| format!("{}x{}", image.width(), image.height());
        match self {
            ReferenceFrames::Single(image) => write!(f, "Single({})", size(image)),
            ReferenceFrames::Start(image) => write!(f, "Start({})", size(image)),
            ReferenceFrames::End(image) => write!(f, "End({})", size(image)),
            ReferenceFrames::Both { start, end } => write!(f, "Both({}, {})", size(start), size(end)),
        }
    }
}
