//! A folder of libraries that is either absent or whole.

use std::collections::BTreeMap;
use std::fs::{self, File};
use std::path::{Path, PathBuf};

use anyhow::{Context as _, Result};
use serde::{Deserialize, Serialize};

use super::wheel::{self, Wheel};

/// Name of the marker file in an installed folder.
const MARKER: &str = "installed.json";

/// What an installed folder says about itself.
#[derive(Debug, Deserialize, Serialize)]
struct Marker {
    /// The wheels it was made from.
    wheels: Vec<Wheel>,
    /// SHA-256 of every file, by path below the folder.
    files: BTreeMap<String, String>,
}

/// Held while setup works on `root`, so that two setups take turns; let go when dropped.
pub(super) fn lock(root: &Path) -> Result<File> {
    fs::create_dir_all(root).with_context(|| format!("cannot create {}", root.display()))?;
    let path = root.join(".setup.lock");
    let take = || -> std::io::Result<File> {
        let file = File::create(&path)?;
        file.lock()?;
        Ok(file)
    };
    take().with_context(|| format!("cannot lock {}", path.display()))
}

/// Whether `target` was made from exactly these wheels and every file still has its checksum.
pub(super) fn is_whole(target: &Path, wheels: &[Wheel]) -> bool {
    let Ok(text) = fs::read(target.join(MARKER)) else { return false };
    let Ok(marker) = serde_json::from_slice::<Marker>(&text) else { return false };
    marker.wheels == wheels
        && destinations(wheels).all(|path| marker.files.contains_key(path))
        && marker
            .files
            .iter()
            .all(|(path, expected)| wheel::sha256(&target.join(path)).is_ok_and(|found| found == *expected))
}

/// Makes `target` from `wheels` and renames it into place when whole.
///
/// `fetch` puts a wheel into the folder it is given and returns its path. Wheels fetched by an earlier,
/// interrupted call are used again.
pub(super) fn install(
    target: &Path,
    wheels: &[Wheel],
    fetch: impl Fn(&Wheel, &Path) -> Result<PathBuf>,
) -> Result<()> {
    let work = work_folder(target)?;
    let (downloads, tree, old) = (work.join("wheels"), work.join("tree"), work.join("old"));
    remove(&tree)?;
    remove(&old)?;
    create(&downloads)?;
    create(&tree)?;

    for wheel in wheels {
        let folder = downloads.join(&wheel.name);
        let path = match kept(wheel, &folder) {
            Some(path) => path,
            None => {
                remove(&folder)?;
                create(&folder)?;
                let path = fetch(wheel, &folder)?;
                wheel.verify(&path)?;
                path
            }
        };
        wheel.unpack(&path, &tree)?;
    }

    let mut files = BTreeMap::new();
    for path in destinations(wheels) {
        files.insert(path.to_owned(), wheel::sha256(&tree.join(path))?);
    }
    let marker = serde_json::to_vec_pretty(&Marker { wheels: wheels.to_vec(), files })?;
    fs::write(tree.join(MARKER), marker).with_context(|| format!("cannot write {MARKER}"))?;

    if target.exists() {
        rename(target, &old)?;
    }
    rename(&tree, target)?;
    remove(&work)
}

/// Beside the target, so that a rename is enough to move the finished folder there.
fn work_folder(target: &Path) -> Result<PathBuf> {
    let name = target.file_name().context("the target folder has no name")?;
    Ok(target.with_file_name(format!(".{}.partial", name.to_string_lossy())))
}

/// A wheel that an earlier call left in `folder`, if it is the pinned one.
fn kept(wheel: &Wheel, folder: &Path) -> Option<PathBuf> {
    let entries = fs::read_dir(folder).ok()?;
    entries
        .filter_map(|entry| entry.ok().map(|entry| entry.path()))
        .find(|path| path.extension().is_some_and(|e| e == "whl") && wheel.verify(path).is_ok())
}

fn destinations(wheels: &[Wheel]) -> impl Iterator<Item = &str> {
    wheels.iter().flat_map(|wheel| wheel.files.values().map(String::as_str))
}

fn create(path: &Path) -> Result<()> {
    fs::create_dir_all(path).with_context(|| format!("cannot create {}", path.display()))
}

fn rename(from: &Path, to: &Path) -> Result<()> {
    fs::rename(from, to).with_context(|| format!("cannot rename {} to {}", from.display(), to.display()))
}

fn remove(path: &Path) -> Result<()> {
    match fs::remove_dir_all(path) {
        Err(error) if error.kind() != std::io::ErrorKind::NotFound => {
            Err(error).with_context(|| format!("cannot remove {}", path.display()))
        }
        _ => Ok(()),
    }
}

#[cfg(test)]
#[path = "install_tests.rs"]
mod tests;
