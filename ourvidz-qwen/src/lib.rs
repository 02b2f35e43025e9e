//! Chat prompts and token sampling for Qwen 2.5: the text before the model and the choice after it.
//!
//! ```
//! use ourvidz_qwen::{ChatTemplate, Message, Sampling};
//!
//! # fn main() -> ourvidz_qwen::Result<()> {
//! # let tokenizer_config = r#"{"chat_template": "{% for m in messages %}<{{ m.role }}>{{ m.content }}{% endfor %}"}"#;
//! let template = ChatTemplate::from_tokenizer_config(tokenizer_config)?;
//! let messages = [Message::system("Be brief."), Message::user("A fox in snow?")];
//! let prompt = template.render(&messages, true)?;
//! assert_eq!(prompt, "<system>Be brief.<user>A fox in snow?");
//! let sampling = Sampling { temperature: 0.0, ..Sampling::default() };
//! let token = sampling.next_token(&mut [0.1, 2.5, -1.0], &[], 0.0)?;
//! assert_eq!(token, 1);
//! # Ok(())
//! # }
//! ```
//!
//! The model itself is not in this version: no tokenizer, no decoder graph, no token loop, no embeddings.
//! Prompts and processed logits are those of transformers for the same template and parameters.
#![forbid(unsafe_code)]

mod bert;
mod chat;
mod decoder;
mod embed;
mod error;
pub mod graphs;
mod sampler;

pub use chat::{ChatTemplate, Message, Role};
pub use decoder::QwenConfig;
pub use embed::{EmbedOptions, Embedder, EmbedderBuilder, Pooling, Prompt};
pub use error::{Error, Result};
pub use ourvidz_runtime::{Device, Embedding, Precision};
pub use sampler::Sampling;
