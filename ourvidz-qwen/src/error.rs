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
    /// The tokenizer's files are damaged, or it cannot split a text.
    #[error("tokenizer of {path}: {reason}")]
    Tokenizer {
        /// The file.
        path: String,
        /// What the tokenizer said.
        reason: String,
    },
    /// How texts were to be embedded is outside the rules.
    #[error("{field} must be {rule}, got {value}")]
    Embed {
        /// The option's name.
        field: &'static str,
        /// Its range.
        rule: String,
        /// What was given.
        value: String,
    },
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

/// Result of this crate.
pub type Result<T, E = Error> = core::result::Result<T, E>;
