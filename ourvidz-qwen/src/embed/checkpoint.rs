//! What a folder of sentence-transformers says beside its weights.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};

use ourvidz_runtime::Error as Runtime;
use serde::Deserialize;
use serde::de::DeserializeOwned;
use serde_json::Value as Json;

use super::options::Prompts;
use super::pooling::Pooling;
use crate::Result;

/// Settings of an embedding checkpoint.
#[derive(Debug)]
pub(super) struct SentenceConfig {
    /// Where `config.json`, weights and tokenizer lie.
    pub(super) model: PathBuf,
    /// `None` where no file says it: then the kind of model decides.
    pub(super) pooling: Option<Pooling>,
    /// Tokens that the files allow.
    pub(super) max_length: Option<usize>,
    /// Texts are made lower case before the tokenizer.
    pub(super) lowercase: bool,
    pub(super) prompts: Prompts,
}

#[derive(Deserialize)]
struct Module {
    path: String,
    r#type: String,
}

#[derive(Default, Deserialize)]
#[serde(default)]
struct TransformerConfig {
    max_seq_length: Option<usize>,
    do_lower_case: bool,
}

#[derive(Default, Deserialize)]
#[serde(default)]
struct PromptConfig {
    prompts: BTreeMap<String, String>,
    default_prompt_name: Option<String>,
}

#[derive(Default, Deserialize)]
#[serde(default)]
struct TokenizerConfig {
    // Files without a limit have a number that no integer holds.
    model_max_length: Option<f64>,
}

pub(super) fn read(folder: &Path) -> Result<SentenceConfig> {
    let mut model = folder.to_path_buf();
    let mut pooling = None;
    for module in read_json::<Vec<Module>>(&folder.join("modules.json"))?.unwrap_or_default() {
        match module.r#type.rsplit('.').next().unwrap_or_default() {
            "Transformer" => model = folder.join(&module.path),
            "Pooling" => pooling = Some(read_pooling(&folder.join(&module.path).join("config.json"))?),
            // Embeddings are unit vectors with it or without.
            "Normalize" => (),
            _ => {
                let rule = "must be Transformer, Pooling or Normalize".to_owned();
                return Err(refuse("modules.json", "type", rule, module.r#type));
            }
        }
    }
    let transformer: TransformerConfig =
        read_json(&model.join("sentence_bert_config.json"))?.unwrap_or_default();
    let tokenizer: TokenizerConfig = read_json(&model.join("tokenizer_config.json"))?.unwrap_or_default();
    let limit = tokenizer.model_max_length.filter(|limit| *limit >= 1.0 && *limit < 1e9);
    let prompts: PromptConfig =
        read_json(&folder.join("config_sentence_transformers.json"))?.unwrap_or_default();
    Ok(SentenceConfig {
        model,
        pooling,
        max_length: transformer.max_seq_length.or(limit.map(|limit| limit as usize)),
        lowercase: transformer.do_lower_case,
        prompts: Prompts { named: prompts.prompts, default: prompts.default_prompt_name },
    })
}

/// `pooling_mode` in files of today, one flag for each way in older ones.
fn read_pooling(path: &Path) -> Result<Pooling> {
    const FILE: &str = "1_Pooling/config.json";
    const FLAGS: [(&str, &str); 6] = [
        ("pooling_mode_cls_token", "cls"),
        ("pooling_mode_max_tokens", "max"),
        ("pooling_mode_mean_tokens", "mean"),
        ("pooling_mode_mean_sqrt_len_tokens", "mean_sqrt_len_tokens"),
        ("pooling_mode_weightedmean_tokens", "weightedmean"),
        ("pooling_mode_lasttoken", "lasttoken"),
    ];
    let config: BTreeMap<String, Json> = required(path)?;
    let is = |name: &str, value: bool| config.get(name).and_then(Json::as_bool) == Some(value);
    if is("include_prompt", false) {
        return Err(refuse(FILE, "include_prompt", "must be true".into(), "false".into()));
    }
    if let Some(mode) = config.get("pooling_mode") {
        // Several ways are a list, and their vectors are joined.
        return Ok(mode.as_str().map_or_else(|| mode.to_string(), str::to_owned).parse()?);
    }
    let modes: Vec<&str> = FLAGS.iter().filter(|(flag, _)| is(flag, true)).map(|(_, mode)| *mode).collect();
    if modes.is_empty() { Ok(Pooling::Mean) } else { Ok(modes.join(", ").parse()?) }
}

/// A JSON file that must be there.
pub(super) fn required<T: DeserializeOwned>(path: &Path) -> Result<T> {
    let missing = || {
        let what = path.file_name().unwrap_or_default().to_string_lossy().into_owned();
        Runtime::NotFound { what, looked_for: vec![path.display().to_string()] }
    };
    Ok(read_json(path)?.ok_or_else(missing)?)
}

fn read_json<T: DeserializeOwned>(path: &Path) -> Result<Option<T>> {
    let bytes = match fs::read(path) {
        Ok(bytes) => bytes,
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(None),
        Err(source) => {
            return Err(Runtime::Io { path: path.into(), what: "reading".into(), source }.into());
        }
    };
    let failed = |source| Runtime::Json { path: path.into(), source };
    Ok(Some(serde_json::from_slice(&bytes).map_err(failed)?))
}

pub(super) fn refuse(file: &str, field: &str, rule: String, value: String) -> crate::Error {
    Runtime::Config { file: file.into(), field: field.into(), rule, value }.into()
}
