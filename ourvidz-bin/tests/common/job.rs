//! Running jobs: the example's job made small, and the body it ends with.

use std::path::Path;

use anyhow::{Context, Result};
use serde_json::Value;

use super::{Ended, Place, golden};

/// The example's job at 64 x 64 in 10 steps.
pub(crate) fn fox() -> Result<Value> {
    let example = Path::new(env!("CARGO_MANIFEST_DIR")).join("../examples/jobs/sdxl_image_fast.json");
    let mut job: Value = serde_json::from_str(&std::fs::read_to_string(example)?)?;
    set(&mut job, "/config/size", "64*64".into());
    set(&mut job, "/config/sample_steps", 10.into());
    Ok(job)
}

/// Sets `/key` or `/object/key`.
pub(crate) fn set(job: &mut Value, pointer: &str, value: Value) {
    let mut place = job;
    for key in pointer.split('/').skip(1) {
        place = &mut place[key];
    }
    *place = value;
}

/// `ourvidz run-job` on the tiny checkpoint with `text` as the job, storing under `data`.
pub(crate) fn run(place: &Place, text: &str) -> Result<Ended> {
    run_on(place, &golden("linear_eps"), text)
}

pub(crate) fn run_on(place: &Place, model: &Path, text: &str) -> Result<Ended> {
    run_with(place, model, text, &[])
}

/// The same with more flags.
pub(crate) fn run_with(place: &Place, model: &Path, text: &str, more: &[&str]) -> Result<Ended> {
    std::fs::write(place.path("job.json"), text)?;
    let model = model.display().to_string();
    place.run(["run-job", "job.json", "--data-dir", "data", "--model", &model].iter().chain(more))
}

/// Standard output as one JSON value; nothing else may be on it, and nothing on standard error.
pub(crate) fn body(ended: &Ended) -> Result<Value> {
    anyhow::ensure!(ended.stderr.is_empty(), "{ended:?}");
    serde_json::from_str(&ended.stdout).with_context(|| format!("{ended:?}"))
}
