use ourvidz_core::job::callback::{Asset, AssetMetadata};
use ourvidz_core::job::{Job, Media, SdxlJob};
use ourvidz_queue::worker::{JobControl, JobFailure};
use ourvidz_sdxl::{Image, TextToImage};
use ourvidz_storage::AssetKeys;

use super::failure;
use crate::parameters::{SOFTWARE, parameters};
use crate::store::{Store, not_stored};

/// How the pictures of a job were made.
#[derive(Clone, Copy)]
pub(super) struct Made<'a> {
    pub(super) job: &'a Job,
    pub(super) sdxl_job: &'a SdxlJob,
    pub(super) request: &'a TextToImage,
    pub(super) scheduler: &'a str,
}

/// Stores every picture and its thumbnail; a second run of the job writes the same keys.
pub(super) fn store(
    store: &Store,
    made: &Made<'_>,
    images: &[Image],
    control: &JobControl,
) -> Result<Vec<Asset>, JobFailure> {
    let Made { job, sdxl_job, request, scheduler } = *made;
    let job_type = job.job_type.as_str();
    let keys = AssetKeys { layout: store.layout, job_type, user_id: &job.user_id, job_id: &job.id };
    let mut assets = Vec::new();
    for (i, image) in (0u32..).zip(images) {
        let text = parameters(request, scheduler, image.seed());
        let png = image.to_png(&[("parameters", &text), SOFTWARE]).map_err(failure)?;
        let key = keys.asset(i, "png").map_err(not_stored)?;
        let stored = store.put(&key, "image/png", png, control)?;
        let thumbnail_url = store.thumbnail(&keys, i, image, control)?;
        assets.push(Asset {
            media: Media::Image,
            url: store.reported(&key),
            thumbnail_url,
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
