use std::path::PathBuf;

/// What went wrong, apart from a wrong picture.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// A word that names nothing in the world.
    #[error("{what}: must be one of {known}, got {found:?}")]
    Unknown {
        /// What the word should name.
        what: &'static str,
        /// The words there are.
        known: String,
        /// The word.
        found: String,
    },
    /// A file that cannot be read.
    #[error("{}", path.display())]
    File {
        /// Which.
        path: PathBuf,
        /// Why.
        source: std::io::Error,
    },
    /// A list that is not one.
    #[error("{}", path.display())]
    List {
        /// Which.
        path: PathBuf,
        /// Why.
        source: serde_json::Error,
    },
    /// Of tiny-sdxl.
    #[error(transparent)]
    Sdxl(#[from] ourvidz_sdxl::Error),
    /// Of tiny-wan.
    #[error(transparent)]
    Wan(#[from] ourvidz_wan::Error),
    /// Of tiny-qwen.
    #[error(transparent)]
    Qwen(#[from] ourvidz_qwen::Error),
}

/// With this crate's [`Error`].
pub type Result<T, E = Error> = std::result::Result<T, E>;

/// Refuses a word that names nothing.
pub(crate) fn unknown<const N: usize>(what: &'static str, known: [&str; N], found: &str) -> Error {
    Error::Unknown { what, known: known.join(", "), found: found.to_owned() }
}
