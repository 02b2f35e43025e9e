use ourvidz_core::job::WanJob;
use ourvidz_queue::worker::JobFailure;
use ourvidz_wan::{Error, NoiseSource, TextToVideo};

/// The pipeline's request for a job, with `default_fps` where it names none.
pub(super) fn request(job: &WanJob, seed: u64, rng: NoiseSource, default_fps: u32) -> TextToVideo {
    TextToVideo {
        negative_prompt: job.negative_prompt.clone(),
        num_inference_steps: job.num_inference_steps as usize,
        guidance_scale: job.guidance_scale as f32,
        width: job.width as usize,
        height: job.height as usize,
        num_frames: job.num_frames as usize,
        fps: job.fps.unwrap_or(default_fps),
        scheduler: job.sample_solver.clone(),
        shift: Some(job.sample_shift),
        seed: Some(seed),
        noise_source: rng,
        ..TextToVideo::new(&job.prompt)
    }
}

/// A solver or shift that cannot be, under the names that jobs have for them.
pub(super) fn refused(error: Error) -> JobFailure {
    let mut failure = super::failure(error);
    if let JobFailure::Permanent(failure) = &mut failure {
        failure.field = match failure.field.as_deref() {
            Some("scheduler") => Some("config.sample_solver".into()),
            Some("shift") => Some("config.sample_shift".into()),
            other => other.map(str::to_owned),
        };
    }
    failure
}
