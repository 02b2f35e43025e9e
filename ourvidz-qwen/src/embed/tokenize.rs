use std::path::Path;

use ourvidz_runtime::Error as Runtime;
use tokenizers::{
    EncodeInput, Encoding, InputSequence, PostProcessor, Tokenizer, TruncationDirection, TruncationParams,
    TruncationStrategy,
};

use crate::{Error, Result};

/// Splits texts into tokens as `tokenizer.json` says, special tokens included.
#[derive(Debug)]
pub(super) struct TextTokenizer {
    tokenizer: Tokenizer,
    lowercase: bool,
    special: usize,
}

/// Tokens of one text.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Tokens {
    pub(super) ids: Vec<i64>,
    /// Tokens that did not fit.
    pub(super) truncated: usize,
}

impl TextTokenizer {
    /// `lowercase` makes texts lower case first, whatever the file does.
    pub(super) fn from_folder(folder: &Path, max_length: usize, lowercase: bool) -> Result<TextTokenizer> {
        let path = folder.join("tokenizer.json");
        if !path.is_file() {
            let looked_for = vec![path.display().to_string()];
            return Err(Runtime::NotFound { what: "tokenizer".into(), looked_for }.into());
        }
        let origin = path.display().to_string();
        let mut tokenizer = Tokenizer::from_file(&path).map_err(failed(&origin))?;
        tokenizer.with_padding(None);
        let truncation = TruncationParams {
            direction: TruncationDirection::Right,
            max_length,
            strategy: TruncationStrategy::LongestFirst,
            stride: 0,
        };
        tokenizer.with_truncation(Some(truncation)).map_err(failed(&origin))?;
        let special = tokenizer.get_post_processor().map_or(0, |after| after.added_tokens(false));
        Ok(TextTokenizer { tokenizer, lowercase, special })
    }

    /// Ids there are, those of added tokens included.
    pub(super) fn vocab_size(&self) -> usize {
        self.tokenizer.get_vocab_size(true)
    }

    /// Tokens of each text with `prompt` before it.
    pub(super) fn encode(&self, prompt: &str, texts: &[impl AsRef<str>]) -> Result<Vec<Tokens>> {
        let input = |text: &str| {
            let text = format!("{prompt}{text}");
            let text = if self.lowercase { text.to_lowercase() } else { text };
            EncodeInput::Single(InputSequence::from(text))
        };
        let inputs: Vec<_> = texts.iter().map(|text| input(text.as_ref())).collect();
        let encodings = self.tokenizer.encode_batch_fast(inputs, true).map_err(failed("texts"))?;
        Ok(encodings.iter().map(|encoding| self.tokens(encoding)).collect())
    }

    fn tokens(&self, encoding: &Encoding) -> Tokens {
        let ids = encoding.get_ids().iter().map(|id| i64::from(*id)).collect();
        // The parts that were cut off have special tokens of their own.
        let rest = encoding.get_overflowing().iter();
        let truncated = rest.map(|part| part.get_ids().len().saturating_sub(self.special)).sum();
        Tokens { ids, truncated }
    }
}

fn failed(path: &str) -> impl FnOnce(tokenizers::Error) -> Error {
    let path = path.to_owned();
    move |reason| Error::Tokenizer { path, reason: reason.to_string() }
}
