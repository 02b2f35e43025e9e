//! The graph behind an embedder, by `model_type`.

use std::path::Path;

use ourvidz_runtime::{
    DType, Device, Error as Runtime, Graph, Model, Precision, Target, Tensor, TensorSet, open_weights,
};
use serde_json::Value as Json;

use super::checkpoint::{self, SentenceConfig, refuse};
use super::pooling::{Pooling, pool};
use crate::bert::{self, BertConfig};
use crate::decoder::{self, CacheAttention, DecoderOptions, Matrices, Output, QwenConfig};
use crate::{Error, Result};

/// A graph and what is known of it.
#[derive(Debug)]
pub(super) struct EmbeddingModel {
    pub(super) graph: Model,
    pub(super) facts: Facts,
}

/// What the inputs of a run depend on.
#[derive(Debug, Clone, Copy)]
pub(super) struct Facts {
    pub(super) width: usize,
    pub(super) vocab_size: usize,
    pub(super) max_length: usize,
    pub(super) first_position: usize,
    pub(super) pooling: Pooling,
    /// A copy of the matrices is worth its memory on the processor.
    pub(super) prepack: bool,
}

enum Config {
    Bert(BertConfig),
    Qwen(Box<QwenConfig>),
}

/// Builds the graph of the checkpoint's model with pooling behind it; a decoder on CUDA not in fp32.
pub(super) fn build(config: &SentenceConfig, device: Device, precision: Precision) -> Result<EmbeddingModel> {
    let kind = read_config(&config.model)?;
    let facts = facts(&kind, config)?;
    let tensors = TensorSet::new("embedder", open_weights(&config.model, "model", None)?);
    let target = match (&kind, device.target()) {
        (Config::Bert(_), Target::Portable) if device == Device::Cpu => Target::Cpu,
        (Config::Bert(_), target) => target,
        // In fp32 ONNX Runtime keeps some of the standard operators' nodes on the processor.
        (Config::Qwen(_), Target::Cuda) if precision == Precision::Fp32 => {
            let rule = format!("must be fp16 or bf16 for a decoder on {device}");
            return Err(Runtime::Invalid { field: "precision".into(), rule, value: "fp32".into() }.into());
        }
        (Config::Qwen(_), target) => target,
    };
    let mut g = Graph::new("embedder", target, precision.dtype());
    match &kind {
        Config::Bert(bert) => bert::build(&mut g, &tensors, bert)?,
        Config::Qwen(qwen) => {
            let (output, capacity) = (Output::HiddenStates, facts.max_length);
            let cache_attention = CacheAttention::default();
            let options = DecoderOptions { output, capacity, matrices: Matrices::Float, cache_attention };
            decoder::build(&mut g, &tensors, qwen, &options)?;
        }
    }
    let hidden = g.output_value("last_hidden_state").ok_or_else(|| {
        let (what, looked_for) = ("output last_hidden_state".into(), vec!["the graph".into()]);
        Error::from(Runtime::NotFound { what, looked_for })
    })?;
    pool(&mut g, hidden)?;
    Ok(EmbeddingModel { graph: g.finish(), facts })
}

fn read_config(folder: &Path) -> Result<Config> {
    let json: Json = checkpoint::required(&folder.join("config.json"))?;
    let model_type = json.get("model_type").and_then(Json::as_str).unwrap_or_default();
    match model_type {
        "bert" | "roberta" | "xlm-roberta" => Ok(Config::Bert(BertConfig::from_json(&json.to_string())?)),
        "qwen2" | "qwen3" => {
            // Some embedding models look both ways.
            for (field, causal) in [("is_causal", true), ("use_bidirectional_attention", false)] {
                if json.get(field).and_then(Json::as_bool) == Some(!causal) {
                    let (rule, value) = (format!("must be {causal}"), (!causal).to_string());
                    return Err(refuse("config.json", field, rule, value));
                }
            }
            Ok(Config::Qwen(Box::new(QwenConfig::from_json(&json.to_string())?)))
        }
        _ => {
            let rule = "must be bert, roberta, xlm-roberta, qwen2 or qwen3".to_owned();
            Err(refuse("config.json", "model_type", rule, model_type.to_owned()))
        }
    }
}

/// Where the files name no pooling, encoders take the mean and decoders the last token, as sentence-transformers does.
fn facts(kind: &Config, config: &SentenceConfig) -> Result<Facts> {
    let (positions, facts) = match kind {
        Config::Bert(c) => (
            c.max_length(),
            Facts {
                width: c.hidden_size,
                vocab_size: c.vocab_size,
                max_length: 0,
                first_position: c.first_position(),
                pooling: config.pooling.unwrap_or(Pooling::Mean),
                prepack: true,
            },
        ),
        Config::Qwen(c) => (
            c.max_position_embeddings,
            Facts {
                width: c.hidden_size,
                vocab_size: c.vocab_size,
                max_length: 0,
                first_position: 0,
                pooling: config.pooling.unwrap_or(Pooling::LastToken),
                prepack: false,
            },
        ),
    };
    let max_length = config.max_length.unwrap_or(positions);
    if max_length == 0 {
        let rule = "must be at least 1".to_owned();
        return Err(refuse("sentence_bert_config.json", "max_seq_length", rule, "0".into()));
    }
    Ok(Facts { max_length: max_length.min(positions), ..facts })
}

impl Facts {
    /// The input `name` of the graph for a batch of token ids, padded on the right to the longest.
    pub(super) fn input(&self, name: &str, batch: &[&[i64]]) -> Result<Tensor> {
        let rows = batch.len();
        let length = batch.iter().map(|ids| ids.len()).max().unwrap_or(0);
        let lengths = batch.iter().map(|ids| ids.len());
        let first = self.first_position;
        let i32s = |numbers: Vec<f32>| Tensor::f32(&[numbers.len()], numbers)?.to_dtype(DType::I32);
        Ok(match name {
            "input_ids" => {
                // Whatever stands behind a row's tokens is masked or comes after all that is looked at.
                let padded = |ids: &[i64]| [ids, &vec![0; length - ids.len()]].concat();
                Tensor::i64(&[rows, length], batch.iter().flat_map(|ids| padded(ids)).collect())?
            }
            "positions" => Tensor::i64(&[length], (first..first + length).map(|p| p as i64).collect())?,
            "lengths" => i32s(lengths.map(|n| n as f32).collect())?,
            "seqlens_k" => i32s(lengths.map(|n| n as f32 - 1.0).collect())?,
            "total_sequence_length" => i32s(vec![length as f32])?,
            "pooling_weights" => {
                let weight = |token, n| if token < n { self.pooling.weight(token, n) } else { 0.0 };
                let row = |n: usize| (0..length).map(move |token| weight(token, n));
                Tensor::f32(&[rows, 1, length], lengths.flat_map(row).collect())?
            }
            _ => {
                let (rule, value) = ("must be known to the embedder".into(), "another".into());
                return Err(Runtime::Invalid { field: format!("input {name}"), rule, value }.into());
            }
        })
    }
}
