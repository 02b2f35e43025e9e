//! `AutoencoderKLWan` in fp32 on the processor against diffusers (`scripts/goldens/wan_tiny.py`), whole and in chunks,
//! in both orders of the axes.
#![allow(clippy::unwrap_used, clippy::print_stdout)]

use std::collections::BTreeMap;
use std::fs;
use std::ops::ControlFlow;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, ensure};
use ourvidz_runtime::nn::ClipKernels;
use ourvidz_runtime::{
    DType, Error as RuntimeError, SessionOptions, Target, Tensor, TensorSet, WeightCache, open_safetensors,
};
use ourvidz_wan::Error;
use ourvidz_wan::graphs::{self, AutoencoderKLWanConfig, VaeDecoder, VaeEncoder, VaeModels, VaeOptions};
use safetensors::SafeTensors;

/// Relative L2 error allowed in fp32 on the processor.
const FP32: f64 = 1e-4;

/// Differently shaped checkpoints: the published build but for its width, and one of other levels and fewer blocks.
const FOLDERS: [&str; 3] = ["t2v_f32", "t2v_bf16", "t2v_sharded"];

/// The graphs of the processor, and those of CUDA with convolutions that the processor has.
const LOWERINGS: [(Target, ClipKernels); 2] =
    [(Target::Portable, ClipKernels::Taps), (Target::Cuda, ClipKernels::Transposed)];

struct Vae {
    decoder: VaeDecoder,
    encoder: VaeEncoder,
    golden: BTreeMap<String, Tensor>,
    config: AutoencoderKLWanConfig,
    _cache: tempfile::TempDir,
}

#[test]
fn decodes_as_diffusers_does() -> Result<()> {
    for folder in FOLDERS {
        for lowering in LOWERINGS {
            let mut vae = load(folder, lowering)?;
            for latent_frames in [1, 2, 5] {
                let name = format!("{folder} {lowering:?} {latent_frames}");
                let expected = vae.golden(&format!("vae_decode.{latent_frames}.video"))?;
                let latents = vae.golden(&format!("vae_decode.{latent_frames}.latents"))?;
                close(&name, &vae.decoder.decode(&latents)?, &expected, FP32)?;
            }
        }
    }
    Ok(())
}

#[test]
fn encodes_as_diffusers_does() -> Result<()> {
    for folder in FOLDERS {
        for lowering in LOWERINGS {
            let mut vae = load(folder, lowering)?;
            for frames in [1, 5, 17] {
                let name = format!("{folder} {lowering:?} {frames}");
                let expected = vae.golden(&format!("vae_encode.{frames}.latents"))?;
                let video = vae.golden(&format!("vae_encode.{frames}.video"))?;
                close(&name, &vae.encoder.encode(&video)?, &expected, FP32)?;
            }
        }
    }
    Ok(())
}

/// However the frames are divided, with a last chunk shorter than the others too.
#[test]
fn chunks_make_no_difference() -> Result<()> {
    for lowering in LOWERINGS {
        let mut vae = load("t2v_f32", lowering)?;
        for most in [1, 2, 3, 4] {
            let (latents, video) = (vae.golden("vae_decode.5.latents")?, vae.golden("vae_decode.5.video")?);
            vae.decoder = vae.decoder.with_chunk(most);
            let mut lengths = Vec::new();
            let mut parts = Vec::new();
            let flow = vae.decoder.decode_chunks(&latents, |frames| {
                lengths.push(frames.shape()[2]);
                parts.push(frames);
                Ok::<_, Error>(ControlFlow::Continue(()))
            })?;
            ensure!(flow.is_continue());
            let expected: &[usize] = match most {
                1 => &[1, 4, 4, 4, 4],
                2 | 3 => &[1, 8, 8],
                _ => &[1, 16],
            };
            ensure!(lengths == expected, "{lengths:?}");
            let mut at = 0;
            for part in parts {
                let n = part.shape()[2];
                close("part", &part, &frames_of(&video, at, n)?, FP32)?;
                at += n;
            }
            let (video, latents) =
                (vae.golden.get("vae_encode.17.video"), vae.golden.get("vae_encode.17.latents"));
            vae.encoder = vae.encoder.with_chunk(most);
            close(
                &format!("encoder by {most}"),
                &vae.encoder.encode(video.unwrap())?,
                latents.unwrap(),
                FP32,
            )?;
        }
    }
    Ok(())
}

/// Six latent frames by four are three and three; their first five are those of the golden, as no later frame counts.
#[test]
fn unequal_lengths_go_through_one_decoder() -> Result<()> {
    let mut vae = load("t2v_f32", LOWERINGS[0])?;
    let (five, video) = (vae.golden("vae_decode.5.latents")?, vae.golden("vae_decode.5.video")?);
    let (two, short) = (vae.golden("vae_decode.2.latents")?, vae.golden("vae_decode.2.video")?);
    vae.decoder = vae.decoder.with_chunk(3);
    for _ in 0..2 {
        close("five", &vae.decoder.decode(&five)?, &video, FP32)?;
        close("two", &vae.decoder.decode(&two)?, &short, FP32)?;
    }
    Ok(())
}

/// What was begun and left does not show in the next video.
#[test]
fn decoding_ends_where_the_caller_says() -> Result<()> {
    let mut vae = load("t2v_f32", LOWERINGS[0])?;
    let (latents, video) = (vae.golden("vae_decode.5.latents")?, vae.golden("vae_decode.5.video")?);
    let mut calls = 0;
    let flow = vae.decoder.decode_chunks(&latents, |_| {
        calls += 1;
        Ok::<_, Error>(if calls == 2 { ControlFlow::Break(()) } else { ControlFlow::Continue(()) })
    })?;
    ensure!(flow.is_break() && calls == 2, "{calls} calls");
    let failed = vae.decoder.decode_chunks(&latents, |_| anyhow::bail!("the disk is full"));
    ensure!(failed.unwrap_err().to_string() == "the disk is full");
    close("afterwards", &vae.decoder.decode(&latents)?, &video, FP32)
}

/// Odd numbers of latent rows and columns: both lowerings give the same.
#[test]
fn odd_sizes_are_the_same_in_both_lowerings() -> Result<()> {
    let mut found = Vec::new();
    for lowering in LOWERINGS {
        let mut vae = load("t2v_sharded", lowering)?;
        let shape = [1, vae.config.z_dim, 3, 5, 3];
        let count: usize = shape.iter().product();
        let latents = Tensor::f32(&shape, (0..count).map(|i| (i as f32 * 0.7).sin()).collect())?;
        let video = vae.decoder.decode(&latents)?;
        ensure!(video.shape() == [1, 3, 9, 40, 24], "{:?}", video.shape());
        let again = vae.encoder.encode(&video)?;
        ensure!(again.shape() == shape, "{:?}", again.shape());
        found.push((video, again));
    }
    close("decoded", &found[1].0, &found[0].0, FP32)?;
    close("encoded", &found[1].1, &found[0].1, FP32)
}

#[test]
fn what_does_not_fit_is_refused_by_name() -> Result<()> {
    let mut vae = load("t2v_f32", LOWERINGS[0])?;
    let cases: [(&[usize], &str); 4] = [
        (&[1, 3, 4, 16, 16], "video must be of 4 n + 1 frames, got 4"),
        (&[1, 3, 5, 12, 16], "video must be of sides that are multiples of 8, got 16x12"),
        (&[1, 4, 5, 16, 16], "video must be [1, 3, F, H, W], got [1, 4, 5, 16, 16]"),
        (&[2, 3, 1, 16, 16], "video must be [1, 3, F, H, W], got [2, 3, 1, 16, 16]"),
    ];
    for (shape, message) in cases {
        let video = Tensor::f32(shape, vec![0.0; shape.iter().product()])?;
        let error = vae.encoder.encode(&video).unwrap_err();
        ensure!(error.to_string() == message, "{error}");
    }
    for shape in [&[1, 3, 1, 2, 2][..], &[1, 4, 0, 2, 2], &[4, 1, 2, 2]] {
        let latents = Tensor::f32(shape, vec![0.0; shape.iter().product()])?;
        let error = vae.decoder.decode(&latents).unwrap_err();
        let expected = format!("latents must be [1, 4, F, H, W], got {shape:?}");
        ensure!(error.to_string() == expected, "{error}");
    }
    Ok(())
}

#[test]
fn bf16_is_refused() -> Result<()> {
    let (tensors, config) = checkpoint("t2v_f32")?;
    let options = VaeOptions { target: Target::Cuda, dtype: DType::Bf16, kernels: ClipKernels::Taps };
    let error = graphs::vae(&tensors, &config, options).unwrap_err();
    ensure!(matches!(&error, Error::Runtime(RuntimeError::Invalid { field, .. }) if field == "precision"));
    ensure!(error.to_string() == "precision: must be fp32 or fp16 for the VAE, got bf16", "{error}");
    Ok(())
}

impl Vae {
    fn golden(&self, name: &str) -> Result<Tensor> {
        self.golden.get(name).cloned().with_context(|| name.to_owned())
    }
}

fn load(folder: &str, (target, kernels): (Target, ClipKernels)) -> Result<Vae> {
    let (tensors, config) = checkpoint(folder)?;
    let models: VaeModels =
        graphs::vae(&tensors, &config, VaeOptions { target, dtype: DType::F32, kernels })?;
    let temporary = tempfile::tempdir()?;
    let cache = WeightCache::new(temporary.path());
    let options = SessionOptions { threads: Some(1), ..SessionOptions::default() };
    let decoder = VaeDecoder::load(&models, &options, &cache, &mut |_| ())?;
    let encoder = VaeEncoder::load(&models, &options, &cache, &mut |_| ())?;
    let golden = read(&golden().join(folder).join("golden.safetensors"))?;
    Ok(Vae { decoder, encoder, golden, config, _cache: temporary })
}

fn checkpoint(folder: &str) -> Result<(TensorSet, AutoencoderKLWanConfig)> {
    let vae = golden().join(folder).join("vae");
    let config = AutoencoderKLWanConfig::from_json(&fs::read_to_string(vae.join("config.json"))?)?;
    let tensors = open_safetensors(&vae.join("diffusion_pytorch_model.safetensors"))?;
    Ok((TensorSet::new("vae", tensors), config))
}

fn golden() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../tests/golden/wan")
}

/// The VAE's tensors of a golden file.
fn read(path: &Path) -> Result<BTreeMap<String, Tensor>> {
    let bytes = fs::read(path)?;
    let file = SafeTensors::deserialize(&bytes)?;
    let ours = file.tensors().into_iter().filter(|(name, _)| name.starts_with("vae_"));
    ours.map(|(name, view)| {
        let values = view.data().as_chunks::<4>().0.iter().map(|b| f32::from_le_bytes(*b)).collect();
        Ok((name, Tensor::f32(view.shape(), values)?))
    })
    .collect()
}

/// Frames `start..start + n` of [1, C, F, H, W].
fn frames_of(video: &Tensor, start: usize, n: usize) -> Result<Tensor> {
    let [_, c, f, h, w] = *video.shape() else { anyhow::bail!("{:?}", video.shape()) };
    let all = video.clone().into_f32();
    let cut = all.chunks(f * h * w).flat_map(|x| x[start * h * w..(start + n) * h * w].to_vec());
    Ok(Tensor::f32(&[1, c, n, h, w], cut.collect())?)
}

fn close(name: &str, found: &Tensor, expected: &Tensor, tolerance: f64) -> Result<()> {
    ensure!(found.shape() == expected.shape(), "{name}: {:?}, not {:?}", found.shape(), expected.shape());
    let (found, expected) = (found.clone().into_f32(), expected.clone().into_f32());
    let square = |x: f64| x * x;
    let pairs = found.iter().zip(&expected);
    let difference: f64 = pairs.map(|(a, b)| square(f64::from(*a) - f64::from(*b))).sum();
    let size: f64 = expected.iter().map(|b| square(f64::from(*b))).sum();
    ensure!(size > 0.0, "{name}: nothing to compare");
    let error = (difference / size).sqrt();
    println!("{name}: {error:.1e}");
    ensure!(error <= tolerance, "{name}: relative error {error:.2e}, allowed {tolerance:e}");
    Ok(())
}
