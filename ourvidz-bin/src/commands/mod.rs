//! One file per command.

mod chat;
mod complete;
mod embed;
mod enhance;
mod export;
mod generate_image;
mod generate_video;
mod run_job;

pub(crate) use chat::chat;
pub(crate) use complete::complete;
pub(crate) use embed::embed;
pub(crate) use enhance::enhance;
pub(crate) use export::export;
pub(crate) use generate_image::generate_image;
pub(crate) use generate_video::generate_video;
pub(crate) use run_job::run_job;

use std::path::Path;

use crate::failure::Failure;

/// Found out before minutes of work, not after.
fn check_file(flag: &str, path: &Path) -> Result<(), Failure> {
    let folder = path.parent().filter(|folder| !folder.as_os_str().is_empty());
    let fault = match folder {
        _ if path.is_dir() => format!("{flag}: {} is a folder", path.display()),
        Some(folder) if !folder.is_dir() => format!("{flag}: {} is not a folder", folder.display()),
        _ => return Ok(()),
    };
    Err(Failure::arguments(anyhow::anyhow!(fault)))
}
