use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use ourvidz_runtime::{Error as Runtime, TensorView, open_weights};
use serde_json::Value as Json;

use crate::decoder::QwenConfig;
use crate::tokenizer::QwenTokenizer;
use crate::{ChatTemplate, Error, Result};

/// The files of a folder: `config.json`, weights, `tokenizer.json`, and where they are there `tokenizer_config.json`
/// with its chat template and `generation_config.json`.
#[derive(Debug)]
pub(crate) struct Checkpoint {
    pub(crate) name: String,
    pub(crate) config: QwenConfig,
    pub(crate) tensors: BTreeMap<String, TensorView>,
    pub(crate) tokenizer: QwenTokenizer,
    pub(crate) template: Option<ChatTemplate>,
    /// Tokens that end an answer.
    pub(crate) stop_tokens: Vec<u32>,
}

impl Checkpoint {
    pub(crate) fn open(folder: &Path) -> Result<Checkpoint> {
        let path = folder.join("config.json");
        let Some(text) = read(&path)? else {
            let looked_for = vec![path.display().to_string()];
            return Err(Runtime::NotFound { what: "configuration of the model".into(), looked_for }.into());
        };
        let config = QwenConfig::from_json(&text)?;
        let tokenizer = QwenTokenizer::from_folder(folder)?;
        let template = match read(&folder.join("tokenizer_config.json"))? {
            Some(text) => match ChatTemplate::from_tokenizer_config(&text) {
                Ok(template) => Some(template),
                // A base model may have none.
                Err(Error::NoTemplate) => None,
                Err(error) => return Err(error),
            },
            None => None,
        };
        let mut stop_tokens = stop_tokens(&path, &text)?;
        let path = folder.join("generation_config.json");
        if let Some(text) = read(&path)? {
            stop_tokens.extend(self::stop_tokens(&path, &text)?);
        }
        // Turns end with the first, documents with the second, whatever the files say.
        stop_tokens.extend(["<|im_end|>", "<|endoftext|>"].iter().filter_map(|t| tokenizer.id_of(t)));
        stop_tokens.sort_unstable();
        stop_tokens.dedup();
        let tensors = open_weights(folder, "model", None)?;
        let name = folder.canonicalize().unwrap_or_else(|_| folder.to_path_buf());
        let name = name.file_name().unwrap_or_default().to_string_lossy().into_owned();
        Ok(Checkpoint { name, config, tensors, tokenizer, template, stop_tokens })
    }
}

/// `eos_token_id` of a configuration: a number, a list, or nothing.
fn stop_tokens(path: &Path, text: &str) -> Result<Vec<u32>> {
    let json: Json =
        serde_json::from_str(text).map_err(|source| Runtime::Json { path: path.to_path_buf(), source })?;
    let number = |value: &Json| value.as_u64().and_then(|n| u32::try_from(n).ok());
    let found = match &json["eos_token_id"] {
        Json::Null => Some(vec![]),
        Json::Array(values) => values.iter().map(number).collect(),
        value => number(value).map(|n| vec![n]),
    };
    found.ok_or_else(|| {
        let (file, value) = (path.display().to_string(), json["eos_token_id"].to_string());
        let rule = "must be a token's id or a list of them".into();
        Runtime::Config { file, field: "eos_token_id".into(), rule, value }.into()
    })
}

fn read(path: &PathBuf) -> Result<Option<String>> {
    match std::fs::read_to_string(path) {
        Ok(text) => Ok(Some(text)),
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => Ok(None),
        Err(source) => Err(Runtime::Io { path: path.clone(), what: "reading".into(), source }.into()),
    }
}
