/// What can go wrong in this crate.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// The request is outside its rules, the run was cancelled, or numbers were not finite.
    #[error(transparent)]
    Request(#[from] ourvidz_core::Error),
    /// The checkpoint, the device or ONNX Runtime.
    #[error(transparent)]
    Runtime(#[from] ourvidz_runtime::Error),
    /// The tokenizer's files are damaged, or are not those of umT5.
    #[error("tokenizer of {path}: {reason}")]
    Tokenizer {
        /// The folder or file.
        path: String,
        /// What the tokenizer said.
        reason: String,
    },
    /// A configuration is not JSON, or a field has the wrong type.
    #[error("transformer/config.json is not a configuration of WanTransformer3DModel")]
    Json {
        /// Where and why.
        #[from]
        source: serde_json::Error,
    },
    /// A configuration belongs to another class.
    #[error(
        "transformer/config.json is of {found}, expected WanTransformer3DModel or WanVACETransformer3DModel"
    )]
    Class {
        /// `_class_name` in the file.
        found: String,
    },
    /// A field of the configuration holds a value that no such model has.
    #[error("transformer/config.json: {field} must be {rule}, got {value}")]
    Config {
        /// The field's name in the file.
        field: &'static str,
        /// What it must be.
        rule: &'static str,
        /// What it is.
        value: String,
    },
    /// A video without frames was asked for.
    #[error("num_frames must be at least 1, got 0")]
    NoFrames,
    /// A side of the video is not one the model can make.
    #[error("{side} must be a multiple of {multiple} and at least {multiple}, got {value}")]
    Size {
        /// `height` or `width`.
        side: &'static str,
        /// What the side must be a multiple of: VAE compression times patch.
        multiple: usize,
        /// What was asked for.
        value: usize,
    },
    /// What a prediction was asked to take does not fit the model or the other inputs.
    #[error("{input} must be {rule}, got {value}")]
    Input {
        /// The input's name, as diffusers spells it.
        input: &'static str,
        /// What it must be.
        rule: String,
        /// What it is.
        value: String,
    },
    /// FFmpeg cannot make the file.
    #[error("cannot {action}")]
    Encode {
        /// What was tried, e.g. `create the file`.
        action: &'static str,
        /// FFmpeg's reason, if it gave one.
        source: Option<Box<dyn std::error::Error + Send + Sync>>,
    },
    /// The video has more positions along one axis than the model has rotary positions.
    #[error("{axis}: {positions} positions, the model has {most} (rope_max_seq_len)")]
    TooLong {
        /// `frames`, `rows` or `columns` of the token grid.
        axis: &'static str,
        /// Positions asked for.
        positions: usize,
        /// Positions there are.
        most: usize,
    },
}

impl Error {
    /// True where the same request may succeed later: only what the machine did, never what was asked.
    pub fn retryable(&self) -> bool {
        use ourvidz_runtime::Error as Runtime;
        matches!(self, Error::Runtime(Runtime::Session { .. } | Runtime::Io { .. }))
    }
}

/// Result of this crate.
pub type Result<T, E = Error> = core::result::Result<T, E>;
