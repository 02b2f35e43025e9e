use ourvidz_core::scheduler::Scheduler;
use ourvidz_runtime::Tensor;

use super::picture::clip;
use crate::Result;
use crate::graphs::VaeEncoder;
use image::RgbImage;

/// Frames of a still clip that the last latent frame is taken from: one latent frame of one frame, one that still sees
/// the beginning, and one that sees only itself.
const STILL_FRAMES: usize = 9;

/// Latent frames that a run must not change.
#[derive(Debug, Default)]
pub(crate) struct Hold {
    /// [C, H, W]
    pub(crate) first: Option<Vec<f32>>,
    pub(crate) last: Option<Still>,
}

/// A picture that stands still: its first, second and every later latent frame, [1, C, 3, H, W].
#[derive(Debug)]
pub(crate) struct Still {
    pub(crate) latents: Tensor,
    frames: [Vec<f32>; 3],
}

impl Hold {
    /// Writes the held frames over `latents` [C, `frames`, H, W], at the noise level of `step` with the noise that the
    /// run began with.
    pub(crate) fn write_noised(
        &self,
        scheduler: &dyn Scheduler,
        step: usize,
        latents: &mut [f32],
        noise: &[f32],
        shape: LatentShape,
    ) {
        for (frame, held) in self.frames(shape.frames) {
            let mut level = held.to_vec();
            scheduler.add_noise(&mut level, &shape.frame(noise, frame), step);
            shape.set_frame(latents, frame, &level);
        }
    }

    /// Whether the frames are those of latents [1, C, F, H, W].
    pub(crate) fn fits(&self, shape: &[usize]) -> bool {
        let &[_, channels, _, height, width] = shape else { return false };
        let last_fits = |still: &Still| matches!(still.latents.shape(), &[_, c, _, h, w] if [c, h, w] == [channels, height, width]);
        self.first.as_ref().is_none_or(|first| first.len() == channels * height * width)
            && self.last.as_ref().is_none_or(last_fits)
    }

    /// Writes the held frames as they are.
    pub(crate) fn write(&self, latents: &mut [f32], shape: LatentShape) {
        for (frame, held) in self.frames(shape.frames) {
            shape.set_frame(latents, frame, held);
        }
    }

    fn frames(&self, count: usize) -> impl Iterator<Item = (usize, &[f32])> {
        let first = self.first.as_deref().map(|held| (0, held));
        let last = self.last.as_ref().map(|still| (count - 1, &still.frames[2][..]));
        first.into_iter().chain(last)
    }
}

/// Channels, frames and pixels of latents [C, F, H, W].
#[derive(Debug, Clone, Copy)]
pub(crate) struct LatentShape {
    pub(crate) channels: usize,
    pub(crate) frames: usize,
    pub(crate) area: usize,
}

impl LatentShape {
    /// One frame: [C, H, W].
    pub(crate) fn frame(self, latents: &[f32], frame: usize) -> Vec<f32> {
        let planes = latents.chunks_exact(self.frames * self.area);
        planes.flat_map(|plane| &plane[frame * self.area..(frame + 1) * self.area]).copied().collect()
    }

    fn set_frame(self, latents: &mut [f32], frame: usize, values: &[f32]) {
        let planes = latents.chunks_exact_mut(self.frames * self.area);
        for (plane, values) in planes.zip(values.chunks_exact(self.area)) {
            plane[frame * self.area..(frame + 1) * self.area].copy_from_slice(values);
        }
    }
}

/// Latents of a picture as the first frame of a video: [C, H, W].
pub(crate) fn first_frame(encoder: &mut VaeEncoder, image: &RgbImage) -> Result<Vec<f32>> {
    Ok(encoder.encode(&clip(&[image])?)?.into_f32())
}

impl Still {
    pub(crate) fn encode(encoder: &mut VaeEncoder, image: &RgbImage) -> Result<Still> {
        let latents = encoder.encode(&clip(&[image; STILL_FRAMES])?)?;
        let sizes = |i: usize| latents.shape().get(i).copied().unwrap_or_default();
        let shape = LatentShape { channels: sizes(1), frames: sizes(2), area: sizes(3) * sizes(4) };
        let (values, last) = (latents.clone().into_f32(), shape.frames.saturating_sub(1));
        let frames = [0, 1.min(last), last].map(|frame| shape.frame(&values, frame));
        Ok(Still { latents, frames })
    }
}

/// A video of `frames` latent frames in which a picture stands still: [1, C, F, H, W].
pub(crate) fn still_video(
    encoder: &mut VaeEncoder,
    image: &RgbImage,
    [channels, frames, height, width]: [usize; 4],
) -> Result<Tensor> {
    let shape = LatentShape { channels, frames, area: height * width };
    let mut latents = vec![0.0; channels * frames * height * width];
    if frames == 1 {
        shape.set_frame(&mut latents, 0, &first_frame(encoder, image)?);
    } else {
        let still = Still::encode(encoder, image)?.frames;
        (0..frames).for_each(|frame| shape.set_frame(&mut latents, frame, &still[frame.min(2)]));
    }
    Ok(Tensor::f32(&[1, channels, frames, height, width], latents)?)
}
