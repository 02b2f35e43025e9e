//! A video from a prompt: `cargo run --release --example text_to_video -- MODEL [DEVICE] [PROMPT]`
//!
//! MODEL is a checkpoint of Wan 2.1 (`tests/golden/wan/t2v_f32` is a tiny one of random numbers). Frames are written as
//! PNG; with `--features ourvidz-wan/video` there is `Video::save`, which writes an MP4.

use std::ops::ControlFlow;

use anyhow::{Context, Result};
use ourvidz_wan::{Device, TextToVideo, WanPipeline};

fn main() -> Result<()> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let model = arguments.first().context("usage: text_to_video MODEL [DEVICE] [PROMPT]")?;
    let device: Device = arguments.get(1).map_or("cpu", String::as_str).parse()?;
    let prompt = arguments.get(2).map_or("a red fox trots through fresh snow", String::as_str);

    let mut wan = WanPipeline::builder(model).device(device).load()?;
    let request = match device {
        // The processor takes minutes for a step of the model's own size.
        Device::Cpu => TextToVideo { width: 256, height: 256, num_frames: 17, ..TextToVideo::new(prompt) },
        _ => TextToVideo::new(prompt),
    };
    let request = TextToVideo { num_inference_steps: 20, seed: Some(42), ..request };
    let video = wan.text_to_video_with(&request, |step| {
        println!("step {} of {}", step.index + 1, step.num_inference_steps);
        ControlFlow::Continue(())
    })?;
    for index in 0..video.num_frames() {
        let frame = video.frame(index).context("a frame is missing")?;
        frame.save(format!("frame-{index:03}.png"))?;
    }
    println!("{} frames at {} per second", video.num_frames(), video.fps());
    Ok(())
}
