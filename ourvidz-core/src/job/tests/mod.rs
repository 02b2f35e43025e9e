#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

mod callback;
mod common;
mod envelope;
mod properties;
mod sdxl;
mod wan;

use serde_json::{Value, json};

use super::{Job, JobRequest, Rejected, SdxlJob, WanJob, parse};

/// `base` with the keys of `over` merged in, level by level.
fn merged(mut base: Value, over: &Value) -> Value {
    match (&mut base, over) {
        (Value::Object(base), Value::Object(over)) => {
            for (key, value) in over {
                let old = base.remove(key).unwrap_or(Value::Null);
                base.insert(key.clone(), merged(old, value));
            }
            Value::Object(base.clone())
        }
        _ => over.clone(),
    }
}

fn sdxl_value(over: Value) -> Value {
    merged(json!({"id": "j1", "type": "sdxl_image_high", "user_id": "u1", "prompt": "a red fox"}), &over)
}

fn wan_value(over: Value) -> Value {
    merged(json!({"id": "j1", "type": "video_fast", "user_id": "u1", "prompt": "a red fox"}), &over)
}

fn accepted(value: &Value) -> Job {
    parse(&value.to_string()).unwrap_or_else(|rejected| panic!("{value}: {}", rejected.error))
}

fn refused(value: &Value) -> Rejected {
    match parse(&value.to_string()) {
        Ok(job) => panic!("{value} was accepted as {job:?}"),
        Err(rejected) => rejected,
    }
}

fn sdxl_of(job: &Job) -> &SdxlJob {
    match &job.request {
        JobRequest::Sdxl(request) => request,
        other => panic!("{other:?}"),
    }
}

fn wan_of(job: &Job) -> &WanJob {
    match &job.request {
        JobRequest::Wan(request) => request,
        other => panic!("{other:?}"),
    }
}

/// The adjusted fields as `(field, requested, effective)`.
fn adjusted(job: &Job) -> Vec<(&str, Value, Value)> {
    job.adjusted.iter().map(|a| (a.field.as_str(), a.requested.clone(), a.effective.clone())).collect()
}
