//! VACE against diffusers' `WanVACEPipeline`: what is prepared for each way of giving pictures, and whole runs with it,
//! in fp32 on the processor; whole arrays of `scripts/goldens/wan_tiny_vace.py`.
#![allow(clippy::unwrap_used, clippy::print_stdout)]

mod common;

use std::ops::ControlFlow;

use anyhow::{Context, Result, ensure};
use common::{close, folder, goldens, image, load, same_run};
use ourvidz_wan::{Reference, ReferenceFrames, ReferenceMethod, TextToVideo};

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

/// Of 9 frames the last, or the first and the last, are given: control latents of what stays and of what is made, and
/// the mask.
#[test]
fn vace_takes_a_last_frame_and_both() -> Result<()> {
    let (_, request, _cache, mut wan) = load("vace")?;
    let request = TextToVideo { num_frames: 9, ..request };
    let golden = goldens(&folder("vace").join("modes.safetensors"))?;
    let frame = |name: &str| image(golden.get(name).with_context(|| name.to_owned())?);
    let cases = [
        ("end", ReferenceFrames::End(frame("end.frame.8")?)),
        ("both", ReferenceFrames::Both { start: frame("both.frame.0")?, end: frame("both.frame.8")? }),
    ];
    for (name, frames) in cases {
        let reference = Reference { frames, denoise_strength: 0.5 };
        ensure!(wan.prepare(&request, Some(&reference))?.method() == Some(ReferenceMethod::Vace), "{name}");
        let initial = golden[&format!("{name}.initial_latents")].clone();
        same_run(&format!("vace {name}"), &mut wan, &request, Some(&reference), initial, (&golden, name))?;
    }
    Ok(())
}

/// The picture's latent frame goes through every step before the video's, and is not decoded.
#[test]
fn vace_takes_a_picture() -> Result<()> {
    let (_, request, _cache, mut wan) = load("vace")?;
    let golden = goldens(&folder("vace").join("modes.safetensors"))?;
    let picture = image(&golden["single.reference_image"])?;
    let reference = Reference { frames: ReferenceFrames::Single(picture), denoise_strength: 0.5 };
    let initial = golden["single.initial_latents"].clone();
    same_run("vace single", &mut wan, &request, Some(&reference), initial, (&golden, "single"))
}
