//! Reference pictures of WAN jobs on the tiny checkpoints: which are given, how they take part, and what is said of it.

mod common;

use std::collections::BTreeSet;

use anyhow::{Result, ensure};
use common::Place;
use common::job::set;
use common::wan::{USER, frames_of, job, run_job, stored};
use serde_json::{Value, json};

/// Where jobs name their pictures.
const SINGLE: &str = "/config/image";
const FIRST: &str = "/config/first_frame";
const LAST: &str = "/config/last_frame";

/// Frames by path in storage; what was applied is in the body, and what was not as well.
#[test]
fn references_are_applied_or_reported() -> Result<()> {
    let place = Place::new()?;
    let own = picture(&place, "fox.png", [2, 3])?;
    let cases = [
        ("video_fast", FIRST, own.as_str(), "start", Some("latent_hold")),
        // A picture has no first frame: it begins from it.
        ("image_fast", FIRST, &own, "single", Some("latent_init")),
        ("image_fast", FIRST, "user-library/somebody-else/fox.png", "none", None),
        ("image_fast", SINGLE, "https://127.0.0.1/fox.png", "none", None),
    ];
    for (job_type, field, reference, mode, method) in cases {
        let mut job = job(job_type);
        set(&mut job, field, json!(reference));
        let body = run_job(&place, "t2v_f32", &job)?;
        let metadata = &body["metadata"];
        ensure!(metadata["reference_mode"] == mode, "{field} {reference}: {metadata:#}");
        ensure!(metadata["reference_applied"] == json!(method.is_some()), "{metadata:#}");
        ensure!(metadata["reference_method"].as_str() == method, "{metadata:#}");
        ensure!(metadata["reference_error"].is_string() == method.is_none(), "{metadata:#}");
        ensure!(metadata["requested_reference_mode"].is_string(), "{metadata:#}");
        let noised = method == Some("latent_init");
        ensure!(metadata["denoise_strength"].is_number() == noised, "{metadata:#}");
        // Half of the schedule is run from a single picture.
        ensure!(metadata["steps"] == if noised { 5 } else { 10 }, "{metadata:#}");
        let policy = method.map(|_| "center_crop");
        ensure!(body["assets"][0]["metadata"]["resize_policy"].as_str() == policy, "{body:#}");
    }
    Ok(())
}

/// Each way of giving pictures to the text-to-video checkpoint and to VACE makes another video of the seed than the
/// others, and than no picture. Of two frames of which one cannot be had, neither is used.
#[test]
fn every_mode_takes_part_in_the_checkpoint_s_own_way() -> Result<()> {
    let place = Place::new()?;
    let (fox, den) = (picture(&place, "fox.png", [2, 3])?, picture(&place, "den.png", [1, 2])?);
    let lost = format!("user-library/{USER}/lost.png");
    let (first, last, single) = ((FIRST, &fox), (LAST, &den), (SINGLE, &fox));
    let cases = [
        ("t2v_f32", &[first, (LAST, &lost)][..], "none", None),
        ("t2v_f32", &[last], "end", Some("latent_hold")),
        ("t2v_f32", &[first, last], "both", Some("latent_hold")),
        ("vace", &[], "none", None),
        ("vace", &[first], "start", Some("vace")),
        ("vace", &[last], "end", Some("vace")),
        ("vace", &[first, last], "both", Some("vace")),
        ("vace", &[single], "single", Some("vace")),
    ];
    let mut videos = BTreeSet::new();
    for (model, given, mode, method) in cases {
        let mut job = without_guidance("video_fast");
        given.iter().for_each(|(field, name)| set(&mut job, field, json!(name)));
        let body = run_job(&place, model, &job)?;
        let (metadata, asset) = (&body["metadata"], &body["assets"][0]["metadata"]);
        let lost = method.is_none() && !given.is_empty();
        let requested = if lost { Some("both") } else { method.map(|_| mode) };
        let expected = json!({
            "reference_mode": mode, "reference_applied": method.is_some(), "reference_method": method,
            "requested_reference_mode": requested, "denoise_strength": null, "steps": 10, "frame_num": 5,
            "wan_task": if model == "vace" { "vace-d72" } else { "t2v-d24" },
        });
        says(metadata, &expected)?;
        ensure!(metadata["reference_error"].is_string() == lost, "{metadata:#}");
        let policy = method.map(|_| if mode == "single" { "pad_white" } else { "center_crop" });
        ensure!(asset["resize_policy"].as_str() == policy, "{body:#}");
        let (frames, _) = frames_of(&stored(&place.path("data"), "job-video_fast", "0.mp4"))?;
        ensure!(frames.len() == 5 && videos.insert(frames), "{model} {mode}: the video of another mode");
    }
    Ok(())
}

/// A picture has no last frame, and with VACE a reference before it.
#[test]
fn a_picture_of_vace_takes_a_single_picture() -> Result<()> {
    let place = Place::new()?;
    let mut job = without_guidance("image_fast");
    set(&mut job, LAST, json!(picture(&place, "fox.png", [2, 3])?));
    let body = run_job(&place, "vace", &job)?;
    let expected = json!({
        "reference_mode": "single", "reference_applied": true, "reference_method": "vace", "steps": 10,
        "requested_reference_mode": "end", "reference_error": null, "denoise_strength": null,
    });
    says(&body["metadata"], &expected)?;
    ensure!(body["assets"][0]["metadata"]["resize_policy"] == "pad_white", "{body:#}");
    Ok(())
}

/// One prediction a step.
fn without_guidance(job_type: &str) -> Value {
    let mut job = job(job_type);
    set(&mut job, "/config/sample_guide_scale", json!(1.0));
    job
}

fn says(metadata: &Value, expected: &Value) -> Result<()> {
    for (key, value) in expected.as_object().into_iter().flatten() {
        ensure!(&metadata[key] == value, "{key} must be {value}: {metadata:#}");
    }
    Ok(())
}

/// A picture in the user's library; its name in storage. Colours rise by `steps` a pixel.
fn picture(place: &Place, name: &str, steps: [u32; 2]) -> Result<String> {
    let folder = place.path("data/user-library").join(USER);
    std::fs::create_dir_all(&folder)?;
    let picture = image::RgbImage::from_fn(90, 70, |x, y| {
        image::Rgb([(x * steps[0]) as u8, (y * steps[1]) as u8, 120])
    });
    picture.save(folder.join(name))?;
    Ok(format!("user-library/{USER}/{name}"))
}
