//! Finds and loads ONNX Runtime's shared library, once per process.
//!
//! Order: `ORT_DYLIB_PATH`; the folders that `ourvidz setup [--cuda]` fills; the system's own. The CUDA build also
//! runs on the processor, so it is taken where it is there. This file is the one place of the libraries that reads
//! an environment variable: it is the one by which every program on ONNX Runtime is told.

use std::path::{Path, PathBuf};
use std::sync::{Mutex, OnceLock};

use ort::environment::Environment;

use crate::{Device, Error, Result};

/// Version of ONNX Runtime that the graphs are tested with.
pub const ONNXRUNTIME_VERSION: &str = "1.31.1";

static ENVIRONMENT: OnceLock<Environment> = OnceLock::new();
static LOADING: Mutex<()> = Mutex::new(());

/// `<user's data folder>/ourvidz`, where the setup command puts libraries.
pub fn data_folder() -> Option<PathBuf> {
    dirs::data_dir().map(|folder| folder.join("ourvidz"))
}

/// The folder that holds the library for a kind of build, `cpu` or `cuda`.
pub fn library_folder(build: &str) -> Option<PathBuf> {
    data_folder().map(|folder| folder.join(format!("onnxruntime-{ONNXRUNTIME_VERSION}-{build}")))
}

/// Loads the library that `device` needs. Sessions do it by themselves; an
/// [`OperatorDomain`](crate::operator::OperatorDomain) that is made before the first of them needs it.
///
/// # Errors
/// [`Error::LibraryNotFound`], [`Error::LibraryLoad`].
pub fn load(device: Device) -> Result<()> {
    environment(device).map(drop)
}

/// The loaded runtime; loads it on the first call.
pub(crate) fn environment(device: Device) -> Result<&'static Environment> {
    if let Some(environment) = ENVIRONMENT.get() {
        return Ok(environment);
    }
    // A panic elsewhere while holding the lock leaves nothing half done here.
    let _guard = LOADING.lock().unwrap_or_else(|poisoned| poisoned.into_inner());
    if let Some(environment) = ENVIRONMENT.get() {
        return Ok(environment);
    }
    let path = find(device)?;
    if let (Device::Cuda(_) | Device::TensorRt(_), Some(folder)) = (device, path.parent()) {
        preload(&folder.join("nvidia"))?;
    }
    tracing::debug!(path = %path.display(), "loading ONNX Runtime");
    let failed = |reason: String| Error::LibraryLoad { path: path.clone(), reason };
    let environment = ort::init_from(&path)
        .map_err(|e| failed(e.to_string()))?
        .with_name("ourvidz")
        .with_telemetry(false)
        .build()
        .map_err(|e| failed(e.to_string()))?;
    Ok(ENVIRONMENT.get_or_init(|| environment))
}

fn find(device: Device) -> Result<PathBuf> {
    if let Some(path) = std::env::var_os("ORT_DYLIB_PATH").filter(|path| !path.is_empty()) {
        let path = PathBuf::from(path);
        return match path.is_file() {
            true => Ok(path),
            false => Err(not_found(device, vec![format!("ORT_DYLIB_PATH={}", path.display())])),
        };
    }
    let system = ["/usr/local/lib", "/usr/lib/x86_64-linux-gnu", "/usr/lib"].map(PathBuf::from);
    let folders = ["cuda", "cpu"].into_iter().filter_map(library_folder).chain(system);
    let candidates: Vec<_> = folders.map(|folder| folder.join("libonnxruntime.so")).collect();
    match candidates.iter().find(|path| path.is_file()) {
        Some(path) => Ok(path.clone()),
        None => Err(not_found(device, candidates.iter().map(|path| path.display().to_string()).collect())),
    }
}

fn not_found(device: Device, looked_in: Vec<String>) -> Error {
    let flag = if device == Device::Cpu { "" } else { " --cuda" };
    Error::LibraryNotFound { looked_in, flag }
}

/// Loads every library of `folder`, so that the CUDA provider finds them by name.
///
/// They need one another in an order that changes between versions: what fails is tried again until nothing more
/// loads.
fn preload(folder: &Path) -> Result<()> {
    let Ok(entries) = std::fs::read_dir(folder) else {
        // Nothing was fetched: the system's CUDA libraries serve, and the provider says which is missing.
        return Ok(());
    };
    let mut waiting: Vec<PathBuf> = entries.filter_map(|entry| entry.ok().map(|e| e.path())).collect();
    waiting.retain(|path| path.file_name().is_some_and(|name| name.to_string_lossy().contains(".so")));
    waiting.sort();
    loop {
        let before = waiting.len();
        let mut failed = Vec::new();
        for path in waiting {
            if let Err(reason) = load_globally(&path) {
                failed.push((path, reason));
            }
        }
        match failed.first() {
            None => return Ok(()),
            Some((path, reason)) if failed.len() == before => {
                return Err(Error::LibraryLoad { path: path.clone(), reason: reason.clone() });
            }
            Some(_) => waiting = failed.into_iter().map(|(path, _)| path).collect(),
        }
    }
}

fn load_globally(path: &Path) -> Result<(), String> {
    use libloading::os::unix::{Library, RTLD_GLOBAL, RTLD_NOW};
    // SAFETY: these are NVIDIA's own libraries from the setup folder; their initialisers have no preconditions.
    let library = unsafe { Library::open(Some(path), RTLD_NOW | RTLD_GLOBAL) };
    // Never unloaded: the CUDA provider holds pointers into it until the process ends.
    library.map(std::mem::forget).map_err(|e| e.to_string())
}
