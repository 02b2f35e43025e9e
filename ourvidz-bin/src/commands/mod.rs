//! One file per command.

mod export;
mod generate_image;
mod run_job;

pub(crate) use export::export;
pub(crate) use generate_image::generate_image;
pub(crate) use run_job::run_job;
