//! `ourvidz complete`, `chat` and `enhance` on the tiny checkpoints.

mod common;

use std::io::Write;
use std::path::PathBuf;
use std::process::Stdio;

use anyhow::{Context, Result, ensure};
use common::{Ended, FP32, Place, read_tensors, relative_l2};
use safetensors::SafeTensors;
use serde_json::Value;

fn folder(model: &str) -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../tests/golden/qwen").join(model)
}

fn text(model: &str, field: &str) -> Result<String> {
    let text: Value = serde_json::from_str(&std::fs::read_to_string(folder(model).join("text.json"))?)?;
    Ok(text[field].as_str().context("a text")?.to_owned())
}

fn complete(place: &Place, model: &str, more: &[&str]) -> Result<Ended> {
    let folder = folder(model).display().to_string();
    let prompt = text(model, "prompt")?;
    let start = ["complete", "--model", &folder, "--prompt", &prompt, "--temperature", "0"];
    place.run(start.iter().chain(more))
}

fn ids(bytes: &[u8], name: &str) -> Result<Vec<i64>> {
    let file = SafeTensors::deserialize(bytes)?;
    let ids = file.tensor(name)?;
    ensure!(ids.dtype() == safetensors::Dtype::I64, "{name} is {:?}", ids.dtype());
    Ok(ids.data().as_chunks::<8>().0.iter().map(|b| i64::from_le_bytes(*b)).collect())
}

/// The text and the dump are the reference's.
#[test]
fn complete_dumps_every_position() -> Result<()> {
    let (place, model) = (Place::new()?, "qwen2_untied");
    let ended =
        complete(&place, model, &["--max-new-tokens", "32", "--dump", "x.safetensors"])?.succeeded()?;
    ensure!(ended.stdout == format!("{}\n", text(model, "text")?), "{ended:?}");
    ensure!(
        ended.stderr.starts_with("32 tokens behind 34") && ended.stderr.contains("max_new_tokens"),
        "{ended:?}"
    );
    let golden = folder(model).join("golden.safetensors");
    let bytes = std::fs::read(&golden)?;
    let expected = [ids(&bytes, "prompt_ids")?, ids(&bytes, "decoded_ids")?].concat();
    ensure!(ids(&std::fs::read(place.path("x.safetensors"))?, "token_ids")? == expected);
    let (found, golden) = (read_tensors(&place.path("x.safetensors"))?, read_tensors(&golden)?);
    let (shape, logits) = &found["logits"];
    ensure!(shape == &[66, 512], "{shape:?}");
    let expected = [&golden["prompt_logits"].1[..], &golden["decoded_logits"].1].concat();
    let error = relative_l2(logits, &expected)?;
    ensure!(error <= FP32, "{error:.1e}");
    Ok(())
}

#[test]
fn complete_answers_in_json() -> Result<()> {
    let place = Place::new()?;
    let ended = complete(&place, "qwen3", &["--max-new-tokens", "3", "--json"])?.succeeded()?;
    let value: Value = serde_json::from_str(&ended.stdout)?;
    ensure!((&value["tokens"], &value["prompt_tokens"]) == (&3.into(), &34.into()), "{value}");
    ensure!(value["finish_reason"] == "max_new_tokens" && value["seed"].is_null(), "{value}");
    ensure!(value["weights"] == "fp32" && value["device"] == "cpu" && value["model"] == "qwen3", "{value}");
    ensure!(ended.stderr.is_empty(), "{ended:?}");
    // Four bits make another model of it, which runs as well.
    let ended =
        complete(&place, "qwen3", &["--max-new-tokens", "3", "--weights", "int4", "--json"])?.succeeded()?;
    let value: Value = serde_json::from_str(&ended.stdout)?;
    ensure!(value["weights"] == "int4" && value["precision"] == "fp32", "{value}");
    Ok(())
}

/// Two lines are two turns: the second answer sees the first.
#[test]
fn chat_answers_line_by_line() -> Result<()> {
    let place = Place::new()?;
    let folder = folder("qwen2_tied").display().to_string();
    let arguments = ["chat", "--temperature", "0", "--max-new-tokens", "4", "--json"];
    let mut command = place.command(arguments);
    command
        .env("QWEN_INSTRUCT_PATH", folder)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped());
    let mut child = command.spawn()?;
    child.stdin.take().context("stdin")?.write_all(b"A fox?\n\nIn snow?\n/reset\nA fox?\n")?;
    let ended = Ended::of(child.wait_with_output()?)?.succeeded()?;
    let replies: Vec<Value> = ended.stdout.lines().map(serde_json::from_str).collect::<Result<_, _>>()?;
    ensure!(replies.len() == 3, "{ended:?}");
    let tokens = |i: usize| replies[i]["prompt_tokens"].as_u64();
    ensure!(tokens(1) > tokens(0) && tokens(2) == tokens(0), "{replies:?}");
    ensure!(replies[2]["token_ids"] == replies[0]["token_ids"] && replies[0]["cut"].is_null(), "{replies:?}");
    Ok(())
}

/// Without `--json` the answers stand on standard output, each on a line of its own; the model may be told not to think.
#[test]
fn chat_writes_answers_as_they_come() -> Result<()> {
    let place = Place::new()?;
    let folder = folder("qwen2_tied").display().to_string();
    let answers = |json: bool| -> Result<String> {
        let start = ["chat", "--model", &folder, "--temperature", "0", "--max-new-tokens", "4"];
        let more = ["--enable-thinking", "false", "--json"];
        let mut command = place.command(start.iter().chain(&more[..if json { 3 } else { 2 }]));
        command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
        let mut child = command.spawn()?;
        child.stdin.take().context("stdin")?.write_all(b"A fox?\nIn snow?\n")?;
        Ok(Ended::of(child.wait_with_output()?)?.succeeded()?.stdout)
    };
    let mut expected = String::new();
    for line in answers(true)?.lines() {
        let reply: Value = serde_json::from_str(line)?;
        expected += &format!("{}\n", reply["text"].as_str().context("text")?);
    }
    ensure!(answers(false)? == expected && expected.len() > 2, "{expected:?}");
    Ok(())
}

#[test]
fn enhance_reports_what_it_did() -> Result<()> {
    let place = Place::new()?;
    let folder = folder("qwen2_tied").display().to_string();
    let start =
        ["enhance", "--model", &folder, "--prompt", "fox in snow", "--max-new-tokens", "24", "--json"];
    for (more, source) in
        [(&["--seed", "1"][..], "qwen_instruct"), (&["--style", "base", "--seed", "2"], "qwen_base")]
    {
        // The built-in instructions alone are longer than what the tiny model takes.
        let own = ["--system-prompt", "Add words.", "--for", "video"];
        let ended = place.run(start.iter().chain(&own).chain(more))?.succeeded()?;
        let value: Value = serde_json::from_str(&ended.stdout)?;
        let found = value["enhancement_source"].as_str().context("a source")?;
        ensure!(found == source || found == "original", "{value}");
        let kept = value["enhanced_prompt"] == "fox in snow";
        ensure!(kept == (found == "original") && (!kept || value["failure"].is_string()), "{value}");
        ensure!(value["attempts"].as_u64().is_some_and(|n| (1..=2).contains(&n)), "{value}");
    }
    Ok(())
}

#[test]
fn what_cannot_be_is_one_line_and_exit_2() -> Result<()> {
    let place = Place::new()?;
    let folder = folder("qwen3").display().to_string();
    let cases: [(&[&str], &str); 6] = [
        (&["complete", "--prompt", "x"], "--model or one of OURVIDZ_QWEN_MODEL"),
        (&["chat", "--model", "no/such"], "--model: no/such is not a folder"),
        (
            &["complete", "--model", &folder, "--prompt", "x", "--temperature", "-1"],
            "temperature must be 0 or more",
        ),
        (
            &["complete", "--model", &folder, "--prompt", "x", "--max-new-tokens", "0"],
            "max_new_tokens must be",
        ),
        (&["enhance", "--model", &folder, "--prompt", " "], "prompt must be a text that is not blank"),
        (&["complete", "--model", &folder, "--prompt", "x", "--weights", "int3"], "fp32, fp16, bf16 or int4"),
    ];
    for (arguments, message) in cases {
        let ended = place.run(arguments)?;
        let line = ended.one_line(2)?;
        ensure!(line.contains(message), "{arguments:?}: {line}");
    }
    Ok(())
}
