//! The graphs of every published transformer build without weights and read every tensor, by name and shape.
//!
//! Configurations are the published ones; names and shapes are derived by `scripts/goldens/wan_keys.py`.

use std::collections::{BTreeMap, BTreeSet};
use std::fs::File;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, ensure};
use flate2::read::GzDecoder;
use ourvidz_runtime::{DType, Error, Graph, Target, TensorSet, TensorView};
use ourvidz_wan::{WanTransformerConfig, graphs};

type Listed = BTreeMap<String, (String, Vec<usize>)>;

/// Model, blocks with those that control comes from, width, and a tensor deep inside with its shape.
const MODELS: [(&str, usize, usize, &str, &[usize]); 6] = [
    ("t2v_1.3b", 30, 1536, "blocks.29.ffn.net.0.proj.weight", &[8960, 1536]),
    ("vace_1.3b", 45, 1536, "vace_blocks.14.proj_out.weight", &[1536, 1536]),
    ("t2v_14b", 40, 5120, "blocks.39.ffn.net.2.weight", &[5120, 13824]),
    ("i2v_14b_480p", 40, 5120, "blocks.17.attn2.add_v_proj.bias", &[5120]),
    ("flf2v_14b_720p", 40, 5120, "condition_embedder.image_embedder.pos_embed", &[1, 514, 1280]),
    ("vace_14b", 48, 5120, "vace_patch_embedding.weight", &[5120, 96, 1, 2, 2]),
];

const LOWERINGS: [(Target, DType); 4] = [
    (Target::Portable, DType::F32),
    (Target::Cuda, DType::Bf16),
    (Target::Cuda, DType::F16),
    (Target::Cuda, DType::F32),
];

#[test]
fn every_model_is_read_exactly() -> Result<()> {
    for (model, blocks, width, name, shape) in MODELS {
        let listed = listed(model)?;
        ensure!(listed.get(name).is_some_and(|(_, found)| found == shape), "{model}: {name}");
        let config = config(model)?;
        ensure!(config.inner_dim() == width, "{model}: {}", config.inner_dim());
        let tables = listed.keys().filter(|name| name.ends_with(".scale_shift_table")).count();
        ensure!(tables == blocks, "{model}: {tables} blocks");
        for (target, dtype) in LOWERINGS {
            build(model, &listed, target, dtype).with_context(|| format!("{model} {target:?} {dtype}"))?;
        }
    }
    Ok(())
}

/// The check above sees through one tensor: without it, with another shape, with one more.
#[test]
fn what_does_not_fit_is_named() -> Result<()> {
    for (model, _, _, name, shape) in MODELS {
        let whole = listed(model)?;
        let refusal = |listed: &Listed| -> Result<Error> {
            match build(model, listed, Target::Portable, DType::F32) {
                Err(ourvidz_wan::Error::Runtime(error)) => Ok(error),
                Err(other) => Err(other.into()),
                Ok(_) => anyhow::bail!("{model} was built"),
            }
        };
        let mut less = whole.clone();
        less.remove(name);
        let error = refusal(&less)?;
        ensure!(matches!(&error, Error::MissingTensor { tensor, .. } if tensor == name), "{error}");

        let mut other = whole.clone();
        let entry = other.get_mut(name).context(name)?;
        entry.1[0] += 1;
        let error = refusal(&other)?;
        let expected = format!("{shape:?}");
        let Error::WrongShape { tensor, expected: found, .. } = &error else { anyhow::bail!("{error}") };
        ensure!((tensor.as_str(), found) == (name, &expected), "{error}");

        let mut more = whole.clone();
        more.insert(format!("{name}.surplus"), ("F32".into(), vec![3, 5]));
        let error = refusal(&more)?;
        let Error::UnreadTensors { count: 1, first, .. } = &error else { anyhow::bail!("{error}") };
        ensure!(*first == format!("{name}.surplus [3, 5]"), "{error}");
    }
    Ok(())
}

/// Files of image-to-video models may have a norm that diffusers ignores.
#[test]
fn norms_of_image_queries_are_ignored() -> Result<()> {
    let mut listed = listed("i2v_14b_480p")?;
    for i in 0..40 {
        listed.insert(format!("blocks.{i}.attn2.norm_added_q.weight"), ("F32".into(), vec![5120]));
    }
    build("i2v_14b_480p", &listed, Target::Portable, DType::F32)?;
    Ok(())
}

/// The Portable target keeps to standard ONNX; on CUDA there is nothing but what has a kernel for bfloat16.
#[test]
fn operators_keep_to_the_target() -> Result<()> {
    // ONNX Runtime 1.31's CUDA provider: float32 where the name says so, bfloat16 elsewhere; and ours.
    let of_cuda = BTreeSet::from([
        ":Add",
        ":Cast",
        ":Concat",
        ":Cos",
        ":Gelu",
        ":Mul",
        ":Reshape",
        ":Shape",
        ":Sin",
        ":Slice",
        ":Split",
        ":Transpose",
        "com.microsoft:FusedMatMul",
        "com.microsoft:MultiHeadAttention",
        "com.microsoft:QuickGelu",
        "ourvidz:GatedResidual",
        "ourvidz:LayerNorm",
        "ourvidz:Linear",
        "ourvidz:ResidualLayerNorm",
        "ourvidz:RmsNorm",
        "ourvidz:RmsNormRotary",
    ]);
    for (model, ..) in MODELS {
        let listed = listed(model)?;
        let portable = build(model, &listed, Target::Portable, DType::F32)?;
        ensure!(portable.iter().all(|operator| operator.starts_with(':')), "{model}: {portable:?}");
        let cuda = build(model, &listed, Target::Cuda, DType::Bf16)?;
        let others: Vec<_> = cuda.iter().filter(|operator| !of_cuda.contains(operator.as_str())).collect();
        ensure!(others.is_empty(), "{model}: {others:?}");
        ensure!(cuda.contains("com.microsoft:MultiHeadAttention"), "{model}: {cuda:?}");
    }
    Ok(())
}

fn build(
    model: &str,
    listed: &Listed,
    target: Target,
    dtype: DType,
) -> ourvidz_wan::Result<BTreeSet<String>> {
    let view = |shape: &[usize]| TensorView::without_data(DType::F32, shape.to_vec());
    let tensors = listed.iter().map(|(name, (_, shape))| (name.clone(), view(shape))).collect();
    let tensors = TensorSet::new("transformer", tensors);
    let [mut conditioning, mut step] =
        ["conditioning", "transformer"].map(|name| Graph::new(name, target, dtype));
    let text = std::fs::read_to_string(keys().join(format!("configs/{model}.json"))).unwrap_or_default();
    let config = WanTransformerConfig::from_json(&text)?;
    graphs::transformer(&mut conditioning, &mut step, &tensors, &config)?;
    Ok([conditioning, step].into_iter().flat_map(|g| g.finish().operators().collect::<Vec<_>>()).collect())
}

fn config(model: &str) -> Result<WanTransformerConfig> {
    let text = std::fs::read_to_string(keys().join(format!("configs/{model}.json")))?;
    Ok(WanTransformerConfig::from_json(&text)?)
}

fn listed(model: &str) -> Result<Listed> {
    let file = File::open(keys().join(format!("{model}.json.gz")))?;
    Ok(serde_json::from_reader(GzDecoder::new(file))?)
}

fn keys() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../tests/golden/wan_keys")
}
