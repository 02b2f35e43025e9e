//! Commands without a model: the demo models draw what is asked for, and one line says that it is they.

mod common;

use std::path::Path;

use anyhow::{Context, Result, ensure};
use common::{Ended, Place, demo_model, golden, golden_wan, words};
use ourvidz_demo_score::{Colour, Picture, Relation, Shape, Verdict, Wanted, judge_picture};
use serde_json::{Value, json};

/// The remark about one demo model, and nothing else.
fn said(ended: &Ended, model: &str) -> Result<()> {
    let remark = format!("no model is configured: using the bundled demo model {model} (");
    ensure!(ended.stderr.matches("no model is configured").count() == 1, "{ended:?}");
    ensure!(ended.stderr.starts_with(&remark), "{ended:?}");
    Ok(())
}

fn judged(path: &Path, colour: &str, shape: &str) -> Result<Verdict> {
    let picture = image::open(path).with_context(|| path.display().to_string())?.into_rgb8();
    let (width, height) = (picture.width() as usize, picture.height() as usize);
    let picture = Picture::new(width, height, picture.into_raw()).context("pixels")?;
    let wanted = Wanted { shape: shape.parse::<Shape>()?, colour: colour.parse::<Colour>()? };
    Ok(judge_picture(&picture, &[wanted], Relation::Any))
}

/// Whether the tree holds tiny-wan; without it a command says what it misses.
fn wan_is_here() -> bool {
    demo_model("tiny-wan").is_dir()
}

/// Pixels of a side that tiny-sdxl was trained on.
fn own_size() -> Result<u64> {
    let file = demo_model("tiny-sdxl").join("unet/config.json");
    let config: Value = serde_json::from_str(&std::fs::read_to_string(file)?)?;
    Ok(8 * config["sample_size"].as_u64().context("sample_size")?)
}

fn run_job(place: &Place, job: &Value, flags: &str) -> Result<(Ended, Value)> {
    std::fs::write(place.path("job.json"), job.to_string())?;
    let ended = place.run(words("run-job job.json --data-dir data").chain(words(flags)))?.succeeded()?;
    let body = serde_json::from_str(&ended.stdout).with_context(|| format!("{ended:?}"))?;
    Ok((ended, body))
}

fn prompt(command: &str, text: &str) -> Vec<String> {
    words(command).chain(["--prompt".to_owned(), text.to_owned()]).collect()
}

#[test]
fn a_picture_without_a_model() -> Result<()> {
    let place = Place::new()?;
    let ended =
        place.run(prompt("generate image --seed 7 -o x.png", "a red circle on white"))?.succeeded()?;
    said(&ended, "tiny-sdxl")?;
    let (width, height) = image::image_dimensions(place.path("x.png"))?;
    ensure!((u64::from(width), u64::from(height)) == (own_size()?, own_size()?), "{width}x{height}");
    let verdict = judged(&place.path("x.png"), "red", "circle")?;
    ensure!(verdict.right, "{verdict:?}");
    Ok(())
}

#[test]
fn a_clip_without_a_model() -> Result<()> {
    let place = Place::new()?;
    let command = "generate video --seed 7 --sample_steps 15 -o frames --json";
    let ended = place.run(prompt(command, "a blue square moving left on white"))?;
    if !wan_is_here() {
        let line = ended.one_line(2)?;
        ensure!(line.contains("--model or OURVIDZ_WAN_MODEL") && line.contains("tiny-wan"), "{line}");
        return Ok(());
    }
    let ended = ended.succeeded()?;
    said(&ended, "tiny-wan")?;
    let report: Value = serde_json::from_str(&ended.stdout)?;
    let size = [&report["width"], &report["height"], &report["frames"]];
    ensure!(size == [&json!(256), &json!(256), &json!(17)], "{report:#}");
    let verdict = judged(&place.path("frames/frame-0008.png"), "blue", "square")?;
    ensure!(verdict.right, "{verdict:?}");
    Ok(())
}

#[test]
fn a_prompt_without_a_model() -> Result<()> {
    let place = Place::new()?;
    let ended = place.run(prompt("enhance --json --seed 7", "a green star on navy"))?.succeeded()?;
    said(&ended, "tiny-qwen")?;
    let report: Value = serde_json::from_str(&ended.stdout)?;
    ensure!(report["enhancement_source"] == "qwen_instruct", "{report:#}");
    ensure!(report["enhanced_prompt"].as_str().is_some_and(|text| text.contains("green star")), "{report:#}");
    // It can do nothing else.
    for command in ["chat", "complete --prompt fox", "enhance --style base --prompt fox"] {
        let refused = place.run(words(command))?;
        ensure!(refused.one_line(2)?.contains("--model"), "{command}: {refused:?}");
    }
    Ok(())
}

/// The job is told the size that it did not name.
#[test]
fn an_sdxl_job_without_a_size_has_the_models() -> Result<()> {
    let place = Place::new()?;
    let job = json!({"id": "j1", "type": "sdxl_image_fast", "user_id": "u1", "prompt": "a red circle on white",
        "config": {"sample_steps": 10, "seed": 3}});
    let (ended, body) = run_job(&place, &job, "")?;
    said(&ended, "tiny-sdxl")?;
    let tiny = golden("linear_eps").display().to_string();
    let (_, other) = run_job(&place, &job, &format!("--model {tiny}"))?;
    for (body, side) in [(&body, own_size()?), (&other, 64)] {
        for of in [&body["metadata"], &body["assets"][0]["metadata"]] {
            ensure!((&of["width"], &of["height"]) == (&json!(side), &json!(side)), "{side}: {body:#}");
        }
    }
    let named = json!({"id": "j1", "type": "sdxl_image_fast", "user_id": "u1", "prompt": "a red circle on white",
        "config": {"sample_steps": 10, "seed": 3, "width": 128}});
    let (_, body) = run_job(&place, &named, &format!("--model {tiny}"))?;
    ensure!(body["metadata"]["width"] == 128 && body["metadata"]["height"] == 64, "{body:#}");
    Ok(())
}

/// The demo enhancer goes with the demo's WAN model only: it would ruin prompts for another.
#[test]
fn enhanced_jobs_of_the_demo_model_are_enhanced() -> Result<()> {
    let place = Place::new()?;
    let job = json!({"id": "j1", "type": "image7b_fast_enhanced", "user_id": "u1", "prompt": "a green star on navy",
        "config": {"sample_steps": 10, "seed": 3}});
    let real = golden_wan("t2v_f32").display().to_string();
    let (ended, body) = run_job(&place, &job, &format!("--model {real}"))?;
    ensure!(ended.stderr.is_empty() && body["metadata"]["enhancement_source"] == "none", "{ended:?}");
    if !wan_is_here() {
        let ended = place.run(words("run-job job.json"))?;
        ensure!(ended.code == Some(1) && ended.stdout.contains("this build does not hold"), "{ended:?}");
        return Ok(());
    }
    let (ended, body) = run_job(&place, &job, "")?;
    for model in ["tiny-qwen", "tiny-wan"] {
        ensure!(ended.stderr.contains(&format!("using the bundled demo model {model}")), "{ended:?}");
    }
    ensure!(body["metadata"]["enhancement_source"] == "qwen_instruct", "{body:#}");
    ensure!(body["enhancedPrompt"].as_str().is_some_and(|text| text.contains("green star")), "{body:#}");
    Ok(())
}

#[test]
fn a_language_model_that_is_not_there_is_blamed_on_its_flag() -> Result<()> {
    let place = Place::new()?;
    std::fs::write(
        place.path("job.json"),
        r#"{"id": "j", "type": "video_fast", "user_id": "u", "prompt": "p"}"#,
    )?;
    let refused = place.run(words("run-job job.json --qwen-model nowhere"))?;
    ensure!(refused.one_line(2)?.contains("--qwen-model: nowhere is not a folder"), "{refused:?}");
    Ok(())
}
