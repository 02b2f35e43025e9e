use std::ops::Range;

use super::EmbedOptions;

/// Share of a batch that may be padding before it is cut, in percent. A run costs less than so much padding.
const MOST_PADDING: usize = 20;

/// Cuts texts, sorted by length, longest first, into runs: `lengths` -> ranges of it.
pub(super) fn batches(lengths: &[usize], options: &EmbedOptions) -> Vec<Range<usize>> {
    let mut batches = Vec::new();
    let (mut start, mut tokens) = (0, 0);
    for (i, length) in lengths.iter().enumerate() {
        let (rows, longest) = (i - start + 1, lengths[start]);
        let padded = rows * longest;
        let padding = padded - tokens - length;
        let full = rows > options.batch_size || padded > options.max_batch_tokens;
        if i > start && (full || padding * 100 > padded * MOST_PADDING) {
            batches.push(start..i);
            (start, tokens) = (i, 0);
        }
        tokens += length;
    }
    if start < lengths.len() {
        batches.push(start..lengths.len());
    }
    batches
}

#[cfg(test)]
mod tests {
    use super::*;

    fn cut(lengths: &[usize], batch_size: usize, max_batch_tokens: usize) -> Vec<Range<usize>> {
        batches(lengths, &EmbedOptions { batch_size, max_batch_tokens, ..EmbedOptions::default() })
    }

    #[test]
    fn runs_keep_to_rows_tokens_and_padding() {
        assert!(cut(&[], 4, 100).is_empty());
        assert_eq!(cut(&[9; 10], 4, 1000), [0..4, 4..8, 8..10]);
        assert_eq!(cut(&[9; 10], 32, 30), [0..3, 3..6, 6..9, 9..10]);
        assert_eq!(cut(&[500, 40, 40], 32, 100), [0..1, 1..3]); // longer than a run may be: alone
        assert_eq!(cut(&[100, 95, 70, 40, 40], 32, 1000), [0..3, 3..5]);
    }

    #[test]
    fn every_text_is_in_one_run() {
        let lengths: Vec<usize> = (0..200).rev().map(|i| 1 + i * i / 90).collect();
        let found: Vec<usize> = cut(&lengths, 16, 2000).into_iter().flatten().collect();
        assert_eq!(found, (0..200).collect::<Vec<_>>());
    }
}
