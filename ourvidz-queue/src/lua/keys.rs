use crate::{Error, Result};

/// The keys of one queue. The list is the plain name, so that producers need to know nothing else; the others
/// share it as their hash tag.
#[derive(Debug, Clone)]
pub(crate) struct Keys {
    name: String,
    /// In the order in which `common.lua` names them; the first is the list.
    own: Vec<String>,
}

/// Behind the list, in the order of `common.lua`.
const SUFFIXES: [&str; 18] = [
    "inflight",
    "claims",
    "lease",
    "attempts",
    "reasons",
    "delayed",
    "parked",
    "dead",
    "paused",
    "served",
    "stats",
    "outbox",
    "outbox:due",
    "outbox:dead",
    "outbox:dead:at",
    "outbox:disabled",
    "settled",
    "taken",
];

impl Keys {
    pub(crate) fn new(name: String) -> Result<Self> {
        if name.is_empty() || name.len() > 200 || name.contains(|c: char| c.is_control() || "{} ".contains(c))
        {
            let rule = "must be 1 to 200 bytes without braces, spaces and control characters";
            return Err(Error::InvalidOption { name: "queue", rule, value: format!("{name:?}") });
        }
        let mut own = vec![name.clone()];
        own.extend(SUFFIXES.iter().map(|suffix| format!("{{{name}}}:{suffix}")));
        Ok(Self { name, own })
    }

    pub(crate) fn name(&self) -> &str {
        &self.name
    }

    pub(crate) fn own(&self) -> &[String] {
        &self.own
    }

    pub(crate) fn paused(&self) -> String {
        self.beside("paused")
    }

    pub(crate) fn disabled(&self) -> String {
        self.beside("outbox:disabled")
    }

    pub(crate) fn pushed(&self, job_id: &str) -> String {
        self.beside(&format!("pushed:{job_id}"))
    }

    fn beside(&self, suffix: &str) -> String {
        format!("{{{}}}:{suffix}", self.name)
    }
}

/// Where a producer marks a job of queue `name` as withdrawn: the spelling of the wire, which is the one written
/// here, and the one with the hash tag.
pub(crate) fn cancel_keys(name: &str, job_id: &str) -> [String; 2] {
    [format!("{name}:cancel:{job_id}"), format!("{{{name}}}:cancel:{job_id}")]
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    #[test]
    fn the_list_is_the_plain_name_and_the_others_share_its_tag() {
        let keys = Keys::new("sdxl_queue".into()).unwrap();
        assert_eq!(keys.own()[0], "sdxl_queue");
        assert_eq!(keys.own().len(), 19);
        assert!(keys.own()[1..].iter().all(|key| key.starts_with("{sdxl_queue}:")), "{keys:?}");
        assert!(keys.own().contains(&keys.paused()) && keys.own().contains(&keys.disabled()));
    }

    #[test]
    fn names_that_would_break_the_keys_are_refused() {
        for name in ["", "a b", "{a}", "a\n", &"x".repeat(201)] {
            let error = Keys::new(name.to_owned()).unwrap_err();
            assert!(matches!(error, Error::InvalidOption { name: "queue", .. }), "{error}");
        }
    }
}
