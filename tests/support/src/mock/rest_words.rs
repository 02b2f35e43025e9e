//! A command's words out of a JSON body or a path.

use axum::http::Uri;
use serde_json::Value;

/// The words of a JSON array; numbers and booleans are spelled out.
pub(crate) fn json_words(value: &Value) -> Result<Vec<Vec<u8>>, String> {
    let items = value.as_array().filter(|items| !items.is_empty());
    let items = items.ok_or("ERR failed to parse command: not an array of words")?;
    let word = |item: &Value| match item {
        Value::String(text) => Ok(text.clone().into_bytes()),
        Value::Number(n) => Ok(n.to_string().into_bytes()),
        Value::Bool(value) => Ok(value.to_string().into_bytes()),
        _ => Err("ERR failed to parse command: a word is neither text nor number".to_owned()),
    };
    items.iter().map(word).collect()
}

/// The words of `/set/key/value?EX=100`: the path's, the body as it is, the query's names and values.
pub(crate) fn path_words(path: &str, body: Option<&[u8]>, query: Option<&str>) -> Vec<Vec<u8>> {
    let mut words: Vec<Vec<u8>> = path.split('/').map(|word| decode(word, false)).collect();
    words.extend(body.map(<[u8]>::to_vec));
    for (name, value) in pairs(query).filter(|(name, _)| *name != "_token") {
        words.push(decode(name, true));
        words.extend(value.map(|value| decode(value, true)));
    }
    words
}

/// The token of `?_token=`.
pub(crate) fn query_token(uri: &Uri) -> Option<String> {
    let value = pairs(uri.query()).find(|(name, _)| *name == "_token")?.1?;
    String::from_utf8(decode(value, true)).ok()
}

fn pairs(query: Option<&str>) -> impl Iterator<Item = (&str, Option<&str>)> {
    let parts = query.unwrap_or_default().split('&').filter(|part| !part.is_empty());
    parts.map(|part| part.split_once('=').map_or((part, None), |(name, value)| (name, Some(value))))
}

/// Percent signs with two digits become bytes; in a query a plus is a space.
fn decode(text: &str, in_query: bool) -> Vec<u8> {
    let bytes = text.as_bytes();
    let (mut out, mut at) = (Vec::new(), 0);
    while at < bytes.len() {
        let digits = bytes.get(at + 1..at + 3).and_then(|digits| std::str::from_utf8(digits).ok());
        match (bytes[at], digits.and_then(|digits| u8::from_str_radix(digits, 16).ok())) {
            (b'%', Some(byte)) => {
                out.push(byte);
                at += 3;
            }
            (b'+', _) if in_query => {
                out.push(b' ');
                at += 1;
            }
            (byte, _) => {
                out.push(byte);
                at += 1;
            }
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn words_of_paths() {
        let words = path_words("lpush/a%20b", Some(b"[1, 2]"), Some("EX=5&_token=t&NX"));
        let texts: Vec<_> = words.iter().map(|word| String::from_utf8_lossy(word)).collect();
        assert_eq!(texts, ["lpush", "a b", "[1, 2]", "EX", "5", "NX"]);
    }
}
