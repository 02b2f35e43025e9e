/// What can go wrong in a Stable Diffusion XL pipeline.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// The request is outside its rules, the run was cancelled, or numbers were not finite.
    #[error(transparent)]
    Request(#[from] ourvidz_core::Error),
    /// The checkpoint, the device or ONNX Runtime.
    #[error(transparent)]
    Runtime(#[from] ourvidz_runtime::Error),
    /// The tokenizer's files are damaged.
    #[error("tokenizer of {path}: {reason}")]
    Tokenizer {
        /// The folder, or `bundled`.
        path: String,
        /// What the tokenizer said.
        reason: String,
    },
    /// An image could not be encoded.
    #[error("encoding {format}: {reason}")]
    Encode {
        /// `png` or `webp`.
        format: &'static str,
        /// What the encoder said.
        reason: String,
    },
    /// An image could not be written.
    #[error("{path}: writing")]
    Write {
        /// The file.
        path: std::path::PathBuf,
        /// The cause.
        source: std::io::Error,
    },
}

impl Error {
    /// True where the same request may succeed later: only what the machine did, never what was asked.
    pub fn retryable(&self) -> bool {
        match self {
            Error::Runtime(e) => {
                matches!(e, ourvidz_runtime::Error::Session { .. } | ourvidz_runtime::Error::Io { .. })
            }
            Error::Write { .. } => true,
            Error::Request(_) | Error::Tokenizer { .. } | Error::Encode { .. } => false,
        }
    }
}

/// Result of this crate.
pub type Result<T, E = Error> = core::result::Result<T, E>;
