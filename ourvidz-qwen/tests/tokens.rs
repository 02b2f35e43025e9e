//! Tokens of 2,000 texts in many scripts against `AutoTokenizer` of transformers 5.17.0, with the same files; made by
//! `scripts/goldens/qwen_tiny.py`.

mod common;

use std::fs::File;

use anyhow::{Result, ensure};
use flate2::read::GzDecoder;
use ourvidz_qwen::QwenTokenizer;
use serde::Deserialize;
use unicode_normalization::UnicodeNormalization;

#[derive(Deserialize)]
struct Texts {
    texts: Vec<String>,
    ids: Vec<Vec<u32>>,
}

#[test]
fn ids_equal_transformers() -> Result<()> {
    let file = File::open(common::folder("tokens.json.gz"))?;
    let golden: Texts = serde_json::from_reader(GzDecoder::new(file))?;
    ensure!(golden.texts.len() == 2000 && golden.ids.len() == 2000);
    let tokenizer = QwenTokenizer::from_folder(&common::folder("qwen3"))?;
    let mut special = 0;
    for (text, ids) in golden.texts.iter().zip(&golden.ids) {
        let found = tokenizer.encode(text)?;
        ensure!(found == *ids, "{text:?}: {found:?}, expected {ids:?}");
        // Nothing is lost but the form of composed characters, and special tokens.
        if ids.iter().all(|id| *id < 500) {
            let composed: String = text.nfc().collect();
            ensure!(tokenizer.decode(&found)? == composed, "{text:?}");
        } else {
            special += 1;
        }
    }
    ensure!(special > 200, "{special} texts with special tokens");
    Ok(())
}

#[test]
fn files_that_are_not_there_or_damaged_are_named() -> Result<()> {
    let folder = tempfile::tempdir()?;
    let error = QwenTokenizer::from_folder(folder.path()).err().map(|e| e.to_string()).unwrap_or_default();
    ensure!(error.starts_with("tokenizer not found") && error.contains("tokenizer.json"), "{error}");
    std::fs::write(folder.path().join("tokenizer.json"), "{}")?;
    let error = QwenTokenizer::from_folder(folder.path()).err().map(|e| e.to_string()).unwrap_or_default();
    ensure!(error.starts_with("tokenizer of ") && error.contains("tokenizer.json"), "{error}");
    Ok(())
}
