use std::path::Path;

use ourvidz_runtime::Error as Runtime;
use tokenizers::{EncodeInput, Encoding, InputSequence, Tokenizer};

use crate::{Error, Result};

/// Splits texts into tokens as `tokenizer.json` says, special tokens included.
#[derive(Debug)]
pub(super) struct TextTokenizer {
    tokenizer: Tokenizer,
    lowercase: bool,
    max_length: usize,
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
        tokenizer.with_truncation(None).map_err(failed(&origin))?;
        Ok(TextTokenizer { tokenizer, lowercase, max_length })
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

    /// Cuts the end of the text, not the special tokens behind it.
    fn tokens(&self, encoding: &Encoding) -> Tokens {
        let added = encoding.get_special_tokens_mask();
        let special = added.iter().filter(|mask| **mask == 1).count();
        let room = self.max_length.saturating_sub(special);
        let (mut ids, mut of_text) = (Vec::new(), 0);
        for (id, added) in encoding.get_ids().iter().zip(added) {
            of_text += usize::from(*added != 1);
            if *added == 1 || of_text <= room {
                ids.push(i64::from(*id));
            }
        }
        Tokens { ids, truncated: of_text.saturating_sub(room) }
    }
}

fn failed(path: &str) -> impl FnOnce(tokenizers::Error) -> Error {
    let path = path.to_owned();
    move |reason| Error::Tokenizer { path, reason: reason.to_string() }
}
