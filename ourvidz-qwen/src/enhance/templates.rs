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

/// The prompt in an answer, or why there is none: a label before it, quotes around it and line breaks in it go.
pub(super) fn accepted(answer: &str) -> Result<String, String> {
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
