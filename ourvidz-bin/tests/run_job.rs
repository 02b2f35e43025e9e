//! `ourvidz run-job`: jobs that are made, what is stored and what the callback's body says.

mod common;

use anyhow::{Context, Result, ensure};
use common::Place;
use common::job::{body, fox, run, set};
use image::ImageReader;
use serde_json::{Value, json};
use sha2::{Digest, Sha256};

/// The example's user and job, below the bucket.
const FOLDER: &str =
    "data/workspace-temp/8d6f1f62-27a6-4a0e-b9b5-1f4f1b7f5c11/3f2b8a54-6f0e-4a3c-9d53-0c5b6f1f8a10";

fn completed(place: &Place, job: &Value) -> Result<Value> {
    let ended = run(place, &job.to_string())?.succeeded()?;
    let body = body(&ended)?;
    ensure!(body["status"] == "completed" && body["error_message"].is_null(), "{body:#}");
    Ok(body)
}

fn keys(object: &Value) -> Result<Vec<&str>> {
    Ok(object.as_object().context("not an object")?.keys().map(String::as_str).collect())
}

/// Every field of the newest shape, three pictures with thumbnails, and files that are what the body says.
#[test]
fn three_pictures_and_their_body() -> Result<()> {
    let (place, mut job) = (Place::new()?, fox()?);
    set(&mut job, "/config/num_images", json!(3));
    let body = completed(&place, &job)?;
    ensure!(keys(&body)? == ["job_id", "status", "error_message", "assets", "metadata"], "{body:#}");
    ensure!(body["job_id"] == job["id"], "{body:#}");

    let assets = body["assets"].as_array().context("assets")?;
    ensure!(assets.len() == 3, "{body:#}");
    let mut pictures = Vec::new();
    for (i, asset) in assets.iter().enumerate() {
        ensure!(
            keys(asset)? == ["type", "url", "thumbnail_url", "metadata"] && asset["type"] == "image",
            "{asset:#}"
        );
        for (key, file) in [("url", format!("{i}.png")), ("thumbnail_url", format!("{i}.thumb.webp"))] {
            let url = format!(
                "{}/{}/{file}",
                job["user_id"].as_str().context("user_id")?,
                job["id"].as_str().context("id")?
            );
            ensure!(asset[key] == *url, "{asset:#}");
        }
        let bytes = std::fs::read(place.path(FOLDER).join(format!("{i}.png")))?;
        let sha256: String = Sha256::digest(&bytes).iter().map(|byte| format!("{byte:02x}")).collect();
        let expected = json!({
            "width": 64, "height": 64, "format": "png", "batch_size": 3, "steps": 10, "guidance_scale": 6.0,
            "seed": 123456789 + i, "file_size_bytes": bytes.len(), "asset_index": i,
            "negative_prompt_used": true, "sha256": sha256,
        });
        ensure!(asset["metadata"] == expected, "{asset:#}\nexpected {expected:#}");
        let picture = image::load_from_memory_with_format(&bytes, image::ImageFormat::Png)?;
        ensure!((picture.width(), picture.height()) == (64, 64), "{i}.png");
        // A picture smaller than a thumbnail is not enlarged.
        ensure!(thumbnail_size(&place, i)? == (64, 64), "{i}.thumb.webp");
        pictures.push(picture.into_bytes());
    }
    ensure!(pictures[0] != pictures[1] && pictures[1] != pictures[2], "two pictures are the same");
    ensure!(std::fs::read_dir(place.path(FOLDER))?.count() == 6, "other files lie there as well");

    let metadata = &body["metadata"];
    let expected = json!({
        "job_type": "sdxl_image_fast", "content_type": "image", "seed": 123456789, "num_images": 3,
        "batch_size": 3, "width": 64, "height": 64, "steps": 10, "guidance_scale": 6.0,
        "negative_prompt_used": true, "scheduler": "EulerDiscreteScheduler", "precision": "fp32",
        "device": "cpu", "original_prompt": job["prompt"], "final_prompt": job["prompt"],
        "final_prompt_type": "string", "compel_enabled": false, "compel_weights": null,
        "compel_success": false, "enhancement_strategy": "none", "reference_mode": "none",
    });
    for (key, value) in expected.as_object().context("object")? {
        ensure!(&metadata[key] == value, "{key}: {} instead of {value}", metadata[key]);
    }
    ensure!(metadata["generation_time"].as_f64().is_some_and(|seconds| seconds > 0.0), "{metadata:#}");
    for absent in ["requested_reference_mode", "reference_error", "adjusted"] {
        ensure!(metadata.get(absent).is_none(), "{absent}: {metadata:#}");
    }
    Ok(())
}

fn thumbnail_size(place: &Place, i: usize) -> Result<(u32, u32)> {
    let mut reader = ImageReader::open(place.path(FOLDER).join(format!("{i}.thumb.webp")))?;
    reader.set_format(image::ImageFormat::WebP);
    let thumbnail = reader.decode()?;
    Ok((thumbnail.width(), thumbnail.height()))
}

#[test]
fn a_thumbnail_has_256_pixels_on_its_longer_side() -> Result<()> {
    let (place, mut job) = (Place::new()?, fox()?);
    set(&mut job, "/config/size", json!("512*256"));
    let body = completed(&place, &job)?;
    let metadata = &body["assets"][0]["metadata"];
    ensure!((&metadata["width"], &metadata["height"]) == (&json!(512), &json!(256)), "{body:#}");
    ensure!(thumbnail_size(&place, 0)? == (256, 128), "{:?}", thumbnail_size(&place, 0)?);
    Ok(())
}

/// Reported are the values that ran, and which were changed.
#[test]
fn effective_values_are_reported() -> Result<()> {
    let (place, mut job) = (Place::new()?, fox()?);
    set(&mut job, "/config/sample_steps", json!(4));
    set(&mut job, "/negative_prompt", json!(""));
    let body = completed(&place, &job)?;
    let metadata = &body["metadata"];
    ensure!(metadata["steps"] == 10 && body["assets"][0]["metadata"]["steps"] == 10, "{body:#}");
    let adjusted = &metadata["adjusted"][0];
    ensure!(adjusted["field"] == "config.sample_steps", "{adjusted:#}");
    ensure!(adjusted["requested"] == 4 && adjusted["effective"] == 10, "{adjusted:#}");
    ensure!(metadata["negative_prompt_used"] == false, "{metadata:#}");
    Ok(())
}

#[test]
fn a_second_run_writes_the_same_files() -> Result<()> {
    let (place, job) = (Place::new()?, fox()?);
    let first = completed(&place, &job)?;
    let file = place.path(FOLDER).join("0.png");
    let bytes = std::fs::read(&file)?;
    std::fs::write(&file, "something else")?;
    let second = completed(&place, &job)?;
    ensure!(std::fs::read(&file)? == bytes, "the picture differs");
    ensure!(first["assets"] == second["assets"], "{first:#}\n{second:#}");
    ensure!(std::fs::read_dir(place.path(FOLDER))?.count() == 2, "other files lie there as well");
    Ok(())
}

/// The body's seed stands for the picture, drawn or given.
#[test]
fn a_drawn_seed_reproduces_the_picture() -> Result<()> {
    let (place, mut job) = (Place::new()?, fox()?);
    job["config"].as_object_mut().context("config")?.remove("seed");
    let seed = completed(&place, &job)?["metadata"]["seed"].clone();
    let file = place.path(FOLDER).join("0.png");
    let drawn = std::fs::read(&file)?;
    let other = completed(&place, &job)?["metadata"]["seed"].clone();
    ensure!(seed != other, "both runs drew {seed}");
    ensure!(std::fs::read(&file)? != drawn, "another seed gives the same picture");
    set(&mut job, "/config/seed", seed);
    completed(&place, &job)?;
    ensure!(std::fs::read(&file)? == drawn, "the seed gives another picture");
    Ok(())
}

/// Each form in which producers have queued a job.
#[test]
fn envelopes_of_the_queue_are_opened() -> Result<()> {
    let place = Place::new()?;
    let job = fox()?;
    let text = Value::from(job.to_string());
    let plain = completed(&place, &job)?["assets"].clone();
    for envelope in [json!([text]), json!({ "data": text }), json!({ "data": job })] {
        let body = completed(&place, &envelope).with_context(|| envelope.to_string())?;
        ensure!(body["assets"] == plain && body["job_id"] == job["id"], "{envelope}: {body:#}");
    }
    Ok(())
}

/// Never claimed when it was not applied.
#[test]
fn a_reference_is_not_claimed() -> Result<()> {
    let (place, mut job) = (Place::new()?, fox()?);
    set(&mut job, "/metadata/reference_image_url", json!("https://example.invalid/fox.png"));
    let body = completed(&place, &job)?;
    let metadata = &body["metadata"];
    ensure!(metadata["reference_mode"] == "none", "{metadata:#}");
    ensure!(metadata["requested_reference_mode"] == "modify", "{metadata:#}");
    ensure!(metadata["reference_error"].as_str().is_some_and(|text| !text.is_empty()), "{metadata:#}");
    for absent in ["denoise_strength", "pipeline", "resize_policy"] {
        ensure!(body["assets"][0]["metadata"].get(absent).is_none(), "{absent}: {body:#}");
    }
    Ok(())
}

/// As for references: the weights had no effect, and the body says so.
#[test]
fn weights_are_not_claimed() -> Result<()> {
    let (place, mut job) = (Place::new()?, fox()?);
    set(&mut job, "/compel_enabled", json!(true));
    set(&mut job, "/compel_weights", json!("(snow:1.3)"));
    let body = completed(&place, &job)?;
    let metadata = &body["metadata"];
    ensure!(metadata["compel_enabled"] == true && metadata["compel_weights"] == "(snow:1.3)", "{metadata:#}");
    ensure!(metadata["compel_success"] == false, "{metadata:#}");
    ensure!(metadata["enhancement_strategy"] == "fallback", "{metadata:#}");
    Ok(())
}
