use std::path::PathBuf;
use std::str::FromStr;

use ourvidz_runtime::{
    Device, Error as Runtime, Graph, LoadProgress, Precision, Session, SessionOptions, Target, TensorSet,
    WeightCache,
};

use crate::checkpoint::Checkpoint;
use crate::decoder::{self, CacheAttention, Decoder, DecoderOptions, Matrices, Output};
use crate::pipeline::QwenPipeline;
use crate::{EnhanceStyle, Error, Result};

/// What the weights are stored as while a model runs.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum WeightType {
    /// 32-bit floats.
    Fp32,
    /// 16-bit IEEE floats.
    Fp16,
    /// bfloat16.
    Bf16,
    /// Matrices in four bits, a scale for each 32 numbers; the rest in the precision that the model computes in.
    Int4,
}

impl FromStr for WeightType {
    type Err = Error;

    fn from_str(text: &str) -> Result<WeightType> {
        match text {
            "fp32" => Ok(WeightType::Fp32),
            "fp16" => Ok(WeightType::Fp16),
            "bf16" => Ok(WeightType::Bf16),
            "int4" => Ok(WeightType::Int4),
            _ => {
                let rule = "fp32, fp16, bf16 or int4".into();
                Err(Error::Request { field: "weights", rule, value: text.into() })
            }
        }
    }
}

impl std::fmt::Display for WeightType {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self {
            WeightType::Fp32 => "fp32",
            WeightType::Fp16 => "fp16",
            WeightType::Bf16 => "bf16",
            WeightType::Int4 => "int4",
        })
    }
}

impl From<Precision> for WeightType {
    fn from(precision: Precision) -> WeightType {
        match precision {
            Precision::Fp32 => WeightType::Fp32,
            Precision::Fp16 => WeightType::Fp16,
            Precision::Bf16 => WeightType::Bf16,
        }
    }
}

/// How a checkpoint is loaded: [`QwenPipeline::builder`].
#[derive(Debug, Clone)]
#[must_use]
pub struct QwenPipelineBuilder {
    folder: PathBuf,
    device: Device,
    precision: Option<Precision>,
    weights: Option<WeightType>,
    capacity: Option<usize>,
    cache_attention: CacheAttention,
    enhance_style: Option<EnhanceStyle>,
    threads: Option<usize>,
    cache: Option<PathBuf>,
    profile: Option<PathBuf>,
}

/// Tokens of prompt and answer where nothing else is asked for.
const CAPACITY: usize = 8192;

impl QwenPipelineBuilder {
    pub(crate) fn new(folder: impl Into<PathBuf>) -> QwenPipelineBuilder {
        QwenPipelineBuilder {
            folder: folder.into(),
            device: Device::Cpu,
            precision: None,
            weights: None,
            capacity: None,
            cache_attention: CacheAttention::default(),
            enhance_style: None,
            threads: None,
            cache: None,
            profile: None,
        }
    }

    /// Where to run. Default: the processor.
    pub fn device(mut self, device: Device) -> Self {
        self.device = device;
        self
    }

    /// Type that the model computes in. Default: that of the weights where they are floats, else fp32 on the
    /// processor, bf16 on CUDA, fp16 on TensorRT.
    pub fn precision(mut self, precision: Precision) -> Self {
        self.precision = Some(precision);
        self
    }

    /// Type of the weights. Default: the precision.
    pub fn weights(mut self, weights: WeightType) -> Self {
        self.weights = Some(weights);
        self
    }

    /// Tokens that prompt and answer may have together. Default: 8192, or what the model was trained on if that is
    /// less. On CUDA the memory of the cache is taken while loading.
    pub fn capacity(mut self, capacity: usize) -> Self {
        self.capacity = Some(capacity);
        self
    }

    /// What attends to the cache on CUDA in fp16 and bf16. Default: our own operator.
    pub fn cache_attention(mut self, cache_attention: CacheAttention) -> Self {
        self.cache_attention = cache_attention;
        self
    }

    /// How the model is asked to enhance prompts. Default: as a base model where the checkpoint's name says that it is
    /// one or where it has no chat template, else by that.
    pub fn enhance_style(mut self, style: EnhanceStyle) -> Self {
        self.enhance_style = Some(style);
        self
    }

    /// Threads on the processor. Default: one per core.
    pub fn threads(mut self, threads: usize) -> Self {
        self.threads = Some(threads);
        self
    }

    /// Folder for converted weights. Default: the user's cache folder ([`WeightCache::user`]).
    pub fn cache_folder(mut self, folder: impl Into<PathBuf>) -> Self {
        self.cache = Some(folder.into());
        self
    }

    /// Folder for a trace of every node's time, written when the pipeline is dropped.
    pub fn profile(mut self, folder: impl Into<PathBuf>) -> Self {
        self.profile = Some(folder.into());
        self
    }

    /// Loads the model.
    ///
    /// # Errors
    /// The checkpoint, the device or the library is not there or does not fit.
    pub fn load(self) -> Result<QwenPipeline> {
        self.load_with(|_| ())
    }

    /// Loads the model and reports what takes time.
    ///
    /// # Errors
    /// As [`load`](Self::load).
    pub fn load_with(self, mut progress: impl FnMut(LoadProgress<'_>)) -> Result<QwenPipeline> {
        let (precision, weights) = self.types()?;
        let checkpoint = Checkpoint::open(&self.folder)?;
        let trained = checkpoint.config.max_position_embeddings;
        let capacity = self.capacity.unwrap_or(CAPACITY.min(trained));
        if !(2..=trained).contains(&capacity) {
            let rule = format!("from 2 to {trained}, the model's max_position_embeddings");
            return Err(Error::Request { field: "capacity", rule, value: capacity.to_string() });
        }
        let target = decoder::target(self.device, precision);
        let matrices = if weights == WeightType::Int4 { Matrices::Int4 } else { Matrices::Float };
        let cache_attention = self.cache_attention;
        let options = DecoderOptions { output: Output::Logits, capacity, matrices, cache_attention };
        let tensors = TensorSet::new("model", checkpoint.tensors);
        let mut g = Graph::new("qwen", target, precision.dtype());
        decoder::build(&mut g, &tensors, &checkpoint.config, &options)?;
        let session_options = SessionOptions {
            device: self.device,
            threads: self.threads,
            profile: self.profile,
            cuda_graph: target == Target::Cuda,
            ..SessionOptions::default()
        };
        let cache = self.cache.map_or_else(WeightCache::user, WeightCache::new);
        progress(LoadProgress { what: "qwen", done: 0, total: 0 });
        let session = Session::load(&g.finish(), &session_options, &cache, &mut progress)?;
        let decoder = Decoder::new(session, checkpoint.config, target, capacity)?;
        let named = EnhanceStyle::of(&checkpoint.name, checkpoint.template.is_some());
        Ok(QwenPipeline {
            decoder,
            style: self.enhance_style.unwrap_or(named),
            tokenizer: checkpoint.tokenizer,
            template: checkpoint.template,
            stop_tokens: checkpoint.stop_tokens,
            name: checkpoint.name,
            device: self.device,
            precision,
            weights,
        })
    }

    fn types(&self) -> Result<(Precision, WeightType)> {
        let of_weights = match self.weights {
            Some(WeightType::Fp32) => Some(Precision::Fp32),
            Some(WeightType::Fp16) => Some(Precision::Fp16),
            Some(WeightType::Bf16) => Some(Precision::Bf16),
            Some(WeightType::Int4) | None => None,
        };
        if let (Some(a), Some(b)) = (self.precision, of_weights)
            && a != b
        {
            let rule = format!("{a}, the precision, or int4");
            return Err(Error::Request { field: "weights", rule, value: b.to_string() });
        }
        // The checkpoints are bf16: fp16 has less range than what they were trained in.
        let default = match self.device {
            Device::Cuda(_) => Precision::Bf16,
            device => device.default_precision(),
        };
        let precision = self.precision.or(of_weights).unwrap_or(default);
        self.device.check_precision(precision)?;
        let weights = self.weights.unwrap_or(precision.into());
        if let (WeightType::Int4, Device::TensorRt(_)) = (weights, self.device) {
            return Err(Runtime::Invalid {
                field: "weights".into(),
                rule: "must not be int4 on tensorrt: the product is ONNX Runtime's own".into(),
                value: weights.to_string(),
            }
            .into());
        }
        Ok((precision, weights))
    }
}
