//! (first page to come)
#![forbid(unsafe_code)]

pub mod denoise;
mod error;
pub mod guidance;
pub mod job;
pub mod noise;
pub mod scheduler;

pub use error::{Error, Result};
