use crate::Result;

/// Text of tokens that come one by one, handed out once it can no longer change.
///
/// A character may be split over tokens: until the last of them it reads as U+FFFD. A stop text may have begun.
pub(super) struct TextStream<'a> {
    decode: &'a dyn Fn(&[u32]) -> Result<String>,
    stop: &'a [String],
    /// Tokens whose text is not settled.
    open: Vec<u32>,
    /// Bytes of the open tokens' text that are in `text` already.
    taken: usize,
    /// Everything settled.
    text: String,
    /// Bytes of `text` that were handed out.
    given: usize,
    stopped: bool,
}

impl<'a> TextStream<'a> {
    pub(super) fn new(decode: &'a dyn Fn(&[u32]) -> Result<String>, stop: &'a [String]) -> TextStream<'a> {
        TextStream { decode, stop, open: vec![], taken: 0, text: String::new(), given: 0, stopped: false }
    }

    /// One more token: what can be handed out, often nothing.
    pub(super) fn push(&mut self, token: u32) -> Result<String> {
        self.open.push(token);
        let text = (self.decode)(&self.open)?;
        let whole = text.trim_end_matches(char::REPLACEMENT_CHARACTER);
        let complete = whole.len() == text.len();
        self.settle(whole.get(self.taken..).unwrap_or_default());
        if complete {
            self.open.clear();
            self.taken = 0;
        } else {
            self.taken = whole.len().max(self.taken);
        }
        Ok(self.give(true))
    }

    /// The end: what is left, with U+FFFD for a character that never became whole.
    pub(super) fn finish(&mut self) -> Result<String> {
        if !self.stopped && !self.open.is_empty() {
            let text = (self.decode)(&self.open)?;
            self.settle(text.get(self.taken..).unwrap_or_default());
            self.open.clear();
        }
        Ok(self.give(false))
    }

    /// True once a stop text was found; the text ends before it.
    pub(super) fn stopped(&self) -> bool {
        self.stopped
    }

    /// All text.
    pub(super) fn into_text(self) -> String {
        self.text
    }

    fn settle(&mut self, more: &str) {
        if self.stopped {
            return;
        }
        let from = self.given;
        self.text.push_str(more);
        let first = self.stop.iter().filter_map(|stop| self.text[from..].find(stop.as_str())).min();
        if let Some(at) = first {
            self.text.truncate(from + at);
            self.stopped = true;
        }
    }

    fn give(&mut self, more_may_come: bool) -> String {
        let held = if more_may_come && !self.stopped { self.begun() } else { 0 };
        let end = self.text.len() - held;
        let piece = self.text[self.given..end].to_owned();
        self.given = end;
        piece
    }

    /// Bytes at the end of the text that a stop text may begin with.
    fn begun(&self) -> usize {
        let tail = &self.text[self.given..];
        let starts = |stop: &&String| {
            stop.char_indices().map(|(i, c)| i + c.len_utf8()).filter(|n| *n < stop.len()).collect::<Vec<_>>()
        };
        let longest = |stop: &String| {
            starts(&stop).into_iter().rev().find(|n| tail.ends_with(&stop[..*n])).unwrap_or(0)
        };
        self.stop.iter().map(longest).max().unwrap_or(0)
    }
}
