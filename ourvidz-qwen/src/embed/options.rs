use std::collections::BTreeMap;

use crate::{Error, Result};

/// What is put before each text.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub enum Prompt {
    /// The prompt that the checkpoint names as its default; most name none.
    #[default]
    Default,
    /// Nothing.
    None,
    /// One of the checkpoint's prompts by its name, e.g. `query`.
    Named(String),
    /// A task in the words of Qwen3-Embedding: `Instruct: {task}`, a line break, `Query:`. For questions, not for the
    /// documents that answer them.
    Instruction(String),
    /// The text itself. Models of the E5 family want `query: ` before questions and `passage: ` before documents.
    Text(String),
}

/// How texts are embedded.
#[derive(Debug, Clone, PartialEq)]
pub struct EmbedOptions {
    /// What is put before each text.
    pub prompt: Prompt,
    /// Keeps the first numbers of each embedding and scales them to length 1: for models trained that way
    /// (Matryoshka). `None` keeps all.
    pub dimensions: Option<usize>,
    /// Most texts in a run of the model.
    pub batch_size: usize,
    /// Most tokens in a run, padding included; a text that is longer runs alone.
    pub max_batch_tokens: usize,
}

impl Default for EmbedOptions {
    /// The checkpoint's prompt, all dimensions, 32 texts and 16,384 tokens.
    fn default() -> EmbedOptions {
        EmbedOptions { prompt: Prompt::Default, dimensions: None, batch_size: 32, max_batch_tokens: 16_384 }
    }
}

impl EmbedOptions {
    /// Checks the numbers for a model of `width` dimensions, and gives how many are kept.
    pub(super) fn check(&self, width: usize) -> Result<usize> {
        let refuse =
            |field, rule: String, value: usize| Err(Error::Request { field, rule, value: value.to_string() });
        let dimensions = self.dimensions.unwrap_or(width);
        if !(1..=width).contains(&dimensions) {
            return refuse("dimensions", format!("from 1 to {width}, the model's"), dimensions);
        }
        for (field, value) in [("batch_size", self.batch_size), ("max_batch_tokens", self.max_batch_tokens)] {
            if value == 0 {
                return refuse(field, "at least 1".into(), value);
            }
        }
        Ok(dimensions)
    }
}

/// Prompts of a checkpoint.
#[derive(Debug, Clone, Default)]
pub(super) struct Prompts {
    pub(super) named: BTreeMap<String, String>,
    pub(super) default: Option<String>,
}

impl Prompts {
    /// The text that goes before each text.
    pub(super) fn text(&self, prompt: &Prompt) -> Result<String> {
        Ok(match prompt {
            Prompt::None => String::new(),
            Prompt::Default => match &self.default {
                Some(name) => self.named(name)?,
                None => String::new(),
            },
            Prompt::Named(name) => self.named(name)?,
            Prompt::Instruction(task) => format!("Instruct: {task}\nQuery:"),
            Prompt::Text(text) => text.clone(),
        })
    }

    fn named(&self, name: &str) -> Result<String> {
        let known: Vec<&str> = self.named.keys().map(String::as_str).collect();
        let rule = || match known.is_empty() {
            true => "absent: the checkpoint names no prompts".to_owned(),
            false => format!("one of {}", known.join(", ")),
        };
        let refuse = || Error::Request { field: "prompt name", rule: rule(), value: name.to_owned() };
        self.named.get(name).cloned().ok_or_else(refuse)
    }
}
