//! umT5's tokenizer, and what is done to a prompt before it.

mod clean;
mod spiece;
#[cfg(test)]
mod tests;

use std::path::Path;

use ourvidz_runtime::Error as Runtime;
use tokenizers::Tokenizer;

use crate::{Error, Result};

pub use clean::prompt_clean;

const END: &str = "</s>";

/// Splits a prompt into the tokens of umT5, as transformers' `T5TokenizerFast` does with the published files.
#[derive(Debug, Clone)]
pub struct Umt5Tokenizer {
    tokenizer: Tokenizer,
    end: u32,
}

/// Tokens of a prompt.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Tokens {
    /// Ids, the last of which is the end token's.
    pub ids: Vec<i64>,
    /// What did not fit, from the first token left out to the end of the text; nothing where all did.
    pub cut: Option<String>,
}

impl Umt5Tokenizer {
    /// Reads `tokenizer.json`, or `spiece.model` where there is no such file.
    ///
    /// Both give the same tokens, but that `spiece.model` does not know `<extra_id_0>` and its like, which then are
    /// ordinary text.
    ///
    /// # Errors
    /// [`Runtime::NotFound`] with both names; [`Error::Tokenizer`] for a damaged file, or one without `</s>`.
    pub fn from_folder(folder: &Path) -> Result<Umt5Tokenizer> {
        let (json, pieces) = (folder.join("tokenizer.json"), folder.join("spiece.model"));
        let origin = |path: &Path| path.display().to_string();
        if json.is_file() {
            let mut tokenizer = Tokenizer::from_file(&json).map_err(failed(&origin(&json)))?;
            tokenizer.with_padding(None);
            tokenizer.with_truncation(None).map_err(failed(&origin(&json)))?;
            return Umt5Tokenizer::new(tokenizer, &origin(&json));
        }
        if pieces.is_file() {
            let bytes = std::fs::read(&pieces).map_err(|source| Runtime::Io {
                path: pieces.clone(),
                what: "reading".into(),
                source,
            })?;
            return Umt5Tokenizer::from_sentencepiece(&bytes, &origin(&pieces));
        }
        let looked_for = vec![origin(&json), origin(&pieces)];
        Err(Runtime::NotFound { what: "tokenizer of umT5".into(), looked_for }.into())
    }

    /// Reads the bytes of a sentencepiece model, e.g. of the tensor `spiece_model` in repackaged files. `origin` names
    /// them in errors.
    ///
    /// # Errors
    /// [`Error::Tokenizer`] for bytes that are no unigram model, or one without `</s>`.
    pub fn from_sentencepiece(bytes: &[u8], origin: &str) -> Result<Umt5Tokenizer> {
        Umt5Tokenizer::new(spiece::tokenizer(bytes).map_err(failed(origin))?, origin)
    }

    fn new(tokenizer: Tokenizer, origin: &str) -> Result<Umt5Tokenizer> {
        let end =
            tokenizer.token_to_id(END).ok_or_else(|| failed(origin)(format!("has no token {END}").into()))?;
        Ok(Umt5Tokenizer { tokenizer, end })
    }

    /// Tokens there are; their ids are below this.
    pub fn vocab_size(&self) -> usize {
        self.tokenizer.get_vocab_size(true)
    }

    /// Tokens of a text that [`prompt_clean`] has cleaned, at most `max_length` with the end token, and what was cut.
    ///
    /// # Errors
    /// [`Error::Input`] where not even the end token fits; [`Error::Tokenizer`].
    pub fn encode(&self, text: &str, max_length: usize) -> Result<Tokens> {
        let Some(room) = max_length.checked_sub(1) else {
            let (rule, value) = ("at least 1".into(), max_length.to_string());
            return Err(Error::Input { input: "max_sequence_length", rule, value });
        };
        let encoding = self.tokenizer.encode(text, false).map_err(failed("prompt"))?;
        let ids = encoding.get_ids();
        let first_cut = encoding.get_offsets().get(room).map(|(start, _)| *start);
        let cut = first_cut.map(|start| text.get(start..).unwrap_or_default().to_owned());
        let kept = ids.iter().take(room).chain([&self.end]);
        Ok(Tokens { ids: kept.copied().map(i64::from).collect(), cut })
    }
}

fn failed(path: &str) -> impl FnOnce(tokenizers::Error) -> Error {
    let path = path.to_owned();
    move |reason| Error::Tokenizer { path, reason: reason.to_string() }
}
