//! Times one prediction of a WAN transformer: median over repeats, after one run to warm up.
//!
//! `cargo run --release --example bench_wan -- MODEL [DEVICE] [PRECISION] [FRAMES] [HEIGHT] [WIDTH] [BATCH] [PROFILE_FOLDER]`
//!
//! MODEL is a diffusers folder, of which only `transformer/` is read (`scripts/random_checkpoint_wan.py`); FRAMES,
//! HEIGHT and WIDTH are those of the video: 81, 480 and 832 make 32,760 tokens. With a folder, ONNX Runtime writes a
//! trace of every node there; on CUDA the times of nodes mean something only with CUDA_LAUNCH_BLOCKING=1.

use std::path::Path;
use std::time::Instant;

use anyhow::{Context, Result, ensure};
use ourvidz_runtime::{
    Device, Graph, Precision, SessionOptions, Tensor, TensorSet, WeightCache, open_weights,
};
use ourvidz_wan::graphs::{self, ConditioningInputs, Control, Transformer};
use ourvidz_wan::{VideoGeometry, WanTransformerConfig};

const REPEATS: usize = 5;
const TEXT_TOKENS: usize = 512;
const IMAGE_TOKENS: usize = 257;

fn main() -> Result<()> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let argument = |i: usize, default: &str| arguments.get(i).cloned().unwrap_or_else(|| default.to_owned());
    let model = arguments.first().context("usage: bench_wan MODEL [DEVICE] ...")?;
    let device: Device = argument(1, "cpu").parse()?;
    let precision: Precision = argument(2, if device == Device::Cpu { "fp32" } else { "bf16" }).parse()?;
    let [frames, height, width] = [argument(3, "81"), argument(4, "480"), argument(5, "832")];
    let batch: usize = argument(6, "1").parse()?;
    device.check_precision(precision)?;

    let folder = Path::new(model).join("transformer");
    let config = WanTransformerConfig::from_json(&std::fs::read_to_string(folder.join("config.json"))?)?;
    let geometry = VideoGeometry::new(frames.parse()?, height.parse()?, width.parse()?, &config)?;
    let options =
        SessionOptions { device, profile: arguments.get(7).map(Into::into), ..SessionOptions::default() };
    let start = Instant::now();
    let mut transformer = load(&folder, &config, precision, &options)?;
    println!("loading: {:.2} s", start.elapsed().as_secs_f64());

    let [_, frames, height, width] = geometry.latents_shape();
    let sizes = [frames, height, width];
    let prompt_embeds = noise(&[batch, TEXT_TOKENS, config.text_dim], 1)?;
    let images = if config.pos_embed_seq_len.is_some() { 2 * batch } else { batch };
    let image_embeds = match config.image_dim {
        Some(width) => Some(noise(&[images, IMAGE_TOKENS, width], 2)?),
        None => None,
    };
    let control = noise(&[batch, config.vace_in_channels, frames, height, width], 3)?;
    let scale = vec![1.0; config.vace_layers.as_ref().map_or(0, Vec::len)];
    let inputs = ConditioningInputs {
        prompt_embeds: &prompt_embeds,
        image_embeds: image_embeds.as_ref(),
        control: config.is_vace().then_some(Control { hidden_states: &control, scale: &scale }),
        latents: sizes,
    };
    let latents = noise(&[batch, config.in_channels, frames, height, width], 4)?;
    let (mut conditioning_times, mut times) = (vec![], vec![]);
    for repeat in 0..=REPEATS {
        let start = Instant::now();
        let mut conditioning = transformer.condition(&inputs)?;
        let conditioned = Instant::now();
        let sample = transformer.predict(&mut conditioning, &latents, 999.0 - 100.0 * repeat as f32)?;
        let predicted = conditioned.elapsed();
        let values = sample.into_f32();
        ensure!(values.iter().all(|x| x.is_finite()), "the prediction is not finite");
        if repeat == 0 {
            println!("first run: {:.2} s, {} numbers", start.elapsed().as_secs_f64(), values.len());
            continue;
        }
        conditioning_times.push((conditioned - start).as_secs_f64() * 1e3);
        times.push(predicted.as_secs_f64() * 1e3);
    }
    println!(
        "batch {batch}, {} tokens, {device} {precision}: conditioning {:.2} ms, prediction {:.2} ms",
        geometry.tokens(),
        median(conditioning_times),
        median(times)
    );
    Ok(())
}

fn load(
    folder: &Path,
    config: &WanTransformerConfig,
    precision: Precision,
    options: &SessionOptions,
) -> Result<Transformer> {
    let tensors = TensorSet::new("transformer", open_weights(folder, "diffusion_pytorch_model", None)?);
    let [mut conditioning, mut step] = ["transformer_conditioning", "transformer"]
        .map(|name| Graph::new(name, options.device.target(), precision.dtype()));
    graphs::transformer(&mut conditioning, &mut step, &tensors, config)?;
    let models = (&conditioning.finish(), &step.finish());
    Ok(Transformer::load(models, config.clone(), options, &WeightCache::user(), &mut |_| ())?)
}

/// Numbers of a normal distribution's size, the same on every machine.
fn noise(shape: &[usize], seed: u64) -> Result<Tensor> {
    let mut state = seed.wrapping_mul(0x9E37_79B9_7F4A_7C15) | 1;
    let mut next = || {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        // Uniform with deviation 1.
        ((state >> 40) as f32 / (1 << 23) as f32 - 1.0) * 3f32.sqrt()
    };
    let count = shape.iter().product();
    Ok(Tensor::f32(shape, (0..count).map(|_| next()).collect())?)
}

fn median(mut times: Vec<f64>) -> f64 {
    times.sort_by(f64::total_cmp);
    times.get(times.len() / 2).copied().unwrap_or(f64::NAN)
}
