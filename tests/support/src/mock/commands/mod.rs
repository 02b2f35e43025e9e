//! What each command does.

pub(crate) mod hashes;
pub(crate) mod keys;
pub(crate) mod lists;
pub(crate) mod server;
pub(crate) mod sets;
pub(crate) mod sorted;
pub(crate) mod strings;

use crate::Reply;

pub(crate) type Done = Result<Reply, String>;

pub(crate) const NOT_INTEGER: &str = "ERR value is not an integer or out of range";
pub(crate) const SYNTAX: &str = "ERR syntax error";
pub(crate) const OVERFLOW: &str = "ERR increment or decrement would overflow";

/// A whole number as Redis reads it: no sign `+`, no spaces, no leading zeros.
pub(crate) fn integer(word: &[u8]) -> Result<i64, String> {
    let number: Option<i64> = std::str::from_utf8(word).ok().and_then(|text| text.parse().ok());
    number.filter(|n| n.to_string().as_bytes() == word).ok_or_else(|| NOT_INTEGER.to_owned())
}

/// The word in upper case: options are compared this way.
pub(crate) fn upper(word: &[u8]) -> String {
    String::from_utf8_lossy(word).to_uppercase()
}

pub(crate) fn bulk_or_nil(value: Option<Vec<u8>>) -> Reply {
    value.map_or(Reply::Nil, Reply::Bulk)
}

/// First and one past the last index of a range that counts from the end when negative.
pub(crate) fn range(len: usize, start: i64, stop: i64) -> (usize, usize) {
    let len = len as i64;
    let from_end = |at: i64| if at < 0 { len + at } else { at };
    let start = from_end(start).max(0);
    let stop = from_end(stop).min(len - 1);
    if start > stop { (0, 0) } else { (start as usize, stop as usize + 1) }
}

/// Redis's glob: `*`, `?`, `[a-z]`, `[^a]` and a backslash.
pub(crate) fn glob(pattern: &[u8], text: &[u8]) -> bool {
    match pattern.first() {
        None => text.is_empty(),
        Some(b'*') => (0..=text.len()).any(|at| glob(&pattern[1..], &text[at..])),
        Some(b'?') => !text.is_empty() && glob(&pattern[1..], &text[1..]),
        Some(b'[') if pattern[1..].contains(&b']') => {
            let Some((byte, rest)) = text.split_first() else { return false };
            let end = pattern.iter().position(|b| *b == b']').unwrap_or(1);
            let (not, class) = match pattern[1] {
                b'^' => (true, &pattern[2..end]),
                _ => (false, &pattern[1..end]),
            };
            in_class(class, *byte) != not && glob(&pattern[end + 1..], rest)
        }
        Some(b'\\') if pattern.len() > 1 => {
            text.first() == Some(&pattern[1]) && glob(&pattern[2..], &text[1..])
        }
        Some(byte) => text.first() == Some(byte) && glob(&pattern[1..], &text[1..]),
    }
}

fn in_class(class: &[u8], byte: u8) -> bool {
    let mut rest = class;
    while let Some(first) = rest.first() {
        if rest.len() >= 3 && rest[1] == b'-' {
            if (*first..=rest[2]).contains(&byte) {
                return true;
            }
            rest = &rest[3..];
        } else {
            if *first == byte {
                return true;
            }
            rest = &rest[1..];
        }
    }
    false
}

/// Cursor, `MATCH` and `COUNT` of the scans; everything comes in one page, so the next cursor is 0.
pub(crate) fn scan_page(items: Vec<Vec<u8>>, words: &[Vec<u8>]) -> Result<Vec<Vec<u8>>, String> {
    let (cursor, options) = words.split_first().ok_or(SYNTAX)?;
    let cursor = std::str::from_utf8(cursor).ok().and_then(|text| text.parse::<u64>().ok());
    cursor.ok_or("ERR invalid cursor")?;
    let mut pattern = None;
    for option in options.chunks(2) {
        match (upper(&option[0]).as_str(), option.get(1)) {
            ("MATCH", Some(value)) => pattern = Some(value),
            ("COUNT", Some(value)) if integer(value)? < 1 => return Err(SYNTAX.into()),
            ("COUNT" | "TYPE", Some(_)) => {}
            _ => return Err(SYNTAX.into()),
        }
    }
    Ok(items.into_iter().filter(|item| pattern.is_none_or(|pattern| glob(pattern, item))).collect())
}
