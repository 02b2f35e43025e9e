//! BERT and XLM-RoBERTa against transformers: whole arrays of the tiny checkpoints.
#![allow(clippy::unwrap_used)]

use std::path::{Path, PathBuf};

use anyhow::{Context, Result, ensure};
use ourvidz_runtime::{Session, SessionOptions, Target, Tensor, TensorView, WeightCache, open_weights};
use safetensors::SafeTensors;

use super::*;

fn golden(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../tests/golden/embed").join(name)
}

fn config(folder: &Path) -> Result<BertConfig> {
    Ok(BertConfig::from_json(&std::fs::read_to_string(folder.join("config.json"))?)?)
}

fn session(folder: &Path, target: Target, prepack: bool, cache: &Path) -> Result<Session> {
    let set = TensorSet::new("bert", open_weights(folder, "model", None)?);
    let mut g = Graph::new("bert", target, DType::F32);
    build(&mut g, &set, &config(folder)?)?;
    let options = SessionOptions { threads: Some(1), prepack, ..SessionOptions::default() };
    Ok(Session::load(&g.finish(), &options, &WeightCache::new(cache), &mut |_| ())?)
}

/// Hidden states of a batch, row by row without what stands behind their tokens.
fn run(session: &mut Session, config: &BertConfig, batch: &[Vec<i64>]) -> Result<Vec<Vec<f32>>> {
    let length = batch.iter().map(Vec::len).max().context("rows")?;
    let padded = batch.iter().flat_map(|ids| {
        // Any token will do as padding: a mask hides it.
        ids.iter().copied().chain((ids.len()..length).map(|i| (i % 7) as i64))
    });
    let ids = Tensor::i64(&[batch.len(), length], padded.collect())?;
    let first = config.first_position();
    let positions = Tensor::i64(&[length], (first..first + length).map(|i| i as i64).collect())?;
    let lengths = batch.iter().map(|ids| ids.len() as f32).collect();
    let lengths = Tensor::f32(&[batch.len()], lengths)?.to_dtype(DType::I32)?;
    let inputs = [("input_ids", &ids), ("positions", &positions), ("lengths", &lengths)];
    let hidden = session.run(&inputs, &["last_hidden_state"])?.remove(0);
    ensure!(hidden.shape() == [batch.len(), length, config.hidden_size]);
    let rows = hidden.into_f32();
    let rows = rows.chunks(length * config.hidden_size).zip(batch);
    Ok(rows.map(|(row, ids)| row[..ids.len() * config.hidden_size].to_vec()).collect())
}

fn error(found: &[f32], expected: &[f32]) -> f64 {
    assert_eq!(found.len(), expected.len());
    let square = |x: f64| x * x;
    let difference: f64 =
        found.iter().zip(expected).map(|(a, b)| square(f64::from(*a) - f64::from(*b))).sum();
    let size: f64 = expected.iter().map(|b| square(f64::from(*b))).sum();
    (difference / size).sqrt()
}

#[test]
fn hidden_states_are_those_of_transformers() -> Result<()> {
    for name in ["bert_mean", "bert_cls", "xlmr_mean"] {
        let folder = golden(name);
        let config = config(&folder)?;
        let bytes = std::fs::read(folder.join("golden.safetensors"))?;
        let file = SafeTensors::deserialize(&bytes)?;
        let (mut batch, mut expected) = (Vec::new(), Vec::new());
        for i in 0..9 {
            let ids = file.tensor(&format!("{i}.ids"))?;
            batch.push(
                ids.data().as_chunks::<8>().0.iter().map(|b| i64::from_le_bytes(*b)).collect::<Vec<_>>(),
            );
            let hidden = file.tensor(&format!("{i}.hidden"))?;
            let hidden: Vec<f32> =
                hidden.data().as_chunks::<4>().0.iter().map(|b| f32::from_le_bytes(*b)).collect();
            expected.push(hidden);
        }
        for (target, prepack) in [(Target::Portable, false), (Target::Cpu, false), (Target::Cpu, true)] {
            let cache = tempfile::tempdir()?;
            let mut session = session(&folder, target, prepack, cache.path())?;
            let together = run(&mut session, &config, &batch)?;
            for (i, expected) in expected.iter().enumerate() {
                let alone = run(&mut session, &config, &batch[i..=i])?.remove(0);
                for (found, how) in [(&alone, "alone"), (&together[i], "among others")] {
                    let error = error(found, expected);
                    ensure!(error <= 1e-4, "{name} {target:?} {i} {how}: {error:.1e}");
                }
            }
        }
    }
    Ok(())
}

fn minilm() -> BertConfig {
    BertConfig { hidden_size: 384, num_hidden_layers: 6, intermediate_size: 1536, ..BertConfig::default() }
}

/// Names and shapes of `all-MiniLM-L6-v2`, with what its file has beside the encoder.
fn minilm_tensors() -> std::collections::BTreeMap<String, TensorView> {
    let (d, inner) = (384, 1536);
    let mut shapes: Vec<(String, Vec<usize>)> = vec![
        ("embeddings.position_ids".into(), vec![1, 512]),
        ("embeddings.word_embeddings.weight".into(), vec![30_522, d]),
        ("embeddings.position_embeddings.weight".into(), vec![512, d]),
        ("embeddings.token_type_embeddings.weight".into(), vec![2, d]),
    ];
    let mut layer = |name: &str, out: usize, input: Option<usize>| {
        let weight = [Some(out), input].into_iter().flatten().collect();
        shapes.extend([(format!("{name}.weight"), weight), (format!("{name}.bias"), vec![out])]);
    };
    layer("embeddings.LayerNorm", d, None);
    layer("pooler.dense", d, Some(d));
    for i in 0..6 {
        let at = |rest: &str| format!("encoder.layer.{i}.{rest}");
        for name in ["self.query", "self.key", "self.value", "output.dense"] {
            layer(&at(&format!("attention.{name}")), d, Some(d));
        }
        layer(&at("attention.output.LayerNorm"), d, None);
        layer(&at("intermediate.dense"), inner, Some(d));
        layer(&at("output.dense"), d, Some(inner));
        layer(&at("output.LayerNorm"), d, None);
    }
    shapes.into_iter().map(|(name, shape)| (name, TensorView::without_data(DType::F32, shape))).collect()
}

#[test]
fn every_tensor_of_minilm_is_read() -> Result<()> {
    let tensors = minilm_tensors();
    ensure!(tensors.len() == 104, "{}", tensors.len());
    for (target, dtype) in [
        (Target::Portable, DType::F32),
        (Target::Cpu, DType::F32),
        (Target::Cuda, DType::F16),
        (Target::Cuda, DType::Bf16),
    ] {
        for prefix in ["", "bert."] {
            let prefixed = tensors.iter().map(|(name, view)| (format!("{prefix}{name}"), view.clone()));
            let set = TensorSet::new("bert", prefixed.collect());
            let mut g = Graph::new("bert", target, dtype);
            build(&mut g, &set, &minilm())?;
            let standard = g.finish().operators().all(|op| op.starts_with(':'));
            ensure!(standard == (target == Target::Portable), "{target:?}");
        }
    }
    let refused = |tensors| -> Result<String> {
        let mut g = Graph::new("bert", Target::Portable, DType::F32);
        let error = build(&mut g, &TensorSet::new("bert", tensors), &minilm()).err();
        Ok(error.context("must be refused")?.to_string())
    };
    let mut less = tensors.clone();
    less.remove("encoder.layer.5.output.LayerNorm.bias");
    ensure!(refused(less)?.contains("encoder.layer.5.output.LayerNorm.bias"));
    let mut more = tensors;
    more.insert("encoder.layer.6.output.dense.bias".into(), TensorView::without_data(DType::F32, vec![2]));
    ensure!(refused(more)?.contains("first encoder.layer.6.output.dense.bias [2]"));
    Ok(())
}

#[test]
fn configurations_of_other_models_are_refused_by_the_field() -> Result<()> {
    for (text, message) in [
        (r#"{"model_type": "mpnet"}"#, "model_type must be bert, roberta or xlm-roberta, got mpnet"),
        (r#"{"position_embedding_type": "relative_key"}"#, "position_embedding_type must be absolute"),
        (r#"{"hidden_act": "silu"}"#, "hidden_act must be gelu, got silu"),
        (r#"{"hidden_act": "relu"}"#, "hidden_act: must be gelu"),
        (r#"{"num_attention_heads": 5}"#, "num_attention_heads must divide hidden_size (768), got 5"),
        (r#"{"num_hidden_layers": 0}"#, "num_hidden_layers must be at least 1, got 0"),
        (r#"{"is_decoder": true}"#, "is_decoder must be false, got true"),
        (r#"{"layer_norm_eps": 0}"#, "layer_norm_eps must be above 0, got 0"),
        (
            r#"{"model_type": "roberta", "pad_token_id": 511}"#,
            "max_position_embeddings must leave room for a token, got 512",
        ),
        ("[", "config.json is not valid JSON"),
    ] {
        let error = BertConfig::from_json(text).err().context("must be refused")?.to_string();
        ensure!(error.contains(message), "{error}");
    }
    Ok(())
}
