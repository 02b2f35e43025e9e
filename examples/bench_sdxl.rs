//! Times the parts of a run: median over repeats, after one run to warm up.
//!
//! `cargo run --release --example bench_sdxl -- MODEL [DEVICE] [PRECISION] [NUM_IMAGES] [STEPS] [SIZE] [PROFILE_FOLDER]`
//!
//! With a folder, ONNX Runtime writes a trace of every node there (chrome://tracing). On CUDA the times of nodes mean
//! something only with CUDA_LAUNCH_BLOCKING=1.

use std::ops::ControlFlow;
use std::time::Instant;

use anyhow::{Context, Result};
use ourvidz_sdxl::{Device, Precision, SdxlPipeline, TextToImage};

const REPEATS: usize = 3;

fn main() -> Result<()> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let argument = |i: usize, default: &str| arguments.get(i).cloned().unwrap_or_else(|| default.to_owned());
    let model = arguments.first().context("usage: bench_sdxl MODEL [DEVICE] ...")?;
    let device: Device = argument(1, "cpu").parse()?;
    let precision: Precision = argument(2, &device.default_precision().to_string()).parse()?;
    let size = argument(5, "1024").parse()?;
    let request = TextToImage {
        num_images: argument(3, "1").parse()?,
        num_inference_steps: argument(4, "10").parse()?,
        width: size,
        height: size,
        seed: Some(0),
        ..TextToImage::new("a red fox in fresh snow, golden hour")
    };

    let start = Instant::now();
    let mut builder = SdxlPipeline::builder(model).device(device).precision(precision);
    if let Some(folder) = arguments.get(6) {
        builder = builder.profile(folder);
    }
    let mut sdxl = builder.load()?;
    println!("loading: {:.2} s", start.elapsed().as_secs_f64());
    let (mut encode, mut step, mut decode, mut whole) = (vec![], vec![], vec![], vec![]);
    for repeat in 0..=REPEATS {
        let start = Instant::now();
        let embeds = sdxl.encode_prompt(&request)?;
        let encoded = Instant::now();
        let mut last = encoded;
        let mut steps = vec![];
        let latents = sdxl.denoise(&request, &embeds, None, |_| {
            steps.push(last.elapsed().as_secs_f64() * 1e3);
            last = Instant::now();
            ControlFlow::Continue(())
        })?;
        let denoised = Instant::now();
        sdxl.decode(&latents)?;
        if repeat == 0 {
            println!("first run: {:.2} s", start.elapsed().as_secs_f64());
            continue;
        }
        encode.push((encoded - start).as_secs_f64() * 1e3);
        // The first step also binds the conditioning.
        step.extend(steps.into_iter().skip(1));
        decode.push(denoised.elapsed().as_secs_f64() * 1e3);
        whole.push(start.elapsed().as_secs_f64() * 1e3);
    }
    let name = format!("{} images of {size}x{size}, {device} {precision}", request.num_images);
    println!("{name}: encode {:.1} ms, step {:.2} ms", median(encode), median(step));
    println!(
        "{name}: decode {:.1} ms, {} steps in all {:.1} ms",
        median(decode),
        request.num_inference_steps,
        median(whole)
    );
    Ok(())
}

fn median(mut times: Vec<f64>) -> f64 {
    times.sort_by(f64::total_cmp);
    times.get(times.len() / 2).copied().unwrap_or(f64::NAN)
}
