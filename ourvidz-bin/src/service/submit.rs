use std::io::Read;
use std::path::Path;

use anyhow::{Context, Result};
use ourvidz_core::job;
use ourvidz_queue::QueueName;
use serde_json::Value;

use super::connect::backend;
use crate::cli::SubmitOptions;
use crate::config::Settings;
use crate::failure::Failure;
use crate::output;

/// `ourvidz submit`: checks a job as a worker would, and queues it once.
pub(crate) fn submit(options: &SubmitOptions, json: bool) -> Result<(), Failure> {
    let settings = Settings::read(&options.service).map_err(Failure::arguments)?;
    let mut element = read(&options.job).map_err(Failure::arguments)?;
    if options.new_id {
        element = with_new_id(&element).map_err(Failure::arguments)?;
    }
    let job = job::parse(&element).map_err(|rejected| Failure::arguments(rejected.error))?;
    let queue = QueueName::for_job_type(job.job_type);
    let added = super::block_on(push(&settings, queue, &job.id, &element))?;
    if !added {
        let id = &job.id;
        return Err(Failure::Failed(anyhow::anyhow!(
            "job {id} was submitted within the last 24 hours; --new-id submits it as another job"
        )));
    }
    if json {
        let adjusted = job.adjusted.iter().map(|change| &change.field).collect::<Vec<_>>();
        output::json(&serde_json::json!({"id": job.id, "queue": queue.as_str(), "adjusted": adjusted}));
    } else {
        output::line(&format!("{} is in {queue} ({})", job.id, settings.queue.value.describe()));
        for change in &job.adjusted {
            output::error(&format!("{} will be changed to fit its rule", change.field));
        }
    }
    Ok(())
}

/// Puts a job into its queue; `false` when one of this id was there within the last 24 hours.
pub(crate) async fn push(settings: &Settings, queue: QueueName, id: &str, element: &str) -> Result<bool> {
    let backend = backend(settings, queue).await?;
    Ok(backend.push_once(id, element).await?)
}

fn read(path: &Path) -> Result<String> {
    if path == Path::new("-") {
        let mut text = String::new();
        std::io::stdin().read_to_string(&mut text).context("standard input")?;
        return Ok(text);
    }
    std::fs::read_to_string(path).with_context(|| path.display().to_string())
}

fn with_new_id(element: &str) -> Result<String> {
    let mut job: Value = serde_json::from_str(element).context("the job")?;
    let fields = job.as_object_mut().context("--new-id: the job must be a JSON object")?;
    fields.retain(|key, _| !matches!(key.as_str(), "job_id" | "jobId"));
    fields.insert("id".to_owned(), uuid::Uuid::new_v4().to_string().into());
    Ok(job.to_string())
}
