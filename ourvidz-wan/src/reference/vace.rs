//! Control latents of VACE as diffusers' `WanVACEPipeline` prepares them (`preprocess_conditions`,
//! `prepare_video_latents`, `prepare_masks`).

use image::{Rgb, RgbImage};
use ourvidz_runtime::Tensor;

use super::ReferenceFrames;
use super::picture::{clip, upon_white};
use crate::graphs::VaeEncoder;
use crate::{Result, SPATIAL_COMPRESSION, TEMPORAL_COMPRESSION, VideoGeometry};

/// Frames that are to be made are of this grey where others are given.
const GREY: u8 = 128;

/// Control latents [1, 2 z + 64, F', H/8, W/8]. First and last frames have the video's size; a single picture has any,
/// and F' is then one more than the video's latent frames.
///
/// Where no frame is given, the video is of zeros and all of it is to be made.
pub(crate) fn control(
    encoder: &mut VaeEncoder,
    frames: Option<&ReferenceFrames>,
    geometry: &VideoGeometry,
) -> Result<Tensor> {
    let count = geometry.num_frames();
    let (width, height) = (geometry.width(), geometry.height());
    let (first, last, single) = match frames {
        None => (None, None, None),
        Some(ReferenceFrames::Single(image)) => (None, None, Some(image)),
        Some(ReferenceFrames::Start(start)) => (Some(start), None, None),
        Some(ReferenceFrames::End(end)) => (None, Some(end), None),
        Some(ReferenceFrames::Both { start, end }) => (Some(start), Some(end), None),
    };
    // `true`: the frame is to be made.
    let mut mask = vec![true; count];
    let grey = RgbImage::from_pixel(width as u32, height as u32, Rgb([GREY; 3]));
    let given = first.is_some() || last.is_some();
    let mut video: Vec<&RgbImage> = vec![&grey; count];
    for (frame, image) in [(0, first), (count - 1, last)] {
        if let Some(image) = image {
            (video[frame], mask[frame]) = (image, false);
        }
    }
    let whole = if given { clip(&video)? } else { zeros(&[1, 3, count, height, width])? };
    let masked = |keep: bool| masked(&whole, &mask, keep);
    let inactive = encoder.encode(&masked(false)?)?;
    // A video of zeros is the same whatever a mask leaves of it.
    let reactive = if given { encoder.encode(&masked(true)?)? } else { inactive.clone() };
    let &[_, z, latent_frames, h, w] = inactive.shape() else { return Ok(inactive) };
    let mask = latent_mask(&mask, latent_frames, h * w);
    let mut parts = [inactive.into_f32(), reactive.into_f32(), mask];
    let mut all_frames = latent_frames;
    if let Some(image) = single {
        let canvas = Tensor::f32(&[1, 3, 1, height, width], upon_white(image, width, height))?;
        let reference = encoder.encode(&canvas)?.into_f32();
        let area = h * w;
        let zeros = |channels: usize| vec![0.0; channels * area];
        let before = [reference, zeros(z), zeros(SPATIAL_COMPRESSION * SPATIAL_COMPRESSION)];
        for (part, before) in parts.iter_mut().zip(before) {
            *part = with_frame_before(part, &before, latent_frames, area);
        }
        all_frames += 1;
    }
    let channels = 2 * z + SPATIAL_COMPRESSION * SPATIAL_COMPRESSION;
    Ok(Tensor::f32(&[1, channels, all_frames, h, w], parts.concat())?)
}

fn zeros(shape: &[usize]) -> Result<Tensor> {
    Ok(Tensor::f32(shape, vec![0.0; shape.iter().product()])?)
}

/// x [1, 3, F, H, W] with zeros in the frames whose mask is not `keep`.
fn masked(x: &Tensor, mask: &[bool], keep: bool) -> Result<Tensor> {
    let shape = x.shape().to_vec();
    let area = shape[3] * shape[4];
    let mut values = x.clone().into_f32();
    for (i, frame) in values.chunks_exact_mut(area).enumerate() {
        if mask[i % mask.len()] != keep {
            frame.fill(0.0);
        }
    }
    Ok(Tensor::f32(&shape, values)?)
}

/// The mask of whole frames at the size of the latents: [64, F', h * w]. A latent frame takes the mask of the frame at
/// its middle: torch's `interpolate` with `nearest-exact`.
fn latent_mask(mask: &[bool], latent_frames: usize, area: usize) -> Vec<f32> {
    debug_assert_eq!(latent_frames, (mask.len() - 1) / TEMPORAL_COMPRESSION + 1);
    let scale = mask.len() as f64 / latent_frames as f64;
    let frame = |i: usize| ((i as f64 + 0.5) * scale) as usize;
    let frames: Vec<f32> = (0..latent_frames).map(|i| f32::from(u8::from(mask[frame(i)]))).collect();
    let one: Vec<f32> = frames.iter().flat_map(|value| std::iter::repeat_n(*value, area)).collect();
    one.repeat(SPATIAL_COMPRESSION * SPATIAL_COMPRESSION)
}

/// x [C, F, `area`], before [C, `area`] -> [C, 1 + F, `area`]
fn with_frame_before(x: &[f32], before: &[f32], frames: usize, area: usize) -> Vec<f32> {
    let pairs = before.chunks_exact(area).zip(x.chunks_exact(frames * area));
    pairs.flat_map(|(before, x)| before.iter().chain(x)).copied().collect()
}
