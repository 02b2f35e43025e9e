//! Where finished files go: whole files under deterministic keys.
//!
//! ```
//! use ourvidz_storage::{AssetKeys, Layout, LocalStorage, Storage};
//!
//! # #[tokio::main(flavor = "current_thread")]
//! # async fn main() -> anyhow::Result<()> {
//! # let data_dir = tempfile::tempdir()?;
//! let storage = LocalStorage::new(data_dir.path());
//! let job_type = "sdxl_image_fast";
//! let keys = AssetKeys { layout: Layout::WorkspaceTemp, job_type, user_id: "u1", job_id: "j1" };
//! let stored = storage.put(&keys.asset(0, "png")?, "image/png", b"...".as_slice().into()).await?;
//! assert_eq!(stored.key.to_string(), "workspace-temp/u1/j1/0.png");
//! assert_eq!(storage.get(&stored.key).await?, "...");
//! # Ok(())
//! # }
//! ```
//!
//! A second `put` to a key overwrites, so a job that runs twice stores its files once. A reader sees a whole
//! file or none.
//!
//! In this crate: [`LocalStorage`] (a folder), [`SupabaseStorage`] (REST), [`S3Storage`] (AWS, R2, MinIO,
//! Supabase's S3 endpoint), [`MemoryStorage`] (tests), [`StoreConfig`] (any of them from a URL), [`probe()`]
//! (a store tried out), [`ReferenceFetcher`] (pictures that jobs name), the `conformance` feature. Not in it:
//! jobs, ONNX Runtime.
#![forbid(unsafe_code)]

mod config;
#[cfg(any(test, feature = "conformance"))]
pub mod conformance;
mod error;
mod http;
mod keys;
mod local;
mod memory;
mod probe;
mod reference;
mod retry;
mod s3;
mod storage;
mod supabase;

pub use config::{Credentials, StoreConfig, open};
pub use error::{Error, Result};
pub use http::Timeouts;
pub use keys::{AssetKeys, Layout, MAX_PATH_LEN, MAX_SEGMENT_LEN, StorageKey};
pub use local::LocalStorage;
pub use memory::MemoryStorage;
pub use probe::{Probe, probe};
pub use reference::{
    HostRule, Lookup, Reference, ReferenceFetcher, ReferenceFetcherBuilder, ReferenceFormat, ReferenceLimits,
    ReferenceProblem, ReferenceRules, SystemLookup,
};
pub use retry::RetryPolicy;
pub use s3::{S3Config, S3Credentials, S3Storage};
pub use storage::{Storage, Stored};
pub use supabase::{SupabaseConfig, SupabaseStorage};
