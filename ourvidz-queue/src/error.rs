/// What can be wrong with a secret or a value to be signed. No variant holds a secret.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// A secret that cannot be used.
    #[error("{name}: {rule}")]
    InvalidSecret {
        /// Which secret.
        name: &'static str,
        /// The rule it breaks.
        rule: &'static str,
    },
    /// Text that cannot stand in a header.
    #[error("{name}: {rule}, got {value:?}")]
    InvalidHeader {
        /// The header.
        name: &'static str,
        /// The rule it breaks.
        rule: &'static str,
        /// The text.
        value: String,
    },
}

/// Result of this crate.
pub type Result<T, E = Error> = core::result::Result<T, E>;
