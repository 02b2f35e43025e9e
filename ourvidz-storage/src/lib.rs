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
//! In this crate: [`LocalStorage`] (a folder), [`MemoryStorage`] (tests), the `conformance` feature. Not in
//! it: remote stores, signed URLs, downloads of references, jobs, ONNX Runtime.
#![forbid(unsafe_code)]

#[cfg(any(test, feature = "conformance"))]
pub mod conformance;
mod error;
mod keys;
mod local;
mod memory;
mod storage;

pub use error::{Error, Result};
pub use keys::{AssetKeys, Layout, MAX_PATH_LEN, MAX_SEGMENT_LEN, StorageKey};
pub use local::LocalStorage;
pub use memory::MemoryStorage;
pub use storage::{Storage, Stored};
