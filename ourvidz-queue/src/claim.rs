use std::fmt;

use serde::{Deserialize, Serialize};
use uuid::Uuid;

/// Names one claim. Made by the client before it asks, so that asking again after a lost reply is safe.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(transparent)]
pub struct ClaimId(String);

/// Names one start of one worker process. A fresh one for every start: a reused name would let a restarted
/// worker be taken for the one that died.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(transparent)]
pub struct WorkerId(String);

impl ClaimId {
    /// A random one.
    #[expect(clippy::new_without_default, reason = "two of them are never equal")]
    pub fn new() -> Self {
        Self(Uuid::new_v4().simple().to_string())
    }

    /// One that was written down earlier.
    pub fn from_text(text: impl Into<String>) -> Self {
        Self(text.into())
    }

    /// As it stands in the backend.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl WorkerId {
    /// `name` and a random suffix, e.g. `sdxl-5f3c9a21`.
    pub fn new(name: &str) -> Self {
        let suffix = Uuid::new_v4().simple().to_string();
        Self(format!("{name}-{}", suffix.get(..8).unwrap_or(&suffix)))
    }

    /// One that was made by another process, e.g. a child's.
    pub fn from_text(text: impl Into<String>) -> Self {
        Self(text.into())
    }

    /// As it stands in the backend.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for ClaimId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl fmt::Display for WorkerId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}
