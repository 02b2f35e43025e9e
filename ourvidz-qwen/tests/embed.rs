//! Tiny sentence encoders against sentence-transformers, through the public interface.

use std::path::{Path, PathBuf};

use anyhow::{Context, Result, ensure};
use ourvidz_qwen::{EmbedOptions, Embedder, Embedding, Error, Prompt};
use safetensors::SafeTensors;

const CHECKPOINTS: [&str; 4] = ["bert_mean", "bert_cls", "xlmr_mean", "qwen3_last"];

fn golden(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../tests/golden/embed").join(name)
}

fn load(name: &str) -> Result<(Embedder, tempfile::TempDir)> {
    let cache = tempfile::tempdir()?;
    Ok((Embedder::builder(golden(name)).threads(1).cache_folder(cache.path()).load()?, cache))
}

fn texts() -> Result<Vec<String>> {
    Ok(serde_json::from_str(&std::fs::read_to_string(golden("bert_mean/texts.json"))?)?)
}

fn error(found: &[Embedding], expected: &[f32]) -> Result<f64> {
    let found: Vec<f32> = found.iter().flat_map(|e| e.as_slice().to_vec()).collect();
    ensure!(found.len() == expected.len());
    let square = |x: f64| x * x;
    let difference: f64 =
        found.iter().zip(expected).map(|(a, b)| square(f64::from(*a) - f64::from(*b))).sum();
    Ok((difference / expected.iter().map(|b| square(f64::from(*b))).sum::<f64>()).sqrt())
}

#[test]
fn embeddings_are_those_of_sentence_transformers() -> Result<()> {
    let texts = texts()?;
    for name in CHECKPOINTS {
        let bytes = std::fs::read(golden(name).join("golden.safetensors"))?;
        let file = SafeTensors::deserialize(&bytes)?;
        let (mut embedder, _cache) = load(name)?;
        let query = || Prompt::Named("query".into());
        let runs = [
            ("embeddings", Prompt::Default, None),
            ("embeddings.no_prompt", Prompt::None, None),
            ("embeddings.first_8", Prompt::None, Some(8)),
            ("embeddings.query", query(), None),
        ];
        for (tensor, prompt, dimensions) in runs {
            let options = EmbedOptions { prompt, dimensions, ..EmbedOptions::default() };
            let Ok(expected) = file.tensor(tensor) else {
                let refused = embedder.embed_with(&texts, &options).err().context("no such prompt")?;
                ensure!(refused.to_string().contains("the checkpoint names no prompts"), "{refused}");
                continue;
            };
            let expected: Vec<f32> =
                expected.data().as_chunks::<4>().0.iter().map(|b| f32::from_le_bytes(*b)).collect();
            let error = error(&embedder.embed_with(&texts, &options)?, &expected)?;
            ensure!(error <= 1e-4, "{name} {tensor}: {error:.1e}");
        }
    }
    Ok(())
}

/// Alone, in pairs, in one run, in another order: the same up to rounding.
#[test]
fn a_text_has_one_embedding_whatever_stands_beside_it() -> Result<()> {
    let texts = texts()?;
    for name in CHECKPOINTS {
        let (mut embedder, _cache) = load(name)?;
        let together = embedder.embed(&texts)?;
        let expected: Vec<f32> = together.iter().flat_map(|e| e.as_slice().to_vec()).collect();
        for options in [
            EmbedOptions { batch_size: 1, ..EmbedOptions::default() },
            EmbedOptions { batch_size: 2, ..EmbedOptions::default() },
            EmbedOptions { max_batch_tokens: 64, ..EmbedOptions::default() },
        ] {
            let error = error(&embedder.embed_with(&texts, &options)?, &expected)?;
            ensure!(error <= 1e-5, "{name} {options:?}: {error:.1e}");
        }
        let mut turned: Vec<&str> = texts.iter().map(String::as_str).collect();
        turned.reverse();
        let mut found = embedder.embed(&turned)?;
        found.reverse();
        ensure!(error(&found, &expected)? <= 1e-5, "{name}: the order matters");
        for (i, text) in texts.iter().enumerate() {
            let alone = embedder.embed(&[text])?.remove(0);
            ensure!(alone.cosine_similarity(&together[i]) > 0.999_999, "{name} {i}");
            ensure!(
                (alone.tokens(), alone.truncated_tokens())
                    == (together[i].tokens(), together[i].truncated_tokens())
            );
        }
    }
    Ok(())
}

#[test]
fn embeddings_have_length_1_and_say_what_was_cut() -> Result<()> {
    let (mut embedder, _cache) = load("bert_mean")?;
    ensure!(embedder.max_length() == 40 && embedder.dimensions() == 24);
    let long = "A red fox trots through fresh snow. ".repeat(40);
    let found = embedder.embed(&["A red fox.", &long])?;
    for embedding in &found {
        let length: f64 = embedding.as_slice().iter().map(|x| f64::from(*x).powi(2)).sum();
        ensure!((length - 1.0).abs() < 1e-5 && embedding.as_slice().len() == 24);
        ensure!((embedding.cosine_similarity(embedding) - 1.0).abs() < 1e-5);
    }
    ensure!(found[0].truncated_tokens() == 0 && found[0].tokens() < 20);
    ensure!(found[1].truncated_tokens() > 100 && found[1].tokens() == 40);
    let options = EmbedOptions { dimensions: Some(3), ..EmbedOptions::default() };
    let short = embedder.embed_with(&["A red fox."], &options)?.remove(0);
    ensure!(short.as_slice().len() == 3 && short.cosine_similarity(&found[0]).is_nan());
    let none: [&str; 0] = [];
    ensure!(embedder.embed(&none)?.is_empty());
    Ok(())
}

#[test]
fn prompts_stand_before_the_text() -> Result<()> {
    let (mut embedder, _cache) = load("qwen3_last")?;
    let mut embed = |text: &str, prompt: Prompt| -> Result<Vec<f32>> {
        let options = EmbedOptions { prompt, ..EmbedOptions::default() };
        Ok(embedder.embed_with(&[text], &options)?.remove(0).into_vec())
    };
    let task = "Find the fox";
    let written = embed("Instruct: Find the fox\nQuery:in snow", Prompt::None)?;
    ensure!(embed("in snow", Prompt::Instruction(task.into()))? == written);
    ensure!(embed("in snow", Prompt::Text("Instruct: Find the fox\nQuery:".into()))? == written);
    ensure!(embed("in snow", Prompt::None)? != written);
    ensure!(embed("in snow", Prompt::Named("document".into()))? == embed("in snow", Prompt::None)?);
    let (embedder, _cache) = load("bert_mean")?;
    ensure!(embedder.prompts().collect::<Vec<_>>() == [("passage", "passage: "), ("query", "query: ")]);
    Ok(())
}

#[test]
fn options_outside_their_rules_are_refused() -> Result<()> {
    let (mut embedder, _cache) = load("bert_mean")?;
    let default = EmbedOptions::default;
    for (options, message) in [
        (
            EmbedOptions { dimensions: Some(25), ..default() },
            "dimensions must be from 1 to 24, the model's, got 25",
        ),
        (EmbedOptions { dimensions: Some(0), ..default() }, "dimensions must be from 1 to 24"),
        (EmbedOptions { batch_size: 0, ..default() }, "batch_size must be at least 1, got 0"),
        (EmbedOptions { max_batch_tokens: 0, ..default() }, "max_batch_tokens must be at least 1, got 0"),
        (
            EmbedOptions { prompt: Prompt::Named("poem".into()), ..default() },
            "prompt name must be one of passage, query, got poem",
        ),
    ] {
        let error = embedder.embed_with(&["a"], &options).err().context("must be refused")?;
        ensure!(matches!(error, Error::Request { .. }) && error.to_string().contains(message), "{error}");
    }
    Ok(())
}
