use std::path::PathBuf;

use ourvidz_runtime::{Device, LoadProgress, Precision, Session, SessionOptions, WeightCache};

use super::tokenize::TextTokenizer;
use super::{Embedder, checkpoint, model};
use crate::Result;

/// How an embedding model is loaded: [`Embedder::builder`].
#[derive(Debug, Clone)]
#[must_use]
pub struct EmbedderBuilder {
    path: PathBuf,
    device: Device,
    precision: Option<Precision>,
    threads: Option<usize>,
    prepack: Option<bool>,
    cache: Option<PathBuf>,
    profile: Option<PathBuf>,
}

impl EmbedderBuilder {
    pub(super) fn new(path: impl Into<PathBuf>) -> EmbedderBuilder {
        EmbedderBuilder {
            path: path.into(),
            device: Device::Cpu,
            precision: None,
            threads: None,
            prepack: None,
            cache: None,
            profile: None,
        }
    }

    /// Where to run. Default: the processor.
    pub fn device(mut self, device: Device) -> Self {
        self.device = device;
        self
    }

    /// Type of weights and activations. Default: fp32 on the processor, fp16 on a GPU.
    pub fn precision(mut self, precision: Precision) -> Self {
        self.precision = Some(precision);
        self
    }

    /// Threads on the processor. Default: one per core.
    pub fn threads(mut self, threads: usize) -> Self {
        self.threads = Some(threads);
        self
    }

    /// On the processor, holds a second copy of the matrices in the order that its kernels read. Default: true for
    /// encoders like BERT, false for decoders, whose weights stay in the mapped file.
    pub fn prepack(mut self, prepack: bool) -> Self {
        self.prepack = Some(prepack);
        self
    }

    /// Folder for converted weights. Default: the user's cache folder ([`WeightCache::user`]).
    pub fn cache_folder(mut self, folder: impl Into<PathBuf>) -> Self {
        self.cache = Some(folder.into());
        self
    }

    /// Folder for a trace of every node's time, written when the embedder is dropped.
    pub fn profile(mut self, folder: impl Into<PathBuf>) -> Self {
        self.profile = Some(folder.into());
        self
    }

    /// Loads the model.
    ///
    /// # Errors
    /// The checkpoint, the device or the library is not there or does not fit.
    pub fn load(self) -> Result<Embedder> {
        self.load_with(|_| ())
    }

    /// Loads the model and reports what takes time.
    ///
    /// # Errors
    /// As [`load`](Self::load).
    pub fn load_with(self, mut progress: impl FnMut(LoadProgress<'_>)) -> Result<Embedder> {
        let precision = self.precision.unwrap_or(self.device.default_precision());
        self.device.check_precision(precision)?;
        let config = checkpoint::read(&self.path)?;
        let model = model::build(&config, self.device, precision)?;
        let facts = model.facts;
        let tokenizer = TextTokenizer::from_folder(&config.model, facts.max_length, config.lowercase)?;
        if tokenizer.vocab_size() > facts.vocab_size {
            let rule = format!("must be at least the tokenizer's {}", tokenizer.vocab_size());
            return Err(checkpoint::refuse("config.json", "vocab_size", rule, facts.vocab_size.to_string()));
        }
        let options = SessionOptions {
            device: self.device,
            threads: self.threads,
            prepack: self.prepack.unwrap_or(facts.prepack),
            profile: self.profile,
            ..SessionOptions::default()
        };
        let cache = self.cache.map_or_else(WeightCache::user, WeightCache::new);
        let session = Session::load(&model.graph, &options, &cache, &mut progress)?;
        let prompts = config.prompts;
        Ok(Embedder { session, tokenizer, facts, prompts, device: self.device, precision })
    }
}
