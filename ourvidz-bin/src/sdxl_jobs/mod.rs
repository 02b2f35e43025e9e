//! SDXL jobs: from a typed request to stored pictures and the callback that says how they were made.

mod store;

use std::ops::ControlFlow;
use std::time::Instant;

use ourvidz_core::job::callback::{Callback, ErrorCode, SdxlMetadata};
use ourvidz_core::job::{Job, JobRequest, SdxlJob};
use ourvidz_core::policy;
use ourvidz_queue::worker::{JobControl, JobFailure, JobHandler, Stage};
use ourvidz_sdxl::{Image, NoiseSource, SdxlPipeline, TextToImage};

use crate::cli::ModelOptions;
use crate::config::OnReferenceError;
use crate::failure::Failure;
use crate::job_failures;
use crate::load::{load, loaded};
use crate::progress::Progress;
use crate::store::Store;

use store::{Made, store};

/// What a job's reference meets in this version.
const NO_REFERENCES: &str = "image-to-image is not part of this version";

/// Makes SDXL jobs with one loaded pipeline.
#[derive(Debug)]
pub(crate) struct SdxlHandler {
    model: ModelOptions,
    rng: NoiseSource,
    store: Store,
    on_reference_error: OnReferenceError,
    pipeline: Option<SdxlPipeline>,
}

impl SdxlHandler {
    /// Loads nothing yet.
    pub(crate) fn new(
        model: ModelOptions,
        rng: NoiseSource,
        store: Store,
        on_reference_error: OnReferenceError,
    ) -> Self {
        Self { model, rng, store, on_reference_error, pipeline: None }
    }

    /// Loads the model, if it is not.
    pub(crate) fn load(&mut self) -> Result<&mut SdxlPipeline, Failure> {
        loaded(&mut self.pipeline, |progress| load(&self.model, progress))
    }

    /// `request` gets the model's own size where the job names none.
    fn generate(
        &mut self,
        sdxl_job: &SdxlJob,
        request: &mut TextToImage,
        control: &JobControl,
    ) -> Result<(Vec<Image>, SdxlMetadataOfRun), JobFailure> {
        control.stage(Stage::Loading)?;
        let sdxl = self.load().map_err(job_failures::of_loading)?;
        let (width, height) = sdxl.default_size();
        request.width = sdxl_job.width.map_or(width, |pixels| pixels as usize);
        request.height = sdxl_job.height.map_or(height, |pixels| pixels as usize);
        control.stage(Stage::Encoding)?;
        let mut progress = Progress::new();
        let images = sdxl.text_to_image_with(&*request, |step| {
            progress.step(step.index + 1, step.num_inference_steps);
            match control.step(step.index + 1, step.num_inference_steps) {
                Ok(()) => ControlFlow::Continue(()),
                Err(_) => ControlFlow::Break(()),
            }
        });
        progress.end();
        if let Some(stop) = control.stop_reason() {
            return Err(stop.into());
        }
        let run = SdxlMetadataOfRun {
            scheduler: sdxl.scheduler_class().to_owned(),
            precision: sdxl.precision().to_string(),
            device: sdxl.device().to_string(),
        };
        Ok((images.map_err(failure)?, run))
    }
}

/// What only the pipeline knows.
struct SdxlMetadataOfRun {
    scheduler: String,
    precision: String,
    device: String,
}

impl JobHandler for SdxlHandler {
    fn handle(&mut self, job: &Job, control: &JobControl) -> Result<Callback, JobFailure> {
        let started = Instant::now();
        policy::check_job(job)?;
        let JobRequest::Sdxl(sdxl_job) = &job.request else {
            let text = format!("this worker makes SDXL jobs only, got {}", job.job_type.as_str());
            return Err(job_failures::not_made(text));
        };
        if sdxl_job.reference.is_some() && self.on_reference_error == OnReferenceError::Fail {
            return Err(JobFailure::permanent(ErrorCode::Reference, NO_REFERENCES));
        }
        let seed = sdxl_job.seed.unwrap_or_else(ourvidz_sdxl::random_seed);
        let mut request = request(sdxl_job, seed, self.rng);
        request.validate()?;
        let (images, run) = self.generate(sdxl_job, &mut request, control)?;
        control.stage(Stage::Storing)?;
        let made = Made { job, sdxl_job, request: &request, scheduler: &run.scheduler };
        let assets = store(&self.store, &made, &images, control)?;
        let mut metadata = SdxlMetadata::new(job, sdxl_job, seed);
        metadata.width = request.width as u32;
        metadata.height = request.height as u32;
        metadata.scheduler = run.scheduler;
        metadata.precision = run.precision;
        metadata.device = run.device;
        if sdxl_job.reference.is_some() {
            metadata.reference_error = Some(NO_REFERENCES.to_owned());
        }
        metadata.generation_time = (started.elapsed().as_secs_f64() * 1e3).round() / 1e3;
        Ok(Callback::completed(job, assets, metadata))
    }
}

/// The pipeline's request for a job; its size is the default's, until the model is there.
fn request(sdxl_job: &SdxlJob, seed: u64, rng: NoiseSource) -> TextToImage {
    TextToImage {
        negative_prompt: Some(sdxl_job.negative_prompt.clone()),
        num_inference_steps: sdxl_job.num_inference_steps as usize,
        guidance_scale: sdxl_job.guidance_scale as f32,
        num_images: sdxl_job.num_images as usize,
        seed: Some(seed),
        noise_source: rng,
        ..TextToImage::new(&sdxl_job.prompt)
    }
}

/// Errors of the pipeline: what the request breaks is permanent.
fn failure(error: ourvidz_sdxl::Error) -> JobFailure {
    match error {
        ourvidz_sdxl::Error::Request(core) => core.into(),
        error => job_failures::of_model(error),
    }
}
