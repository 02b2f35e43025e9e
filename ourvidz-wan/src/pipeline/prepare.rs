use ourvidz_core::denoise::start_of_strength;
use ourvidz_core::request::TextToVideo;

use super::WanPipeline;
use crate::components::Component;
use crate::reference::{self, Hold, Kind, Prepared, Reference, ReferenceFrames, Still, cover};
use crate::{Error, Result, VideoGeometry};

impl WanPipeline {
    /// Brings reference pictures into the form that the checkpoint takes: control latents for VACE; for text-to-video,
    /// latents that the run begins from or that are held.
    ///
    /// # Errors
    /// [`Error::Input`] for a first or last frame of a single picture, or a strength outside 0 to 1.
    pub fn prepare(&mut self, request: &TextToVideo, reference: Option<&Reference>) -> Result<Prepared> {
        let prepared = self.encoded(request, reference);
        self.done_with(Component::VaeEncoder);
        prepared
    }

    fn encoded(&mut self, request: &TextToVideo, reference: Option<&Reference>) -> Result<Prepared> {
        let geometry = self.geometry(request)?;
        if let Some(reference) = reference {
            check(reference, &geometry)?;
        }
        let vace = self.components.transformer_config().is_vace();
        let Some(reference) = reference else {
            if !vace {
                return Ok(Prepared::default());
            }
            let encoder = self.components.vae_encoder(&mut |_| ())?;
            let hidden_states = reference::control(encoder, None, &geometry)?;
            return Ok(Prepared { kind: Kind::Control { hidden_states, reference: false }, prefix: 0 });
        };
        let shape = self.latents_shape(&geometry);
        let encoder = self.components.vae_encoder(&mut |_| ())?;
        let fit = |image| cover(image, geometry.width() as u32, geometry.height() as u32);
        if vace {
            let frames = match &reference.frames {
                ReferenceFrames::Single(image) => ReferenceFrames::Single(image.clone()),
                ReferenceFrames::Start(image) => ReferenceFrames::Start(fit(image)),
                ReferenceFrames::End(image) => ReferenceFrames::End(fit(image)),
                ReferenceFrames::Both { start, end } => {
                    ReferenceFrames::Both { start: fit(start), end: fit(end) }
                }
            };
            let hidden_states = reference::control(encoder, Some(&frames), &geometry)?;
            let prefix = usize::from(matches!(frames, ReferenceFrames::Single(_)));
            return Ok(Prepared { kind: Kind::Control { hidden_states, reference: true }, prefix });
        }
        let first = |encoder: &mut _, image| reference::first_frame(encoder, &fit(image));
        let last = |encoder: &mut _, image| Still::encode(encoder, &fit(image));
        let kind = match &reference.frames {
            ReferenceFrames::Single(image) => {
                let latents = reference::still_video(encoder, &fit(image), shape)?;
                let start = start_of_strength(request.num_inference_steps, reference.denoise_strength)?;
                Kind::Init { latents, start }
            }
            ReferenceFrames::Start(image) => {
                Kind::Hold(Hold { first: Some(first(encoder, image)?), last: None })
            }
            ReferenceFrames::End(image) => {
                Kind::Hold(Hold { first: None, last: Some(last(encoder, image)?) })
            }
            ReferenceFrames::Both { start, end } => {
                let (first, last) = (first(encoder, start)?, last(encoder, end)?);
                Kind::Hold(Hold { first: Some(first), last: Some(last) })
            }
        };
        Ok(Prepared { kind, prefix: 0 })
    }
}

fn check(reference: &Reference, geometry: &VideoGeometry) -> Result<()> {
    let single = matches!(reference.frames, ReferenceFrames::Single(_));
    if geometry.num_frames() == 1 && !single {
        let rule = "a single picture for one frame: a held frame would be the whole of it".to_owned();
        return Err(Error::Input { input: "reference", rule, value: format!("{:?}", reference.frames) });
    }
    if !(0.0..=1.0).contains(&reference.denoise_strength) {
        let value = reference.denoise_strength.to_string();
        return Err(Error::Input { input: "denoise_strength", rule: "from 0 to 1".into(), value });
    }
    Ok(())
}
