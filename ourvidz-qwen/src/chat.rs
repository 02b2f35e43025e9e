use minijinja::{Environment, ErrorKind, context};
use minijinja_contrib::pycompat::unknown_method_callback;
use serde::{Deserialize, Serialize};

use crate::{Error, Result};

/// Who says a message.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Role {
    /// Instructions; only as the first message.
    System,
    /// The person.
    User,
    /// The model.
    Assistant,
}

/// One message of a conversation.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Message {
    /// Who says it.
    pub role: Role,
    /// What is said.
    pub content: String,
}

impl Message {
    /// A message with instructions.
    pub fn system(content: impl Into<String>) -> Self {
        Self { role: Role::System, content: content.into() }
    }

    /// A message of the person.
    pub fn user(content: impl Into<String>) -> Self {
        Self { role: Role::User, content: content.into() }
    }

    /// A message of the model.
    pub fn assistant(content: impl Into<String>) -> Self {
        Self { role: Role::Assistant, content: content.into() }
    }
}

/// The `chat_template` of a checkpoint: Jinja that turns messages into one prompt.
///
/// Rendered as transformers does: blocks trimmed, `raise_exception` defined, `bos_token` and `eos_token`
/// taken from `tokenizer_config.json`, methods of Python's strings and lists known. Tools and documents are not
/// supported.
#[derive(Debug, Clone)]
pub struct ChatTemplate {
    environment: Environment<'static>,
    bos_token: Option<String>,
    eos_token: Option<String>,
}

/// What a template is asked for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct RenderOptions {
    /// The prompt goes on to where the model's answer begins.
    pub add_generation_prompt: bool,
    /// Whether the model thinks before it answers, of models that can do both; `None` leaves it to the template.
    pub enable_thinking: Option<bool>,
}

const NAME: &str = "chat_template";

impl ChatTemplate {
    /// Reads the template from the text of a `tokenizer_config.json`; of several the one named `default`.
    pub fn from_tokenizer_config(text: &str) -> Result<Self> {
        let mut config: TokenizerConfig = serde_json::from_str(text)?;
        let source = match config.chat_template.take() {
            Some(Templates::One(source)) => source,
            Some(Templates::Several(several)) => {
                let default = several.into_iter().find(|template| template.name == "default");
                default.ok_or(Error::NoTemplate)?.template
            }
            None => return Err(Error::NoTemplate),
        };
        Self::new(source, config)
    }

    /// Reads the text of a `chat_template.jinja`, as transformers saves it since version 4.52, with the tokens of the
    /// `tokenizer_config.json` beside it, where there is one.
    pub fn from_jinja(source: &str, tokenizer_config: Option<&str>) -> Result<Self> {
        let config = tokenizer_config.map(serde_json::from_str).transpose()?.unwrap_or_default();
        Self::new(source.to_owned(), config)
    }

    fn new(source: String, config: TokenizerConfig) -> Result<Self> {
        let mut environment = Environment::new();
        environment.set_trim_blocks(true);
        environment.set_lstrip_blocks(true);
        environment.set_unknown_method_callback(unknown_method_callback);
        environment.add_function("raise_exception", raise_exception);
        environment.add_template_owned(NAME, source)?;
        let [bos_token, eos_token] = [config.bos_token, config.eos_token].map(|t| t.map(Token::into_text));
        Ok(Self { environment, bos_token, eos_token })
    }

    /// Renders a conversation.
    ///
    /// A system message may only be the first; then user and assistant take turns, the user first. No user
    /// message is blank, and the last message is the user's when an answer is asked for.
    pub fn render(&self, messages: &[Message], options: RenderOptions) -> Result<String> {
        let RenderOptions { add_generation_prompt, enable_thinking } = options;
        check(messages, add_generation_prompt)?;
        let template = self.environment.get_template(NAME)?;
        let mut known = context! {
            messages,
            add_generation_prompt,
            bos_token => self.bos_token,
            eos_token => self.eos_token,
        };
        // Templates ask whether it is defined.
        if let Some(enable_thinking) = enable_thinking {
            known = context! { enable_thinking, ..known };
        }
        Ok(template.render(known)?)
    }
}

fn check(messages: &[Message], add_generation_prompt: bool) -> Result<()> {
    let turns = match messages {
        [] => return Err(Error::NoMessages),
        [Message { role: Role::System, .. }, turns @ ..] => turns,
        turns => turns,
    };
    let first = messages.len() - turns.len();
    for (turn, message) in turns.iter().enumerate() {
        let expected = if turn % 2 == 0 { Role::User } else { Role::Assistant };
        let rule = match message.role {
            Role::System => "a system message must be the first",
            role if role != expected => "user and assistant must take turns, the user first",
            Role::User if message.content.trim().is_empty() => "content must not be blank",
            _ => continue,
        };
        return Err(broken(first + turn, message, rule));
    }
    match messages {
        [.., last] if add_generation_prompt && last.role != Role::User => {
            Err(broken(messages.len() - 1, last, "the last message must be the user's to be answered"))
        }
        _ => Ok(()),
    }
}

fn broken(index: usize, message: &Message, rule: &'static str) -> Error {
    let role = match message.role {
        Role::System => "system",
        Role::User => "user",
        Role::Assistant => "assistant",
    };
    Error::Message { index, role, rule }
}

fn raise_exception(message: String) -> Result<String, minijinja::Error> {
    Err(minijinja::Error::new(ErrorKind::InvalidOperation, message))
}

#[derive(Deserialize, Default)]
struct TokenizerConfig {
    chat_template: Option<Templates>,
    bos_token: Option<Token>,
    eos_token: Option<Token>,
}

#[derive(Deserialize)]
#[serde(untagged)]
enum Templates {
    One(String),
    Several(Vec<NamedTemplate>),
}

#[derive(Deserialize)]
struct NamedTemplate {
    name: String,
    template: String,
}

/// A special token is written as its text, or as an object that holds the text.
#[derive(Deserialize)]
#[serde(untagged)]
enum Token {
    Text(String),
    Added { content: String },
}

impl Token {
    fn into_text(self) -> String {
        match self {
            Self::Text(content) | Self::Added { content } => content,
        }
    }
}
