use std::ops::ControlFlow;
use std::time::Instant;

use anyhow::Context;
use bytes::Bytes;
use ourvidz_core::job::callback::{
    Asset, AssetMetadata, Callback, CallbackFormat, ErrorCode, FailedMetadata, Metadata, SdxlMetadata,
};
use ourvidz_core::job::{self, Job, JobRequest, Media, SdxlJob};
use ourvidz_core::policy;
use ourvidz_sdxl::{Image, SdxlPipeline, TextToImage};
use ourvidz_storage::{AssetKeys, Layout, LocalStorage, Storage};
use time::OffsetDateTime;
use time::format_description::well_known::Rfc3339;

use super::load::load;
use super::parameters::{SOFTWARE, parameters};
use crate::cli::RunJobOptions;
use crate::failure::Failure;
use crate::output;
use crate::progress::Progress;

/// Longer side of a thumbnail, pixels.
const THUMBNAIL: usize = 256;

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
    match handle(&job, options) {
        Ok(callback) => {
            print(&callback)?;
            Ok(())
        }
        Err(JobFailure { code, error }) => {
            let mut callback = match error.downcast_ref::<ourvidz_core::Error>() {
                Some(core) => Callback::failed_with(&job, core),
                None => Callback::failed(&job, code, format!("{error:#}")),
            };
            if let (ErrorCode::UnsupportedJobType, Metadata::Failed(failed)) = (code, &mut callback.metadata)
            {
                failed.field.get_or_insert_with(|| "type".to_owned());
            }
            Err(report_failed(callback)?)
        }
    }
}

/// Why a job failed, for the callback.
struct JobFailure {
    code: ErrorCode,
    error: anyhow::Error,
}

impl JobFailure {
    fn with(code: ErrorCode) -> impl FnOnce(anyhow::Error) -> JobFailure {
        move |error| JobFailure { code, error }
    }
}

impl From<ourvidz_sdxl::Error> for JobFailure {
    fn from(error: ourvidz_sdxl::Error) -> JobFailure {
        match error {
            ourvidz_sdxl::Error::Request(core) => core.into(),
            error => {
                let text = format!("{error:?}").to_lowercase();
                let memory =
                    ["out of memory", "failed to allocate memory"].iter().any(|words| text.contains(words));
                let code = if memory { ErrorCode::OutOfMemory } else { ErrorCode::Model };
                JobFailure { code, error: error.into() }
            }
        }
    }
}

impl From<ourvidz_core::Error> for JobFailure {
    fn from(error: ourvidz_core::Error) -> JobFailure {
        JobFailure { code: ErrorCode::from(&error), error: error.into() }
    }
}

fn handle(job: &Job, options: &RunJobOptions) -> Result<Callback, JobFailure> {
    let started = Instant::now();
    policy::check_job(job)?;
    let JobRequest::Sdxl(sdxl_job) = &job.request else {
        let error = anyhow::anyhow!("this version makes SDXL jobs only, got {}", job.job_type.as_str());
        return Err(JobFailure { code: ErrorCode::UnsupportedJobType, error });
    };
    let seed = sdxl_job.seed.unwrap_or_else(ourvidz_sdxl::random_seed);
    let request = TextToImage {
        negative_prompt: Some(sdxl_job.negative_prompt.clone()),
        num_inference_steps: sdxl_job.num_inference_steps as usize,
        guidance_scale: sdxl_job.guidance_scale as f32,
        width: sdxl_job.width as usize,
        height: sdxl_job.height as usize,
        num_images: sdxl_job.num_images as usize,
        seed: Some(seed),
        noise_source: options.rng,
        ..TextToImage::new(&sdxl_job.prompt)
    };
    request.validate()?;
    let mut progress = Progress::new();
    let mut sdxl = load(&options.model, &mut progress).map_err(|failure| match failure {
        Failure::Arguments(error) | Failure::Failed(error) => JobFailure { code: ErrorCode::Model, error },
        Failure::Reported => JobFailure { code: ErrorCode::Model, error: anyhow::anyhow!("loading failed") },
    })?;
    let images = sdxl.text_to_image_with(&request, |step| {
        progress.step(step.index + 1, step.num_inference_steps);
        ControlFlow::Continue(())
    })?;
    progress.end();
    let assets = store(
        &Made { job, sdxl_job, request: &request, scheduler: sdxl.scheduler_class() },
        &images,
        options,
    )?;
    let mut metadata = metadata(job, sdxl_job, seed, &sdxl);
    metadata.generation_time = (started.elapsed().as_secs_f64() * 1e3).round() / 1e3;
    Ok(Callback::completed(job, assets, metadata))
}

fn metadata(job: &Job, sdxl_job: &SdxlJob, seed: u64, sdxl: &SdxlPipeline) -> SdxlMetadata {
    let mut metadata = SdxlMetadata::new(job, sdxl_job, seed);
    metadata.scheduler = sdxl.scheduler_class().to_owned();
    metadata.precision = sdxl.precision().to_string();
    metadata.device = sdxl.device().to_string();
    if sdxl_job.reference.is_some() {
        metadata.reference_error = Some("image-to-image is not part of this version".to_owned());
    }
    metadata
}

/// How the pictures of a job were made.
struct Made<'a> {
    job: &'a Job,
    sdxl_job: &'a SdxlJob,
    request: &'a TextToImage,
    scheduler: &'a str,
}

/// Stores every picture and its thumbnail; a second run of the job writes the same keys.
fn store(made: &Made<'_>, images: &[Image], options: &RunJobOptions) -> Result<Vec<Asset>, JobFailure> {
    let Made { job, sdxl_job, request, scheduler } = *made;
    let storage = LocalStorage::new(&options.data_dir);
    let job_type = job.job_type.as_str();
    let keys = AssetKeys { layout: Layout::WorkspaceTemp, job_type, user_id: &job.user_id, job_id: &job.id };
    let runtime = tokio::runtime::Builder::new_current_thread().build();
    let runtime = runtime.map_err(|e| JobFailure::with(ErrorCode::Internal)(e.into()))?;
    let failed = |e: ourvidz_storage::Error| JobFailure::with(ErrorCode::Storage)(e.into());
    let mut assets = Vec::new();
    for (i, image) in (0u32..).zip(images) {
        let text = parameters(request, scheduler, image.seed());
        let png = image.to_png(&[("parameters", &text), SOFTWARE])?;
        let key = keys.asset(i, "png").map_err(failed)?;
        let stored = runtime.block_on(storage.put(&key, "image/png", Bytes::from(png))).map_err(failed)?;
        let thumbnail = thumbnail(&runtime, &storage, &keys, i, image);
        assets.push(Asset {
            media: Media::Image,
            url: key.path().to_owned(),
            thumbnail_url: thumbnail,
            metadata: AssetMetadata {
                width: image.width() as u32,
                height: image.height() as u32,
                format: "png".into(),
                batch_size: images.len() as u32,
                steps: request.num_inference_steps as u32,
                guidance_scale: sdxl_job.guidance_scale,
                seed: image.seed(),
                file_size_bytes: stored.size,
                asset_index: i,
                negative_prompt_used: sdxl_job.negative_prompt_used(),
                sha256: Some(stored.sha256),
                denoise_strength: None,
                pipeline: None,
                resize_policy: None,
                frames: None,
                fps: None,
                duration_seconds: None,
            },
        });
    }
    Ok(assets)
}

/// A picture without a thumbnail is still a picture: the failure is logged, and no path is reported.
fn thumbnail(
    runtime: &tokio::runtime::Runtime,
    storage: &LocalStorage,
    keys: &AssetKeys<'_>,
    index: u32,
    image: &Image,
) -> Option<String> {
    let put = || -> anyhow::Result<String> {
        let webp = image.to_webp_thumbnail(THUMBNAIL)?;
        let key = keys.thumbnail(index)?;
        runtime.block_on(storage.put(&key, "image/webp", Bytes::from(webp)))?;
        Ok(key.path().to_owned())
    };
    put().inspect_err(|error| tracing::warn!(index, "no thumbnail: {error:#}")).ok()
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
    output::line(&format!("{body:#}"));
    Ok(Failure::Reported)
}

fn print(callback: &Callback) -> Result<(), Failure> {
    let body = callback.body(CallbackFormat::Assets)?;
    output::line(&format!("{body:#}"));
    Ok(())
}
