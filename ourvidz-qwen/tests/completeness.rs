//! The graphs of published models build without weights and read every tensor, by name and shape, in every lowering.
//!
//! Configurations have the published values; names and shapes are derived by `scripts/goldens/qwen_keys.py`.

use std::collections::{BTreeMap, BTreeSet};
use std::fs::File;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, ensure};
use flate2::read::GzDecoder;
use ourvidz_qwen::QwenConfig;
use ourvidz_qwen::graphs::{self, CacheAttention, DecoderOptions, DecoderOutput, Matrices};
use ourvidz_runtime::{DType, Error, Graph, Model, Target, TensorSet, TensorView};

type Listed = BTreeMap<String, (String, Vec<usize>)>;

/// Model, its tensors, one deep inside with its shape, and whether it gives logits.
const MODELS: [(&str, usize, &str, &[usize], bool); 4] = [
    ("qwen2.5_7b", 339, "model.layers.27.mlp.down_proj.weight", &[3584, 18944], true),
    ("qwen2.5_7b_instruct", 339, "lm_head.weight", &[152_064, 3584], true),
    ("qwen2.5_0.5b", 290, "model.layers.23.self_attn.k_proj.bias", &[128], true),
    ("qwen3_embedding_0.6b", 310, "layers.27.self_attn.q_norm.weight", &[128], false),
];

const LOWERINGS: [(Target, DType, Matrices); 8] = [
    (Target::Portable, DType::F32, Matrices::Float),
    (Target::Portable, DType::F16, Matrices::Float),
    (Target::Portable, DType::F32, Matrices::Int4),
    (Target::Cuda, DType::F32, Matrices::Float),
    (Target::Cuda, DType::F16, Matrices::Float),
    (Target::Cuda, DType::Bf16, Matrices::Float),
    (Target::Cuda, DType::F16, Matrices::Int4),
    (Target::Cuda, DType::Bf16, Matrices::Int4),
];

#[test]
fn every_model_is_read_exactly() -> Result<()> {
    for (model, count, name, shape, logits) in MODELS {
        let listed = listed(model)?;
        ensure!(listed.len() == count, "{model}: {} tensors", listed.len());
        ensure!(listed.get(name).is_some_and(|(_, found)| found == shape), "{model}: {name}");
        for lowering in LOWERINGS {
            build(model, &listed, lowering, logits).with_context(|| format!("{model} {lowering:?}"))?;
            // Every model also gives hidden states, for embeddings; then its logits' matrix is left out.
            build(model, &listed, lowering, false).with_context(|| format!("{model} {lowering:?}"))?;
        }
    }
    Ok(())
}

/// The check above sees through one tensor: without it, with another shape, with one more.
#[test]
fn what_does_not_fit_is_named() -> Result<()> {
    for (model, _, name, shape, logits) in MODELS {
        let whole = listed(model)?;
        let refusal = |listed: &Listed| -> Result<Error> {
            match build(model, listed, LOWERINGS[0], logits) {
                Err(ourvidz_qwen::Error::Runtime(error)) => Ok(error),
                Err(other) => Err(other.into()),
                Ok(_) => anyhow::bail!("{model} was built"),
            }
        };
        let mut less = whole.clone();
        less.remove(name);
        let error = refusal(&less)?;
        ensure!(matches!(&error, Error::MissingTensor { tensor, .. } if tensor == name), "{error}");

        let mut other = whole.clone();
        other.get_mut(name).context(name)?.1[0] += 1;
        let error = refusal(&other)?;
        let Error::WrongShape { tensor, expected, .. } = &error else { anyhow::bail!("{error}") };
        ensure!((tensor.as_str(), expected) == (name, &format!("{shape:?}")), "{error}");

        let mut more = whole.clone();
        more.insert(format!("{name}.surplus"), ("BF16".into(), vec![3, 5]));
        let error = refusal(&more)?;
        let Error::UnreadTensors { count: 1, first, .. } = &error else { anyhow::bail!("{error}") };
        ensure!(*first == format!("{name}.surplus [3, 5]"), "{error}");
    }
    Ok(())
}

/// The Portable target keeps to standard ONNX, but for four-bit products; on CUDA every operator has a kernel.
#[test]
fn operators_keep_to_the_target() -> Result<()> {
    let of_cuda = BTreeSet::from([
        ":Cast",
        ":Gather",
        ":Reshape",
        "com.microsoft:GroupQueryAttention",
        "ourvidz:CachedAttention",
        "ourvidz:CachedAttentionPacked",
        "ourvidz:Project",
        "ourvidz:ProjectInt4",
        "ourvidz:ProjectThree",
        "ourvidz:ProjectThreeInt4",
        "ourvidz:RmsNorm",
        "ourvidz:SwiGlu",
        "ourvidz:SwiGluInt4",
        "ourvidz:TopLogits",
    ]);
    for (model, _, _, _, logits) in MODELS {
        let listed = listed(model)?;
        for lowering in LOWERINGS {
            let operators: BTreeSet<String> = build(model, &listed, lowering, logits)?.operators().collect();
            let (target, _, matrices) = lowering;
            let quantised = |name: &str| matrices == Matrices::Int4 && name == "com.microsoft:MatMulNBits";
            let fits = |name: &&String| match target {
                Target::Portable | Target::Cpu => name.starts_with(':') || quantised(name),
                Target::Cuda => of_cuda.contains(name.as_str()),
            };
            let others: Vec<_> = operators.iter().filter(|name| !fits(name)).collect();
            ensure!(others.is_empty(), "{model} {lowering:?}: {others:?}");
            let named = |name: &String| name == "com.microsoft:MatMulNBits" || name.ends_with("Int4");
            let products = operators.iter().any(named);
            ensure!(products == (matrices == Matrices::Int4), "{model} {lowering:?}: {operators:?}");
        }
    }
    Ok(())
}

/// With our own operator nothing else attends to a cache; where there is none, it is ONNX Runtime's.
#[test]
fn the_cache_has_one_operator() -> Result<()> {
    for (model, _, _, _, logits) in MODELS {
        let listed = listed(model)?;
        for lowering in LOWERINGS.into_iter().filter(|lowering| lowering.0 == Target::Cuda) {
            let own = build(model, &listed, lowering, logits)?;
            let count = |end: &str| own.operators().filter(|name| name.ends_with(end)).count();
            let layers = listed.keys().filter(|name| name.ends_with("self_attn.o_proj.weight")).count();
            let expected = if logits { [layers, 0] } else { [0, layers] };
            let found = [count(":CachedAttentionPacked"), count(":GroupQueryAttention")];
            ensure!(found == expected, "{model} {lowering:?}: {found:?}");
            let group_query = build_with(CacheAttention::GroupQuery, model, &listed, lowering, logits)?;
            ensure!(own.weight_bytes() == group_query.weight_bytes(), "{model}: attention has no weights");
        }
    }
    Ok(())
}

/// What stays on a device: 15.2 GB of the 7B model in bf16, 5.4 GB with four bits and the token table as it is.
#[test]
fn four_bits_are_small() -> Result<()> {
    let listed = listed("qwen2.5_7b")?;
    let bytes =
        |lowering| Ok::<_, anyhow::Error>(build("qwen2.5_7b", &listed, lowering, true)?.weight_bytes());
    let tables = 2 * 64 * 64 * 2 + 8 * 4;
    let whole = bytes((Target::Cuda, DType::Bf16, Matrices::Float))?;
    ensure!((15_231_233_024..15_231_233_024 + 10_000 + tables).contains(&whole), "{whole}");
    let small = bytes((Target::Cuda, DType::Bf16, Matrices::Int4))?;
    // 7,070,285,824 numbers in matrices at 4.5 bits; the table, norms and biases in 16.
    let expected = 7_070_285_824 * 9 / 16 + (7_615_616_512 - 7_070_285_824) * 2;
    ensure!((expected..expected + 10_000 + tables).contains(&small), "{small}, {expected}");
    Ok(())
}

fn build(
    model: &str,
    listed: &Listed,
    lowering: (Target, DType, Matrices),
    logits: bool,
) -> ourvidz_qwen::Result<Model> {
    build_with(CacheAttention::default(), model, listed, lowering, logits)
}

fn build_with(
    cache_attention: CacheAttention,
    model: &str,
    listed: &Listed,
    (target, dtype, matrices): (Target, DType, Matrices),
    logits: bool,
) -> ourvidz_qwen::Result<Model> {
    let view = |shape: &[usize]| TensorView::without_data(DType::Bf16, shape.to_vec());
    let tensors = listed.iter().map(|(name, (_, shape))| (name.clone(), view(shape))).collect();
    let tensors = TensorSet::new("model", tensors);
    let text = std::fs::read_to_string(keys().join(format!("configs/{model}.json"))).unwrap_or_default();
    let config = QwenConfig::from_json(&text)?;
    let output = if logits { DecoderOutput::Logits } else { DecoderOutput::HiddenStates };
    let mut g = Graph::new("decoder", target, dtype);
    let options = DecoderOptions { output, capacity: 64, matrices, cache_attention };
    graphs::decoder(&mut g, &tensors, &config, &options)?;
    Ok(g.finish())
}

fn listed(model: &str) -> Result<Listed> {
    let file = File::open(keys().join(format!("{model}.json.gz")))?;
    Ok(serde_json::from_reader(GzDecoder::new(file))?)
}

fn keys() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../tests/golden/qwen_keys")
}
