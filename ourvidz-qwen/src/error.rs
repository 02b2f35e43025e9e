/// What can go wrong in this crate.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// The checkpoint, the device or ONNX Runtime.
    #[error(transparent)]
    Runtime(#[from] ourvidz_runtime::Error),
    /// `tokenizer_config.json` is not JSON, or a field has the wrong type.
    #[error("tokenizer_config.json cannot be read")]
    Json {
        /// Where and why.
        #[from]
        source: serde_json::Error,
    },
    /// `tokenizer_config.json` has no usable template.
    #[error("tokenizer_config.json has no chat_template, or none of several is named \"default\"")]
    NoTemplate,
    /// The template does not parse, fails on these messages, or raises an exception.
    #[error("chat_template failed")]
    Template {
        /// Where and why.
        #[from]
        source: minijinja::Error,
    },
    /// The messages do not make a conversation.
    #[error("messages[{index}] ({role}): {rule}")]
    Message {
        /// Which message, counted from 0.
        index: usize,
        /// Its role.
        role: &'static str,
        /// The rule it breaks.
        rule: &'static str,
    },
    /// There is no message at all.
    #[error("messages: at least one is needed")]
    NoMessages,
    /// A text has no tokens, and the model adds none.
    #[error("texts[{index}] has no tokens")]
    NoTokens {
        /// Which text, counted from 0.
        index: usize,
    },
    /// An embedding is not finite, or zero in every dimension that is kept.
    #[error("the embedding of texts[{index}] is not finite, or zero")]
    NonFinite {
        /// Which text, counted from 0.
        index: usize,
    },
    /// A sampling parameter is outside its range.
    #[error("{field} must be {rule}, got {value}")]
    Sampling {
        /// The parameter's name.
        field: &'static str,
        /// Its range.
        rule: &'static str,
        /// What was given.
        value: f64,
    },
    /// A field of a request is outside its rule.
    #[error("{field} must be {rule}, got {value}")]
    Request {
        /// The field's name.
        field: &'static str,
        /// The rule.
        rule: String,
        /// What was given.
        value: String,
    },
    /// Tokens that the model cannot take.
    #[error("tokens must be {rule}, got {value}")]
    Tokens {
        /// What they must be.
        rule: String,
        /// What they are.
        value: String,
    },
    /// `tokenizer.json` is damaged, or a text cannot be split.
    #[error("tokenizer of {path}: {reason}")]
    Tokenizer {
        /// The file.
        path: String,
        /// What the tokenizer said.
        reason: String,
    },
    /// There is no token to choose: no logits, or none above negative infinity.
    #[error("no token can be chosen from {count} logits")]
    NothingToChoose {
        /// How many logits there are.
        count: usize,
    },
    /// A logit is not a number, or is positive infinity.
    #[error("logit {token} is {value}")]
    Logit {
        /// Which token's.
        token: usize,
        /// What it is.
        value: f32,
    },
    /// A previous token is not in the vocabulary that the logits cover.
    #[error("previous token {token} is outside the vocabulary of {vocabulary}")]
    Token {
        /// The token.
        token: u32,
        /// How many logits there are.
        vocabulary: usize,
    },
}

impl Error {
    /// True where the request, its flags or its files are at fault: the same one fails again.
    pub fn is_request(&self) -> bool {
        use ourvidz_runtime::Error as Runtime;
        match self {
            Error::Runtime(error) => matches!(error, Runtime::Invalid { .. } | Runtime::NotFound { .. }),
            Error::Request { .. }
            | Error::Tokens { .. }
            | Error::Sampling { .. }
            | Error::Message { .. }
            | Error::NoMessages
            | Error::NoTokens { .. }
            | Error::NoTemplate => true,
            _ => false,
        }
    }

    /// True where the same request may succeed later: only what the machine did, never what was asked.
    pub fn retryable(&self) -> bool {
        use ourvidz_runtime::Error as Runtime;
        matches!(self, Error::Runtime(Runtime::Session { .. } | Runtime::Io { .. }))
    }
}

/// Result of this crate.
pub type Result<T, E = Error> = core::result::Result<T, E>;
