use std::path::PathBuf;

use ourvidz_qwen::{EnhanceStyle, GenerateOptions, Generated, QwenPipeline};
use serde_json::{Value, json};

use crate::cli::QwenModelOptions;
use crate::config::env_vars::{self, Environment};
use crate::demo_model::DemoModel;
use crate::failure::Failure;
use crate::progress::Progress;

/// A language model that is configured.
pub(crate) struct Configured {
    folder: PathBuf,
    /// `QWEN_BASE_PATH` says that it is a base model.
    base: bool,
}

/// The language model that is configured, if one is. `base` prefers `QWEN_BASE_PATH`.
pub(crate) fn configured(options: &QwenModelOptions, base: bool) -> Result<Option<Configured>, Failure> {
    let mut names = env_vars::QWEN_MODELS;
    if base {
        names.swap(1, 2);
    }
    let environment = Environment::read();
    let (flag, folder) = match (&options.model, environment.first(&names)) {
        (Some(path), _) => (options.flag, path.clone()),
        (None, Some((name, path))) => (name, PathBuf::from(path)),
        (None, None) => return Ok(None),
    };
    if !folder.is_dir() {
        return Err(Failure::arguments(anyhow::anyhow!("{flag}: {} is not a folder", folder.display())));
    }
    Ok(Some(Configured { folder, base: flag == env_vars::QWEN_BASE_PATH }))
}

/// Loads the language model asked for. `base` prefers `QWEN_BASE_PATH`.
pub(crate) fn load_qwen(
    options: &QwenModelOptions,
    base: bool,
    progress: &mut Progress,
) -> Result<QwenPipeline, Failure> {
    let Some(model) = configured(options, base)? else {
        let names = env_vars::QWEN_MODELS.join(", ");
        let fault = format!("--model or one of {names} must name a folder of Qwen");
        return Err(Failure::arguments(anyhow::anyhow!(fault)));
    };
    load(model, options, progress)
}

/// Loads the language model asked for, else the demo model, which can do nothing but enhance prompts, saying so.
pub(crate) fn load_enhancer(
    options: &QwenModelOptions,
    progress: &mut Progress,
) -> Result<QwenPipeline, Failure> {
    let model = match configured(options, false)? {
        Some(model) => model,
        None => Configured { folder: DemoModel::Qwen.folder()?, base: false },
    };
    load(model, options, progress)
}

fn load(
    model: Configured,
    options: &QwenModelOptions,
    progress: &mut Progress,
) -> Result<QwenPipeline, Failure> {
    let mut builder = QwenPipeline::builder(model.folder).device(options.device);
    if model.base {
        builder = builder.enhance_style(EnhanceStyle::Base);
    }
    if let Some(precision) = options.precision {
        builder = builder.precision(precision);
    }
    if let Some(weights) = options.weights {
        builder = builder.weights(weights);
    }
    if let Some(capacity) = options.capacity {
        builder = builder.capacity(capacity);
    }
    if let Some(folder) = &options.cache_dir {
        builder = builder.cache_folder(folder);
    }
    let qwen = builder.load_with(|p| progress.load(p))?;
    progress.end();
    Ok(qwen)
}

/// What is told of an answer.
pub(crate) fn report(qwen: &QwenPipeline, generated: &Generated, options: &GenerateOptions) -> Value {
    json!({
        "text": generated.text,
        "tokens": generated.tokens.len(),
        "token_ids": generated.tokens,
        "finish_reason": generated.finish_reason.as_str(),
        "seed": if options.sampling.temperature == 0.0 { None } else { Some(generated.seed) },
        "prompt_tokens": generated.prompt_tokens,
        "first_token_seconds": generated.first_token_seconds,
        "seconds": generated.seconds,
        "tokens_per_second": tokens_per_second(generated),
        "model": qwen.name(),
        "device": qwen.device().to_string(),
        "precision": qwen.precision().to_string(),
        "weights": qwen.weights().to_string(),
    })
}

/// Of the tokens behind the first, which the prompt's time belongs to; 0 where there are none.
pub(crate) fn tokens_per_second(generated: &Generated) -> f64 {
    let (tokens, seconds) = (generated.tokens.len(), generated.seconds - generated.first_token_seconds);
    if tokens > 1 && seconds > 0.0 { (tokens - 1) as f64 / seconds } else { 0.0 }
}
