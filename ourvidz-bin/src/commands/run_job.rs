use std::sync::Arc;

use anyhow::Context;
use ourvidz_core::job::callback::{Callback, CallbackFormat, FailedMetadata, Metadata};
use ourvidz_core::job::{self, Family};
use ourvidz_queue::worker::{JobControl, JobFailure, JobHandler};
use ourvidz_storage::{Layout, LocalStorage};
use time::OffsetDateTime;
use time::format_description::well_known::Rfc3339;

use crate::cli::{RunJobOptions, WanModelOptions};
use crate::config::OnReferenceError;
use crate::failure::Failure;
use crate::output;
use crate::sdxl_jobs::SdxlHandler;
use crate::store::Store;
use crate::wan_jobs::{Enhancer, References, WanHandler};

/// `ourvidz run-job`: one job from queue element to callback body.
pub(crate) fn run_job(options: &RunJobOptions) -> Result<(), Failure> {
    let raw = std::fs::read_to_string(&options.job).with_context(|| options.job.display().to_string());
    let raw = raw.map_err(Failure::arguments)?;
    let job = match job::parse(&raw) {
        Ok(job) => job,
        Err(rejected) => {
            return match Callback::rejected(&rejected) {
                Some(callback) => Err(report_failed(callback)?),
                None => Err(report_nameless(&rejected.error)?),
            };
        }
    };
    let storage = Arc::new(LocalStorage::new(&options.data_dir));
    let store = Store::new(storage.clone(), Layout::WorkspaceTemp, false)?;
    let (model, degrade) = (options.model.clone(), OnReferenceError::Degrade);
    let mut handler: Box<dyn JobHandler> = match job.job_type.family() {
        Family::Sdxl => Box::new(SdxlHandler::new(model, options.rng, store, degrade)),
        Family::Wan => {
            let references = References::new(storage, &[], degrade)?;
            let enhancer = Enhancer::new(options.enhancer.on(&model), &model)?;
            let model = WanModelOptions { model, wan: options.wan.clone() };
            Box::new(WanHandler::new(model, options.rng, store, references, enhancer))
        }
    };
    let failure = match handler.handle(&job, &JobControl::detached(&job.id)) {
        Ok(callback) => return print(&callback),
        Err(JobFailure::Retry { failure, .. } | JobFailure::Permanent(failure)) => failure,
        Err(stopped) => return Err(Failure::Failed(anyhow::anyhow!("stopped: {stopped:?}"))),
    };
    if let Some(source) = &failure.source {
        tracing::info!("{source:#}");
    }
    let mut callback = Callback::failed(&job, failure.code, failure.message);
    if let Metadata::Failed(failed) = &mut callback.metadata {
        failed.field = failure.field;
    }
    Err(report_failed(callback)?)
}

fn report_failed(mut callback: Callback) -> Result<Failure, Failure> {
    if let Metadata::Failed(failed) = &mut callback.metadata {
        failed.timestamp = OffsetDateTime::now_utc().format(&Rfc3339).ok();
    }
    print(&callback)?;
    Ok(Failure::Reported)
}

/// A job without an id: nobody could be called, but who runs this reads the same body.
fn report_nameless(error: &ourvidz_core::Error) -> Result<Failure, Failure> {
    let mut metadata = FailedMetadata::of(error);
    metadata.timestamp = OffsetDateTime::now_utc().format(&Rfc3339).ok();
    let body = serde_json::json!({
        "job_id": null, "status": "failed", "error_message": error.to_string(), "assets": [], "metadata": metadata,
    });
    output::json(&body);
    Ok(Failure::Reported)
}

fn print(callback: &Callback) -> Result<(), Failure> {
    output::json(&callback.body(CallbackFormat::Assets)?);
    Ok(())
}
