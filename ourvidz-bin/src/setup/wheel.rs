//! Pinned wheels: what to fetch, whether a file is it, and which of its members to keep.

use std::collections::BTreeMap;
use std::fs::File;
use std::io::{self, Read as _, Write};
use std::path::Path;

use anyhow::{Context as _, Result, ensure};
use serde::{Deserialize, Serialize};
use sha2::{Digest as _, Sha256};

/// Contents of `wheels.json`.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Pins {
    /// Version of ONNX Runtime; part of the folder's name.
    pub(super) version: String,
    pub(super) cpu: Vec<Wheel>,
    pub(super) cuda: Vec<Wheel>,
}

/// One wheel, pinned.
#[derive(Debug, Clone, PartialEq, Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Wheel {
    /// Name of the package on PyPI.
    pub(super) name: String,
    pub(super) version: String,
    /// Size of the wheel, for the progress line.
    pub(super) bytes: u64,
    /// SHA-256 of the wheel, in lower-case hexadecimal.
    pub(super) sha256: String,
    /// Member of the wheel to path below the target folder.
    pub(super) files: BTreeMap<String, String>,
}

impl Pins {
    pub(super) fn bundled() -> Result<Self> {
        serde_json::from_str(include_str!("wheels.json")).context("wheels.json, built into this program")
    }
}

impl Wheel {
    /// Fails unless the file at `path` has the pinned checksum.
    pub(super) fn verify(&self, path: &Path) -> Result<()> {
        let found = sha256(path)?;
        ensure!(
            found == self.sha256,
            "{}: SHA-256 is {found}, expected {}; the file was not used",
            path.display(),
            self.sha256
        );
        Ok(())
    }

    /// Writes the wanted members below `target`; any one missing is an error.
    pub(super) fn unpack(&self, path: &Path, target: &Path) -> Result<()> {
        let file = File::open(path).with_context(|| path.display().to_string())?;
        let mut archive =
            zip::ZipArchive::new(file).with_context(|| format!("{} is not a wheel", path.display()))?;
        for (member, destination) in &self.files {
            let mut source = archive
                .by_name(member)
                .with_context(|| format!("{} has no member {member}", path.display()))?;
            let destination = target.join(destination);
            let copied = create(&destination).and_then(|mut sink| {
                io::copy(&mut source, &mut sink)?;
                sink.flush()?;
                sink.into_inner().map_err(io::IntoInnerError::into_error)?.sync_all()
            });
            copied.with_context(|| format!("cannot write {}", destination.display()))?;
        }
        Ok(())
    }
}

/// SHA-256 of a file, in lower-case hexadecimal.
pub(super) fn sha256(path: &Path) -> Result<String> {
    let read = || -> io::Result<String> {
        let mut file = File::open(path)?;
        let mut hasher = Sha256::new();
        let mut buffer = vec![0; 1 << 20];
        loop {
            match file.read(&mut buffer)? {
                0 => break,
                n => hasher.update(&buffer[..n]),
            }
        }
        Ok(hasher.finalize().iter().map(|byte| format!("{byte:02x}")).collect())
    };
    read().with_context(|| format!("cannot read {}", path.display()))
}

fn create(path: &Path) -> io::Result<io::BufWriter<File>> {
    if let Some(parent) = path.parent() {
        std::fs::create_dir_all(parent)?;
    }
    Ok(io::BufWriter::new(File::create(path)?))
}
