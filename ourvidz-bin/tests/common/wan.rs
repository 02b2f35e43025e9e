//! WAN jobs on a tiny checkpoint, and where their files are.

use std::path::{Path, PathBuf};

use anyhow::{Context, Result};
use serde_json::{Value, json};

use super::job::run_on;
use super::{Ended, Place, golden_wan};

pub(crate) const USER: &str = "8d6f1f62-27a6-4a0e-b9b5-1f4f1b7f5c11";

/// The fewest steps and frames a job can ask for.
pub(crate) fn job(job_type: &str) -> Value {
    json!({
        "id": format!("job-{job_type}"), "type": job_type, "user_id": USER, "prompt": "a red fox in fresh snow",
        "config": {"size": "480*832", "sample_steps": 10, "frame_num": 5, "fps": 12, "seed": 7,
            "sample_guide_scale": 3.5, "sample_solver": "dpm++", "sample_shift": 4.0},
    })
}

pub(crate) fn stored(root: &Path, job_id: &str, name: &str) -> PathBuf {
    root.join("workspace-temp").join(USER).join(job_id).join(name)
}

/// `ourvidz run-job` on the tiny checkpoint of that name, storing under `data`; the callback's body.
pub(crate) fn run_job(place: &Place, model: &str, job: &Value) -> Result<Value> {
    let ended = run(place, model, job)?.succeeded()?;
    serde_json::from_str(&ended.stdout).with_context(|| format!("{ended:?}"))
}

pub(crate) fn run(place: &Place, model: &str, job: &Value) -> Result<Ended> {
    run_on(place, &golden_wan(model), &job.to_string())
}

/// Frames [H, W, 3] and their rate.
pub(crate) fn frames_of(path: &Path) -> Result<(Vec<Vec<u8>>, f32)> {
    let mut decoder = video_rs::Decoder::new(path).with_context(|| path.display().to_string())?;
    let fps = decoder.frame_rate();
    let frames = decoder.decode_iter().map_while(Result::ok);
    Ok((frames.map(|(_, frame)| frame.into_raw_vec_and_offset().0).collect(), fps))
}
