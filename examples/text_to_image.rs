//! Images from a prompt, one PNG each.
//!
//! `cargo run --release --example text_to_image -- models/stable-diffusion-xl-base-1.0 "a red fox in snow" cuda:0`
//!
//! `ourvidz-bin/models/tiny-sdxl` is a small model that draws shapes: "a large blue star on grey".

use std::ops::ControlFlow;

use anyhow::{Context, Result};
use ourvidz_sdxl::{Device, SdxlPipeline, TextToImage};

fn main() -> Result<()> {
    let mut arguments = std::env::args().skip(1);
    let model = arguments.next().context("usage: text_to_image MODEL PROMPT [DEVICE]")?;
    let prompt = arguments.next().context("usage: text_to_image MODEL PROMPT [DEVICE]")?;
    let device: Device = arguments.next().as_deref().unwrap_or("cpu").parse()?;

    let mut sdxl = SdxlPipeline::builder(model).device(device).load()?;
    let (width, height) = sdxl.default_size();
    let request = TextToImage {
        width,
        height,
        negative_prompt: Some("blurry, low quality".into()),
        num_images: 2,
        seed: Some(42),
        ..TextToImage::new(prompt)
    };
    let images = sdxl.text_to_image_with(&request, |step| {
        println!("step {} of {}", step.index + 1, step.num_inference_steps);
        ControlFlow::Continue(())
    })?;
    for (i, image) in images.iter().enumerate() {
        image.save(format!("image-{i}.png"))?;
        println!("image-{i}.png (seed {})", image.seed());
    }
    Ok(())
}
