//! `config.json` of each component, by the names it uses.

mod clip;
mod supported;
mod unet;
mod vae;

pub use clip::ClipTextConfig;
pub use unet::{OneOrMany, UNetConfig};
pub use vae::VaeConfig;

use std::path::Path;

use serde::de::DeserializeOwned;

use crate::Result;

/// Reads and parses a JSON file.
pub(crate) fn read_json<T: DeserializeOwned>(path: &Path) -> Result<T> {
    let text = match std::fs::read_to_string(path) {
        Ok(text) => text,
        Err(e) if e.kind() == std::io::ErrorKind::NotFound => {
            let looked_for = vec![path.display().to_string()];
            return Err(ourvidz_runtime::Error::NotFound { what: "configuration".into(), looked_for }.into());
        }
        Err(source) => {
            return Err(
                ourvidz_runtime::Error::Io { path: path.into(), what: "reading".into(), source }.into()
            );
        }
    };
    serde_json::from_str(&text)
        .map_err(|source| ourvidz_runtime::Error::Json { path: path.into(), source }.into())
}
