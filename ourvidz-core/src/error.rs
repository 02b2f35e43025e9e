/// What can be wrong with the input of this crate. Every variant is permanent: the same input fails again.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// A field holds a value outside its rule.
    #[error("{field}: {rule}, got {value}")]
    Invalid {
        /// The field's name as the caller wrote it, e.g. `config.width`.
        field: String,
        /// The rule, e.g. `must be a multiple of 8 between 64 and 4096`.
        rule: String,
        /// The value found, shortened.
        value: String,
    },
    /// A required field is absent.
    #[error("{field} is missing: {rule}")]
    Missing {
        /// The field's name.
        field: String,
        /// What it should hold.
        rule: String,
    },
    /// Text that should be JSON is not, or has the wrong shape.
    #[error("{what} is not valid JSON")]
    Json {
        /// What was read, e.g. `scheduler_config.json`.
        what: String,
        /// Where and why.
        source: serde_json::Error,
    },
    /// A job type that no worker makes, or that is not queued at all (the chat types).
    #[error("{field}: {value} is not a job type")]
    UnsupportedJobType {
        /// The field's name as the job spelled it, e.g. `type`.
        field: String,
        /// The type found, shortened.
        value: String,
    },
    /// The prompt asks for something that is never made.
    #[error("refused by the content policy: {rule}")]
    ContentPolicy {
        /// The rule that applied; never the prompt.
        rule: String,
    },
    /// The caller's progress function asked to stop.
    #[error("cancelled at step {step} of {num_inference_steps}")]
    Cancelled {
        /// The step (counted from 0) after which the run stopped.
        step: usize,
        /// Steps asked for.
        num_inference_steps: usize,
    },
    /// Numbers that are not finite came out of a model.
    #[error("{tensor} holds a value that is not finite (index {index}); nothing was written")]
    NonFinite {
        /// Which tensor, e.g. `latents after step 3`.
        tensor: String,
        /// First offending index.
        index: usize,
    },
}

/// Result of this crate.
pub type Result<T, E = Error> = core::result::Result<T, E>;
