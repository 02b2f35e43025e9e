//! umT5 against transformers: whole arrays of the tiny checkpoints; every tensor of umT5-XXL is read.
#![allow(clippy::unwrap_used)]

use std::collections::BTreeMap;
use std::fs::File;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, ensure};
use flate2::read::GzDecoder;
use ourvidz_runtime::{Session, SessionOptions, TensorView, WeightCache, open_safetensors, open_weights};
use safetensors::SafeTensors;

use super::*;

fn golden(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../tests/golden").join(name)
}

fn config(folder: &Path) -> Result<Umt5Config> {
    Ok(Umt5Config::from_json(&std::fs::read_to_string(folder.join("config.json"))?)?)
}

fn encoder(tensors: BTreeMap<String, TensorView>, config: Umt5Config, cache: &Path) -> Result<TextEncoder> {
    let set = TensorSet::new("text_encoder", tensors);
    let mut g = Graph::new("text_encoder", Target::Portable, DType::F32);
    build(&mut g, &set, &config)?;
    let options = SessionOptions { threads: Some(1), ..SessionOptions::default() };
    let session = Session::load(&g.finish(), &options, &WeightCache::new(cache), &mut |_| ())?;
    Ok(TextEncoder::new(session, config))
}

/// Relative L2 error of whole arrays.
fn error(found: &[f32], expected: &[f32]) -> f64 {
    assert_eq!(found.len(), expected.len());
    let square = |x: f64| x * x;
    let difference: f64 =
        found.iter().zip(expected).map(|(a, b)| square(f64::from(*a) - f64::from(*b))).sum();
    let size: f64 = expected.iter().map(|b| square(f64::from(*b))).sum();
    (difference / size).sqrt()
}

/// The goldens come from the reference's way: padded to 512, masked, cut, padded with zeros. Here only the tokens are
/// encoded.
#[test]
fn prompts_are_encoded_as_the_reference_does_it() -> Result<()> {
    for name in ["t2v_f32", "t2v_bf16", "t2v_sharded", "vace"] {
        let folder = golden("wan").join(name);
        let parts = folder.join("text_encoder");
        let cache = tempfile::tempdir()?;
        let config = config(&parts)?;
        let width = config.d_model;
        let mut encoder = encoder(open_weights(&parts, "model", None)?, config, cache.path())?;
        let bytes = std::fs::read(folder.join("golden.safetensors"))?;
        let file = SafeTensors::deserialize(&bytes)?;
        for prefix in ["", "negative_"] {
            let ids = file.tensor(&format!("{prefix}token_ids"))?;
            let ids: Vec<i64> =
                ids.data().as_chunks::<8>().0.iter().map(|b| i64::from_le_bytes(*b)).collect();
            let expected = file.tensor(&format!("{prefix}prompt_embeds"))?;
            ensure!(expected.shape() == [1, 512, width]);
            let expected: Vec<f32> =
                expected.data().as_chunks::<4>().0.iter().map(|b| f32::from_le_bytes(*b)).collect();
            let found = encoder.encode_padded(&ids, 512)?;
            ensure!(found.shape() == [1, 512, width]);
            let found = found.into_f32();
            ensure!(found[ids.len() * width..].iter().all(|x| *x == 0.0));
            let error = error(&found, &expected);
            ensure!(error <= 1e-4, "{name} {prefix}: {error:.1e}");
            let alone = encoder.encode(&ids)?;
            ensure!(alone.shape() == [1, ids.len(), width] && alone.into_f32() == found[..ids.len() * width]);
        }
    }
    Ok(())
}

#[test]
fn ids_that_have_no_row_are_refused() -> Result<()> {
    let folder = golden("wan/t2v_f32/text_encoder");
    let cache = tempfile::tempdir()?;
    let mut encoder = encoder(open_weights(&folder, "model", None)?, config(&folder)?, cache.path())?;
    for (ids, message) in [
        (&[][..], "input_ids must be at least one token, got none"),
        (&[5, 1200, 1], "input_ids must be from 0 up to 1200, the rows of the embedding, got 1200"),
        (&[-1], "input_ids must be from 0 up to 1200, the rows of the embedding, got -1"),
    ] {
        let error = encoder.encode(ids).err().context("must be refused")?;
        ensure!(error.to_string() == message && !error.retryable(), "{error}");
    }
    let error = encoder.encode_padded(&[5; 9], 8).err().context("must be refused")?;
    ensure!(error.to_string() == "input_ids must be at most 8 tokens, got 9", "{error}");
    ensure!(encoder.encode(&[1199])?.shape() == [1, 1, 24]);
    Ok(())
}

/// The table of tokens may have its other name, or both.
#[test]
fn one_table_has_two_names() -> Result<()> {
    let folder = golden("wan/t2v_f32/text_encoder");
    let one = open_weights(&folder, "model", None)?;
    let table = one.get("shared.weight").context("shared")?.clone();
    let mut both = one.clone();
    both.insert("encoder.embed_tokens.weight".into(), table);
    let mut other = both.clone();
    other.remove("shared.weight");
    let mut results = Vec::new();
    for tensors in [one, both, other] {
        let cache = tempfile::tempdir()?;
        results.push(encoder(tensors, config(&folder)?, cache.path())?.encode(&[300, 301, 1])?.into_f32());
    }
    ensure!(results[0] == results[1] && results[0] == results[2]);
    Ok(())
}

fn listed(list: &str) -> Result<BTreeMap<String, TensorView>> {
    let path = golden("wan_keys").join(format!("{list}.json.gz"));
    let shapes: BTreeMap<String, (String, Vec<usize>)> =
        serde_json::from_reader(GzDecoder::new(File::open(path)?))?;
    Ok(shapes
        .into_iter()
        .map(|(name, (_, shape))| (name, TensorView::without_data(DType::Bf16, shape)))
        .collect())
}

#[test]
fn every_tensor_of_umt5_xxl_is_read() -> Result<()> {
    let text = std::fs::read_to_string(golden("wan_keys/configs/umt5_xxl.json"))?;
    let config = Umt5Config::from_json(&text)?;
    ensure!(config == Umt5Config::umt5_xxl());
    let tensors = listed("umt5_xxl")?;
    ensure!(tensors.len() == 242);
    for (target, dtype) in
        [(Target::Portable, DType::F32), (Target::Cuda, DType::Bf16), (Target::Cuda, DType::F32)]
    {
        let set = TensorSet::new("text_encoder", tensors.clone());
        let mut g = Graph::new("text_encoder", target, dtype);
        build(&mut g, &set, &config)?;
        let model = g.finish();
        ensure!(model.weight_bytes() / dtype.size() as u64 >= 5_680_910_336);
        let standard = model.operators().all(|op| op.starts_with(':'));
        ensure!(standard == (target == Target::Portable), "{target:?}");
    }
    for name in [
        "encoder.block.23.layer.0.SelfAttention.relative_attention_bias.weight",
        "encoder.final_layer_norm.weight",
    ] {
        let mut less = tensors.clone();
        less.remove(name).context("listed")?;
        let mut g = Graph::new("text_encoder", Target::Portable, DType::F32);
        let error =
            build(&mut g, &TensorSet::new("text_encoder", less), &config).err().context("must be refused")?;
        ensure!(error.to_string().contains(name), "{error}");
    }
    let mut more = tensors;
    more.insert("decoder.embed_tokens.weight".into(), TensorView::without_data(DType::F32, vec![2, 3]));
    let mut g = Graph::new("text_encoder", Target::Portable, DType::F32);
    let error =
        build(&mut g, &TensorSet::new("text_encoder", more), &config).err().context("must be refused")?;
    ensure!(error.to_string().contains("first decoder.embed_tokens.weight [2, 3]"), "{error}");
    Ok(())
}

/// The operators of the CUDA graph all have kernels for bfloat16; none is of another kind.
#[test]
fn the_cuda_graph_keeps_to_kernels_that_take_bf16() -> Result<()> {
    let folder = golden("wan/t2v_f32/text_encoder");
    let set = TensorSet::new("text_encoder", open_safetensors(&folder.join("model.safetensors"))?);
    let mut g = Graph::new("text_encoder", Target::Cuda, DType::Bf16);
    build(&mut g, &set, &config(&folder)?)?;
    let mut operators: Vec<String> = g.finish().operators().collect();
    operators.sort_unstable();
    operators.dedup();
    let expected = [
        ":Add",
        ":Gather",
        ":MatMul",
        ":Mul",
        ":Reshape",
        ":Softmax",
        ":Transpose",
        "com.microsoft:FastGelu",
        "com.microsoft:FusedMatMul",
        "ourvidz:RmsNorm",
    ];
    ensure!(operators == expected, "{operators:?}");
    Ok(())
}

#[test]
fn configurations_of_other_models_are_refused_by_the_field() -> Result<()> {
    for (text, field) in [
        (r#"{"model_type": "t5"}"#, "model_type must be umt5, got t5"),
        (r#"{"feed_forward_proj": "relu"}"#, "feed_forward_proj must be gated-gelu, got relu"),
        (r#"{"num_heads": 0}"#, "num_heads must be at least 1, got 0"),
        (
            r#"{"relative_attention_num_buckets": 6}"#,
            "relative_attention_num_buckets must be a multiple of 4",
        ),
        (r#"{"relative_attention_max_distance": 8}"#, "relative_attention_max_distance must be more than"),
        (r#"{"layer_norm_epsilon": 0}"#, "layer_norm_epsilon must be above 0, got 0"),
        (r#"{"d_model": "4096"}"#, "text_encoder/config.json is not valid JSON"),
    ] {
        let error = Umt5Config::from_json(text).err().context("must be refused")?;
        ensure!(error.to_string().contains(field), "{error}");
    }
    Ok(())
}
