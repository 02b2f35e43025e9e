//! Qwen 2.5 and 3 on ONNX Runtime: prompts enhanced, conversations answered, texts continued.
//!
//! ```no_run
//! use ourvidz_qwen::{Device, EnhancePrompt, QwenPipeline};
//!
//! fn main() -> ourvidz_qwen::Result<()> {
//!     let mut qwen = QwenPipeline::builder("models/Qwen2.5-7B-Instruct").device(Device::Cuda(0)).load()?;
//!     let request = EnhancePrompt {
//!         system_prompt: "Rewrite the prompt for an image model. Add light, lens and mood.".into(),
//!         max_new_tokens: 120,
//!         ..EnhancePrompt::new("fox in snow")
//!     };
//!     println!("{}", qwen.enhance_prompt(&request)?);
//!     Ok(())
//! }
//! ```
//!
//! The graph is built in Rust from the checkpoint's folder; no export step, no Python. Logits, prompts and processed
//! logits are those of transformers. A pipeline is synchronous and belongs to one thread; keys and values of the text
//! so far stay on its device.
#![forbid(unsafe_code)]

mod bert;
mod builder;
mod chat;
mod checkpoint;
mod decoder;
mod embed;
mod enhance;
mod error;
mod fit;
mod generate;
pub mod graphs;
mod pipeline;
mod recorded;
mod sampler;
mod tokenizer;

pub use builder::{QwenPipelineBuilder, WeightType};
pub use chat::{ChatTemplate, Message, RenderOptions, Role};
pub use decoder::QwenConfig;
pub use embed::{EmbedOptions, Embedder, EmbedderBuilder, Pooling, Prompt};
pub use enhance::{EnhancePrompt, EnhanceStyle, Enhanced, EnhancementSource, PromptTarget};
pub use error::{Error, Result};
pub use fit::Cut;
pub use generate::{Choice, FinishReason, GenerateOptions, Generated, LanguageModel, Loop};
pub use ourvidz_runtime::{Device, Embedding, LoadProgress, Precision};
pub use pipeline::{ChatReply, ChatRequest, CompleteRequest, QwenPipeline};
pub use recorded::Recorded;
pub use sampler::Sampling;
pub use tokenizer::QwenTokenizer;
