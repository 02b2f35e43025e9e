/// What the enhanced prompt is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
pub enum PromptTarget {
    /// A model that makes still images.
    #[default]
    Image,
    /// A model that makes video.
    Video,
}

/// How the model is asked.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum EnhanceStyle {
    /// By a system message and a question, through the chat template.
    Instruct,
    /// By a text with an example to be continued: base models answer no questions.
    Base,
}

impl EnhanceStyle {
    /// How a checkpoint of that name is asked. Published base models carry a chat template too, so only the name tells:
    /// `Qwen2-7B` and `Qwen2.5-7B` are base models beside `...-Instruct`, `Qwen3-8B-Base` is one beside `Qwen3-8B`.
    pub(crate) fn of(name: &str, has_chat_template: bool) -> EnhanceStyle {
        let name = name.to_lowercase();
        let second = ["qwen2-", "qwen2.5-"].iter().any(|start| name.starts_with(start));
        let base = second && !name.contains("instruct") || name.ends_with("-base");
        if has_chat_template && !base { EnhanceStyle::Instruct } else { EnhanceStyle::Base }
    }
}

/// What the model is told where the caller says nothing: a system message, or the beginning of a text.
///
/// Neutral: subject, light, camera, composition and style, and nothing that the prompt does not ask for.
pub(super) fn instructions(style: EnhanceStyle, target: PromptTarget) -> &'static str {
    match (style, target) {
        (EnhanceStyle::Instruct, PromptTarget::Image) => include_str!("templates/image.instruct.txt"),
        (EnhanceStyle::Instruct, PromptTarget::Video) => include_str!("templates/video.instruct.txt"),
        (EnhanceStyle::Base, PromptTarget::Image) => include_str!("templates/image.base.txt"),
        (EnhanceStyle::Base, PromptTarget::Video) => include_str!("templates/video.base.txt"),
    }
    .trim_end()
}

/// What stands before each text of a base model's template.
const SHORT: &str = "Short prompt: ";
const DETAILED: &str = "Detailed prompt:";

/// The text that a base model continues.
pub(super) fn to_continue(instructions: &str, prompt: &str) -> String {
    format!("{instructions}\n\n{SHORT}{prompt}\n{DETAILED}")
}

/// Where a base model begins with the next example.
pub(super) fn stop(style: EnhanceStyle) -> Vec<String> {
    match style {
        EnhanceStyle::Instruct => vec![],
        EnhanceStyle::Base => vec!["\n\n".into(), SHORT.trim_end().into()],
    }
}

/// What a model writes around its thoughts.
const THINK: (&str, &str) = ("<think>", "</think>");

/// The prompt in an answer, or why there is none: thoughts and a label before it, quotes around it and line breaks in
/// it go.
pub(super) fn accepted(answer: &str) -> Result<String, String> {
    let answer = match answer.rsplit_once(THINK.1) {
        Some((_, answer)) => answer,
        None if answer.contains(THINK.0) => return Err("the answer ends in the middle of a thought".into()),
        None => answer,
    };
    let mut text = answer.split_whitespace().collect::<Vec<_>>().join(" ");
    for label in ["enhanced prompt:", "detailed prompt:", "rewritten prompt:", "prompt:"] {
        if text.get(..label.len()).is_some_and(|start| start.eq_ignore_ascii_case(label)) {
            text = text[label.len()..].trim_start().to_owned();
            break;
        }
    }
    for (open, close) in [('"', '"'), ('“', '”'), ('`', '`')] {
        let inner = text.strip_prefix(open).and_then(|text| text.strip_suffix(close));
        if let Some(inner) = inner.filter(|inner| !inner.contains([open, close])) {
            text = inner.trim().to_owned();
        }
    }
    match text.chars().count() {
        0..=10 => Err(format!("the answer is too short: {text:?}")),
        _ if text.contains(char::REPLACEMENT_CHARACTER) => Err("the answer holds broken characters".into()),
        _ => Ok(text),
    }
}
