use std::sync::Arc;

use bytes::Bytes;
use ourvidz_core::job::callback::ErrorCode;
use ourvidz_queue::worker::{JobControl, JobFailure};
use ourvidz_sdxl::Image;
use ourvidz_storage::{AssetKeys, Layout, LocalStorage, Storage, StorageKey, StoreConfig, Stored};
use tokio::runtime::Runtime;

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
    pub(crate) fn reported(&self, key: &StorageKey) -> String {
        if self.report_bucket { key.to_string() } else { key.path().to_owned() }
    }

    /// Broken off when the job has to stop: a second run overwrites what was stored.
    pub(crate) fn put(
        &self,
        key: &StorageKey,
        kind: &str,
        bytes: Vec<u8>,
        control: &JobControl,
    ) -> Result<Stored, JobFailure> {
        let stored = self.transfer(control, self.storage.put(key, kind, Bytes::from(bytes)))?;
        stored.map_err(not_stored)
    }

    /// Stores the thumbnail of asset `index`; gives its path as callbacks report it. An asset without a thumbnail is
    /// still one: the failure is logged, and no path is reported.
    pub(crate) fn thumbnail(
        &self,
        keys: &AssetKeys<'_>,
        index: u32,
        image: &Image,
        control: &JobControl,
    ) -> Result<Option<String>, JobFailure> {
        let put = || {
            let encoded = image.to_webp_thumbnail(THUMBNAIL);
            let webp = encoded.map_err(|e| JobFailure::permanent(ErrorCode::Internal, e.to_string()))?;
            let key = keys.thumbnail(index).map_err(not_stored)?;
            self.put(&key, "image/webp", webp, control)?;
            Ok(self.reported(&key))
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

    /// Runs a transfer until it ends or the job has to stop.
    pub(crate) fn transfer<T>(
        &self,
        control: &JobControl,
        transfer: impl Future<Output = T>,
    ) -> Result<T, JobFailure> {
        self.runtime.block_on(async {
            tokio::select! {
                done = transfer => Ok(done),
                stop = control.stopped() => Err(stop.into()),
            }
        })
    }
}

pub(crate) fn not_stored(error: ourvidz_storage::Error) -> JobFailure {
    let message = error.to_string();
    if error.retryable() {
        JobFailure::retry(ErrorCode::Storage, message).with_source(error)
    } else {
        JobFailure::permanent(ErrorCode::Storage, message).with_source(error)
    }
}
