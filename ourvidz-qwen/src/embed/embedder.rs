use std::path::PathBuf;

use ourvidz_runtime::{Device, Embedding, Precision, Session};

use super::batches::batches;
use super::model::Facts;
use super::options::Prompts;
use super::tokenize::{TextTokenizer, Tokens};
use super::{EmbedOptions, EmbedderBuilder, Pooling};
use crate::{Error, Result};

/// Turns texts into unit vectors. One thread owns it at a time; it may be sent to another.
#[derive(Debug)]
pub struct Embedder {
    pub(super) session: Session,
    pub(super) tokenizer: TextTokenizer,
    pub(super) facts: Facts,
    pub(super) prompts: Prompts,
    pub(super) device: Device,
    pub(super) precision: Precision,
}

impl Embedder {
    /// Loads a folder as the model hub has it: `config.json`, `tokenizer.json`, safetensors, and what
    /// sentence-transformers adds (`modules.json`, `1_Pooling/config.json`, ...).
    pub fn builder(path: impl Into<PathBuf>) -> EmbedderBuilder {
        EmbedderBuilder::new(path)
    }

    /// One unit vector per text, in their order, with the checkpoint's default prompt.
    ///
    /// What a text's embedding is does not depend on the other texts, up to rounding.
    ///
    /// # Errors
    /// A text without tokens; an embedding that is not finite; ONNX Runtime fails.
    pub fn embed(&mut self, texts: &[impl AsRef<str>]) -> Result<Vec<Embedding>> {
        self.embed_with(texts, &EmbedOptions::default())
    }

    /// As [`embed`](Self::embed), with a prompt, fewer dimensions, or other batches.
    ///
    /// # Errors
    /// As [`embed`](Self::embed), and [`Error::Request`] for an option outside its range.
    pub fn embed_with(
        &mut self,
        texts: &[impl AsRef<str>],
        options: &EmbedOptions,
    ) -> Result<Vec<Embedding>> {
        let dimensions = options.check(self.facts.width)?;
        let prompt = self.prompts.text(&options.prompt)?;
        let tokens = self.tokenizer.encode(&prompt, texts)?;
        if let Some(index) = tokens.iter().position(|tokens| tokens.ids.is_empty()) {
            return Err(Error::NoTokens { index });
        }
        let mut order: Vec<usize> = (0..tokens.len()).collect();
        order.sort_by_key(|i| std::cmp::Reverse(tokens[*i].ids.len()));
        let lengths: Vec<usize> = order.iter().map(|i| tokens[*i].ids.len()).collect();
        let mut embeddings: Vec<(usize, Embedding)> = Vec::with_capacity(tokens.len());
        for range in batches(&lengths, options) {
            let rows = &order[range];
            let batch: Vec<&Tokens> = rows.iter().map(|i| &tokens[*i]).collect();
            let vectors = self.run(&batch)?;
            for ((index, row), tokens) in rows.iter().zip(vectors.chunks(self.facts.width)).zip(batch) {
                let embedding = Embedding::scaled(row[..dimensions].to_vec());
                let embedding = embedding.ok_or(Error::NonFinite { index: *index })?;
                embeddings.push((*index, embedding.of_tokens(tokens.ids.len(), tokens.truncated)));
            }
        }
        embeddings.sort_unstable_by_key(|(index, _)| *index);
        Ok(embeddings.into_iter().map(|(_, embedding)| embedding).collect())
    }

    /// Pooled hidden states, not yet of unit length: B texts -> B * D numbers.
    fn run(&mut self, batch: &[&Tokens]) -> Result<Vec<f32>> {
        let ids: Vec<&[i64]> = batch.iter().map(|tokens| tokens.ids.as_slice()).collect();
        let names: Vec<String> = self.session.inputs().map(str::to_owned).collect();
        let tensors = names.iter().map(|name| self.facts.input(name, &ids)).collect::<Result<Vec<_>>>()?;
        let inputs: Vec<_> = names.iter().map(String::as_str).zip(&tensors).collect();
        Ok(self.session.run(&inputs, &["sentence_embedding"])?.remove(0).into_f32())
    }

    /// Width D of embeddings.
    pub fn dimensions(&self) -> usize {
        self.facts.width
    }

    /// Most tokens of a text, special tokens and prompt included; what is longer is cut at its end.
    pub fn max_length(&self) -> usize {
        self.facts.max_length
    }

    /// How hidden states become one vector.
    pub fn pooling(&self) -> Pooling {
        self.facts.pooling
    }

    /// The checkpoint's prompts: names and texts.
    pub fn prompts(&self) -> impl Iterator<Item = (&str, &str)> {
        self.prompts.named.iter().map(|(name, text)| (name.as_str(), text.as_str()))
    }

    /// Where it runs.
    pub fn device(&self) -> Device {
        self.device
    }

    /// Type of weights and activations.
    pub fn precision(&self) -> Precision {
        self.precision
    }
}
