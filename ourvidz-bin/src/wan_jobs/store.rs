use ourvidz_core::job::callback::{Asset, AssetMetadata, WanMetadata};
use ourvidz_core::job::{Job, Media};
use ourvidz_queue::worker::{JobControl, JobFailure};
use ourvidz_storage::AssetKeys;

use super::encode::Encoded;
use crate::store::{Store, not_stored};

/// Stores the file and its thumbnail; a second run of the job writes the same keys.
pub(super) fn store(
    store: &Store,
    job: &Job,
    made: &WanMetadata,
    file: Encoded,
    control: &JobControl,
) -> Result<Vec<Asset>, JobFailure> {
    let job_type = job.job_type.as_str();
    let keys = AssetKeys { layout: store.layout, job_type, user_id: &job.user_id, job_id: &job.id };
    let media = job.job_type.media();
    let (extension, content_type) = match media {
        Media::Image => ("png", "image/png"),
        Media::Video => ("mp4", "video/mp4"),
    };
    let key = keys.asset(0, extension).map_err(not_stored)?;
    let stored = store.put(&key, content_type, file.bytes, control)?;
    let thumbnail_url = store.thumbnail(&keys, 0, &file.middle, control)?;
    let applied = made.reference_applied;
    let metadata = AssetMetadata {
        width: made.width,
        height: made.height,
        format: extension.into(),
        batch_size: 1,
        steps: made.steps,
        guidance_scale: made.guidance_scale,
        seed: made.seed,
        file_size_bytes: stored.size,
        asset_index: 0,
        negative_prompt_used: made.negative_prompt_used,
        sha256: Some(stored.sha256),
        denoise_strength: made.denoise_strength,
        pipeline: applied.then(|| if media == Media::Video { "img2vid" } else { "img2img" }.to_owned()),
        resize_policy: made.resize_policy.clone(),
        frames: (media == Media::Video).then_some(made.frame_num),
        fps: made.fps,
        duration_seconds: made.fps.map(|fps| f64::from(made.frame_num) / f64::from(fps)),
    };
    Ok(vec![Asset { media, url: store.reported(&key), thumbnail_url, metadata }])
}
