use std::fs::{self, File, OpenOptions};
use std::io::{self, Write};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};

use async_trait::async_trait;
use bytes::Bytes;

use crate::keys::UNFINISHED;
use crate::{Error, Result, Storage, StorageKey, Stored};

/// A folder: `{root}/{bucket}/{path}`.
///
/// A file is written to a `.tmp-*` name beside its place, synced, renamed over it, and the folder synced. A
/// process killed in between leaves the `.tmp-*` file, which no key can name and which
/// [`LocalStorage::sweep_unfinished`] removes. Content types are not kept: the extension says them.
#[derive(Debug, Clone)]
pub struct LocalStorage {
    root: PathBuf,
}

impl LocalStorage {
    /// Files below `root`, which is created with the first file.
    pub fn new(root: impl Into<PathBuf>) -> Self {
        Self { root: root.into() }
    }

    /// Where the file of `key` is or would be.
    pub fn path_of(&self, key: &StorageKey) -> PathBuf {
        self.root.join(key.bucket()).join(key.path())
    }

    /// Removes what killed processes left: `.tmp-*` files that were not written to for an hour, which no put
    /// that still runs leaves alone for that long. For the start of a worker. Returns how many.
    ///
    /// # Errors
    /// [`Error::Sweep`] of the first folder or file that could not be read or removed; the others are done.
    pub async fn sweep_unfinished(&self) -> Result<usize> {
        let root = self.root.clone();
        let swept = tokio::task::spawn_blocking(move || sweep::sweep(&root, sweep::UNTOUCHED)).await;
        swept.unwrap_or_else(|gone| {
            Err(Error::Sweep { path: self.root.clone(), source: io::Error::other(gone) })
        })
    }

    /// Runs blocking file calls beside the async threads. They run to their end when the caller is dropped.
    async fn blocking<T: Send + 'static>(
        &self,
        action: &'static str,
        key: &StorageKey,
        call: impl FnOnce(&Path) -> io::Result<T> + Send + 'static,
    ) -> Result<T> {
        let path = self.path_of(key);
        let result = tokio::task::spawn_blocking(move || call(&path)).await;
        result.unwrap_or_else(|gone| Err(io::Error::other(gone))).map_err(|source| match source.kind() {
            // While writing it means that a folder went away in between: worth another try.
            io::ErrorKind::NotFound if action != "write" => Error::NotFound { key: key.clone() },
            _ => Error::Io { action, key: key.clone(), source },
        })
    }
}

#[async_trait]
impl Storage for LocalStorage {
    async fn put(&self, key: &StorageKey, content_type: &str, bytes: Bytes) -> Result<Stored> {
        crate::storage::check_content_type(content_type)?;
        let owned = key.clone();
        self.blocking("write", key, move |path| {
            write_whole(path, &bytes)?;
            Ok(Stored::new(&owned, &bytes))
        })
        .await
    }

    async fn get(&self, key: &StorageKey) -> Result<Bytes> {
        self.blocking("read", key, |path| match fs::metadata(path)?.is_file() {
            true => fs::read(path).map(Bytes::from),
            false => Err(io::ErrorKind::NotFound.into()),
        })
        .await
    }

    async fn delete(&self, key: &StorageKey) -> Result<()> {
        let removed = self.blocking("delete", key, |path| {
            fs::remove_file(path)?;
            sync_folder(path.parent())
        });
        match removed.await {
            Err(Error::NotFound { .. }) => Ok(()),
            other => other,
        }
    }

    async fn exists(&self, key: &StorageKey) -> Result<bool> {
        match self.blocking("look for", key, |path| Ok(fs::metadata(path)?.is_file())).await {
            Err(Error::NotFound { .. }) => Ok(false),
            other => other,
        }
    }
}

fn write_whole(path: &Path, bytes: &[u8]) -> io::Result<()> {
    let folder = path.parent().ok_or(io::ErrorKind::InvalidFilename)?;
    create_folders(folder)?;
    let unfinished = folder.join(unfinished_name());
    let written = write_synced(&unfinished, bytes).and_then(|()| fs::rename(&unfinished, path));
    if let Err(error) = written {
        // The first error is the one to report; the file may not even exist.
        let _ = fs::remove_file(&unfinished);
        return Err(error);
    }
    sync_folder(Some(folder))
}

fn write_synced(path: &Path, bytes: &[u8]) -> io::Result<()> {
    let mut file = OpenOptions::new().write(true).create_new(true).open(path)?;
    file.write_all(bytes)?;
    file.sync_all()
}

/// Creates what is missing, outermost first, each entry durable in its parent.
fn create_folders(folder: &Path) -> io::Result<()> {
    if folder.is_dir() {
        return Ok(());
    }
    if let Some(parent) = folder.parent().filter(|parent| !parent.as_os_str().is_empty()) {
        create_folders(parent)?;
    }
    match fs::create_dir(folder) {
        // Another writer was first, or a file is in the way.
        Err(error) if error.kind() == io::ErrorKind::AlreadyExists => match folder.is_dir() {
            true => Ok(()),
            false => Err(io::ErrorKind::NotADirectory.into()),
        },
        Err(error) => Err(error),
        Ok(()) => sync_folder(folder.parent()),
    }
}

/// Makes renames and removals in a folder durable. Only Unix can open a folder to sync it.
fn sync_folder(folder: Option<&Path>) -> io::Result<()> {
    match folder {
        Some(folder) if cfg!(unix) && !folder.as_os_str().is_empty() => File::open(folder)?.sync_all(),
        _ => Ok(()),
    }
}

/// Unique among the threads and the live processes of this machine.
fn unfinished_name() -> String {
    static COUNT: AtomicU64 = AtomicU64::new(0);
    let now = std::time::UNIX_EPOCH.elapsed().unwrap_or_default().as_nanos();
    format!("{UNFINISHED}{}-{}-{now}", std::process::id(), COUNT.fetch_add(1, Ordering::Relaxed))
}

mod sweep;
#[cfg(test)]
mod tests;
