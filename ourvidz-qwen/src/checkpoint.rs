use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use ourvidz_runtime::{Error as Runtime, TensorView, open_weights};
use serde_json::Value as Json;

use crate::decoder::QwenConfig;
use crate::tokenizer::QwenTokenizer;
use crate::{ChatTemplate, Error, Result};

/// The files of a folder: `config.json`, weights, `tokenizer.json`, and where they are there `tokenizer_config.json`
/// or `chat_template.jinja` with a chat template and `generation_config.json`.
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
        let template = chat_template(folder)?;
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
        let name = name(&folder.canonicalize().unwrap_or_else(|_| folder.to_path_buf()));
        Ok(Checkpoint { name, config, tensors, tokenizer, template, stop_tokens })
    }
}

/// A file of its own counts before what `tokenizer_config.json` holds, as in transformers. A base model may have none.
fn chat_template(folder: &Path) -> Result<Option<ChatTemplate>> {
    let config = read(&folder.join("tokenizer_config.json"))?;
    let found = match (read(&folder.join("chat_template.jinja"))?, &config) {
        (Some(source), config) => ChatTemplate::from_jinja(&source, config.as_deref()),
        (None, Some(config)) => ChatTemplate::from_tokenizer_config(config),
        (None, None) => return Ok(None),
    };
    match found {
        Ok(template) => Ok(Some(template)),
        Err(Error::NoTemplate) => Ok(None),
        Err(error) => Err(error),
    }
}

/// The folder's name; of a snapshot in a Hugging Face cache, `models--OWNER--NAME/snapshots/COMMIT`, the repository's.
fn name(folder: &Path) -> String {
    let part = |path: &Path| path.file_name().unwrap_or_default().to_string_lossy().into_owned();
    let repository = folder.parent().filter(|parent| part(parent) == "snapshots").and_then(Path::parent);
    let repository = repository.map(part).filter(|name| name.starts_with("models--"));
    match repository.as_deref().and_then(|name| name.rsplit_once("--")) {
        Some((_, name)) => name.to_owned(),
        None => part(folder),
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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::EnhanceStyle;

    #[test]
    fn names_are_those_of_folders_and_of_repositories_in_a_cache() {
        let cases = [
            ("/models/Qwen2.5-7B", "Qwen2.5-7B"),
            (
                "/hub/models--Qwen--Qwen2.5-7B/snapshots/d149729398750b98c0af14eb82c78cfe92750796",
                "Qwen2.5-7B",
            ),
            ("/hub/models--qwen/snapshots/d1497", "qwen"),
            ("/other/snapshots/d1497", "d1497"),
            ("/", ""),
        ];
        for (folder, expected) in cases {
            assert_eq!(name(Path::new(folder)), expected, "{folder}");
        }
    }

    #[test]
    fn names_tell_base_models_from_those_that_answer() {
        let cases = [
            ("Qwen2.5-7B", EnhanceStyle::Base),
            ("qwen2.5-7b", EnhanceStyle::Base),
            ("Qwen2-0.5B", EnhanceStyle::Base),
            ("Qwen3-8B-Base", EnhanceStyle::Base),
            ("Qwen2.5-7B-Instruct", EnhanceStyle::Instruct),
            ("qwen2.5-7b-instruct-awq", EnhanceStyle::Instruct),
            ("Qwen3-8B", EnhanceStyle::Instruct),
            ("my-model", EnhanceStyle::Instruct),
        ];
        for (name, expected) in cases {
            assert_eq!(EnhanceStyle::of(name, true), expected, "{name}");
            assert_eq!(EnhanceStyle::of(name, false), EnhanceStyle::Base, "{name} without a template");
        }
    }
}
