//! WAN jobs: from a typed request to a stored video or picture and the callback that says how it was made.

mod encode;
mod enhance;
mod references;
mod request;
mod store;

use std::ops::ControlFlow;
use std::time::Instant;

use ourvidz_core::job::callback::{Callback, ErrorCode, WanMetadata};
use ourvidz_core::job::{Job, JobRequest, Media, ReferenceMode, WanJob};
use ourvidz_core::policy;
use ourvidz_queue::worker::{JobControl, JobFailure, JobHandler, Stage};
use ourvidz_wan::{Error, NoiseSource, Prepared, Reference, ReferenceMethod, TextToVideo, WanPipeline};

use crate::cli::WanModelOptions;
use crate::failure::Failure;
use crate::job_failures;
use crate::load::loaded;
use crate::load_wan::load_wan;
use crate::progress::Progress;
use crate::store::Store;

pub(crate) use enhance::Enhancer;
use references::Fetched;
pub(crate) use references::References;

/// Makes WAN jobs with one loaded pipeline.
#[derive(Debug)]
pub(crate) struct WanHandler {
    model: WanModelOptions,
    rng: NoiseSource,
    store: Store,
    references: References,
    enhancer: Enhancer,
    default_fps: u32,
    pipeline: Option<WanPipeline>,
}

/// The rate the model was trained at.
pub(crate) const DEFAULT_FPS: u32 = 16;

/// What a run made, before it is a file.
struct Run {
    encoded: encode::Encoded,
    prepared: Prepared,
    scheduler: &'static str,
    steps: usize,
    truncated: bool,
}

impl WanHandler {
    /// Loads nothing yet.
    pub(crate) fn new(
        model: WanModelOptions,
        rng: NoiseSource,
        store: Store,
        references: References,
        enhancer: Enhancer,
    ) -> Self {
        Self { model, rng, store, references, enhancer, default_fps: DEFAULT_FPS, pipeline: None }
    }

    /// Frames per second of jobs that name no rate.
    pub(crate) fn with_default_fps(self, default_fps: u32) -> Self {
        Self { default_fps, ..self }
    }

    /// Loads the language model, where one is configured, and WAN.
    pub(crate) fn load_all(&mut self) -> Result<(), Failure> {
        self.enhancer.load()?;
        self.load().map(drop)
    }

    /// Loads WAN, if it is not.
    fn load(&mut self) -> Result<&mut WanPipeline, Failure> {
        loaded(&mut self.pipeline, |progress| load_wan(&self.model, progress))
    }

    fn generate(
        &mut self,
        request: &TextToVideo,
        reference: Option<&Reference>,
        control: &JobControl,
    ) -> Result<Run, JobFailure> {
        control.stage(Stage::Loading)?;
        let wan = self.load().map_err(job_failures::of_loading)?;
        control.stage(Stage::Encoding)?;
        let scheduler = wan.scheduler(request).map_err(request::refused)?.class_name();
        let embeds = wan.encode_prompt(request).map_err(failure)?;
        let prepared = wan.prepare(request, reference).map_err(failure)?;
        control.stage(Stage::Denoising)?;
        let mut progress = Progress::new();
        let mut steps = 0;
        let latents = wan.denoise(request, &embeds, &prepared, None, |step| {
            steps += 1;
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
        let latents = latents.map_err(failure)?;
        control.stage(Stage::Decoding)?;
        let text = encode::Text { request, scheduler, prepared: &prepared };
        let encoded = encode::encode(wan, &latents, &text, control)?;
        Ok(Run { encoded, prepared, scheduler, steps, truncated: embeds.cut.is_some() })
    }
}

impl JobHandler for WanHandler {
    fn handle(&mut self, job: &Job, control: &JobControl) -> Result<Callback, JobFailure> {
        let started = Instant::now();
        policy::check_job(job)?;
        let JobRequest::Wan(wan_job) = &job.request else {
            let text = format!("this worker makes WAN jobs only, got {}", job.job_type.as_str());
            return Err(job_failures::not_made(text));
        };
        let media = job.job_type.media();
        if media == Media::Video && !encode::VIDEO {
            let text = "this build has no video encoder: build with the feature `video`";
            return Err(JobFailure::permanent(ErrorCode::Model, text));
        }
        let seed = wan_job.seed.unwrap_or_else(ourvidz_wan::random_seed);
        let mut metadata = WanMetadata::new(job, wan_job, seed, self.default_fps);
        let mut request = request::request(wan_job, seed, self.rng, self.default_fps);
        request.validate()?;
        control.stage(Stage::Fetching)?;
        let fetched = self.references.fetch(job, wan_job, &self.store, control)?;
        request.prompt = self.enhancer.enhance(job, wan_job, &mut metadata, control)?;
        let run = self.generate(&request, fetched.reference.as_ref(), control)?;
        control.stage(Stage::Storing)?;
        describe(&mut metadata, wan_job, &request, &fetched, &run);
        if let Some(wan) = &self.pipeline {
            metadata.wan_task = wan.task();
            metadata.precision = wan.precision().to_string();
            metadata.vae_precision = wan.vae_precision().to_string();
            metadata.device = wan.device().to_string();
        }
        let assets = store::store(&self.store, job, &metadata, run.encoded, control)?;
        metadata.generation_time = (started.elapsed().as_secs_f64() * 1e3).round() / 1e3;
        let rewritten = metadata.final_prompt != metadata.original_prompt;
        let enhanced_prompt = rewritten.then(|| metadata.final_prompt.clone());
        Ok(Callback { enhanced_prompt, ..Callback::completed(job, assets, metadata) })
    }
}

/// What was done, beside what the request says.
fn describe(
    metadata: &mut WanMetadata,
    wan_job: &WanJob,
    request: &TextToVideo,
    fetched: &Fetched,
    run: &Run,
) {
    metadata.frame_num = run.encoded.frames as u32;
    metadata.steps = run.steps as u32;
    metadata.scheduler = run.scheduler.to_owned();
    metadata.negative_prompt_used =
        ourvidz_wan::negative_prompt(request).is_some_and(|text| !text.is_empty());
    metadata.final_prompt = request.prompt.clone();
    metadata.prompt_truncated = run.truncated;
    metadata.sample_shift = wan_job.sample_shift;
    metadata.reference_error = fetched.error.clone();
    if let Some(method) = run.prepared.method() {
        metadata.reference_mode = fetched.mode;
        metadata.reference_applied = true;
        metadata.reference_method = Some(method.as_str().to_owned());
        if let (ReferenceMethod::LatentInit, Some(reference)) = (method, &fetched.reference) {
            metadata.denoise_strength = Some(reference.denoise_strength);
        }
        let padded = method == ReferenceMethod::Vace && fetched.mode == ReferenceMode::Single;
        metadata.resize_policy = Some(if padded { "pad_white" } else { "center_crop" }.to_owned());
    }
}

/// Errors of the pipeline: what the request breaks is permanent.
fn failure(error: Error) -> JobFailure {
    match error {
        Error::Request(core) => core.into(),
        error @ (Error::Input { .. } | Error::Size { .. } | Error::NoFrames | Error::TooLong { .. }) => {
            JobFailure::permanent(ErrorCode::InvalidJob, error.to_string())
        }
        error => job_failures::of_model(error),
    }
}
