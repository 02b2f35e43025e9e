//! The published VAE builds without weights in every lowering and reads every tensor, by name and shape.
//!
//! Names, shapes and the configuration are those of `scripts/goldens/wan_keys.py`.

use std::collections::{BTreeMap, BTreeSet};
use std::fs::{self, File};
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, ensure};
use flate2::read::GzDecoder;
use ourvidz_runtime::nn::ClipKernels;
use ourvidz_runtime::{
    DType, Error, Model, Session, SessionOptions, Target, TensorSet, TensorView, WeightCache,
};
use ourvidz_wan::graphs::{self, AutoencoderKLWanConfig, VaeModels, VaeOptions};

type Listed = BTreeMap<String, (String, Vec<usize>)>;

const LOWERINGS: [(Target, DType, ClipKernels); 5] = [
    (Target::Portable, DType::F32, ClipKernels::Taps),
    (Target::Cuda, DType::F16, ClipKernels::Taps),
    (Target::Cuda, DType::F32, ClipKernels::Taps),
    (Target::Cuda, DType::F16, ClipKernels::ChannelsLast3d),
    (Target::Cuda, DType::F32, ClipKernels::ChannelsLast3d),
];

#[test]
fn every_tensor_is_read() -> Result<()> {
    let listed = listed()?;
    ensure!(listed.len() == 194, "{} tensors", listed.len());
    for lowering in LOWERINGS {
        let models = build(&listed, lowering).with_context(|| format!("{lowering:?}"))?;
        // 73.3 million numbers in the decoder, 53.6 million in the encoder.
        let size = lowering.1.size() as u64;
        let (decoder, encoder) =
            (models.decoder_next.weight_bytes() / size, models.encoder_next.weight_bytes() / size);
        ensure!((73_200_000..73_500_000).contains(&decoder), "{lowering:?}: {decoder}");
        ensure!((53_500_000..53_800_000).contains(&encoder), "{lowering:?}: {encoder}");
    }
    Ok(())
}

/// The check above sees through one tensor: without it, with another shape, with one more.
#[test]
fn what_does_not_fit_is_named() -> Result<()> {
    let samples: [(&str, &[usize]); 3] = [
        ("decoder.up_blocks.1.upsamplers.0.time_conv.weight", &[768, 384, 3, 1, 1]),
        ("encoder.down_blocks.8.time_conv.bias", &[384]),
        ("decoder.mid_block.attentions.0.norm.gamma", &[384, 1, 1]),
    ];
    for (name, shape) in samples {
        let whole = listed()?;
        let refusal = |listed: &Listed| match build(listed, LOWERINGS[0]) {
            Err(ourvidz_wan::Error::Runtime(error)) => Ok(error),
            other => anyhow::bail!("{name}: {other:?}"),
        };
        let mut less = whole.clone();
        less.remove(name).context(name)?;
        let error = refusal(&less)?;
        ensure!(matches!(&error, Error::MissingTensor { tensor, .. } if tensor == name), "{error}");

        let mut other = whole.clone();
        other.get_mut(name).context(name)?.1[0] += 1;
        let error = refusal(&other)?;
        let Error::WrongShape { tensor, expected, .. } = &error else { anyhow::bail!("{error}") };
        ensure!((tensor.as_str(), expected) == (name, &format!("{shape:?}")), "{error}");

        let mut more = whole;
        more.insert(format!("{name}.surplus"), ("F32".into(), vec![3, 5]));
        let error = refusal(&more)?;
        let Error::UnreadTensors { count: 1, first, .. } = &error else { anyhow::bail!("{error}") };
        ensure!(*first == format!("{name}.surplus [3, 5]"), "{error}");
    }
    Ok(())
}

/// The Portable target keeps to standard ONNX; on CUDA there is nothing but what has a kernel for f32 and fp16.
#[test]
fn operators_keep_to_the_target() -> Result<()> {
    // ONNX Runtime 1.31's CUDA provider, and ours.
    let of_cuda = BTreeSet::from([
        ":Add",
        ":Clip",
        ":Reshape",
        ":Shape",
        ":Slice",
        ":Squeeze",
        ":Transpose",
        ":Unsqueeze",
        "com.microsoft:FusedMatMul",
        "com.microsoft:MultiHeadAttention",
        "com.microsoft:NhwcConv",
        "com.ms.internal.nhwc:Conv",
        "ourvidz:AfterFrames",
        "ourvidz:AfterZeros",
        "ourvidz:BiasSum",
        "ourvidz:DoubleFrames",
        "ourvidz:RmsNorm",
        "ourvidz:SumRmsNorm",
    ]);
    let listed = listed()?;
    for lowering in LOWERINGS {
        for model in all(&build(&listed, lowering)?) {
            for operator in model.operators() {
                let fits = match lowering.0 {
                    Target::Portable | Target::Cpu => operator.starts_with(':'),
                    Target::Cuda => of_cuda.contains(operator.as_str()),
                };
                ensure!(fits, "{} {lowering:?}: {operator}", model.name());
            }
        }
    }
    Ok(())
}

/// ONNX Runtime on the processor reads the graphs of CUDA, finds types and shapes in order, and misses nothing but
/// kernels.
#[test]
fn graphs_of_cuda_are_whole() -> Result<()> {
    let vae = golden().join("wan/t2v_f32/vae");
    let config = AutoencoderKLWanConfig::from_json(&fs::read_to_string(vae.join("config.json"))?)?;
    let tensors = ourvidz_runtime::open_safetensors(&vae.join("diffusion_pytorch_model.safetensors"))?;
    let folder = tempfile::tempdir()?;
    let cache = WeightCache::new(folder.path());
    for (target, dtype, kernels) in LOWERINGS {
        let set = TensorSet::new("vae", tensors.clone());
        let models = graphs::vae(&set, &config, VaeOptions { target, dtype, kernels })?;
        for model in all(&models) {
            let loaded = Session::load(model, &SessionOptions::default(), &cache, &mut |_| ());
            let name = format!("{} {target:?} {dtype} {kernels:?}", model.name());
            match (target, loaded) {
                (Target::Portable | Target::Cpu, loaded) => drop(loaded.with_context(|| name)?),
                (Target::Cuda, Ok(_)) => anyhow::bail!("{name}: the processor has no NhwcConv"),
                (Target::Cuda, Err(error)) => {
                    let cause =
                        std::error::Error::source(&error).map(ToString::to_string).unwrap_or_default();
                    let misses = ["Could not find an implementation for", "Failed to find kernel for"];
                    ensure!(misses.iter().any(|words| cause.contains(words)), "{name}: {cause}");
                }
            }
        }
    }
    Ok(())
}

#[test]
fn options_of_other_models_are_refused_by_name() -> Result<()> {
    let cases = [
        (
            r#"{"is_residual": true}"#,
            "is_residual must be false: the VAE of Wan 2.2 is not supported, got true",
        ),
        (r#"{"patch_size": 2}"#, "patch_size must be null: the VAE of Wan 2.2 is not supported, got 2"),
        (r#"{"attn_scales": [0.5]}"#, "attn_scales must be empty, got [0.5]"),
        (r#"{"_class_name": "AutoencoderKL"}"#, "_class_name must be AutoencoderKLWan, got AutoencoderKL"),
        (r#"{"dim_mult": [1]}"#, "dim_mult must hold at least two numbers from 1 up, got [1]"),
        (r#"{"dim_mult": [1, 0, 2]}"#, "dim_mult must hold at least two numbers from 1 up, got [1, 0, 2]"),
        (
            r#"{"temperal_downsample": [true]}"#,
            "temperal_downsample must hold 3 values, one less than dim_mult, got 1",
        ),
        (r#"{"base_dim": 0}"#, "base_dim must be at least 1, got 0"),
        (r#"{"z_dim": 48}"#, "latents_mean must hold 48 numbers, as many as z_dim, got 16"),
        (
            r#"{"z_dim": 1, "latents_mean": [0], "latents_std": [0]}"#,
            "latents_std must hold positive numbers, got 0",
        ),
    ];
    for (json, message) in cases {
        let error = AutoencoderKLWanConfig::from_json(json).err().context(json)?;
        ensure!(error.to_string() == format!("vae/config.json: {message}"), "{error}");
        ensure!(!error.retryable());
    }
    let error = AutoencoderKLWanConfig::from_json("{").err().context("not JSON")?;
    ensure!(error.to_string() == "vae/config.json is not valid JSON", "{error}");
    let published = AutoencoderKLWanConfig::from_json(&published()?)?;
    ensure!(published.spatial_compression() == 8 && published.temporal_compression() == 4);
    Ok(())
}

fn build(listed: &Listed, lowering: (Target, DType, ClipKernels)) -> ourvidz_wan::Result<VaeModels> {
    let view = |shape: &Vec<usize>| TensorView::without_data(DType::F32, shape.clone());
    let views = listed.iter().map(|(name, (_, shape))| (name.clone(), view(shape))).collect();
    let (target, dtype, kernels) = lowering;
    let config = AutoencoderKLWanConfig::default();
    graphs::vae(&TensorSet::new("vae", views), &config, VaeOptions { target, dtype, kernels })
}

fn all(models: &VaeModels) -> [&Model; 4] {
    [&models.decoder_first, &models.decoder_next, &models.encoder_first, &models.encoder_next]
}

fn listed() -> Result<Listed> {
    let file = File::open(golden().join("wan_keys/vae.json.gz"))?;
    Ok(serde_json::from_reader(GzDecoder::new(file))?)
}

fn published() -> Result<String> {
    Ok(fs::read_to_string(golden().join("wan_keys/configs/vae.json"))?)
}

fn golden() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../tests/golden")
}
