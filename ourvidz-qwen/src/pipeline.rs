use std::ops::ControlFlow;
use std::path::PathBuf;

use ourvidz_runtime::{Device, Precision};

use crate::builder::{QwenPipelineBuilder, WeightType};
use crate::decoder::Decoder;
use crate::fit::{self, Cut};
use crate::generate::{GenerateOptions, Generated, LanguageModel, Loop};
use crate::tokenizer::QwenTokenizer;
use crate::{ChatTemplate, EnhanceStyle, Error, Message, QwenConfig, RenderOptions, Result, Sampling};

/// A language model with its tokenizer. Synchronous; one thread owns it.
#[derive(Debug)]
pub struct QwenPipeline {
    pub(crate) decoder: Decoder,
    pub(crate) tokenizer: QwenTokenizer,
    pub(crate) template: Option<ChatTemplate>,
    pub(crate) stop_tokens: Vec<u32>,
    pub(crate) name: String,
    pub(crate) style: EnhanceStyle,
    pub(crate) device: Device,
    pub(crate) precision: Precision,
    pub(crate) weights: WeightType,
}

/// A conversation to be answered.
#[derive(Debug, Clone, PartialEq)]
pub struct ChatRequest {
    /// A system message or none, then user and assistant in turn, the user last.
    pub messages: Vec<Message>,
    /// Whether the model thinks before it answers, of models that can do both (Qwen3); `None` leaves it to the
    /// checkpoint's template.
    pub enable_thinking: Option<bool>,
    /// When the answer ends, and how its tokens are chosen.
    pub options: GenerateOptions,
}

impl ChatRequest {
    /// At most 512 tokens at temperature 0.7 and top-p 0.9, with a repetition penalty of 1.1.
    pub fn new(messages: Vec<Message>) -> ChatRequest {
        let sampling = Sampling { temperature: 0.7, top_k: Some(20), top_p: 0.9, repetition_penalty: 1.1 };
        let options = GenerateOptions { sampling, ..GenerateOptions::default() };
        ChatRequest { messages, enable_thinking: None, options }
    }
}

/// An answer in a conversation.
#[derive(Debug, Clone, PartialEq)]
pub struct ChatReply {
    /// What the model says.
    pub generated: Generated,
    /// What was left out of the conversation because it did not fit; nothing where all did.
    pub cut: Option<Cut>,
}

/// A text to be continued as it is, without a template.
#[derive(Debug, Clone, PartialEq)]
pub struct CompleteRequest {
    /// The text. Special tokens may be written out in it.
    pub prompt: String,
    /// When it ends, and how tokens are chosen.
    pub options: GenerateOptions,
}

impl CompleteRequest {
    /// At most 512 tokens, sampled as Qwen2.5-Instruct's `generation_config.json` says.
    pub fn new(prompt: impl Into<String>) -> CompleteRequest {
        CompleteRequest { prompt: prompt.into(), options: GenerateOptions::default() }
    }
}

/// Goes on, whatever comes.
fn on(_: &str) -> ControlFlow<()> {
    ControlFlow::Continue(())
}

impl QwenPipeline {
    /// A checkpoint's folder: `config.json`, `model.safetensors` or its shards, `tokenizer.json`, and where they are
    /// there `tokenizer_config.json`, `chat_template.jinja` and `generation_config.json`.
    pub fn builder(folder: impl Into<PathBuf>) -> QwenPipelineBuilder {
        QwenPipelineBuilder::new(folder)
    }

    /// Answers a conversation.
    ///
    /// # Errors
    /// A request outside its rules; a checkpoint without a chat template; the device fails.
    pub fn chat(&mut self, request: &ChatRequest) -> Result<ChatReply> {
        self.chat_with(request, on)
    }

    /// [`chat`](Self::chat), handing out the text as it grows; breaking ends the answer.
    ///
    /// # Errors
    /// As `chat`.
    pub fn chat_with(
        &mut self,
        request: &ChatRequest,
        mut on_text: impl FnMut(&str) -> ControlFlow<()>,
    ) -> Result<ChatReply> {
        request.options.validate()?;
        let room = self.room(&request.options)?;
        let template = self.template.as_ref().ok_or(Error::NoTemplate)?;
        let (tokenizer, messages) = (&self.tokenizer, &request.messages);
        let asked = RenderOptions { add_generation_prompt: true, enable_thinking: request.enable_thinking };
        let (tokens, cut) = fit::messages(messages, room, &mut |messages| {
            tokenizer.encode(&template.render(messages, asked)?)
        })?;
        let generated = self.generate(&tokens, &request.options, &mut on_text)?;
        Ok(ChatReply { generated, cut })
    }

    /// Continues a text.
    ///
    /// # Errors
    /// A request outside its rules, a prompt that does not fit; the device fails.
    pub fn complete(&mut self, request: &CompleteRequest) -> Result<Generated> {
        self.complete_with(request, on)
    }

    /// [`complete`](Self::complete), handing out the text as it grows; breaking ends it.
    ///
    /// # Errors
    /// As `complete`.
    pub fn complete_with(
        &mut self,
        request: &CompleteRequest,
        mut on_text: impl FnMut(&str) -> ControlFlow<()>,
    ) -> Result<Generated> {
        let tokens = self.tokenizer.encode(&request.prompt)?;
        self.generate(&tokens, &request.options, &mut on_text)
    }

    /// Continues tokens.
    ///
    /// # Errors
    /// As `complete`.
    pub fn generate(
        &mut self,
        prompt: &[u32],
        options: &GenerateOptions,
        on_text: &mut dyn FnMut(&str) -> ControlFlow<()>,
    ) -> Result<Generated> {
        let tokenizer = &self.tokenizer;
        let decode = |tokens: &[u32]| tokenizer.decode(tokens);
        let parts = Loop { decode: &decode, stop_tokens: &self.stop_tokens };
        parts.run(&mut self.decoder, prompt, options, on_text)
    }

    /// Tokens that a prompt may have beside the answer.
    pub(crate) fn room(&self, options: &GenerateOptions) -> Result<usize> {
        let capacity = self.decoder.capacity();
        match capacity.checked_sub(options.max_new_tokens) {
            Some(room) if room > 0 => Ok(room),
            _ => {
                let rule = format!("less than {capacity}, the tokens of prompt and answer together");
                let value = options.max_new_tokens.to_string();
                Err(Error::Request { field: "max_new_tokens", rule, value })
            }
        }
    }

    /// The tokenizer.
    pub fn tokenizer(&self) -> &QwenTokenizer {
        &self.tokenizer
    }

    /// Configuration of the model.
    pub fn config(&self) -> &QwenConfig {
        self.decoder.config()
    }

    /// True where the checkpoint has a chat template.
    pub fn has_chat_template(&self) -> bool {
        self.template.is_some()
    }

    /// Name of the checkpoint: of its folder, or of the repository where that is a snapshot in a Hugging Face cache.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// Tokens that prompt and answer may have together.
    pub fn capacity(&self) -> usize {
        self.decoder.capacity()
    }

    /// Where it runs.
    pub fn device(&self) -> Device {
        self.device
    }

    /// Type that the model computes in.
    pub fn precision(&self) -> Precision {
        self.precision
    }

    /// Type of the weights.
    pub fn weights(&self) -> WeightType {
        self.weights
    }
}
