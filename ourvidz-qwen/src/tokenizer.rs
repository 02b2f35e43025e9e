use std::path::Path;

use ourvidz_runtime::Error as Runtime;
use tokenizers::Tokenizer;

use crate::{Error, Result};

/// Splits text into the tokens of `tokenizer.json`, as transformers' `Qwen2Tokenizer` does with the same file.
#[derive(Debug, Clone)]
pub struct QwenTokenizer {
    tokenizer: Tokenizer,
    origin: String,
}

impl QwenTokenizer {
    /// Reads `tokenizer.json`; its padding and truncation are left out.
    ///
    /// # Errors
    /// [`Runtime::NotFound`], and [`Error::Tokenizer`] for a damaged file.
    pub fn from_folder(folder: &Path) -> Result<QwenTokenizer> {
        let path = folder.join("tokenizer.json");
        let origin = path.display().to_string();
        if !path.is_file() {
            return Err(Runtime::NotFound { what: "tokenizer".into(), looked_for: vec![origin] }.into());
        }
        let mut tokenizer = Tokenizer::from_file(&path).map_err(failed(&origin))?;
        tokenizer.with_padding(None);
        tokenizer.with_truncation(None).map_err(failed(&origin))?;
        Ok(QwenTokenizer { tokenizer, origin })
    }

    /// Tokens of a text; `<|im_start|>` and its like in it are the special tokens.
    ///
    /// # Errors
    /// [`Error::Tokenizer`]
    pub fn encode(&self, text: &str) -> Result<Vec<u32>> {
        let encoding = self.tokenizer.encode_fast(text, false).map_err(failed(&self.origin))?;
        Ok(encoding.get_ids().to_vec())
    }

    /// Text of tokens without the special ones; U+FFFD for bytes that are no text.
    ///
    /// # Errors
    /// [`Error::Tokenizer`]
    pub fn decode(&self, tokens: &[u32]) -> Result<String> {
        self.tokenizer.decode(tokens, true).map_err(failed(&self.origin))
    }

    /// Id of a token by its text, e.g. `<|im_end|>`.
    pub fn id_of(&self, token: &str) -> Option<u32> {
        self.tokenizer.token_to_id(token)
    }
}

fn failed(path: &str) -> impl FnOnce(tokenizers::Error) -> Error {
    let path = path.to_owned();
    move |reason| Error::Tokenizer { path, reason: reason.to_string() }
}
