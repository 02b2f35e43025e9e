use std::path::Path;
use std::time::Duration;
use std::{fs, io};

use crate::keys::UNFINISHED;
use crate::{Error, Result};

/// A put writes without a pause; one that did not for this long is of a process that is gone.
pub(super) const UNTOUCHED: Duration = Duration::from_secs(3600);

/// Removes the unfinished files below `root` that are at least `untouched` old.
pub(super) fn sweep(root: &Path, untouched: Duration) -> Result<usize> {
    let mut removed = 0;
    let mut first = Ok(());
    let mut folders = vec![root.to_owned()];
    while let Some(folder) = folders.pop() {
        let entries = match fs::read_dir(&folder) {
            Ok(entries) => entries,
            // Nothing was stored yet, or the folder went away in between.
            Err(error) if error.kind() == io::ErrorKind::NotFound => continue,
            Err(source) => {
                first = first.and(Err(Error::Sweep { path: folder, source }));
                continue;
            }
        };
        for entry in entries {
            let swept = entry.and_then(|entry| {
                // Not through links, which may lead out of the store.
                if entry.file_type()?.is_dir() {
                    folders.push(entry.path());
                    return Ok(false);
                }
                remove_if_unfinished(&entry, untouched)
            });
            match swept {
                Ok(swept) => removed += usize::from(swept),
                Err(error) if error.kind() == io::ErrorKind::NotFound => {}
                Err(source) => first = first.and(Err(Error::Sweep { path: folder.clone(), source })),
            }
        }
    }
    first.map(|()| removed)
}

fn remove_if_unfinished(entry: &fs::DirEntry, untouched: Duration) -> io::Result<bool> {
    let unfinished = entry.file_name().to_string_lossy().starts_with(UNFINISHED);
    // A time in the future is of a clock that was set back, and not old.
    if !unfinished || entry.metadata()?.modified()?.elapsed().unwrap_or_default() < untouched {
        return Ok(false);
    }
    fs::remove_file(entry.path())?;
    Ok(true)
}
