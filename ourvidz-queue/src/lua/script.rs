use sha1::{Digest, Sha1};

/// The scripts; each is the prelude `common.lua` and its own file.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Script {
    Announce,
    Beat,
    Callback,
    Claim,
    Inspect,
    PushOnce,
    ReleaseWorker,
    Remove,
    RetryDead,
    Settle,
    TakeDue,
}

/// The first line by which a server knows how to run a script. The rest is the same everywhere.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Header {
    /// Redis before 7 reads a script from its first byte; so does every server of unknown kind.
    None,
    /// Redis 7: a script with a header is refused as a whole when memory is short.
    Lua,
    /// Upstash: the script locks the keys it names instead of the whole database. Redis refuses the flag.
    KeyLocking,
}

/// Every script as one kind of server takes it.
#[derive(Debug)]
pub(crate) struct ScriptSet {
    texts: Vec<Text>,
}

/// A script's text and the hash the server knows it by.
#[derive(Debug)]
pub(crate) struct Text {
    pub(crate) text: String,
    pub(crate) sha1: String,
}

const COMMON: &str = include_str!("common.lua");

impl Script {
    const ALL: [Script; 11] = [
        Script::Announce,
        Script::Beat,
        Script::Callback,
        Script::Claim,
        Script::Inspect,
        Script::PushOnce,
        Script::ReleaseWorker,
        Script::Remove,
        Script::RetryDead,
        Script::Settle,
        Script::TakeDue,
    ];

    fn body(self) -> &'static str {
        match self {
            Script::Announce => include_str!("announce.lua"),
            Script::Beat => include_str!("beat.lua"),
            Script::Callback => include_str!("callback.lua"),
            Script::Claim => include_str!("claim.lua"),
            Script::Inspect => include_str!("inspect.lua"),
            Script::PushOnce => include_str!("push_once.lua"),
            Script::ReleaseWorker => include_str!("release_worker.lua"),
            Script::Remove => include_str!("remove.lua"),
            Script::RetryDead => include_str!("retry_dead.lua"),
            Script::Settle => include_str!("settle.lua"),
            Script::TakeDue => include_str!("take_due.lua"),
        }
    }
}

impl ScriptSet {
    pub(crate) fn new(header: Header) -> Self {
        let texts = Script::ALL.map(|script| {
            let first = match (header, script) {
                (Header::None, _) => "",
                // Views also answer when memory is short.
                (Header::Lua, Script::Inspect) => "#!lua flags=no-writes\n",
                (Header::Lua, _) => "#!lua\n",
                (Header::KeyLocking, _) => "#!lua flags=allow-key-locking\n",
            };
            let text = format!("{first}{COMMON}{}", script.body());
            let sha1 = Sha1::digest(&text).iter().map(|byte| format!("{byte:02x}")).collect();
            Text { text, sha1 }
        });
        Self { texts: texts.into() }
    }

    pub(crate) fn get(&self, script: Script) -> &Text {
        &self.texts[script as usize]
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_script_is_at_its_place() {
        let set = ScriptSet::new(Header::Lua);
        for script in Script::ALL {
            assert!(set.get(script).text.ends_with(script.body()), "{script:?}");
            assert!(set.get(script).text.starts_with("#!lua"), "{script:?}");
        }
        assert!(ScriptSet::new(Header::None).get(Script::Claim).text.starts_with("--"));
    }
}
