//! Whole runs of the tiny checkpoints against diffusers 0.42.1, in fp32 on the processor; whole arrays of
//! `scripts/goldens/wan_tiny.py`.
#![allow(clippy::unwrap_used, clippy::print_stdout)]

mod common;

use std::ops::ControlFlow;

use anyhow::{Context, Result, ensure};
use common::{close, load, same_run};
use ourvidz_wan::{Component, Error, Reference, ReferenceFrames, RgbImage, TextToVideo, WanPipeline};

/// Names of the payload, and of the goldens.
const SCHEDULERS: [(&str, &str); 3] = [("unipc", "unipc"), ("dpm++", "dpm++"), ("flow_euler", "euler")];

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
fn with_low_memory_nothing_stays_and_the_video_is_the_same() -> Result<()> {
    let (_, request, cache, mut wan) = load("t2v_f32")?;
    let request = TextToVideo { seed: Some(7), num_inference_steps: 2, ..request };
    let expected = wan.text_to_video(&request)?;
    let builder = WanPipeline::builder(common::folder("t2v_f32")).cache_folder(cache.path());
    let mut low = builder.low_memory(true).load()?;
    let reference =
        Reference { frames: ReferenceFrames::Start(RgbImage::new(20, 20)), denoise_strength: 0.5 };
    let mut most = 0;
    let held = low.reference_to_video(&request, &reference, |_| {
        most += 1;
        ControlFlow::Continue(())
    })?;
    ensure!((held.num_frames(), most) == (9, 2));
    for _ in 0..2 {
        ensure!(low.text_to_video(&request)? == expected, "another video");
        ensure!(!Component::ALL.iter().any(|component| low.is_loaded(*component)), "a model stays");
    }
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
        (
            new(),
            Reference { frames: ReferenceFrames::Single(picture), denoise_strength: 1.5 },
            "denoise_strength",
        ),
    ];
    for (request, reference, field) in cases {
        let error = wan.prepare(&request, Some(&reference)).map(drop).err().context(field)?;
        ensure!(matches!(&error, Error::Input { input, .. } if *input == field), "{field}: {error}");
    }
    let stopped = wan.text_to_video_with(&request, |_| ControlFlow::Break(())).err();
    ensure!(matches!(stopped, Some(Error::Request(ourvidz_core::Error::Cancelled { step: 0, .. }))));
    Ok(())
}
