use std::ops::ControlFlow;

use crate::decoder::Decoder;
use crate::generate::{Choice, Generated, LanguageModel, Loop};
use crate::{CompleteRequest, QwenPipeline, Result};

/// A continuation with the logits of every position, for comparing and for looking into a model.
#[derive(Debug, Clone, PartialEq)]
pub struct Recorded {
    /// The continuation.
    pub generated: Generated,
    /// Tokens `[T]` of prompt and continuation, without the stop token.
    pub token_ids: Vec<u32>,
    /// Logits [T, V] behind each of them, before sampling changes them.
    pub logits: Vec<f32>,
}

/// Keeps the logits of all tokens that go through.
struct Recorder<'a> {
    decoder: &'a mut Decoder,
    logits: Vec<f32>,
}

impl LanguageModel for Recorder<'_> {
    fn capacity(&self) -> usize {
        self.decoder.capacity()
    }

    fn reset(&mut self) -> Result<()> {
        self.decoder.reset()
    }

    fn next(&mut self, tokens: &[u32], choice: &Choice<'_>) -> Result<u32> {
        let logits = self.decoder.logits(tokens, true)?.into_f32();
        let mut last = logits[logits.len() - self.decoder.config().vocab_size..].to_vec();
        self.logits.extend(logits);
        choice.of_all(&mut last)
    }
}

impl QwenPipeline {
    /// [`complete`](Self::complete), keeping the logits of every position: T * V numbers of f32.
    ///
    /// Logits come to the host for every token, so this is slower.
    ///
    /// # Errors
    /// As `complete`.
    pub fn complete_recorded(
        &mut self,
        request: &CompleteRequest,
        mut on_text: impl FnMut(&str) -> ControlFlow<()>,
    ) -> Result<Recorded> {
        let prompt = self.tokenizer.encode(&request.prompt)?;
        let tokenizer = &self.tokenizer;
        let decode = |tokens: &[u32]| tokenizer.decode(tokens);
        let parts = Loop { decode: &decode, stop_tokens: &self.stop_tokens };
        let mut recorder = Recorder { decoder: &mut self.decoder, logits: vec![] };
        let generated = parts.run(&mut recorder, &prompt, &request.options, &mut on_text)?;
        let token_ids = [prompt, generated.tokens.clone()].concat();
        // The newest token was chosen and not yet run.
        let Recorder { decoder, mut logits } = recorder;
        if decoder.used() < token_ids.len() {
            logits.extend(decoder.logits(&token_ids[decoder.used()..], true)?.into_f32());
        }
        Ok(Recorded { generated, token_ids, logits })
    }

    /// Logits [T, V] of all positions of a text, in one run.
    ///
    /// # Errors
    /// Tokens that the model cannot take; the device fails.
    pub fn logits(&mut self, tokens: &[u32]) -> Result<Vec<f32>> {
        self.logits_in_steps(tokens, &[])
    }

    /// [`logits`](Self::logits) of a text whose last tokens are run one by one, as when they are generated.
    ///
    /// # Errors
    /// As `logits`.
    pub fn logits_in_steps(&mut self, together: &[u32], one_by_one: &[u32]) -> Result<Vec<f32>> {
        self.decoder.reset()?;
        let mut logits = self.decoder.logits(together, true)?.into_f32();
        for token in one_by_one {
            logits.extend(self.decoder.logits(&[*token], true)?.into_f32());
        }
        Ok(logits)
    }
}
