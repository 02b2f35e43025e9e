use ourvidz_core::job::MAX_ENVELOPE_DEPTH;
use serde_json::{Map, Value};
use sha1::{Digest, Sha1};

/// What the queue itself needs to know of an element; `lua/common.lua` reads the same in Lua.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Identity {
    /// The producer's id, or `sha1:` and the hash of the element where none can be read. Attempts are counted
    /// under it.
    pub(crate) key: String,
    /// The user, for fair share; empty where none can be read.
    pub(crate) user: String,
}

/// Longest id that is taken for one, in bytes.
const MAX_ID_BYTES: usize = 512;

impl Identity {
    pub(crate) fn of(element: &str) -> Self {
        let job = open(element);
        let read = |keys: [&str; 3]| {
            let job = job.as_ref()?;
            let mut ids = keys.iter().filter_map(|&key| job.get(key)?.as_str());
            ids.find(|id| !id.is_empty() && id.len() <= MAX_ID_BYTES).map(str::to_owned)
        };
        Self {
            key: read(["id", "job_id", "jobId"]).unwrap_or_else(|| hash(element)),
            user: read(["user_id", "userId", "user_id"]).unwrap_or_default(),
        }
    }
}

/// The job object inside an element's envelopes, without any check of what it holds.
fn open(element: &str) -> Option<Map<String, Value>> {
    let mut value: Value = serde_json::from_str(element).ok()?;
    for _ in 0..MAX_ENVELOPE_DEPTH {
        value = match value {
            Value::String(text) => serde_json::from_str(&text).ok()?,
            Value::Array(mut items) if items.len() == 1 => items.pop()?,
            Value::Object(mut map) if is_wrapper(&map) => map.remove("data")?,
            Value::Object(map) => return Some(map),
            _ => return None,
        };
    }
    None
}

fn is_wrapper(map: &Map<String, Value>) -> bool {
    map.len() == 1 && matches!(map.get("data"), Some(Value::String(_) | Value::Object(_)))
}

fn hash(element: &str) -> String {
    let digits: String = Sha1::digest(element).iter().map(|byte| format!("{byte:02x}")).collect();
    format!("sha1:{digits}")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_envelope_shows_its_id_and_user() {
        let elements = [
            r#"{"id":"j1","user_id":"u1"}"#,
            r#"{"data":"{\"id\":\"j1\",\"user_id\":\"u1\"}"}"#,
            r#"{"data":{"job_id":"j1","userId":"u1"}}"#,
            r#"["{\"id\":\"j1\",\"user_id\":\"u1\"}"]"#,
            r#""{\"jobId\":\"j1\",\"user_id\":\"u1\"}""#,
        ];
        for element in elements {
            let expected = Identity { key: "j1".into(), user: "u1".into() };
            assert_eq!(Identity::of(element), expected, "{element}");
        }
    }

    #[test]
    fn what_has_no_id_is_known_by_its_hash() {
        assert_eq!(Identity::of("abc").key, "sha1:a9993e364706816aba3e25717850c26c9cd0d89d");
        for element in [
            "",
            "[]",
            "[1,2]",
            "{}",
            r#"{"id":7}"#,
            r#"{"id":""}"#,
            r#"{"id":null}"#,
            "\"\"",
            "{\"id\":\"a\"",
        ] {
            assert!(Identity::of(element).key.starts_with("sha1:"), "{element}");
        }
    }
}
