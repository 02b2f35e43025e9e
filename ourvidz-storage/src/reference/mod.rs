//! Pictures that jobs name: fetched from public hosts or storage, and decoded, as if their authors were enemies.

mod address;
mod fetch;
mod host_rule;
mod isolated;
mod jpeg;
mod limits;
mod picture;
mod problem;
mod resolve;
mod rgb;
mod rules;
mod source;

pub use fetch::{ReferenceFetcher, ReferenceFetcherBuilder};
pub use host_rule::HostRule;
pub use limits::ReferenceLimits;
pub use picture::{Reference, ReferenceFormat};
pub use problem::ReferenceProblem;
pub use resolve::{Lookup, SystemLookup};
pub use rules::ReferenceRules;
