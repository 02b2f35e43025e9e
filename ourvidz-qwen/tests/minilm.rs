//! MiniLM, a real model, against sentence-transformers on 200 sentences.
//!
//! `scripts/fetch-test-models` puts the model where this test looks; where it is not there, the test says so and ends,
//! but for continuous integration, where it fails (`OURVIDZ_TESTS_WITH_MODELS=1`).

use std::path::{Path, PathBuf};

use anyhow::{Context, Result, ensure};
use half::f16;
use ourvidz_qwen::{EmbedOptions, Embedder, Pooling};
use safetensors::SafeTensors;

fn folder() -> Result<Option<PathBuf>> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../target/test-models/all-minilm-l6-v2");
    if folder.is_dir() {
        return Ok(Some(folder));
    }
    ensure!(std::env::var_os("OURVIDZ_TESTS_WITH_MODELS").is_none(), "{} is missing", folder.display());
    eprintln!("{} is missing: run scripts/fetch-test-models; nothing was tested", folder.display());
    Ok(None)
}

#[test]
fn embeddings_are_those_of_sentence_transformers() -> Result<()> {
    let Some(folder) = folder()? else { return Ok(()) };
    let texts = include_str!("golden/minilm.txt");
    let texts: Vec<&str> = texts.lines().collect();
    let bytes = include_bytes!("golden/minilm.safetensors");
    let file = SafeTensors::deserialize(bytes)?;
    let expected = file.tensor("embeddings")?;
    ensure!(texts.len() == 200 && expected.shape() == [200, 384]);
    let expected: Vec<f32> =
        expected.data().as_chunks::<2>().0.iter().map(|b| f16::from_le_bytes(*b).to_f32()).collect();

    let cache = tempfile::tempdir()?;
    let mut embedder = Embedder::builder(&folder).cache_folder(cache.path()).load()?;
    ensure!(embedder.dimensions() == 384 && embedder.max_length() == 256);
    ensure!(embedder.pooling() == Pooling::Mean);
    let found = embedder.embed(&texts)?;
    ensure!(found.len() == 200);
    let mut lowest = f64::MAX;
    for ((text, embedding), expected) in texts.iter().zip(&found).zip(expected.chunks(384)) {
        let cosine = cosine(embedding.as_slice(), expected);
        ensure!(cosine >= 0.9999, "{text}: {cosine}");
        ensure!((embedding.truncated_tokens() > 0) == (embedding.tokens() == 256), "{text}");
        lowest = lowest.min(cosine);
    }
    println!("lowest cosine {lowest:.7}");
    ensure!(
        found.iter().filter(|e| e.truncated_tokens() > 0).count() >= 5,
        "long texts are part of the test"
    );

    // Alone each text has the embedding that it has among others.
    for i in (0..200).step_by(9) {
        let alone = embedder.embed(&texts[i..=i])?.remove(0);
        let cosine = cosine(alone.as_slice(), found[i].as_slice());
        ensure!(cosine >= 0.999_999, "{}: {cosine}", texts[i]);
        ensure!(alone.tokens() == found[i].tokens());
    }
    let options = EmbedOptions { dimensions: Some(64), ..EmbedOptions::default() };
    let short = embedder.embed_with(&texts[..1], &options)?.remove(0);
    ensure!(short.as_slice().len() == 64);
    ensure!(cosine(short.as_slice(), &found[0].as_slice()[..64]) >= 0.999_999);
    Ok(())
}

/// What the vectors are for: near things are near.
#[test]
fn questions_find_their_answers() -> Result<()> {
    let Some(folder) = folder()? else { return Ok(()) };
    let cache = tempfile::tempdir()?;
    let mut embedder = Embedder::builder(&folder).cache_folder(cache.path()).load()?;
    let corpus = [
        "Bread that rises overnight in the fridge tastes better.",
        "Water boils at about ninety degrees Celsius on a mountain that high.",
        "The arctic fox changes its coat from brown to white in autumn.",
        "The court ruled that the contract was void.",
    ];
    let documents = embedder.embed(&corpus)?;
    for (question, answer) in
        [("At what temperature does water boil at altitude?", 1), ("Which animal turns white in winter?", 2)]
    {
        let query = embedder.embed(&[question])?.remove(0);
        let best = (0..corpus.len())
            .max_by(|a, b| {
                let similarity = |i: &usize| query.cosine_similarity(&documents[*i]);
                similarity(a).total_cmp(&similarity(b))
            })
            .context("a corpus")?;
        ensure!(best == answer, "{question}: {}", corpus[best]);
    }
    Ok(())
}

fn cosine(a: &[f32], b: &[f32]) -> f64 {
    let dot = |a: &[f32], b: &[f32]| a.iter().zip(b).map(|(a, b)| f64::from(*a) * f64::from(*b)).sum::<f64>();
    dot(a, b) / (dot(a, a) * dot(b, b)).sqrt()
}
