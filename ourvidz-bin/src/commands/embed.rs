use anyhow::Context;
use ourvidz_qwen::{EmbedOptions, Embedder};
use serde_json::json;

use crate::cli;
use crate::failure::Failure;
use crate::output;
use crate::progress::Progress;

/// `ourvidz embed`
pub(crate) fn embed(options: &cli::EmbedOptions, json: bool) -> Result<(), Failure> {
    if !options.model.is_dir() {
        let nothing = format!("--model: {} is not a folder", options.model.display());
        return Err(Failure::arguments(anyhow::anyhow!(nothing)));
    }
    let mut progress = Progress::new();
    let mut builder = Embedder::builder(&options.model).device(options.device);
    if let Some(precision) = options.precision {
        builder = builder.precision(precision);
    }
    if let Some(folder) = &options.cache_dir {
        builder = builder.cache_folder(folder);
    }
    let mut embedder = builder.load_with(|p| progress.load(p))?;
    progress.end();
    let texts = match options.texts.is_empty() {
        false => options.texts.clone(),
        true => std::io::stdin().lines().collect::<Result<_, _>>().context("reading standard input")?,
    };
    let request = EmbedOptions {
        prompt: options.prompt(),
        dimensions: options.dimensions,
        batch_size: options.batch_size,
        ..EmbedOptions::default()
    };
    let embeddings = embedder.embed_with(&texts, &request)?;
    for (i, embedding) in embeddings.iter().enumerate().filter(|(_, e)| e.truncated_tokens() > 0) {
        let (cut, most) = (embedding.truncated_tokens(), embedder.max_length());
        output::error(&format!(
            "text {}: the last {cut} tokens do not fit into {most} and were left out",
            i + 1
        ));
    }
    if json {
        let entries = texts.iter().zip(&embeddings).map(|(text, embedding)| {
            json!({
                "text": text, "tokens": embedding.tokens(), "truncated_tokens": embedding.truncated_tokens(),
                "embedding": embedding.as_slice(),
            })
        });
        output::json(&json!({
            "dimensions": options.dimensions.unwrap_or(embedder.dimensions()),
            "device": embedder.device().to_string(), "precision": embedder.precision().to_string(),
            "embeddings": entries.collect::<Vec<_>>(),
        }));
        return Ok(());
    }
    for embedding in &embeddings {
        let numbers: Vec<String> = embedding.as_slice().iter().map(f32::to_string).collect();
        output::line(&numbers.join(" "));
    }
    Ok(())
}
