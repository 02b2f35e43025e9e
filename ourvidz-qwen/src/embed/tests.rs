//! Tokens of generated strings in many scripts are those of transformers.
#![allow(clippy::unwrap_used)]

use std::fs::File;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, bail, ensure};
use flate2::read::GzDecoder;
use ourvidz_runtime::{Device, Precision};
use serde::Deserialize;

use super::tokenize::TextTokenizer;
use super::*;

#[derive(Deserialize)]
struct Golden {
    cases: Vec<Case>,
}

#[derive(Deserialize)]
struct Case {
    text: String,
    ids: Vec<i64>,
}

fn golden(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../tests/golden/embed").join(name)
}

#[test]
fn tokens_are_those_of_transformers() -> Result<()> {
    for name in ["bert_mean", "xlmr_mean"] {
        let folder = golden(name);
        let golden: Golden =
            serde_json::from_reader(GzDecoder::new(File::open(folder.join("tokens.json.gz"))?))?;
        ensure!(golden.cases.len() >= 2000);
        let tokenizer = TextTokenizer::from_folder(&folder, 10_000, false)?;
        let texts: Vec<&str> = golden.cases.iter().map(|case| case.text.as_str()).collect();
        let found = tokenizer.encode("", &texts)?;
        let different = found.iter().zip(&golden.cases).filter(|(found, case)| found.ids != case.ids);
        let different: Vec<&str> = different.map(|(_, case)| case.text.as_str()).collect();
        ensure!(different.is_empty(), "{name}: {} differ, {:?}", different.len(), &different[..3]);
    }
    Ok(())
}

/// What is cut off is counted in tokens of the text, and the end of a cut text is still the special token.
#[test]
fn cut_texts_keep_their_special_tokens() -> Result<()> {
    for (name, first, last) in [("bert_mean", Some(2), 3), ("qwen3_last", None, 900)] {
        let whole = TextTokenizer::from_folder(&golden(name), 10_000, false)?;
        let short = TextTokenizer::from_folder(&golden(name), 12, false)?;
        let text = "A red fox trots through fresh snow at golden hour, and nobody sees it. ".repeat(3);
        let (whole, short) = (&whole.encode("", &[&text])?[0], &short.encode("", &[&text])?[0]);
        ensure!(whole.truncated == 0 && short.ids.len() == 12);
        ensure!(short.truncated == whole.ids.len() - 12, "{name}: {}", short.truncated);
        ensure!(short.ids.last() == Some(&last) && whole.ids.last() == Some(&last));
        ensure!(first.is_none_or(|first| short.ids[0] == first));
        let kept = short.ids.len() - 1;
        ensure!(short.ids[..kept] == whole.ids[..kept]);
    }
    Ok(())
}

#[test]
fn an_embedder_may_move_to_another_thread() {
    fn is_send<T: Send>() {}
    is_send::<Embedder>();
}

#[test]
fn settings_that_cannot_be_followed_are_refused() -> Result<()> {
    let copy = |file: &str, text: &str| -> Result<String> {
        let folder = tempfile::tempdir()?;
        for entry in std::fs::read_dir(golden("bert_mean"))? {
            let path = entry?.path();
            if path.is_file() {
                std::fs::copy(&path, folder.path().join(path.file_name().context("a name")?))?;
            }
        }
        std::fs::create_dir(folder.path().join("1_Pooling"))?;
        std::fs::write(folder.path().join("1_Pooling/config.json"), r#"{"pooling_mode": "mean"}"#)?;
        std::fs::write(folder.path().join(file), text)?;
        let error = Embedder::builder(folder.path()).load().err().context("must be refused")?;
        Ok(error.to_string())
    };
    for (file, text, message) in [
        (
            "modules.json",
            r#"[{"path": "2_Dense", "type": "sentence_transformers.models.Dense"}]"#,
            "modules.json: type must be Transformer, Pooling or Normalize, got sentence_transformers.models.Dense",
        ),
        ("1_Pooling/config.json", r#"{"pooling_mode": "max"}"#, "pooling_mode must be mean, cls"),
        (
            "1_Pooling/config.json",
            r#"{"pooling_mode_mean_tokens": true, "pooling_mode_max_tokens": true}"#,
            "got max, mean",
        ),
        ("1_Pooling/config.json", r#"{"include_prompt": false}"#, "include_prompt must be true, got false"),
        ("config.json", r#"{"model_type": "mpnet"}"#, "model_type must be bert, roberta, xlm-roberta, qwen2"),
        ("config.json", r#"{"model_type": "qwen3", "is_causal": false}"#, "is_causal must be true"),
        ("config.json", r#"{"vocab_size": 30}"#, "model_type must be"),
        ("sentence_bert_config.json", r#"{"max_seq_length": 0}"#, "max_seq_length must be at least 1, got 0"),
        ("tokenizer.json", "{}", "tokenizer of"),
        ("modules.json", "{", "modules.json is not valid JSON"),
    ] {
        let found = copy(file, text)?;
        ensure!(found.contains(message), "{file}: {found}");
    }
    let nothing = Embedder::builder("no/such/folder").load().err().context("must be refused")?.to_string();
    ensure!(nothing.starts_with("config.json not found"), "{nothing}");
    Ok(())
}

#[test]
fn a_decoder_in_fp32_is_refused_on_cuda() -> Result<()> {
    let config = super::checkpoint::read(&golden("qwen3_last"))?;
    let graph = super::model::build(&config, Device::Cuda(0), Precision::Bf16)?.graph;
    ensure!(graph.operators().any(|name| name.ends_with(":GroupQueryAttention")));
    let Err(error) = super::model::build(&config, Device::Cuda(0), Precision::Fp32) else {
        bail!("fp32 was taken")
    };
    let said = error.to_string();
    ensure!(["precision", "fp16 or bf16", "fp32"].iter().all(|part| said.contains(part)), "{said}");
    Ok(())
}
