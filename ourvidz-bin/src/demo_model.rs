//! The checkpoints inside this program: tiny, with random weights, so that every command runs before a model is there.

use std::fs;
use std::path::PathBuf;

use anyhow::{Context, Result};
use include_dir::{Dir, include_dir};
use sha2::{Digest, Sha256};

static TINY_SDXL: Dir<'_> = include_dir!("$CARGO_MANIFEST_DIR/../tests/golden/sdxl/linear_eps");
static TINY_WAN: Dir<'_> = include_dir!("$CARGO_MANIFEST_DIR/../tests/golden/wan/t2v_f32");

/// Folder of the demo checkpoint for images; unpacked into the user's data folder on first use.
pub(crate) fn tiny_sdxl() -> Result<PathBuf> {
    unpacked("tiny-sdxl", &TINY_SDXL)
}

/// The same for videos.
pub(crate) fn tiny_wan() -> Result<PathBuf> {
    unpacked("tiny-wan", &TINY_WAN)
}

fn unpacked(name: &str, model: &'static Dir<'static>) -> Result<PathBuf> {
    let mut hash = Sha256::new();
    let mut files: Vec<_> = Vec::new();
    collect(model, &mut files);
    for (path, bytes) in &files {
        hash.update(path.to_string_lossy().as_bytes());
        hash.update(bytes);
    }
    let key: String = hash.finalize().iter().take(6).map(|byte| format!("{byte:02x}")).collect();
    let base = ourvidz_runtime::library::data_folder()
        .context("no data folder: neither XDG_DATA_HOME nor HOME is set")?;
    let models = base.join("demo-models");
    let folder = models.join(format!("{name}-{key}"));
    if folder.is_dir() {
        return Ok(folder);
    }
    fs::create_dir_all(&models).with_context(|| models.display().to_string())?;
    let part = tempfile::tempdir_in(&models)?;
    for (path, bytes) in files {
        let path = part.path().join(path);
        if let Some(parent) = path.parent() {
            fs::create_dir_all(parent)?;
        }
        fs::write(&path, bytes).with_context(|| path.display().to_string())?;
    }
    // Another process may have been faster: its folder holds the same files.
    match fs::rename(part.path(), &folder) {
        Err(_) if folder.is_dir() => Ok(folder),
        result => result.with_context(|| folder.display().to_string()).map(|()| folder),
    }
}

fn collect<'a>(dir: &'a Dir<'a>, files: &mut Vec<(&'a std::path::Path, &'a [u8])>) {
    // What the tests compare with is not part of the checkpoint.
    let of_tests = ["golden.safetensors", "request.json"].map(std::path::Path::new);
    files.extend(dir.files().map(|f| (f.path(), f.contents())).filter(|(path, _)| !of_tests.contains(path)));
    dir.dirs().for_each(|sub| collect(sub, files));
}
