//! The token loop: from a prompt's tokens to text, one token at a time.

mod stream;
#[cfg(test)]
mod tests;

use std::ops::ControlFlow;
use std::time::{Duration, Instant};

use rand::rngs::StdRng;
use rand::{Rng, SeedableRng};

use crate::sampler::Sampling;
use crate::{Error, Result};
use stream::TextStream;

/// A model that continues a text: [`graphs::Decoder`](crate::graphs::Decoder), or a fake in tests.
pub trait LanguageModel {
    /// Tokens that prompt and answer may have together.
    fn capacity(&self) -> usize;

    /// Forgets all tokens.
    ///
    /// # Errors
    /// The device fails.
    fn reset(&mut self) -> Result<()>;

    /// Appends tokens behind those of the calls before, and chooses the token that follows them.
    ///
    /// # Errors
    /// Tokens that the model does not have; the device fails.
    fn next(&mut self, tokens: &[u32], choice: &Choice<'_>) -> Result<u32>;
}

/// How one token is chosen.
#[derive(Debug, Clone, Copy)]
pub struct Choice<'a> {
    /// The rule.
    pub sampling: &'a Sampling,
    /// The tokens so far, prompt included.
    pub previous: &'a [u32],
    /// From 0 up to but not including 1.
    pub random: f64,
}

impl Choice<'_> {
    /// True where the token of the highest logit is taken, whatever came before.
    pub fn takes_likeliest(&self) -> bool {
        self.sampling.temperature == 0.0 && self.sampling.repetition_penalty == 1.0
    }

    /// Chooses from the logits of the whole vocabulary, which are left processed.
    ///
    /// # Errors
    /// As [`Sampling::next_token`].
    pub fn of_all(&self, logits: &mut [f32]) -> Result<u32> {
        self.sampling.next_token(logits, self.previous, self.random)
    }

    /// Chooses from the highest logits alone, given with their tokens, or gives nothing where the others matter.
    ///
    /// # Errors
    /// As [`Sampling::next_token`].
    pub fn of_top(&self, logits: &[f32], tokens: &[u32]) -> Result<Option<u32>> {
        self.sampling.next_token_of_top(logits, tokens, self.previous, self.random)
    }
}

/// When generating ends, and how tokens are chosen.
#[derive(Debug, Clone, PartialEq)]
pub struct GenerateOptions {
    /// Tokens at most.
    pub max_new_tokens: usize,
    /// How each is chosen.
    pub sampling: Sampling,
    /// The same seed gives the same text. `None`: one is drawn and reported.
    pub seed: Option<u64>,
    /// Texts that end the answer and are not part of it.
    pub stop: Vec<String>,
    /// Time for the whole answer, prompt included.
    pub deadline: Option<Duration>,
}

impl Default for GenerateOptions {
    fn default() -> GenerateOptions {
        GenerateOptions {
            max_new_tokens: 512,
            sampling: Sampling::default(),
            seed: None,
            stop: vec![],
            deadline: None,
        }
    }
}

impl GenerateOptions {
    /// Checks the fields.
    ///
    /// # Errors
    /// [`Error::Sampling`], [`Error::Request`] by the field's name.
    pub fn validate(&self) -> Result<()> {
        self.sampling.check()?;
        if self.max_new_tokens == 0 {
            return Err(Error::Request {
                field: "max_new_tokens",
                rule: "at least 1".into(),
                value: "0".into(),
            });
        }
        if self.stop.iter().any(String::is_empty) {
            let rule = "texts of at least one character".into();
            return Err(Error::Request { field: "stop", rule, value: "an empty one".into() });
        }
        Ok(())
    }
}

/// Why an answer ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum FinishReason {
    /// The model ended it, by a stop token.
    StopToken,
    /// A stop text appeared.
    StopText,
    /// `max_new_tokens` are there.
    MaxNewTokens,
    /// The cache is full.
    Capacity,
    /// The caller's function said so.
    Cancelled,
    /// The time was over.
    Deadline,
}

impl FinishReason {
    /// `stop_token`, `stop_text`, `max_new_tokens`, `capacity`, `cancelled` or `deadline`.
    pub fn as_str(self) -> &'static str {
        match self {
            FinishReason::StopToken => "stop_token",
            FinishReason::StopText => "stop_text",
            FinishReason::MaxNewTokens => "max_new_tokens",
            FinishReason::Capacity => "capacity",
            FinishReason::Cancelled => "cancelled",
            FinishReason::Deadline => "deadline",
        }
    }
}

/// An answer.
#[derive(Debug, Clone, PartialEq)]
pub struct Generated {
    /// Its text, without special tokens and without the stop text.
    pub text: String,
    /// Its tokens, without the stop token.
    pub tokens: Vec<u32>,
    /// Why it ended.
    pub finish_reason: FinishReason,
    /// The seed that makes it again.
    pub seed: u64,
    /// Tokens of the prompt.
    pub prompt_tokens: usize,
    /// Seconds until the first token.
    pub first_token_seconds: f64,
    /// Seconds in all.
    pub seconds: f64,
}

/// What the loop needs beside the model.
pub struct Loop<'a> {
    /// Text of tokens, special ones left out.
    pub decode: &'a dyn Fn(&[u32]) -> Result<String>,
    /// Tokens that end an answer.
    pub stop_tokens: &'a [u32],
}

impl std::fmt::Debug for Loop<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Loop").field("stop_tokens", &self.stop_tokens).finish_non_exhaustive()
    }
}

impl Loop<'_> {
    /// Continues `prompt` and hands out the text as it grows, by whole characters, never part of a stop text.
    ///
    /// `on_text` is called after each token, with an empty text where no character became whole; breaking ends the
    /// answer after that token.
    ///
    /// # Errors
    /// Options outside their rules; a prompt that is empty or fills the model; the model fails.
    pub fn run(
        &self,
        model: &mut dyn LanguageModel,
        prompt: &[u32],
        options: &GenerateOptions,
        on_text: &mut dyn FnMut(&str) -> ControlFlow<()>,
    ) -> Result<Generated> {
        options.validate()?;
        let (start, capacity) = (Instant::now(), model.capacity());
        if prompt.is_empty() || prompt.len() >= capacity {
            let rule = format!("from 1 to {} tokens", capacity.saturating_sub(1));
            return Err(Error::Request { field: "prompt", rule, value: prompt.len().to_string() });
        }
        let seed = options.seed.unwrap_or_else(rand::random);
        let mut random = StdRng::seed_from_u64(seed);
        let mut text = TextStream::new(self.decode, &options.stop);
        let mut all = prompt.to_vec();
        let mut first = None;
        model.reset()?;
        let finish_reason = loop {
            if options.deadline.is_some_and(|limit| start.elapsed() >= limit) {
                break FinishReason::Deadline;
            }
            let new = if first.is_none() { &all[..] } else { &all[all.len() - 1..] };
            let choice = Choice { sampling: &options.sampling, previous: &all, random: random.random() };
            let token = model.next(new, &choice)?;
            first.get_or_insert_with(|| start.elapsed().as_secs_f64());
            if self.stop_tokens.contains(&token) {
                break FinishReason::StopToken;
            }
            all.push(token);
            let piece = text.push(token)?;
            if on_text(&piece).is_break() {
                break FinishReason::Cancelled;
            }
            if text.stopped() {
                break FinishReason::StopText;
            }
            if all.len() - prompt.len() == options.max_new_tokens {
                break FinishReason::MaxNewTokens;
            }
            if all.len() >= capacity {
                break FinishReason::Capacity;
            }
        };
        let rest = text.finish()?;
        if !rest.is_empty() && finish_reason != FinishReason::Cancelled {
            // The answer is over; whether more is wanted no longer matters.
            let _ = on_text(&rest);
        }
        Ok(Generated {
            text: text.into_text(),
            tokens: all.split_off(prompt.len()),
            finish_reason,
            seed,
            prompt_tokens: prompt.len(),
            first_token_seconds: first.unwrap_or_else(|| start.elapsed().as_secs_f64()),
            seconds: start.elapsed().as_secs_f64(),
        })
    }
}
