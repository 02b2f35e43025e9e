//! Conversations that are too long: the newest turns stay.

use crate::{Error, Message, Result, Role};

/// What was left out of an input that did not fit.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Cut {
    /// Messages left out whole, the oldest ones behind the system message.
    pub messages: usize,
    /// Characters left out at the beginning of the last message, where it alone did not fit.
    pub characters: usize,
}

impl std::fmt::Display for Cut {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match (self.messages, self.characters) {
            (messages, 0) => write!(f, "the oldest {messages} messages were left out"),
            (0, characters) => write!(f, "the first {characters} characters of the message were left out"),
            (messages, characters) => write!(
                f,
                "the oldest {messages} messages and the first {characters} characters of the last were left out"
            ),
        }
    }
}

/// Tokens of a conversation, at most `room`, and what was left out: whole turns from the oldest on, at last the
/// beginning of the newest message. The system message stays.
pub(crate) fn messages(
    messages: &[Message],
    room: usize,
    encode: &mut dyn FnMut(&[Message]) -> Result<Vec<u32>>,
) -> Result<(Vec<u32>, Option<Cut>)> {
    // The whole conversation is checked before anything is left out.
    let tokens = encode(messages)?;
    if tokens.len() <= room {
        return Ok((tokens, None));
    }
    let system = usize::from(messages.first().is_some_and(|m| m.role == Role::System));
    let (system, turns) = messages.split_at(system);
    let from = |first: usize| [system, &turns[first..]].concat();
    // A turn is a question and its answer; what is left begins with a question.
    let first = (2..turns.len()).step_by(2);
    for left_out in first {
        let tokens = encode(&from(left_out))?;
        if tokens.len() <= room {
            return Ok((tokens, Some(Cut { messages: left_out, characters: 0 })));
        }
    }
    let mut last = from(turns.len().saturating_sub(1));
    let Some(newest) = last.pop() else { return Err(Error::NoMessages) };
    let starts: Vec<usize> = newest.content.char_indices().map(|(i, _)| i).collect();
    let mut shortened = |characters: usize| {
        let content = newest.content[starts[characters]..].to_owned();
        encode(&[&last[..], &[Message { role: newest.role, content }]].concat())
    };
    // Fewer characters are not always fewer tokens, so the search may leave out one or two more than it must.
    let (mut most, mut least) = (starts.len().saturating_sub(1), 0);
    while least < most {
        let middle = (least + most) / 2;
        // A rest of blanks alone is no message.
        if shortened(middle).is_ok_and(|tokens| tokens.len() > room) {
            least = middle + 1
        } else {
            most = middle
        }
    }
    let tokens = shortened(most)?;
    if tokens.len() <= room {
        let messages = turns.len() - 1;
        return Ok((tokens, Some(Cut { messages, characters: most })));
    }
    let rule = format!("at most {room} tokens with the template and the shortest message");
    Err(Error::Request { field: "messages", rule, value: tokens.len().to_string() })
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use super::*;

    /// One token for each character and three around each message.
    fn encode(messages: &[Message]) -> Result<Vec<u32>> {
        let one = |m: &Message| [vec![1, 2], m.content.chars().map(u32::from).collect(), vec![3]].concat();
        Ok(messages.iter().flat_map(one).collect())
    }

    fn conversation() -> Vec<Message> {
        vec![
            Message::system("sys"),
            Message::user("first"),
            Message::assistant("one"),
            Message::user("second"),
            Message::assistant("two"),
            Message::user("third"),
        ]
    }

    #[test]
    fn the_newest_turns_and_the_system_message_stay() {
        let all = conversation();
        let whole = encode(&all).unwrap();
        let fitted = |room| messages(&all, room, &mut encode).unwrap();
        assert_eq!(fitted(whole.len()), (whole.clone(), None));
        let rest = |from: usize| encode(&[&all[..1], &all[from..]].concat()).unwrap();
        let cut = |messages, characters| Some(Cut { messages, characters });
        assert_eq!(fitted(whole.len() - 1), (rest(3), cut(2, 0)));
        assert_eq!(fitted(rest(3).len()), (rest(3), cut(2, 0)));
        assert_eq!(fitted(rest(3).len() - 1), (rest(5), cut(4, 0)));
        // "third" without its first two letters.
        let short = encode(&[Message::system("sys"), Message::user("ird")]).unwrap();
        assert_eq!(fitted(rest(5).len() - 2), (short, cut(4, 2)));
        let text = fitted(rest(5).len() - 2).1.unwrap().to_string();
        assert_eq!(text, "the oldest 4 messages and the first 2 characters of the last were left out");
    }

    #[test]
    fn characters_are_never_split() {
        let all = [Message::user("雪🦊雪🦊")];
        let (tokens, cut) = messages(&all, 5, &mut encode).unwrap();
        assert_eq!(tokens, encode(&[Message::user("雪🦊")]).unwrap());
        assert_eq!(cut.unwrap().to_string(), "the first 2 characters of the message were left out");
    }

    #[test]
    fn what_cannot_fit_is_an_error() {
        let error = messages(&conversation(), 9, &mut encode).unwrap_err().to_string();
        assert_eq!(
            error,
            "messages must be at most 9 tokens with the template and the shortest message, got 10"
        );
    }
}
