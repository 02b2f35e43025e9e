use super::ClipTokenizer;
use crate::Result;

/// Tokens of the text in a window; start and end take the other two of 77.
const WINDOW: usize = 75;

impl ClipTokenizer {
    /// A prompt as windows of `length` (77) ids: start, up to 75 tokens, end, padding.
    ///
    /// A prompt of more than 75 tokens fills several windows, cut at 75; an empty one fills one.
    ///
    /// # Errors
    /// [`Error::Tokenizer`](crate::Error::Tokenizer)
    pub fn windows(&self, prompt: &str, length: usize) -> Result<Vec<Vec<i64>>> {
        let tokens = self.encode(prompt)?;
        let per_window = WINDOW.min(length.saturating_sub(2)).max(1);
        let mut windows: Vec<_> = tokens.chunks(per_window).map(|part| self.window(part, length)).collect();
        if windows.is_empty() {
            windows.push(self.window(&[], length));
        }
        Ok(windows)
    }

    /// A window without text.
    pub(crate) fn window(&self, tokens: &[u32], length: usize) -> Vec<i64> {
        let mut ids = vec![self.start];
        ids.extend(tokens);
        ids.push(self.end);
        ids.resize(length, self.pad);
        ids.into_iter().map(i64::from).collect()
    }
}
