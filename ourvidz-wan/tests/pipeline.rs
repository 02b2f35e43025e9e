//! Whole runs of the tiny checkpoints against diffusers 0.42.1, in fp32 on the processor; whole arrays of
//! `scripts/goldens/wan_tiny.py`.
#![allow(clippy::unwrap_used, clippy::print_stdout)]

use std::collections::BTreeMap;
use std::ops::ControlFlow;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, ensure};
use ourvidz_runtime::Tensor;
use ourvidz_wan::{
    Component, Error, Reference, ReferenceFrames, ReferenceMethod, RgbImage, TextToVideo, WanPipeline,
};
use safetensors::{Dtype, SafeTensors};

/// Relative L2 error allowed per tensor.
const FP32: f64 = 1e-4;

/// Names of the payload, and of the goldens.
const SCHEDULERS: [(&str, &str); 3] = [("unipc", "unipc"), ("dpm++", "dpm++"), ("flow_euler", "euler")];

type Goldens = BTreeMap<String, Tensor>;

#[test]
fn runs_are_those_of_diffusers() -> Result<()> {
    for name in ["t2v_f32", "t2v_bf16", "t2v_sharded"] {
        let (golden, request, _cache, mut wan) = load(name)?;
        let embeds = wan.encode_prompt(&request)?;
        close(&format!("{name} prompt_embeds"), &embeds.prompt_embeds, &golden["prompt_embeds"])?;
        let negative = embeds.negative_prompt_embeds.as_ref().context("no negative prompt")?;
        close(&format!("{name} negative_prompt_embeds"), negative, &golden["negative_prompt_embeds"])?;
        for (scheduler, prefix) in SCHEDULERS {
            let request = TextToVideo { scheduler: Some(scheduler.into()), ..request.clone() };
            let initial = golden["initial_latents"].clone();
            same_run(&format!("{name} {prefix}"), &mut wan, &request, None, initial, (&golden, prefix))?;
        }
    }
    Ok(())
}

/// Without a scheduler in the request, the checkpoint's own decides.
#[test]
fn the_checkpoints_scheduler_is_the_default() -> Result<()> {
    let (golden, request, _cache, mut wan) = load("t2v_f32")?;
    let initial = golden["initial_latents"].clone();
    same_run("default", &mut wan, &request, None, initial, (&golden, "unipc"))
}

#[test]
fn vace_takes_a_first_frame() -> Result<()> {
    let (golden, request, _cache, mut wan) = load("vace")?;
    let start = image(&golden["start.first_frame"])?;
    let reference = Reference { frames: ReferenceFrames::Start(start), denoise_strength: 0.5 };
    let initial = golden["start.initial_latents"].clone();
    same_run("vace start", &mut wan, &request, Some(&reference), initial, (&golden, "start"))
}

/// The goldens of the reference picture were made at other strengths of control than a pipeline has, so that what goes
/// into the model is compared.
#[test]
fn vace_prepares_a_picture() -> Result<()> {
    let (golden, request, _cache, mut wan) = load("vace")?;
    let picture = image(&golden["reference.reference_image"])?;
    let reference = Reference { frames: ReferenceFrames::Single(picture), denoise_strength: 0.5 };
    let prepared = wan.prepare(&request, Some(&reference))?;
    ensure!(prepared.method() == Some(ReferenceMethod::Vace));
    let control = prepared.control().context("no control")?;
    close("vace reference", control, &golden["reference.conditioning_latents"])?;
    let embeds = wan.encode_prompt(&request)?;
    let initial = golden["reference.initial_latents"].clone();
    let latents = wan.denoise(&request, &embeds, &prepared, Some(initial), |_| ControlFlow::Continue(()))?;
    ensure!(latents.shape() == [1, 16, 2, 4, 6], "the picture's latent frame stays: {:?}", latents.shape());
    Ok(())
}

#[test]
fn a_seed_makes_the_same_latents() -> Result<()> {
    let (_, request, _cache, mut wan) = load("t2v_f32")?;
    let request = TextToVideo { seed: Some(7), num_inference_steps: 2, ..request };
    let mut run = |request: &TextToVideo| -> Result<Vec<f32>> {
        let embeds = wan.encode_prompt(request)?;
        let prepared = wan.prepare(request, None)?;
        Ok(wan.denoise(request, &embeds, &prepared, None, |_| ControlFlow::Continue(()))?.into_f32())
    };
    let first = run(&request)?;
    ensure!(first == run(&request)?, "not the same bytes");
    ensure!(first != run(&TextToVideo { seed: Some(8), ..request })?, "another seed makes no difference");
    Ok(())
}

#[test]
fn components_come_back_when_they_are_used() -> Result<()> {
    let (_, request, _cache, mut wan) = load("t2v_f32")?;
    let request = TextToVideo { seed: Some(7), num_inference_steps: 2, ..request };
    ensure!(!wan.is_loaded(Component::VaeEncoder), "nothing needed the encoder");
    let video = wan.text_to_video(&request)?;
    ensure!((video.num_frames(), video.seed()) == (9, 7));
    for component in Component::ALL {
        wan.unload(component);
        ensure!(!wan.is_loaded(component), "{component:?}");
    }
    ensure!(video == wan.text_to_video(&request)?, "another video after loading again");
    ensure!(!wan.is_loaded(Component::VaeEncoder));
    Ok(())
}

#[test]
fn what_cannot_be_made_is_refused_by_name() -> Result<()> {
    let (_, request, _cache, mut wan) = load("t2v_f32")?;
    let new = || request.clone();
    let cases = [
        (TextToVideo { width: 40, ..new() }, "width"),
        (TextToVideo { num_frames: 0, ..new() }, "num_frames"),
        (TextToVideo { scheduler: Some("euler_a".into()), ..new() }, "scheduler"),
        (TextToVideo { shift: Some(1e5), ..new() }, "shift"),
    ];
    for (request, field) in cases {
        let error = wan.text_to_video(&request).map(drop).err().context(field)?;
        ensure!(error.to_string().contains(field), "{field}: {error}");
        ensure!(!error.retryable(), "{error}");
    }
    let picture = RgbImage::new(8, 8);
    let frames = ReferenceFrames::Start(picture.clone());
    let one_frame = TextToVideo { num_frames: 1, ..new() };
    let cases = [
        (one_frame, Reference { frames, denoise_strength: 0.5 }, "reference"),
        (new(), Reference { frames: ReferenceFrames::Single(picture), denoise_strength: 1.5 }, "denoise_strength"),
    ];
    for (request, reference, field) in cases {
        let error = wan.prepare(&request, Some(&reference)).map(drop).err().context(field)?;
        ensure!(matches!(&error, Error::Input { input, .. } if *input == field), "{field}: {error}");
    }
    let stopped = wan.text_to_video_with(&request, |_| ControlFlow::Break(())).err();
    ensure!(matches!(stopped, Some(Error::Request(ourvidz_core::Error::Cancelled { step: 0, .. }))));
    Ok(())
}

/// Every tensor of a run under the goldens' names with a prefix.
fn same_run(
    what: &str,
    wan: &mut WanPipeline,
    request: &TextToVideo,
    reference: Option<&Reference>,
    initial: Tensor,
    (golden, prefix): (&Goldens, &str),
) -> Result<()> {
    let golden = |name: &str| {
        let name = format!("{prefix}.{name}");
        golden.get(&name).with_context(|| name)
    };
    let prepared = wan.prepare(request, reference)?;
    if let Some(control) = prepared.control() {
        close(&format!("{what} conditioning_latents"), control, golden("conditioning_latents")?)?;
    }
    let embeds = wan.encode_prompt(request)?;
    let mut kept = Vec::new();
    let latents = wan.denoise(request, &embeds, &prepared, Some(initial), |step| {
        kept.push((step.timestep, step.noise_pred.to_vec(), step.latents.to_vec()));
        ControlFlow::Continue(())
    })?;
    let timesteps: Vec<f32> = kept.iter().map(|(timestep, ..)| *timestep).collect();
    let expected = golden("timesteps")?;
    close(&format!("{what} timesteps"), &Tensor::f32(expected.shape(), timesteps)?, expected)?;
    for (i, (_, noise_pred, latents)) in kept.into_iter().enumerate() {
        for (name, values) in [("noise_pred", noise_pred), ("latents", latents)] {
            let expected = golden(&format!("{name}.{i}"))?;
            close(&format!("{what} {name}.{i}"), &Tensor::f32(expected.shape(), values)?, expected)?;
        }
    }
    close(&format!("{what} latents"), &latents, golden("latents")?)?;
    let video = decode(wan, &latents)?;
    close(&format!("{what} video"), &video, golden("video")?)
}

/// [F, 3, H, W]
fn decode(wan: &mut WanPipeline, latents: &Tensor) -> Result<Tensor> {
    let (mut frames, mut sizes) = (Vec::new(), [0; 2]);
    let _whole = wan.decode_chunks(latents, |chunk| {
        let &[_, 3, count, height, width] = chunk.shape() else { anyhow::bail!("{:?}", chunk.shape()) };
        let area = height * width;
        sizes = [height, width];
        let values = chunk.into_f32();
        for frame in 0..count {
            frames.extend((0..3).flat_map(|c| &values[(c * count + frame) * area..][..area]).copied());
        }
        Ok(ControlFlow::Continue(()))
    })?;
    let [height, width] = sizes;
    Ok(Tensor::f32(&[frames.len() / (3 * height * width), 3, height, width], frames)?)
}

/// [H, W, 3] of bytes, read as numbers.
fn image(pixels: &Tensor) -> Result<RgbImage> {
    let &[height, width, 3] = pixels.shape() else { anyhow::bail!("{:?}", pixels.shape()) };
    let bytes = pixels.clone().into_f32().into_iter().map(|x| x as u8).collect();
    RgbImage::from_raw(width as u32, height as u32, bytes).context("pixels")
}

fn load(name: &str) -> Result<(Goldens, TextToVideo, tempfile::TempDir, WanPipeline)> {
    let folder = folder(name);
    let request: serde_json::Value =
        serde_json::from_str(&std::fs::read_to_string(folder.join("request.json"))?)?;
    let number = |field: &str| request[field].as_u64().map(|n| n as usize).context(field.to_owned());
    let request = TextToVideo {
        // diffusers' default is the empty text, ours the model's own.
        negative_prompt: Some(request["negative_prompt"].as_str().unwrap_or_default().to_owned()),
        num_inference_steps: number("num_inference_steps")?,
        guidance_scale: request["guidance_scale"].as_f64().context("guidance_scale")? as f32,
        height: number("height")?,
        width: number("width")?,
        num_frames: number("num_frames")?,
        ..TextToVideo::new(request["prompt"].as_str().context("prompt")?)
    };
    let cache = tempfile::tempdir()?;
    let wan = WanPipeline::builder(&folder).cache_folder(cache.path()).load()?;
    Ok((goldens(&folder.join("golden.safetensors"))?, request, cache, wan))
}

fn folder(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../tests/golden/wan").join(name)
}

fn goldens(path: &Path) -> Result<Goldens> {
    let bytes = std::fs::read(path)?;
    let file = SafeTensors::deserialize(&bytes)?;
    let tensor = |view: safetensors::tensor::TensorView<'_>| -> Result<Tensor> {
        let values = match view.dtype() {
            Dtype::F32 => view.data().as_chunks::<4>().0.iter().map(|b| f32::from_le_bytes(*b)).collect(),
            Dtype::I64 => {
                view.data().as_chunks::<8>().0.iter().map(|b| i64::from_le_bytes(*b) as f32).collect()
            }
            Dtype::U8 => view.data().iter().map(|b| f32::from(*b)).collect(),
            other => anyhow::bail!("{other:?}"),
        };
        Ok(Tensor::f32(view.shape(), values)?)
    };
    file.tensors().into_iter().map(|(name, view)| Ok((name, tensor(view)?))).collect()
}

fn close(name: &str, found: &Tensor, expected: &Tensor) -> Result<()> {
    ensure!(found.shape() == expected.shape(), "{name}: {:?}, expected {:?}", found.shape(), expected.shape());
    let (found, expected) = (found.clone().into_f32(), expected.clone().into_f32());
    let square = |x: f32| f64::from(x).powi(2);
    let difference: f64 = found.iter().zip(&expected).map(|(a, b)| square(a - b)).sum();
    let size: f64 = expected.iter().map(|x| square(*x)).sum();
    let error = (difference / size.max(1e-30)).sqrt();
    println!("{name}: {error:.1e}");
    ensure!(error <= FP32, "{name}: relative L2 {error:.2e}");
    Ok(())
}
