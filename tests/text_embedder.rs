//! CLIP's text encoder as an embedder, against transformers' `CLIPTextModelWithProjection`.
//!
//! The goldens are made by `scripts/goldens/clip_text_embeds.py`.

mod common;

use anyhow::{Context, Result, ensure};
use common::{FP32, golden, read_tensors};
use ourvidz_runtime::Tensor;
use ourvidz_sdxl::{ClipTextEncoder, TextEmbedder};

fn texts() -> Result<Vec<String>> {
    Ok(serde_json::from_str(&std::fs::read_to_string(golden("sdxl_text_embeds.json"))?)?)
}

#[test]
fn text_embeds_are_those_of_transformers() -> Result<()> {
    let expected = read_tensors(&golden("sdxl_text_embeds.safetensors"))?;
    let texts = texts()?;
    for (name, reference) in &expected {
        let cache = tempfile::tempdir()?;
        let mut embedder =
            TextEmbedder::builder(golden("sdxl").join(name)).cache_folder(cache.path()).load()?;
        let found = embedder.embed(&texts)?;
        let numbers: Vec<f32> = found.iter().flat_map(|e| e.as_slice().to_vec()).collect();
        let tensor = Tensor::f32(&[texts.len(), embedder.dimensions()], numbers)?;
        let error = common::relative_l2(&tensor, reference)?;
        ensure!(error <= FP32, "{name}: {error:.1e}");

        let cut: Vec<bool> = found.iter().map(|e| e.truncated_tokens() > 0).collect();
        ensure!(
            cut == [false, false, false, false, false, false, true] && found[6].tokens() == 77,
            "{cut:?}"
        );
        let alone = embedder.embed(&texts[2..3])?.remove(0);
        ensure!(alone.cosine_similarity(&found[2]) > 0.999_999);
        // More texts than one run takes, in their order.
        let many: Vec<&String> = texts.iter().cycle().take(70).collect();
        for (i, embedding) in embedder.embed(&many)?.iter().enumerate() {
            ensure!(embedding.cosine_similarity(&found[i % texts.len()]) > 0.999_999, "{i}");
        }
    }
    Ok(())
}

/// A single file, an exported folder and a folder of the text encoder alone are the same encoder.
#[test]
fn every_layout_gives_the_same() -> Result<()> {
    let cache = tempfile::tempdir()?;
    let load = |path: &std::path::Path| TextEmbedder::builder(path).cache_folder(cache.path()).load();
    let texts = texts()?;
    let source = golden("sdxl/linear_eps");
    let expected = load(&source)?.embed(&texts)?;

    let alone = tempfile::tempdir()?;
    for folder in ["text_encoder_2", "tokenizer_2"] {
        for entry in std::fs::read_dir(source.join(folder))? {
            let path = entry?.path();
            std::fs::copy(&path, alone.path().join(path.file_name().context("a name")?))?;
        }
    }
    let exported = tempfile::tempdir()?;
    ourvidz_sdxl::export(&source, exported.path(), ourvidz_sdxl::Precision::Fp32, |_| ())?;
    for folder in [alone.path(), exported.path()] {
        let found = load(folder)?.embed(&texts)?;
        for (found, expected) in found.iter().zip(&expected) {
            ensure!(found.cosine_similarity(expected) > 0.999_99);
        }
    }
    let single = load(&golden("sdxl/single_file/model.safetensors"))?.embed(&texts)?;
    ensure!(single.len() == texts.len());
    Ok(())
}

#[test]
fn an_encoder_without_projection_is_refused() -> Result<()> {
    let builder = TextEmbedder::builder(golden("sdxl/linear_eps")).encoder(ClipTextEncoder::First);
    let error = builder.load().err().context("must be refused")?.to_string();
    ensure!(
        error.contains("text_encoder/config.json: architectures must be CLIPTextModelWithProjection"),
        "{error}"
    );
    Ok(())
}

#[test]
fn a_text_embedder_may_move_to_another_thread() {
    fn is_send<T: Send>() {}
    is_send::<TextEmbedder>();
}
