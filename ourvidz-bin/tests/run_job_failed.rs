//! `ourvidz run-job`: jobs that fail, and the body that says why.

mod common;

use anyhow::{Context, Result, ensure};
use common::job::{body, fox, run, run_on, set};
use common::{Ended, Place, golden};
use serde_json::{Value, json};

/// Exit 1 and a `failed` body with this code; nothing is stored.
fn failed(place: &Place, ended: &Ended, code: &str, field: Option<&str>) -> Result<Value> {
    ensure!(ended.code == Some(1), "{ended:?}");
    let body = body(ended)?;
    ensure!(body["status"] == "failed" && body["assets"] == json!([]), "{body:#}");
    ensure!(body["error_message"].as_str().is_some_and(|text| !text.is_empty()), "{body:#}");
    let metadata = &body["metadata"];
    ensure!(metadata["error_code"] == code, "expected {code}: {body:#}");
    ensure!(metadata["error_type"].is_string() && metadata["timestamp"].is_string(), "{body:#}");
    ensure!(metadata["retryable"] == false, "{body:#}");
    ensure!(metadata.get("field").and_then(Value::as_str) == field, "expected {field:?}: {body:#}");
    ensure!(!place.path("data/workspace-temp").exists(), "something was stored");
    Ok(body)
}

/// The example with `value` at `pointer`; `null` is absent.
fn broken(place: &Place, pointer: &str, value: Value, code: &str, field: &str) -> Result<Value> {
    let mut job = fox()?;
    set(&mut job, pointer, value);
    let ended = run(place, &job.to_string())?;
    let body = failed(place, &ended, code, Some(field)).with_context(|| pointer.to_owned())?;
    ensure!(body["job_id"] == job["id"], "{body:#}");
    if let Some(name) = job["type"].as_str() {
        ensure!(body["metadata"]["job_type"] == name, "{body:#}");
    }
    Ok(body)
}

#[test]
fn wrong_and_missing_fields_are_named() -> Result<()> {
    let place = Place::new()?;
    for (pointer, value, field) in [
        ("/prompt", json!(null), "prompt"),
        ("/prompt", json!("  "), "prompt"),
        ("/prompt", json!(7), "prompt"),
        ("/user_id", json!(null), "user_id"),
        ("/user_id", json!("../other"), "user_id"),
        ("/type", json!(null), "type"),
        ("/config/width", json!(100), "config.width"),
        ("/config/height", json!(8192), "config.height"),
        ("/config/size", json!("large"), "config.size"),
        ("/config/num_inference_steps", json!("many"), "config.num_inference_steps"),
        ("/config/guidance_scale", json!([7]), "config.guidance_scale"),
        ("/config/seed", json!(1.5), "config.seed"),
    ] {
        broken(&place, pointer, value, "INVALID_JOB", field)?;
    }
    Ok(())
}

#[test]
fn a_job_without_an_id_is_reported_all_the_same() -> Result<()> {
    let (place, mut job) = (Place::new()?, fox()?);
    set(&mut job, "/id", json!(null));
    let ended = run(&place, &job.to_string())?;
    let body = failed(&place, &ended, "INVALID_JOB", Some("id"))?;
    ensure!(body["job_id"].is_null(), "{body:#}");
    Ok(())
}

#[test]
fn types_that_are_not_made_are_named() -> Result<()> {
    let place = Place::new()?;
    for name in ["sdxl_image_huge", "chat_enhance", "wan_image_fast"] {
        let body = broken_type(&place, name)?;
        ensure!(body["error_message"].as_str().is_some_and(|text| text.contains("type")), "{body:#}");
    }
    Ok(())
}

/// A video asked of a checkpoint for pictures.
#[test]
fn a_model_of_another_family_is_named() -> Result<()> {
    let place = Place::new()?;
    for name in ["video_fast", "wan_video_high"] {
        let mut job = fox()?;
        set(&mut job, "/type", json!(name));
        set(&mut job, "/config/size", json!("480*832"));
        let ended = run(&place, &job.to_string())?;
        let body = failed(&place, &ended, "MODEL", None)?;
        ensure!(body["error_message"].as_str().is_some_and(|text| text.contains("umt5")), "{body:#}");
    }
    Ok(())
}

fn broken_type(place: &Place, name: &str) -> Result<Value> {
    let mut job = fox()?;
    set(&mut job, "/type", json!(name));
    set(&mut job, "/config/size", json!("480*832"));
    let ended = run(place, &job.to_string())?;
    failed(place, &ended, "UNSUPPORTED_JOB_TYPE", Some("type")).with_context(|| name.to_owned())
}

/// Refused before the model is loaded; the prompt is repeated nowhere.
#[test]
fn the_content_policy_refuses_without_repeating() -> Result<()> {
    const PROMPT: &str = "erotic, under 18";
    let (place, mut job) = (Place::new()?, fox()?);
    set(&mut job, "/prompt", json!(PROMPT));
    let ended = run(&place, &job.to_string())?;
    failed(&place, &ended, "CONTENT_POLICY", None)?;
    for part in [PROMPT, "erotic"] {
        ensure!(!ended.stdout.contains(part) && !ended.stderr.contains(part), "{ended:?}");
    }
    Ok(())
}

#[test]
fn a_model_that_cannot_be_loaded() -> Result<()> {
    let place = Place::new()?;
    let bytes = std::fs::read(golden("single_file").join("model.safetensors"))?;
    std::fs::write(place.path("cut.safetensors"), &bytes[..bytes.len() / 2])?;
    let job = fox()?;
    let ended = run_on(&place, &place.path("cut.safetensors"), &job.to_string())?;
    let body = failed(&place, &ended, "MODEL", None)?;
    let message = body["error_message"].as_str().context("error_message")?;
    ensure!(message.contains("cut.safetensors") && !message.contains('\n'), "{message}");
    ensure!(body["job_id"] == job["id"] && body["metadata"]["job_type"] == job["type"], "{body:#}");
    Ok(())
}

#[test]
fn text_that_is_no_job() -> Result<()> {
    let place = Place::new()?;
    for text in ["not JSON at all", "", "7", "[]", r#"["{}", "{}"]"#] {
        let ended = run(&place, text)?;
        ensure!(ended.code == Some(1), "{text}: {ended:?}");
        let body = body(&ended).with_context(|| text.to_owned())?;
        ensure!(body["status"] == "failed" && body["job_id"].is_null(), "{text}: {body:#}");
        ensure!(body["metadata"]["error_code"] == "INVALID_JOB", "{text}: {body:#}");
    }
    Ok(())
}

/// A data folder that cannot be one: the picture was made and is nowhere.
#[test]
fn files_that_cannot_be_stored() -> Result<()> {
    let (place, job) = (Place::new()?, fox()?);
    std::fs::write(place.path("data"), "a file")?;
    let ended = run(&place, &job.to_string())?;
    let body = body(&ended)?;
    ensure!(ended.code == Some(1) && body["metadata"]["error_code"] == "STORAGE", "{ended:?}");
    ensure!(body["metadata"]["retryable"] == true && body["assets"] == json!([]), "{body:#}");
    Ok(())
}
