//! `ourvidz embed` on the tiny checkpoints.

mod common;

use std::io::Write;
use std::path::PathBuf;
use std::process::Stdio;

use anyhow::{Context, Result, ensure};
use common::{FP32, Place, read_tensors, relative_l2};
use serde_json::Value;

fn folder(model: &str) -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../tests/golden/embed").join(model)
}

/// Texts as arguments, every number of them: JSON, with the prompt that is asked for.
#[test]
fn embeddings_are_those_of_sentence_transformers() -> Result<()> {
    let place = Place::new()?;
    for (model, more, tensor, width) in [
        ("bert_mean", &[][..], "embeddings", 24),
        ("qwen3_last", &["--prompt-name", "query"], "embeddings.query", 40),
        ("bert_cls", &["--dimensions", "8"], "embeddings.first_8", 8),
    ] {
        let golden = folder(model);
        let texts: Vec<String> = serde_json::from_str(&std::fs::read_to_string(golden.join("texts.json"))?)?;
        let model = golden.display().to_string();
        let arguments = ["--json", "embed", "--model", &model].into_iter().chain(more.iter().copied());
        let ended = place.run(arguments.chain(texts.iter().map(String::as_str)))?.succeeded()?;
        let answer: Value = serde_json::from_str(&ended.stdout)?;
        ensure!(answer["dimensions"] == width, "{answer}");
        let entries = answer["embeddings"].as_array().context("embeddings")?;
        let numbers = entries.iter().flat_map(|entry| entry["embedding"].as_array()).flatten();
        let found: Vec<f32> = numbers.filter_map(|x| Some(x.as_f64()? as f32)).collect();
        let tensors = read_tensors(&golden.join("golden.safetensors"))?;
        let error = relative_l2(&found, &tensors[tensor].1)?;
        ensure!(found.len() == texts.len() * width && error <= FP32, "{error:.1e}");
        ensure!(entries.iter().zip(&texts).all(|(entry, text)| entry["text"] == *text));
    }
    Ok(())
}

/// Lines of standard input, one line of numbers each; what did not fit is said.
#[test]
fn lines_of_standard_input() -> Result<()> {
    let place = Place::new()?;
    let model = folder("bert_mean").display().to_string();
    let mut child = place
        .command(["embed", "--model", &model, "--prefix", ""])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()?;
    let long = "fox ".repeat(60);
    child.stdin.take().context("stdin")?.write_all(format!("a red fox\n\n{long}\n").as_bytes())?;
    let ended = child.wait_with_output()?;
    let (out, err) = (String::from_utf8(ended.stdout)?, String::from_utf8(ended.stderr)?);
    ensure!(ended.status.success(), "{err}");
    let lines: Vec<Vec<f32>> =
        out.lines().map(|line| line.split(' ').filter_map(|x| x.parse().ok()).collect()).collect();
    ensure!(lines.len() == 3 && lines.iter().all(|line| line.len() == 24), "{out}");
    ensure!(lines.iter().all(|line| (line.iter().map(|x| x * x).sum::<f32>() - 1.0).abs() < 1e-4));
    ensure!(err.starts_with("text 3: the last ") && err.contains("do not fit into 40"), "{err}");
    Ok(())
}

#[test]
fn what_cannot_be_is_refused_with_status_2() -> Result<()> {
    let place = Place::new()?;
    let model = folder("bert_mean").display().to_string();
    for (arguments, message) in [
        (&["--model", "nowhere", "a"][..], "--model: nowhere is not a folder"),
        (&["--model", &model, "--dimensions", "25", "a"], "dimensions must be from 1 to 24"),
        (&["--model", &model, "--prompt-name", "poem", "a"], "prompt name must be one of passage, query"),
        (&["--model", &model, "--prompt-name", "query", "--prefix", "x", "a"], "cannot be used with"),
    ] {
        let ended = place.run(["embed"].iter().chain(arguments))?;
        ensure!(ended.code == Some(2) && ended.stderr.contains(message), "{ended:?}");
    }
    Ok(())
}
