//! The models inside this program: small ones, trained on drawn shapes, so that every command shows something before
//! a model is there.

use std::path::PathBuf;

use crate::config::env_vars;
use crate::failure::Failure;
#[cfg(feature = "demo-models")]
use crate::output;

/// One of the models.
#[derive(Debug, Clone, Copy)]
pub(crate) enum DemoModel {
    Sdxl,
    Wan,
    Qwen,
}

impl DemoModel {
    /// The model's folder, and a line on standard error that it is used.
    ///
    /// # Errors
    /// A build without the model: one must be named.
    pub(crate) fn folder(self) -> Result<PathBuf, Failure> {
        let name = self.name();
        #[cfg(feature = "demo-models")]
        if self.is_held() {
            let (folder, what) = (self.unpacked()?, self.what());
            output::error(&format!("no model is configured: using the bundled demo model {name} ({what})"));
            return Ok(folder);
        }
        let variable = self.variable();
        Err(Failure::arguments(anyhow::anyhow!(
            "no model is configured: name one by --model or {variable}; this build does not hold the demo model {name}"
        )))
    }

    /// Whether this build holds it.
    pub(crate) fn is_held(self) -> bool {
        #[cfg(feature = "demo-models")]
        let held = unpack::holds(self.name());
        #[cfg(not(feature = "demo-models"))]
        let held = false;
        held
    }

    /// The model's folder; unpacked into the user's data folder on first use.
    #[cfg(feature = "demo-models")]
    pub(crate) fn unpacked(self) -> Result<PathBuf, Failure> {
        unpack::unpacked(self.name()).map_err(Failure::Failed)
    }

    fn name(self) -> &'static str {
        match self {
            DemoModel::Sdxl => "tiny-sdxl",
            DemoModel::Wan => "tiny-wan",
            DemoModel::Qwen => "tiny-qwen",
        }
    }

    #[cfg(feature = "demo-models")]
    fn what(self) -> &'static str {
        match self {
            DemoModel::Sdxl => "draws shapes: a red circle on white",
            DemoModel::Wan => "draws moving shapes: a blue star turning on grey",
            DemoModel::Qwen => "describes shapes: a red circle on white",
        }
    }

    fn variable(self) -> &'static str {
        match self {
            DemoModel::Sdxl => env_vars::SDXL_MODEL,
            DemoModel::Wan => env_vars::WAN_MODEL,
            DemoModel::Qwen => env_vars::QWEN_MODELS[0],
        }
    }
}

#[cfg(feature = "demo-models")]
mod unpack {
    use std::fs;
    use std::path::{Path, PathBuf};

    use anyhow::{Context, Result};
    use include_dir::{Dir, include_dir};
    use sha2::{Digest, Sha256};

    static MODELS: Dir<'_> = include_dir!("$CARGO_MANIFEST_DIR/models");

    pub(super) fn holds(name: &str) -> bool {
        MODELS.get_dir(name).is_some()
    }

    pub(super) fn unpacked(name: &str) -> Result<PathBuf> {
        let model = MODELS.get_dir(name).with_context(|| format!("this build does not hold {name}"))?;
        let mut files: Vec<(&Path, &[u8])> = Vec::new();
        collect(model, name, &mut files);
        let mut hash = Sha256::new();
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

    /// Files with their paths in the model's folder.
    fn collect<'a>(dir: &'a Dir<'a>, name: &str, files: &mut Vec<(&'a Path, &'a [u8])>) {
        let inside = |path: &'a Path| path.strip_prefix(name).unwrap_or(path);
        files.extend(dir.files().map(|file| (inside(file.path()), file.contents())));
        dir.dirs().for_each(|sub| collect(sub, name, files));
    }
}
