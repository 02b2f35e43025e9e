//! Held frames by a VAE that was trained (`ourvidz-bin/models/tiny-wan/vae`), behind a transformer of random numbers:
//! what is between the ends is noise to the decoder, and the ends are the pictures all the same.
#![allow(clippy::print_stdout)]

mod common;

use std::ops::ControlFlow;
use std::path::Path;

use anyhow::{Context, Result, ensure};
use common::{decode, folder, goldens};
use ourvidz_wan::{Reference, ReferenceFrames, RgbImage, TextToVideo, WanPipeline};
use safetensors::Dtype;
use safetensors::tensor::TensorView;

const SIDE: u32 = 64;
/// The round trip is of a still video of another length, in which the picture is a little different.
const MARGIN: f64 = 0.1;

#[test]
fn both_ends_are_the_round_trip_of_their_pictures() -> Result<()> {
    let place = tempfile::tempdir()?;
    checkpoint(place.path())?;
    let mut wan = WanPipeline::builder(place.path()).cache_folder(place.path().join("cache")).load()?;
    let request = TextToVideo {
        width: SIDE as usize,
        height: SIDE as usize,
        num_frames: 17,
        num_inference_steps: 3,
        guidance_scale: 1.0,
        seed: Some(5),
        ..TextToVideo::new("a circle")
    };
    let (start, end) = (disc([220, 40, 40], 24.0), disc([45, 85, 220], 40.0));
    let frames = ReferenceFrames::Both { start: start.clone(), end: end.clone() };
    let video = run(&mut wan, &request, Reference { frames, denoise_strength: 0.5 })?;
    let still = |wan: &mut WanPipeline, picture: &RgbImage| {
        let frames = ReferenceFrames::Single(picture.clone());
        run(wan, &request, Reference { frames, denoise_strength: 0.0 })
    };
    for (name, picture, index) in [("first", &start, 0), ("last", &end, 16)] {
        let round_trip = distance(&still(&mut wan, picture)?[index], picture);
        let (held, middle) = (distance(&video[index], picture), distance(&video[8], picture));
        println!("{name}: held {held:.4}, round trip {round_trip:.4}, frame 8 {middle:.4}");
        ensure!(round_trip < 0.06, "{name}: the VAE is not a trained one: {round_trip}");
        ensure!(held <= round_trip * (1.0 + MARGIN), "{name}: {held} after a round trip of {round_trip}");
        ensure!(middle > 3.0 * held, "{name}: frame 8 is no further away: {middle}");
    }
    Ok(())
}

/// Frames [3, H, W] in [-1, 1].
fn run(wan: &mut WanPipeline, request: &TextToVideo, reference: Reference) -> Result<Vec<Vec<f32>>> {
    let prepared = wan.prepare(request, Some(&reference))?;
    let embeds = wan.encode_prompt(request)?;
    let latents = wan.denoise(request, &embeds, &prepared, None, |_| ControlFlow::Continue(()))?;
    let video = decode(wan, &latents, &prepared)?.into_f32();
    Ok(video.chunks_exact(3 * (SIDE * SIDE) as usize).map(<[f32]>::to_vec).collect())
}

/// Root of the mean square, where the range of colours is 1.
fn distance(frame: &[f32], picture: &RgbImage) -> f64 {
    let area = (SIDE * SIDE) as usize;
    let pixels = picture.pixels().enumerate();
    let square = |x: f64| x * x;
    let sum: f64 = pixels
        .flat_map(|(i, pixel)| (0..3).map(move |c| (frame[c * area + i], pixel.0[c])))
        .map(|(found, byte)| square((f64::from(found) + 1.0) / 2.0 - f64::from(byte) / 255.0))
        .sum();
    (sum / (3 * area) as f64).sqrt()
}

/// A disc upon beige, with its centre so far from the left, its edge of one pixel.
fn disc(colour: [u8; 3], centre: f32) -> RgbImage {
    RgbImage::from_fn(SIDE, SIDE, |x, y| {
        let distance = (x as f32 + 0.5 - centre).hypot(y as f32 + 0.5 - 32.0) - 16.0;
        let inside = (0.5 - distance).clamp(0.0, 1.0);
        let mix = |c: usize| inside * f32::from(colour[c]) + (1.0 - inside) * [228.0, 212.0, 180.0][c];
        image::Rgb([0, 1, 2].map(|c| mix(c).round() as u8))
    })
}

/// The tiny checkpoint with that VAE, and a transformer whose channels are as many.
fn checkpoint(place: &Path) -> Result<()> {
    let tiny = folder("t2v_f32");
    for part in ["scheduler", "text_encoder", "tokenizer", "transformer"] {
        copy(&tiny.join(part), &place.join(part))?;
    }
    std::fs::copy(tiny.join("model_index.json"), place.join("model_index.json"))?;
    let trained = Path::new(env!("CARGO_MANIFEST_DIR")).join("../ourvidz-bin/models/tiny-wan/vae");
    copy(&trained, &place.join("vae"))?;

    let config = place.join("transformer/config.json");
    let text = std::fs::read_to_string(&config)?;
    let six = text.replace("_channels\": 4", "_channels\": 6");
    ensure!(six.matches("_channels\": 6").count() == 2, "{text}");
    std::fs::write(config, six)?;
    let path = place.join("transformer/diffusion_pytorch_model.safetensors");
    let mut stored = Vec::new();
    for (name, tensor) in goldens(&path)? {
        let (mut shape, values) = (tensor.shape().to_vec(), tensor.into_f32());
        // [24, 4, 1, 2, 2] and [4 * 4, 24]: two channels are there twice.
        let values = match name.as_str() {
            "patch_embedding.weight" => {
                shape[1] = 6;
                let patches = values.chunks_exact(4 * 4);
                patches.flat_map(|patch| (0..6 * 4).map(|i| patch[i % (4 * 4)])).collect()
            }
            "proj_out.weight" | "proj_out.bias" => {
                let row = values.len() / shape[0];
                shape[0] = 6 * 4;
                (0..6 * 4 * row).map(|i| values[i % (4 * 4 * row)]).collect()
            }
            _ => values,
        };
        let bytes: Vec<u8> = values.iter().flat_map(|x: &f32| x.to_le_bytes()).collect();
        stored.push((name, shape, bytes));
    }
    let views = stored.iter().map(|(name, shape, bytes)| {
        Ok((name.as_str(), TensorView::new(Dtype::F32, shape.clone(), bytes).context("a tensor")?))
    });
    Ok(safetensors::serialize_to_file(views.collect::<Result<Vec<_>>>()?, None, &path)?)
}

fn copy(from: &Path, to: &Path) -> Result<()> {
    std::fs::create_dir_all(to)?;
    for file in std::fs::read_dir(from)? {
        let file = file?;
        std::fs::copy(file.path(), to.join(file.file_name()))?;
    }
    Ok(())
}
