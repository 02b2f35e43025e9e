//! Times a whole WAN run as a `video_fast` job has it, part by part: 25 steps, guidance 6.5, 480x832, 81 frames.
//!
//! `cargo run --release -p ourvidz-wan --example bench_wan_job -- MODEL [DEVICE] [FRAMES] [STEPS] [RUNS] [VAE_PRECISION] [low]`
//!
//! MODEL is a checkpoint in any layout (`scripts/random_checkpoint_wan.py`); `-` leaves a choice to it; `low` keeps one
//! model at a time in memory. Every run has the same seed and must have the same latents, byte by byte. The peak of the
//! device's memory is what `nvidia-smi` shows beside it.

#![allow(clippy::print_stdout)]

use std::ops::ControlFlow;
use std::time::Instant;

use anyhow::{Context, Result, ensure};
use ourvidz_wan::{Device, TextToVideo, WanPipeline};

fn main() -> Result<()> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let argument = |i: usize, default: &str| arguments.get(i).cloned().unwrap_or_else(|| default.to_owned());
    let model = arguments.first().context("usage: bench_wan_job MODEL [DEVICE] ...")?;
    let device: Device = argument(1, "cpu").parse()?;
    let start = Instant::now();
    let mut builder = WanPipeline::builder(model).device(device).low_memory(argument(6, "") == "low");
    if let Some(precision) = arguments.get(5).filter(|precision| *precision != "-") {
        builder = builder.vae_precision(precision.parse()?);
    }
    let mut wan = builder.load()?;
    println!("loading: {:.2} s", start.elapsed().as_secs_f64());
    let request = TextToVideo {
        num_frames: argument(2, "81").parse()?,
        num_inference_steps: argument(3, "25").parse()?,
        guidance_scale: 6.5,
        width: 480,
        height: 832,
        shift: Some(5.0),
        seed: Some(42),
        ..TextToVideo::new("a red fox trots through fresh snow, handheld camera, golden hour")
    };
    let mut before: Option<Vec<f32>> = None;
    for run in 0..argument(4, "2").parse()? {
        let start = Instant::now();
        let embeds = wan.encode_prompt(&request)?;
        let prepared = wan.prepare(&request, None)?;
        let encoded = start.elapsed().as_secs_f64();
        let mut steps = Vec::new();
        let mut last = Instant::now();
        let latents = wan.denoise(&request, &embeds, &prepared, None, |_| {
            steps.push(last.elapsed().as_secs_f64() * 1e3);
            last = Instant::now();
            ControlFlow::Continue(())
        })?;
        let denoised = start.elapsed().as_secs_f64();
        let mut frames = 0;
        let _whole = wan.decode_chunks(&latents, &prepared, |chunk| {
            frames += chunk.shape()[2];
            Ok::<_, anyhow::Error>(ControlFlow::Continue(()))
        })?;
        let all = start.elapsed().as_secs_f64();
        let first = steps.first().copied().unwrap_or_default();
        steps.sort_by(f64::total_cmp);
        let median = steps.get(steps.len() / 2).copied().unwrap_or_default();
        println!(
            "run {run}: {frames} frames in {all:.2} s: encoding {encoded:.3} s, {} steps {:.2} s (first {first:.0} ms, \
             median {median:.1} ms), decoding {:.2} s",
            steps.len(),
            denoised - encoded,
            all - denoised
        );
        let numbers = latents.into_f32();
        if let Some(before) = &before {
            let same = |(a, b): (&f32, &f32)| a.to_bits() == b.to_bits();
            ensure!(before.iter().zip(&numbers).all(same), "run {run}: the same seed gives other latents");
            println!("run {run}: the latents are those of the run before");
        }
        before = Some(numbers);
    }
    Ok(())
}
