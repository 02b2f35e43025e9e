//! (first page to come)
#![forbid(unsafe_code)]

mod error;
pub mod job;
pub mod noise;

pub use error::{Error, Result};
