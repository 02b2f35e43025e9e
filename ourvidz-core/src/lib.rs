//! (first page to come)
#![forbid(unsafe_code)]

mod error;

pub use error::{Error, Result};
