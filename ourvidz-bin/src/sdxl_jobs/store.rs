use std::sync::Arc;

use bytes::Bytes;
use ourvidz_core::job::callback::{Asset, AssetMetadata, ErrorCode};
use ourvidz_core::job::{Job, Media, SdxlJob};
use ourvidz_queue::worker::{JobControl, JobFailure};
use ourvidz_sdxl::{Image, TextToImage};
use ourvidz_storage::{AssetKeys, Layout, LocalStorage, Storage, StorageKey, StoreConfig, Stored};
use tokio::runtime::Runtime;

use super::failure;
use crate::parameters::{SOFTWARE, parameters};

/// Longer side of a thumbnail, pixels.
const THUMBNAIL: usize = 256;

/// Where files go, and the runtime their uploads run on: the handler's thread has no other.
#[derive(Debug)]
pub(crate) struct Store {
    pub(crate) storage: Arc<dyn Storage>,
    pub(crate) layout: Layout,
    /// Whether callbacks name the bucket as well.
    pub(crate) report_bucket: bool,
    runtime: Runtime,
}

impl Store {
    pub(crate) fn new(
        storage: Arc<dyn Storage>,
        layout: Layout,
        report_bucket: bool,
    ) -> std::io::Result<Self> {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
        Ok(Self { storage, layout, report_bucket, runtime })
    }

    /// Removes what a killed worker left unfinished in a folder.
    pub(crate) fn sweep(&self, config: &StoreConfig) {
        let StoreConfig::Local { root } = config else { return };
        match self.runtime.block_on(LocalStorage::new(root).sweep_unfinished()) {
            Ok(0) => {}
            Ok(count) => tracing::info!(count, "unfinished files of an earlier worker were removed"),
            Err(error) => tracing::warn!("unfinished files of an earlier worker stay: {error}"),
        }
    }

    /// As callbacks report it.
    fn reported(&self, key: &StorageKey) -> String {
        if self.report_bucket { key.to_string() } else { key.path().to_owned() }
    }

    /// Broken off when the job has to stop: a second run overwrites what was stored.
    fn put(
        &self,
        key: &StorageKey,
        kind: &str,
        bytes: Vec<u8>,
        control: &JobControl,
    ) -> Result<Stored, JobFailure> {
        self.runtime.block_on(async {
            tokio::select! {
                stored = self.storage.put(key, kind, Bytes::from(bytes)) => stored.map_err(not_stored),
                stop = control.stopped() => Err(stop.into()),
            }
        })
    }
}

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
        let thumbnail_url = thumbnail(store, &keys, i, image, control)?;
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

/// A picture without a thumbnail is still a picture: the failure is logged, and no path is reported.
fn thumbnail(
    store: &Store,
    keys: &AssetKeys<'_>,
    index: u32,
    image: &Image,
    control: &JobControl,
) -> Result<Option<String>, JobFailure> {
    let put = || {
        let webp = image.to_webp_thumbnail(THUMBNAIL).map_err(failure)?;
        let key = keys.thumbnail(index).map_err(not_stored)?;
        store.put(&key, "image/webp", webp, control)?;
        Ok(store.reported(&key))
    };
    match put() {
        Ok(path) => Ok(Some(path)),
        Err(JobFailure::Stopped(stop)) => Err(stop.into()),
        Err(error) => {
            tracing::warn!(index, "no thumbnail: {error:?}");
            Ok(None)
        }
    }
}

fn not_stored(error: ourvidz_storage::Error) -> JobFailure {
    let message = error.to_string();
    if error.retryable() {
        JobFailure::retry(ErrorCode::Storage, message).with_source(error)
    } else {
        JobFailure::permanent(ErrorCode::Storage, message).with_source(error)
    }
}
