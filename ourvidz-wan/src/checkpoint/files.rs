use std::path::Path;

use ourvidz_runtime::{Error as Runtime, open_safetensors_except, open_torch};

use super::Tensors;
use crate::Result;

/// The sentencepiece model that repackaged files of umT5 carry, as bytes.
pub(super) const PIECES: &str = "spiece_model";

/// One file of a component, by its ending: `.pth`, `.pt`, `.bin` by torch, everything else safetensors.
pub(super) fn open(path: &Path, component: &str) -> Result<Tensors> {
    if !path.is_file() {
        let looked_for = vec![path.display().to_string()];
        return Err(Runtime::NotFound { what: format!("weights of the {component}"), looked_for }.into());
    }
    let ending = path.extension().and_then(|ending| ending.to_str()).unwrap_or_default();
    let opened = match ending {
        "pth" | "pt" | "bin" => open_torch(path),
        _ => open_safetensors_except(path, &[PIECES]),
    };
    Ok(opened.map_err(|error| quantised(error, component))?)
}

/// Says what to do about a file in 8 bits.
pub(super) fn quantised(error: Runtime, component: &str) -> Runtime {
    match error {
        Runtime::TensorType { path, tensor, dtype } if dtype.starts_with("F8") || dtype.ends_with("8") => {
            Runtime::Config {
                file: path.display().to_string(),
                field: tensor,
                rule: format!(
                    "must be F32, F16 or BF16: quantised files are not supported, take the bf16 or fp16 file of the \
                     {component}"
                ),
                value: dtype,
            }
        }
        other => other,
    }
}

/// Text of a file that must be there.
pub(super) fn text(path: &Path) -> Result<String> {
    if !path.is_file() {
        let looked_for = vec![path.display().to_string()];
        return Err(Runtime::NotFound { what: "configuration".into(), looked_for }.into());
    }
    let failed = |source| Runtime::Io { path: path.into(), what: "reading".into(), source };
    Ok(std::fs::read_to_string(path).map_err(failed)?)
}

/// A JSON file that must be there.
pub(super) fn json(path: &Path) -> Result<serde_json::Value> {
    Ok(serde_json::from_str(&text(path)?).map_err(|source| Runtime::Json { path: path.into(), source })?)
}
