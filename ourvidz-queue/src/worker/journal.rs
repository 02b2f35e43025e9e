use std::fs::{self, File, OpenOptions};
use std::io::{self, Write};
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

use crate::{ClaimId, Error, Result, Settlement};

/// Settlements the backend has not taken yet, one file per claim. A file is whole or not there: it is written
/// under another name, synced, renamed, and the folder synced.
#[derive(Debug)]
pub(super) struct Journal {
    folder: PathBuf,
    queue: String,
}

#[derive(Debug, Serialize, Deserialize)]
struct Entry {
    queue: String,
    claim: ClaimId,
    settlement: Settlement,
}

impl Journal {
    /// The part of the folder that belongs to `queue`. The folder need not be there yet.
    pub(super) fn new(folder: impl Into<PathBuf>, queue: impl Into<String>) -> Self {
        Self { folder: folder.into(), queue: queue.into() }
    }

    /// Keeps a settlement; over an earlier one of the same claim.
    pub(super) fn write(&self, claim: &ClaimId, settlement: &Settlement) -> Result<()> {
        let path = self.path(claim);
        let entry = Entry { queue: self.queue.clone(), claim: claim.clone(), settlement: settlement.clone() };
        let write = || {
            let text = serde_json::to_vec_pretty(&entry).map_err(io::Error::other)?;
            fs::create_dir_all(&self.folder)?;
            let unfinished = path.with_extension("tmp");
            let mut file = private_file(&unfinished)?;
            file.write_all(&text)?;
            file.sync_all()?;
            fs::rename(&unfinished, &path)?;
            sync_folder(&self.folder)
        };
        write().map_err(failed("write", &path))
    }

    /// Forgets a claim. One that is not there is no error.
    pub(super) fn remove(&self, claim: &ClaimId) -> Result<()> {
        let path = self.path(claim);
        let removed = match fs::remove_file(&path) {
            Ok(()) => sync_folder(&self.folder),
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
            Err(error) => Err(error),
        };
        removed.map_err(failed("remove from", &path))
    }

    /// What is kept for this queue, in the order of the files' names. A file that cannot be understood gets the
    /// extension `corrupt`, and is reported in the log.
    pub(super) fn entries(&self) -> Result<Vec<(ClaimId, Settlement)>> {
        let files = match fs::read_dir(&self.folder) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
            files => {
                files.and_then(|files| files.map(|file| Ok(file?.path())).collect::<io::Result<Vec<_>>>())
            }
        };
        let mut paths = files.map_err(failed("read", &self.folder))?;
        paths.retain(|path| path.extension().is_some_and(|extension| extension == "json"));
        paths.sort();
        let mut entries = Vec::new();
        for path in paths {
            let text = match fs::read(&path) {
                Ok(text) => text,
                // Another worker of this queue was quicker.
                Err(error) if error.kind() == io::ErrorKind::NotFound => continue,
                Err(error) => return Err(failed("read", &path)(error)),
            };
            match serde_json::from_slice::<Entry>(&text) {
                Ok(entry) if self.path(&entry.claim) != path => set_aside(&path, "it is under a wrong name"),
                Ok(entry) if entry.queue == self.queue => entries.push((entry.claim, entry.settlement)),
                Ok(_of_another_queue) => {}
                Err(error) => set_aside(&path, &error.to_string()),
            }
        }
        Ok(entries)
    }

    fn path(&self, claim: &ClaimId) -> PathBuf {
        // Claims are made of hexadecimal digits; one from elsewhere must not leave the folder.
        let name = claim.as_str().replace(|c: char| !c.is_ascii_alphanumeric() && c != '-' && c != '_', "_");
        self.folder.join(format!("{name}.json"))
    }
}

fn set_aside(path: &Path, why: &str) {
    let aside = path.with_extension("corrupt");
    match fs::rename(path, &aside) {
        Ok(()) => {
            tracing::error!(path = %aside.display(), why, "a journal file is corrupt; it was set aside")
        }
        Err(error) => {
            tracing::error!(path = %path.display(), why, %error, "a journal file is corrupt, and stays");
        }
    }
}

fn failed(action: &'static str, path: &Path) -> impl FnOnce(io::Error) -> Error {
    let path = path.to_owned();
    move |source| Error::Journal { action, path, source }
}

/// Callbacks hold prompts: nobody else reads them.
fn private_file(path: &Path) -> io::Result<File> {
    let mut options = OpenOptions::new();
    options.write(true).create(true).truncate(true);
    #[cfg(unix)]
    std::os::unix::fs::OpenOptionsExt::mode(&mut options, 0o600);
    options.open(path)
}

/// A rename is on the disk when the folder is. Other systems cannot open folders.
fn sync_folder(folder: &Path) -> io::Result<()> {
    if cfg!(unix) { File::open(folder)?.sync_all() } else { Ok(()) }
}
