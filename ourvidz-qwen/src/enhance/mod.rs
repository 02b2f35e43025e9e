//! Short prompts into detailed ones.

mod templates;
#[cfg(test)]
mod tests;

use std::ops::ControlFlow;
use std::time::{Duration, Instant};

use crate::fit::Cut;
use crate::generate::{FinishReason, GenerateOptions, Generated};
use crate::{ChatRequest, Error, Message, QwenPipeline, Result, Sampling};

pub use templates::{EnhanceStyle, PromptTarget};

/// A prompt to be enhanced.
#[derive(Debug, Clone, PartialEq)]
pub struct EnhancePrompt {
    /// As the user wrote it.
    pub prompt: String,
    /// What it is for; chooses the template.
    pub target: PromptTarget,
    /// Instructions instead of the template's, where they are not blank.
    pub system_prompt: String,
    /// How the model is asked. `None`: as the pipeline was built to ([`QwenPipelineBuilder::enhance_style`]).
    ///
    /// [`QwenPipelineBuilder::enhance_style`]: crate::QwenPipelineBuilder::enhance_style
    pub style: Option<EnhanceStyle>,
    /// Tokens of the answer at most.
    pub max_new_tokens: usize,
    /// How they are chosen.
    pub sampling: Sampling,
    /// Seed of the first attempt; the next has the seed after it. `None`: drawn.
    pub seed: Option<u64>,
    /// Time for all attempts.
    pub deadline: Duration,
    /// Attempts at most.
    pub attempts: usize,
}

impl EnhancePrompt {
    /// For an image model: at most 150 tokens at temperature 0.7, top-p 0.9, top-k 40, with a repetition penalty of
    /// 1.1; two attempts in 60 seconds.
    pub fn new(prompt: impl Into<String>) -> EnhancePrompt {
        EnhancePrompt {
            prompt: prompt.into(),
            target: PromptTarget::Image,
            system_prompt: String::new(),
            style: None,
            max_new_tokens: 150,
            sampling: Sampling { temperature: 0.7, top_k: Some(40), top_p: 0.9, repetition_penalty: 1.1 },
            seed: None,
            deadline: Duration::from_secs(60),
            attempts: 2,
        }
    }

    /// Checks the fields.
    ///
    /// # Errors
    /// [`Error::Request`], [`Error::Sampling`] by the field's name.
    pub fn validate(&self) -> Result<()> {
        let refuse = |field, rule: &str, value: &str| {
            Err(Error::Request { field, rule: rule.into(), value: value.into() })
        };
        if self.prompt.trim().is_empty() {
            return refuse("prompt", "a text that is not blank", "a blank one");
        }
        if self.attempts == 0 {
            return refuse("attempts", "at least 1", "0");
        }
        self.options(0, self.deadline, EnhanceStyle::Instruct).validate()
    }

    fn options(&self, attempt: u64, deadline: Duration, style: EnhanceStyle) -> GenerateOptions {
        GenerateOptions {
            max_new_tokens: self.max_new_tokens,
            sampling: self.sampling,
            seed: self.seed.map(|seed| seed.wrapping_add(attempt)),
            stop: templates::stop(style),
            deadline: Some(deadline),
        }
    }

    fn instructions(&self, style: EnhanceStyle) -> &str {
        match self.system_prompt.trim() {
            "" => templates::instructions(style, self.target),
            given => given,
        }
    }
}

/// Where an enhanced prompt comes from.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum EnhancementSource {
    /// The model, asked by the chat template.
    Instruct,
    /// The model, given a text to continue.
    Base,
    /// The user: no attempt gave a prompt.
    Original,
}

impl EnhancementSource {
    /// As callbacks name it: `qwen_instruct`, `qwen_base` or `original`.
    pub fn as_str(self) -> &'static str {
        match self {
            EnhancementSource::Instruct => "qwen_instruct",
            EnhancementSource::Base => "qwen_base",
            EnhancementSource::Original => "original",
        }
    }
}

/// What became of a prompt.
#[derive(Debug, Clone, PartialEq)]
pub struct Enhanced {
    /// The detailed prompt, or the original one where `source` says so.
    pub prompt: String,
    /// Where it comes from.
    pub source: EnhancementSource,
    /// Seconds of all attempts.
    pub seconds: f64,
    /// Attempts that were made.
    pub attempts: usize,
    /// Seed of the attempt that gave the prompt.
    pub seed: Option<u64>,
    /// Tokens that were generated, in all attempts.
    pub tokens: usize,
    /// Why the original was kept, or why an attempt before failed.
    pub failure: Option<String>,
    /// What was left out of a prompt that was too long for the model.
    pub cut: Option<Cut>,
}

impl std::fmt::Display for Enhanced {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(&self.prompt)
    }
}

impl QwenPipeline {
    /// Makes a short prompt a detailed one, or keeps it and says why.
    ///
    /// # Errors
    /// A request outside its rules. A model that fails, answers nothing of use, or takes too long is no error: the
    /// result holds the original prompt, and `failure` says what happened.
    pub fn enhance_prompt(&mut self, request: &EnhancePrompt) -> Result<Enhanced> {
        self.enhance_prompt_with(request, |_| ControlFlow::Continue(()))
    }

    /// [`enhance_prompt`](Self::enhance_prompt), handing out the text of each attempt as it grows; breaking keeps the
    /// original.
    ///
    /// # Errors
    /// As `enhance_prompt`.
    pub fn enhance_prompt_with(
        &mut self,
        request: &EnhancePrompt,
        mut on_text: impl FnMut(&str) -> ControlFlow<()>,
    ) -> Result<Enhanced> {
        request.validate()?;
        let style = request.style.unwrap_or(self.style);
        if style == EnhanceStyle::Instruct && !self.has_chat_template() {
            return Err(Error::NoTemplate);
        }
        self.room(&request.options(0, request.deadline, style))?;
        attempts(request, style, &mut |options| self.attempt(request, style, options, &mut on_text))
    }

    fn attempt(
        &mut self,
        request: &EnhancePrompt,
        style: EnhanceStyle,
        options: &GenerateOptions,
        on_text: &mut dyn FnMut(&str) -> ControlFlow<()>,
    ) -> Result<(Generated, Option<Cut>)> {
        let instructions = request.instructions(style).to_owned();
        let prompt = request.prompt.trim();
        if style == EnhanceStyle::Instruct {
            let messages = vec![Message::system(instructions), Message::user(prompt)];
            // Thoughts would take the place of the answer.
            let chat = ChatRequest { messages, enable_thinking: Some(false), options: options.clone() };
            let reply = self.chat_with(&chat, on_text)?;
            return Ok((reply.generated, reply.cut));
        }
        let room = self.room(options)?;
        let tokenizer = &self.tokenizer;
        let (tokens, cut) = crate::fit::messages(&[Message::user(prompt)], room, &mut |messages| {
            let prompt = messages.first().map_or("", |message| &message.content);
            tokenizer.encode(&templates::to_continue(&instructions, prompt))
        })?;
        Ok((self.generate(&tokens, options, on_text)?, cut))
    }
}

/// What one attempt gave, and what was left out of the prompt.
type Attempt = (Generated, Option<Cut>);

/// Up to `request.attempts` calls of `attempt`, until one gives a prompt or the time is over.
fn attempts(
    request: &EnhancePrompt,
    style: EnhanceStyle,
    attempt: &mut dyn FnMut(&GenerateOptions) -> Result<Attempt>,
) -> Result<Enhanced> {
    let start = Instant::now();
    let mut enhanced = Enhanced {
        prompt: request.prompt.clone(),
        source: EnhancementSource::Original,
        seconds: 0.0,
        attempts: 0,
        seed: None,
        tokens: 0,
        failure: None,
        cut: None,
    };
    for number in 0..request.attempts as u64 {
        let left = request.deadline.saturating_sub(start.elapsed());
        if left.is_zero() {
            enhanced.failure = Some(too_late(request));
            break;
        }
        enhanced.attempts += 1;
        let failure = match attempt(&request.options(number, left, style)) {
            Ok((generated, cut)) => {
                enhanced.tokens += generated.tokens.len();
                match (generated.finish_reason, templates::accepted(&generated.text)) {
                    (FinishReason::Cancelled, _) => {
                        enhanced.failure = Some("cancelled".into());
                        break;
                    }
                    (FinishReason::Deadline, _) => too_late(request),
                    (_, Err(failure)) => failure,
                    (_, Ok(prompt)) => {
                        enhanced.prompt = prompt;
                        enhanced.seed = Some(generated.seed);
                        enhanced.cut = cut;
                        enhanced.source = match style {
                            EnhanceStyle::Instruct => EnhancementSource::Instruct,
                            EnhanceStyle::Base => EnhancementSource::Base,
                        };
                        break;
                    }
                }
            }
            Err(error) => chain(&error),
        };
        enhanced.failure = Some(failure);
    }
    enhanced.seconds = start.elapsed().as_secs_f64();
    Ok(enhanced)
}

fn too_late(request: &EnhancePrompt) -> String {
    format!("no answer within {} s", request.deadline.as_secs_f64())
}

/// An error with its causes, in one line.
fn chain(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut source = error.source();
    while let Some(cause) = source {
        text = format!("{text}: {cause}");
        source = cause.source();
    }
    text
}
