//! Enhanced WAN jobs on the tiny checkpoint: what the language model makes of the prompt, and what is said where it
//! makes nothing.

mod common;

use anyhow::{Context, Result, ensure};
use common::job::run_with;
use common::{Place, demo_model, golden_wan};
use serde_json::{Value, json};

const PROMPT: &str = "a green star on navy";

fn job(job_type: &str, prompt: &str) -> Value {
    json!({
        "id": "j1", "type": job_type, "user_id": "u1", "prompt": prompt,
        "config": {"sample_steps": 10, "frame_num": 5, "seed": 7},
    })
}

/// The body of the callback, with the language model of that folder.
fn run_job(place: &Place, job: &Value, qwen: Option<&str>) -> Result<Value> {
    let qwen = qwen.map(|folder| ["--qwen-model", folder]);
    let more = qwen.as_ref().map_or(&[][..], |flags| flags);
    let ended = run_with(place, &golden_wan("t2v_f32"), &job.to_string(), more)?.succeeded()?;
    serde_json::from_str(&ended.stdout).with_context(|| format!("{ended:?}"))
}

/// The prompt is the model's, the same as `ourvidz enhance` gives for the seed.
#[test]
fn the_model_s_prompt_is_generated_from() -> Result<()> {
    let place = Place::new()?;
    let qwen = demo_model("tiny-qwen").display().to_string();
    for (job_type, target) in [("image7b_fast_enhanced", "image"), ("video7b_high_enhanced", "video")] {
        let enhance =
            ["enhance", "--json", "--seed", "7", "--prompt", PROMPT, "--model", &qwen, "--for", target];
        let expected: Value = serde_json::from_str(&place.run(enhance)?.succeeded()?.stdout)?;
        let body = run_job(&place, &job(job_type, PROMPT), Some(&qwen))?;
        let (metadata, rewritten) = (&body["metadata"], &body["enhancedPrompt"]);
        ensure!(metadata["enhancement_source"] == "qwen_instruct", "{body:#}");
        ensure!(rewritten.as_str().is_some_and(|text| text.contains("green star")), "{body:#}");
        ensure!(rewritten != PROMPT && *rewritten == expected["enhanced_prompt"], "{body:#} {expected:#}");
        ensure!(metadata["final_prompt"] == *rewritten && metadata["original_prompt"] == PROMPT, "{body:#}");
        ensure!(metadata["enhancement_seconds"].as_f64().is_some_and(|s| s > 0.0), "{body:#}");
        ensure!(metadata["enhancement_error"].is_null() && metadata["enhancement_cut"].is_null(), "{body:#}");
    }
    // A type that is not enhanced is not, whatever model is there.
    let body = run_job(&place, &job("image_fast", PROMPT), Some(&qwen))?;
    ensure!(body["metadata"]["enhancement_source"] == "none" && body["enhancedPrompt"].is_null(), "{body:#}");
    Ok(())
}

#[test]
fn a_prompt_of_which_the_model_saw_a_part_is_said_to_be_so() -> Result<()> {
    let place = Place::new()?;
    let qwen = demo_model("tiny-qwen").display().to_string();
    let long = format!("{} a green star on navy", "a large red circle above it and".repeat(150));
    let body = run_job(&place, &job("image7b_fast_enhanced", &long), Some(&qwen))?;
    let cut = body["metadata"]["enhancement_cut"].as_str().with_context(|| format!("{body:#}"))?;
    ensure!(cut.contains("characters of the message were left out"), "{body:#}");
    Ok(())
}

/// The job goes on with its own prompt, and the callback tells why.
#[test]
fn without_a_prompt_of_the_model_s_the_job_s_own_stays() -> Result<()> {
    let place = Place::new()?;
    let golden = |name: &str| golden_wan("../qwen").join(name).display().to_string();
    let broken = place.path("broken");
    std::fs::create_dir_all(&broken)?;
    std::fs::write(broken.join("config.json"), "{}")?;
    let cases = [
        (None, "none", "no language model is configured"),
        // The built-in instructions alone are longer than what this one takes.
        (Some(golden("qwen2_untied")), "original", "messages must be at most"),
        (Some(broken.display().to_string()), "original", "the language model cannot be loaded"),
    ];
    for (qwen, source, why) in cases {
        let body = run_job(&place, &job("image7b_fast_enhanced", PROMPT), qwen.as_deref())?;
        let metadata = &body["metadata"];
        ensure!(body["status"] == "completed" && body["enhancedPrompt"].is_null(), "{body:#}");
        ensure!(metadata["enhancement_source"] == source && metadata["final_prompt"] == PROMPT, "{body:#}");
        ensure!(metadata["enhancement_error"].as_str().is_some_and(|e| e.contains(why)), "{why}: {body:#}");
    }
    Ok(())
}
