//! CLIP's byte-pair tokenizer, from a checkpoint's folder or from the vocabulary in this crate.

mod bundled;
mod prompt;

use std::path::Path;

use serde_json::Value;
use tokenizers::models::bpe::{BPE, Merges, Vocab};
use tokenizers::normalizers::{Lowercase, NFC, Replace, Sequence as Normalizers};
use tokenizers::pre_tokenizers::byte_level::ByteLevel;
use tokenizers::pre_tokenizers::sequence::Sequence as PreTokenizers;
use tokenizers::pre_tokenizers::split::{Split, SplitPattern};
use tokenizers::{AddedToken, SplitDelimiterBehavior, Tokenizer};

use crate::{Error, Result};

const START: &str = "<|startoftext|>";
const END: &str = "<|endoftext|>";

/// Splits a prompt into the tokens of CLIP, as transformers' `CLIPTokenizer` does.
#[derive(Debug, Clone)]
pub struct ClipTokenizer {
    tokenizer: Tokenizer,
    start: u32,
    end: u32,
    pad: u32,
}

impl ClipTokenizer {
    /// Reads `vocab.json` and `merges.txt`, or `tokenizer.json`, and the padding token of `tokenizer_config.json` or
    /// `special_tokens_map.json` (default: the end token).
    ///
    /// # Errors
    /// [`Error::Tokenizer`] for damaged files.
    pub fn from_folder(folder: &Path) -> Result<ClipTokenizer> {
        let failed = |reason: String| Error::Tokenizer { path: folder.display().to_string(), reason };
        let (vocab, merges) = (folder.join("vocab.json"), folder.join("merges.txt"));
        let pad = pad_token(folder).unwrap_or_else(|| END.to_owned());
        let tokenizer = if vocab.is_file() && merges.is_file() {
            let (vocab, merges) = BPE::read_file(&vocab.to_string_lossy(), &merges.to_string_lossy())
                .map_err(|e| failed(e.to_string()))?;
            build(vocab, merges, &pad).map_err(failed)?
        } else {
            let file = folder.join("tokenizer.json");
            let mut tokenizer = Tokenizer::from_file(&file)
                .map_err(|e| failed(format!("neither vocab.json with merges.txt nor tokenizer.json: {e}")))?;
            tokenizer.with_padding(None);
            tokenizer.with_truncation(None).map_err(|e| failed(e.to_string()))?;
            tokenizer
        };
        ClipTokenizer::new(tokenizer, &pad).map_err(failed)
    }

    /// CLIP's own vocabulary of 49,408 tokens, which single-file checkpoints leave out.
    ///
    /// # Errors
    /// [`Error::Tokenizer`] for a padding token that is not in the vocabulary.
    pub fn bundled(pad: &str) -> Result<ClipTokenizer> {
        let failed = |reason| Error::Tokenizer { path: "bundled".into(), reason };
        let (vocab, merges) = bundled::vocabulary().map_err(failed)?;
        build(vocab, merges, pad).and_then(|t| ClipTokenizer::new(t, pad)).map_err(failed)
    }

    /// Writes `tokenizer.json` and `tokenizer_config.json`.
    pub(crate) fn save(&self, folder: &Path) -> Result<()> {
        let failed = |reason: String| Error::Tokenizer { path: folder.display().to_string(), reason };
        std::fs::create_dir_all(folder).map_err(|e| failed(e.to_string()))?;
        self.tokenizer.save(folder.join("tokenizer.json"), false).map_err(|e| failed(e.to_string()))?;
        let pad = self.tokenizer.id_to_token(self.pad).unwrap_or_else(|| END.to_owned());
        let config = serde_json::json!({
            "tokenizer_class": "CLIPTokenizer", "bos_token": START, "eos_token": END, "unk_token": END, "pad_token": pad,
        });
        let path = folder.join("tokenizer_config.json");
        std::fs::write(path, format!("{config:#}\n")).map_err(|e| failed(e.to_string()))
    }

    fn new(tokenizer: Tokenizer, pad: &str) -> Result<ClipTokenizer, String> {
        let id = |token: &str| tokenizer.token_to_id(token).ok_or_else(|| format!("has no token {token}"));
        let (start, end, pad) = (id(START)?, id(END)?, id(pad)?);
        Ok(ClipTokenizer { tokenizer, start, end, pad })
    }

    /// Tokens of a text, without start, end and padding.
    ///
    /// # Errors
    /// [`Error::Tokenizer`]
    pub fn encode(&self, text: &str) -> Result<Vec<u32>> {
        let encoding = self
            .tokenizer
            .encode(text, false)
            .map_err(|e| Error::Tokenizer { path: "prompt".into(), reason: e.to_string() })?;
        Ok(encoding.get_ids().to_vec())
    }
}

fn build(vocab: Vocab, merges: Merges, pad: &str) -> Result<Tokenizer, String> {
    // The pattern of transformers' CLIPTokenizer; letters and other signs stay apart, digits stand alone.
    const WORDS: &str =
        r"<\|startoftext\|>|<\|endoftext\|>|'s|'t|'re|'ve|'m|'ll|'d|[\p{L}]+|[\p{N}]|[^\s\p{L}\p{N}]+";
    let text = |e: tokenizers::Error| e.to_string();
    // Added to the vocabulary, a token would get an id beyond the text encoder's table.
    if let Some(token) = [START, END, pad].into_iter().find(|token| !vocab.contains_key(*token)) {
        return Err(format!("has no token {token}"));
    }
    let model = BPE::builder()
        .vocab_and_merges(vocab, merges)
        .unk_token(END.into())
        .continuing_subword_prefix(String::new())
        .end_of_word_suffix("</w>".into())
        .build()
        .map_err(text)?;
    let mut tokenizer = Tokenizer::new(model);
    let spaces = Replace::new(tokenizers::normalizers::replace::ReplacePattern::Regex(r"\s+".into()), " ");
    let normalizers = vec![NFC.into(), spaces.map_err(text)?.into(), Lowercase.into()];
    tokenizer.with_normalizer(Some(Normalizers::new(normalizers))).map_err(text)?;
    let words = Split::new(SplitPattern::Regex(WORDS.into()), SplitDelimiterBehavior::Removed, true);
    let bytes = ByteLevel::new(false, true, true);
    tokenizer.with_pre_tokenizer(Some(PreTokenizers::new(vec![words.map_err(text)?.into(), bytes.into()])));
    // The padding token is special too: text encoder 2 pads with `!`, so that every `!` of a prompt is that token.
    // As in the published folders, start and end are found in any case, the padding token (added last) as it is.
    let special = [(START, true), (END, true), (pad, false)];
    let special = special.map(|(token, any_case)| AddedToken::from(token, true).normalized(any_case));
    tokenizer.add_special_tokens(special).map_err(text)?;
    Ok(tokenizer)
}

fn pad_token(folder: &Path) -> Option<String> {
    ["tokenizer_config.json", "special_tokens_map.json"].iter().find_map(|name| {
        let text = std::fs::read_to_string(folder.join(name)).ok()?;
        let json: Value = serde_json::from_str(&text).ok()?;
        let pad = json.get("pad_token")?;
        pad.as_str().or_else(|| pad.get("content")?.as_str()).map(str::to_owned)
    })
}
