//! Sentence embeddings: BERT-like encoders and Qwen3-Embedding.

mod batches;
mod builder;
mod checkpoint;
mod embedder;
mod model;
mod options;
mod pooling;
#[cfg(test)]
mod tests;
mod tokenize;

pub use builder::EmbedderBuilder;
pub use embedder::Embedder;
pub use options::{EmbedOptions, Prompt};
pub use pooling::Pooling;
