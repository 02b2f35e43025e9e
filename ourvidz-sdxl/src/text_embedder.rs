use std::path::{Path, PathBuf};

use ourvidz_runtime::{
    Device, Embedding, Error as Runtime, Graph, LoadProgress, Precision, Session, SessionOptions, Tensor,
    TensorSet, WeightCache, open_weights,
};

use crate::checkpoint::{self, Parts};
use crate::config::{ClipTextConfig, read_json};
use crate::tokenizer::ClipTokenizer;
use crate::{Error, Result, text_encoder};

/// Texts in one run of the text encoder.
const BATCH: usize = 32;

/// Which of a checkpoint's text encoders.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum ClipTextEncoder {
    /// `text_encoder`: CLIP ViT-L, in most checkpoints without the projection that an embedding needs.
    First,
    /// `text_encoder_2`: OpenCLIP ViT-bigG.
    #[default]
    Second,
}

/// Turns texts into unit vectors of CLIP's space, in which the image encoder of the same CLIP puts pictures.
///
/// One thread owns it at a time; it may be sent to another.
#[derive(Debug)]
pub struct TextEmbedder {
    session: Session,
    tokenizer: ClipTokenizer,
    config: ClipTextConfig,
}

/// How a text embedder is loaded: [`TextEmbedder::builder`].
#[derive(Debug, Clone)]
#[must_use]
pub struct TextEmbedderBuilder {
    path: PathBuf,
    encoder: ClipTextEncoder,
    device: Device,
    precision: Option<Precision>,
    threads: Option<usize>,
    cache: Option<PathBuf>,
}

impl TextEmbedder {
    /// Loads a text encoder of a Stable Diffusion XL checkpoint in any of its layouts, or a folder of its own:
    /// `config.json` of `CLIPTextModelWithProjection`, weights, and the tokenizer's files.
    pub fn builder(path: impl Into<PathBuf>) -> TextEmbedderBuilder {
        TextEmbedderBuilder {
            path: path.into(),
            encoder: ClipTextEncoder::Second,
            device: Device::Cpu,
            precision: None,
            threads: None,
            cache: None,
        }
    }

    /// One unit vector per text, in their order: `text_embeds` of `CLIPTextModelWithProjection`.
    ///
    /// CLIP reads 77 tokens; what a longer text has more is left out and counted in the embedding.
    ///
    /// # Errors
    /// An embedding that is not finite; the tokenizer or ONNX Runtime fails.
    pub fn embed(&mut self, texts: &[impl AsRef<str>]) -> Result<Vec<Embedding>> {
        let length = self.config.max_position_embeddings;
        let room = length.saturating_sub(2);
        let mut embeddings = Vec::with_capacity(texts.len());
        for texts in texts.chunks(BATCH) {
            let tokens = texts.iter().map(|text| self.tokenizer.encode(text.as_ref()));
            let tokens = tokens.collect::<Result<Vec<_>>>()?;
            let kept = |tokens: &Vec<u32>| tokens.len().min(room);
            let ids = tokens.iter().flat_map(|t| self.tokenizer.window(&t[..kept(t)], length)).collect();
            let ids = Tensor::i64(&[texts.len(), length], ids)?;
            let vectors = self.session.run(&[("input_ids", &ids)], &["text_embeds"])?.remove(0).into_f32();
            let width = vectors.len() / texts.len();
            for (vector, tokens) in vectors.chunks(width.max(1)).zip(&tokens) {
                let embedding = Embedding::scaled(vector.to_vec()).ok_or_else(not_finite)?;
                let kept = kept(tokens);
                embeddings.push(embedding.of_tokens(kept + 2, tokens.len() - kept));
            }
        }
        Ok(embeddings)
    }

    /// Width of embeddings.
    pub fn dimensions(&self) -> usize {
        self.config.projection_dim
    }
}

fn not_finite() -> Error {
    let (field, rule) = ("text_embeds".to_owned(), "must be finite and not zero".to_owned());
    Runtime::Invalid { field, rule, value: "an embedding that is not".into() }.into()
}

impl TextEmbedderBuilder {
    /// Which of the two text encoders. Default: the second.
    pub fn encoder(mut self, encoder: ClipTextEncoder) -> Self {
        self.encoder = encoder;
        self
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

    /// Folder for converted weights. Default: the user's cache folder ([`WeightCache::user`]).
    pub fn cache_folder(mut self, folder: impl Into<PathBuf>) -> Self {
        self.cache = Some(folder.into());
        self
    }

    /// Loads the text encoder.
    ///
    /// # Errors
    /// The checkpoint, the device or the library is not there or does not fit; a text encoder without projection.
    pub fn load(self) -> Result<TextEmbedder> {
        self.load_with(|_| ())
    }

    /// Loads the text encoder and reports what takes time.
    ///
    /// # Errors
    /// As [`load`](Self::load).
    pub fn load_with(self, mut progress: impl FnMut(LoadProgress<'_>)) -> Result<TextEmbedder> {
        let precision = self.precision.unwrap_or(self.device.default_precision());
        self.device.check_precision(precision)?;
        let Encoder { config, tokenizer, weights } = open(&self.path, self.encoder)?;
        if !config.has_projection() {
            let (first, rule) = (config.architectures.first(), "must be CLIPTextModelWithProjection".into());
            let value = first.cloned().unwrap_or_else(|| "none".into());
            let file = format!("{}/config.json", self.encoder.name());
            return Err(Runtime::Config { file, field: "architectures".into(), rule, value }.into());
        }
        let options =
            SessionOptions { device: self.device, threads: self.threads, ..SessionOptions::default() };
        let session = match weights {
            Weights::Tensors(tensors) => {
                let mut g = Graph::new(self.encoder.name(), self.device.target(), precision.dtype());
                text_encoder::build(&mut g, &tensors, &config)?;
                let cache = self.cache.map_or_else(WeightCache::user, WeightCache::new);
                Session::load(&g.finish(), &options, &cache, &mut progress)?
            }
            Weights::Exported(file) => Session::load_file(self.encoder.name(), &file, &options)?,
        };
        Ok(TextEmbedder { session, tokenizer, config })
    }
}

impl ClipTextEncoder {
    fn name(self) -> &'static str {
        match self {
            ClipTextEncoder::First => "text_encoder",
            ClipTextEncoder::Second => "text_encoder_2",
        }
    }
}

struct Encoder {
    config: ClipTextConfig,
    tokenizer: ClipTokenizer,
    weights: Weights,
}

enum Weights {
    Tensors(TensorSet),
    Exported(PathBuf),
}

fn open(path: &Path, which: ClipTextEncoder) -> Result<Encoder> {
    let own = path.join("config.json");
    if own.is_file() {
        let tensors = TensorSet::new("text_encoder", open_weights(path, "model", None)?);
        let tokenizer = ClipTokenizer::from_folder(path)?;
        return Ok(Encoder { config: read_json(&own)?, tokenizer, weights: Weights::Tensors(tensors) });
    }
    let checkpoint = checkpoint::open(path, None)?;
    let weights = match checkpoint.parts {
        Parts::Tensors { text_encoder, text_encoder_2, .. } => Weights::Tensors(match which {
            ClipTextEncoder::First => text_encoder,
            ClipTextEncoder::Second => text_encoder_2,
        }),
        Parts::Exported(folder) => Weights::Exported(folder.join(which.name()).join("model.onnx")),
    };
    Ok(match which {
        ClipTextEncoder::First => {
            Encoder { config: checkpoint.text_encoder, tokenizer: checkpoint.tokenizer, weights }
        }
        ClipTextEncoder::Second => {
            Encoder { config: checkpoint.text_encoder_2, tokenizer: checkpoint.tokenizer_2, weights }
        }
    })
}
