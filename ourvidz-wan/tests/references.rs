//! Reference pictures of a text-to-video checkpoint: what is held is there in the frames, and the rest is generated.
#![allow(clippy::unwrap_used, clippy::print_stdout)]

mod common;

use std::ops::ControlFlow;

use anyhow::{Result, ensure};
use common::{decode, difference, load};
use ourvidz_runtime::Tensor;
use ourvidz_wan::{Reference, ReferenceFrames, ReferenceMethod, RgbImage, TextToVideo, WanPipeline, cover};

#[test]
fn a_first_frame_is_as_near_as_the_vae_brings_it() -> Result<()> {
    let (mut wan, request, _cache) = open()?;
    let picture = picture(70, 41, 3);
    let held = run(&mut wan, &request, Some(&start(&picture)), ReferenceMethod::LatentHold)?;
    // A picture through the VAE and back.
    let round_trip =
        run(&mut wan, &one_frame(&request), Some(&single(&picture, 0.0)), ReferenceMethod::LatentInit)?;
    ensure!(
        difference(&frame(&held, 0), &frame(&round_trip, 0)) < 1e-5,
        "the first frame is not the picture"
    );
    let free = run(&mut wan, &request, None, ReferenceMethod::LatentHold)?;
    ensure!(difference(&frame(&free, 0), &frame(&round_trip, 0)) > 0.1, "held or not makes no difference");
    ensure!(difference(&frame(&held, 8), &frame(&round_trip, 0)) > 0.1, "nothing was generated behind it");
    Ok(())
}

#[test]
fn a_last_frame_is_as_near_as_the_vae_brings_it() -> Result<()> {
    let (mut wan, request, _cache) = open()?;
    let picture = picture(48, 32, 4);
    let pixels = pixels(&cover(&picture, 48, 32));
    let still = run(&mut wan, &request, Some(&single(&picture, 0.0)), ReferenceMethod::LatentInit)?;
    let round_trip = difference(&frame(&still, 8), &pixels);
    let beginning = other_picture();
    for reference in [end(&picture), both(&beginning, &picture)] {
        let held = run(&mut wan, &request, Some(&reference), ReferenceMethod::LatentHold)?;
        let found = difference(&frame(&held, 8), &pixels);
        println!("{reference:?}: {found:.3}, round trip {round_trip:.3}");
        // The very frame that a still video of the picture ends with.
        ensure!(difference(&frame(&held, 8), &frame(&still, 8)) < 1e-6, "{found}, round trip {round_trip}");
        ensure!(found <= round_trip * 1.0001, "{found} after a round trip of {round_trip}");
        // The frames before pass into it, and what comes before those is the video's own.
        let away: Vec<f64> = (3..9).map(|i| difference(&frame(&held, i), &frame(&still, i))).collect();
        println!("to the still video from frame 3 on: {away:.3?}");
        ensure!(away[2..].windows(2).all(|pair| pair[1] < pair[0]) && away[0] > 0.1, "{away:?}");
    }
    Ok(())
}

#[test]
fn both_ends_are_held_at_once() -> Result<()> {
    let (mut wan, request, _cache) = open()?;
    let (first, last) = (picture(60, 60, 5), picture(20, 80, 6));
    let prepared = |wan: &mut WanPipeline, reference: &Reference| latents(wan, &request, Some(reference));
    let together = prepared(&mut wan, &both(&first, &last))?;
    // At strength 0 a single picture is the encoded still video, untouched.
    let still = prepared(&mut wan, &single(&last, 0.0))?;
    ensure!(
        latent_frame(&together, 2) == latent_frame(&still, 2),
        "the last latent frame is not the encoder's"
    );
    let alone = [prepared(&mut wan, &start(&first))?, prepared(&mut wan, &end(&last))?];
    ensure!(latent_frame(&together, 0) == latent_frame(&alone[0], 0), "the first latent frame");
    ensure!(latent_frame(&together, 2) == latent_frame(&alone[1], 2), "the last latent frame");
    ensure!(latent_frame(&together, 2) != latent_frame(&alone[0], 2), "not held, and yet the same");
    Ok(())
}

/// The lower the strength, the nearer the video stays to the picture.
#[test]
fn strength_decides_how_far_a_single_picture_may_move() -> Result<()> {
    let (mut wan, request, _cache) = open()?;
    let picture = picture(48, 32, 7);
    let mut of_strength = |strength| latents(&mut wan, &request, Some(&single(&picture, strength)));
    let still = of_strength(0.0)?.into_f32();
    let mut last = 0.0;
    for strength in [0.25, 0.5, 0.75, 1.0] {
        let away = difference(&of_strength(strength)?.into_f32(), &still);
        println!("strength {strength}: {away:.3}");
        ensure!(away > last, "strength {strength}: {away} after {last}");
        last = away;
    }
    // At full strength nothing but the model's own noise is left, up to the schedule's first level just below 1.
    let ignored = of_strength(1.0)?.into_f32();
    let free = latents(&mut wan, &request, None)?.into_f32();
    ensure!(difference(&ignored, &free) < 1e-4, "{}", difference(&ignored, &free));
    Ok(())
}

#[test]
fn pictures_of_any_shape_cover_the_frame() -> Result<()> {
    let (mut wan, request, _cache) = open()?;
    for (width, height) in [(1, 1), (5, 300), (300, 5), (48, 32)] {
        let flat = RgbImage::from_pixel(width, height, image::Rgb([180, 90, 20]));
        let exact = RgbImage::from_pixel(48, 32, image::Rgb([180, 90, 20]));
        let [found, expected] =
            [&flat, &exact].map(|picture| latents(&mut wan, &request, Some(&single(picture, 0.0))));
        ensure!(difference(&found?.into_f32(), &expected?.into_f32()) < 1e-5, "{width}x{height}");
    }
    Ok(())
}

/// What was prepared for one size is an error with another, where it would be held and where it would be decoded.
#[test]
fn a_reference_of_another_size_is_refused() -> Result<()> {
    let (mut wan, request, _cache) = open()?;
    let picture = picture(48, 32, 8);
    let other = TextToVideo { width: request.height, height: request.width * 2, ..request.clone() };
    let embeds = wan.encode_prompt(&request)?;
    let free = latents(&mut wan, &other, None)?;
    for reference in [start(&picture), end(&picture), both(&picture, &picture), single(&picture, 0.5)] {
        let prepared = wan.prepare(&request, Some(&reference))?;
        let denoised = wan.denoise(&other, &embeds, &prepared, None, |_| ControlFlow::Continue(()));
        for refused in
            [denoised.map(drop).map_err(anyhow::Error::from), decode(&mut wan, &free, &prepared).map(drop)]
        {
            let error = refused.err().map(|e| e.to_string()).unwrap_or_default();
            ensure!(error.contains("prepared") && error.contains("same size"), "{reference:?}: {error:?}");
        }
    }
    Ok(())
}

fn open() -> Result<(WanPipeline, TextToVideo, tempfile::TempDir)> {
    let (_, request, cache, wan) = load("t2v_f32")?;
    Ok((wan, TextToVideo { seed: Some(11), ..request }, cache))
}

fn one_frame(request: &TextToVideo) -> TextToVideo {
    TextToVideo { num_frames: 1, ..request.clone() }
}

/// [F, 3, H, W] as decoded, after a run that must have taken the reference in this way.
fn run(
    wan: &mut WanPipeline,
    request: &TextToVideo,
    reference: Option<&Reference>,
    method: ReferenceMethod,
) -> Result<Tensor> {
    let prepared = wan.prepare(request, reference)?;
    ensure!(prepared.method() == reference.map(|_| method), "{:?}", prepared.method());
    let latents = latents(wan, request, reference)?;
    decode(wan, &latents, &prepared)
}

fn latents(wan: &mut WanPipeline, request: &TextToVideo, reference: Option<&Reference>) -> Result<Tensor> {
    let embeds = wan.encode_prompt(request)?;
    let prepared = wan.prepare(request, reference)?;
    Ok(wan.denoise(request, &embeds, &prepared, None, |_| ControlFlow::Continue(()))?)
}

/// [3, H, W]
fn frame(video: &Tensor, index: usize) -> Vec<f32> {
    let each = video.shape()[1..].iter().product();
    video.clone().into_f32().chunks_exact(each).nth(index).unwrap().to_vec()
}

/// [C, H, W]
fn latent_frame(latents: &Tensor, index: usize) -> Vec<f32> {
    let &[_, _, frames, h, w] = latents.shape() else { return Vec::new() };
    let values = latents.clone().into_f32();
    values.chunks_exact(frames * h * w).flat_map(|c| c[index * h * w..(index + 1) * h * w].to_vec()).collect()
}

/// [3, H, W] in [-1, 1]
fn pixels(image: &RgbImage) -> Vec<f32> {
    let channel = |c: usize| image.pixels().map(move |pixel| f32::from(pixel.0[c]) / 127.5 - 1.0);
    (0..3).flat_map(channel).collect()
}

fn other_picture() -> RgbImage {
    picture(48, 32, 9)
}

/// Waves of colour.
fn picture(width: u32, height: u32, seed: u32) -> RgbImage {
    RgbImage::from_fn(width, height, |x, y| {
        let wave = |c: u32| {
            let phase = (x * (seed + c)) as f32 / 40.0 + (y * (seed + 2 * c)) as f32 / 30.0;
            (127.0 + 120.0 * phase.sin()) as u8
        };
        image::Rgb([wave(0), wave(1), wave(2)])
    })
}

fn single(image: &RgbImage, denoise_strength: f64) -> Reference {
    Reference { frames: ReferenceFrames::Single(image.clone()), denoise_strength }
}

fn start(image: &RgbImage) -> Reference {
    Reference { frames: ReferenceFrames::Start(image.clone()), denoise_strength: 0.5 }
}

fn end(image: &RgbImage) -> Reference {
    Reference { frames: ReferenceFrames::End(image.clone()), denoise_strength: 0.5 }
}

fn both(start: &RgbImage, end: &RgbImage) -> Reference {
    let frames = ReferenceFrames::Both { start: start.clone(), end: end.clone() };
    Reference { frames, denoise_strength: 0.5 }
}
