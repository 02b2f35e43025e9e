//! Goldens of tiny checkpoints, and decoders of them on the processor.
#![allow(dead_code)]

use std::path::{Path, PathBuf};

use anyhow::{Result, ensure};
use ourvidz_qwen::QwenConfig;
use ourvidz_qwen::graphs::{self, CacheAttention, Decoder, DecoderOptions, DecoderOutput, Matrices};
use ourvidz_runtime::{
    DType, Graph, KeepingRun, Session, SessionOptions, Target, Tensor, TensorSet, WeightCache, open_weights,
};
use safetensors::SafeTensors;

pub(crate) const MODELS: [&str; 3] = ["qwen2_tied", "qwen2_untied", "qwen3"];
pub(crate) const CAPACITY: usize = 96;

/// A target, and what attends to the cache in it.
pub(crate) type Lowering = (Target, CacheAttention);

pub(crate) const LOWERINGS: [Lowering; 3] = [
    (Target::Portable, CacheAttention::GroupQuery),
    (Target::Cuda, CacheAttention::GroupQuery),
    (Target::Cuda, CacheAttention::Own),
];

pub(crate) fn folder(model: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../tests/golden/qwen").join(model)
}

pub(crate) struct Golden(Vec<u8>);

impl Golden {
    pub(crate) fn open(model: &str) -> Result<Golden> {
        Ok(Golden(std::fs::read(folder(model).join("golden.safetensors"))?))
    }

    pub(crate) fn ids(&self, name: &str) -> Result<Vec<u32>> {
        let file = SafeTensors::deserialize(&self.0)?;
        let ids = file.tensor(name)?;
        Ok(ids.data().as_chunks::<8>().0.iter().map(|b| i64::from_le_bytes(*b) as u32).collect())
    }

    pub(crate) fn floats(&self, name: &str) -> Result<Vec<f32>> {
        let file = SafeTensors::deserialize(&self.0)?;
        let numbers = file.tensor(name)?;
        Ok(numbers.data().as_chunks::<4>().0.iter().map(|b| f32::from_le_bytes(*b)).collect())
    }
}

pub(crate) fn config(model: &str) -> Result<QwenConfig> {
    Ok(QwenConfig::from_json(&std::fs::read_to_string(folder(model).join("config.json"))?)?)
}

fn session(model: &str, target: Target, options: &DecoderOptions) -> Result<(Session, QwenConfig)> {
    let config = config(model)?;
    let tensors = TensorSet::new("model", open_weights(&folder(model), "model", None)?);
    let mut g = Graph::new("decoder", target, DType::F32);
    graphs::decoder(&mut g, &tensors, &config, options)?;
    let cache = tempfile::tempdir()?;
    let threads = SessionOptions { threads: Some(1), ..SessionOptions::default() };
    // The file stays mapped when its folder is gone.
    let session = Session::load(&g.finish(), &threads, &WeightCache::new(cache.path()), &mut |_| ())?;
    Ok((session, config))
}

pub(crate) fn decoder(model: &str, lowering: Lowering, matrices: Matrices) -> Result<Decoder> {
    let (target, cache_attention) = lowering;
    let options =
        DecoderOptions { output: DecoderOutput::Logits, capacity: CAPACITY, matrices, cache_attention };
    let (session, config) = session(model, target, &options)?;
    Ok(Decoder::new(session, config, target, CAPACITY)?)
}

/// The hidden states [L, D] of one text, with four tokens of padding behind it that must not matter.
pub(crate) fn hidden_states(model: &str, target: Target, prompt: &[u32]) -> Result<Vec<f32>> {
    let matrices = Matrices::Float;
    let output = DecoderOutput::HiddenStates;
    let cache_attention = CacheAttention::default();
    let options = DecoderOptions { output, capacity: CAPACITY, matrices, cache_attention };
    let (mut session, config) = session(model, target, &options)?;
    let length = prompt.len() + 4;
    let mut ids: Vec<i64> = prompt.iter().map(|t| i64::from(*t)).collect();
    ids.resize(length, 3);
    let ids = Tensor::i64(&[1, length], ids)?;
    let positions = Tensor::i64(&[length], (0..length as i64).collect())?;
    let last = Tensor::i64(&[1], vec![length as i64 - 1])?;
    let total = Tensor::i64(&[1], vec![length as i64])?;
    let inputs = match target {
        Target::Portable | Target::Cpu => vec![("input_ids", &ids), ("positions", &positions)],
        Target::Cuda => {
            vec![("input_ids", &ids), ("seqlens_k", &last), ("total_sequence_length", &total)]
        }
    };
    let run = KeepingRun { inputs: &inputs, outputs: &["last_hidden_state"], ..KeepingRun::default() };
    let (mut outputs, _) = session.run_keeping(run)?;
    let found = outputs.remove(0);
    ensure!(found.shape() == [1, length, config.hidden_size]);
    Ok(found.into_f32()[..prompt.len() * config.hidden_size].to_vec())
}

/// Relative L2 error of whole arrays.
pub(crate) fn error(found: &[f32], expected: &[f32]) -> f64 {
    assert_eq!(found.len(), expected.len());
    let square = |x: f64| x * x;
    let difference: f64 =
        found.iter().zip(expected).map(|(a, b)| square(f64::from(*a) - f64::from(*b))).sum();
    let size: f64 = expected.iter().map(|b| square(f64::from(*b))).sum();
    (difference / size).sqrt()
}
