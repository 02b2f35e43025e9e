//! `EVAL` and its kin: which script, which keys, which flags.

mod convert;
mod engine;
mod json;
mod json_decode;

use std::collections::HashSet;

use sha1::{Digest, Sha1};

use super::commands::{NOT_INTEGER, integer, upper};
use super::store::{Bytes, ScriptScope, Store};
use super::table::wrong_count;
use crate::Reply;

const NO_SCRIPT: &str = "NOSCRIPT No matching script. Please use EVAL.";
const FLAGS: [&str; 5] = ["no-writes", "allow-oom", "allow-stale", "no-cluster", "allow-cross-slot-keys"];

type Done = Result<Reply, String>;

pub(crate) fn eval(store: &mut Store, words: &[Bytes]) -> Done {
    by_body(store, words, false)
}

pub(crate) fn eval_ro(store: &mut Store, words: &[Bytes]) -> Done {
    by_body(store, words, true)
}

pub(crate) fn evalsha(store: &mut Store, words: &[Bytes]) -> Done {
    by_sha(store, words, false)
}

pub(crate) fn evalsha_ro(store: &mut Store, words: &[Bytes]) -> Done {
    by_sha(store, words, true)
}

/// `LOAD EXISTS FLUSH KILL`.
pub(crate) fn script(store: &mut Store, words: &[Bytes]) -> Done {
    match (upper(&words[1]).as_str(), &words[2..]) {
        ("LOAD", [body]) => {
            let sha = sha1_hex(body);
            let shebang = Shebang::read(store, body)?;
            engine::check(&sha, &body[shebang.length..])?;
            store.scripts.insert(sha.clone(), body.clone());
            Ok(Reply::bulk(sha))
        }
        ("EXISTS", shas) if !shas.is_empty() => {
            let known = |sha: &Bytes| store.scripts.contains_key(&upper(sha).to_lowercase());
            Ok(Reply::Array(shas.iter().map(|sha| Reply::Int(i64::from(known(sha)))).collect()))
        }
        ("FLUSH", how) => {
            if !how.iter().all(|how| ["SYNC", "ASYNC"].contains(&upper(how).as_str())) || how.len() > 1 {
                return Err("ERR SCRIPT FLUSH only support SYNC|ASYNC option".into());
            }
            store.scripts.clear();
            Ok(Reply::ok())
        }
        ("KILL", []) => Err("NOTBUSY No scripts in execution right now.".into()),
        ("LOAD" | "EXISTS" | "KILL", _) => {
            Err(wrong_count(&format!("script|{}", upper(&words[1]).to_lowercase())))
        }
        _ => {
            Err(format!("ERR unknown subcommand '{}'. Try SCRIPT HELP.", String::from_utf8_lossy(&words[1])))
        }
    }
}

pub(crate) fn sha1_hex(bytes: &[u8]) -> String {
    Sha1::digest(bytes).iter().map(|byte| format!("{byte:02x}")).collect()
}

fn by_body(store: &mut Store, words: &[Bytes], read_only: bool) -> Done {
    run(store, &sha1_hex(&words[1]), &words[1], &words[2..], read_only)
}

fn by_sha(store: &mut Store, words: &[Bytes], read_only: bool) -> Done {
    let sha = upper(&words[1]).to_lowercase();
    // The number of keys is looked at first, as in Redis.
    split_keys(&words[2..])?;
    let body = store.scripts.get(&sha).cloned().ok_or(NO_SCRIPT)?;
    run(store, &sha, &body, &words[2..], read_only)
}

fn run(store: &mut Store, sha: &str, body: &[u8], words: &[Bytes], read_only: bool) -> Done {
    let (keys, args) = split_keys(words)?;
    let shebang = Shebang::read(store, body)?;
    engine::check(sha, &body[shebang.length..])?;
    store.scripts.insert(sha.to_owned(), body.to_vec());
    if read_only && shebang.length > 0 && !shebang.no_writes {
        return Err("ERR Can not execute a script with write flag using *_ro command.".into());
    }
    let strict = shebang.key_locking || store.setup.strict_keys;
    let declared = strict.then(|| keys.iter().cloned().collect::<HashSet<_>>());
    store.script = Some(ScriptScope { read_only: read_only || shebang.no_writes, declared });
    store.freeze();
    let reply = engine::run(store, sha, &body[shebang.length..], keys, args);
    store.thaw();
    store.script = None;
    Ok(reply)
}

/// `numkeys key ... arg ...`
fn split_keys(words: &[Bytes]) -> Result<(&[Bytes], &[Bytes]), String> {
    let (count, rest) = words.split_first().ok_or(NOT_INTEGER)?;
    let count = integer(count)?;
    let Ok(count) = usize::try_from(count) else {
        return Err("ERR Number of keys can't be negative".into());
    };
    if count > rest.len() {
        return Err("ERR Number of keys can't be greater than number of args".into());
    }
    Ok(rest.split_at(count))
}

/// The first line `#!lua flags=a,b`, which Redis 7 and Upstash know.
#[derive(Default)]
struct Shebang {
    /// Bytes before the line's end; the line end stays, so that lines keep their numbers.
    length: usize,
    no_writes: bool,
    key_locking: bool,
}

impl Shebang {
    fn read(store: &Store, body: &[u8]) -> Result<Self, String> {
        let known = store.setup.is_seven() || store.over_rest;
        if !body.starts_with(b"#!") || !known {
            return Ok(Self::default());
        }
        let length = body.iter().position(|byte| *byte == b'\n').ok_or("ERR Invalid script shebang")?;
        let line = String::from_utf8_lossy(&body[..length]).into_owned();
        let mut words = line.split_whitespace();
        let engine = words.next().unwrap_or_default();
        if engine != "#!lua" {
            return Err(format!("ERR Unexpected engine in script shebang: {engine}"));
        }
        let mut shebang = Self { length, ..Self::default() };
        for word in words {
            let Some(flags) = word.strip_prefix("flags=") else {
                return Err(format!("ERR Unknown lua shebang option: {word}"));
            };
            for flag in flags.split(',').filter(|flag| !flag.is_empty()) {
                match flag {
                    "no-writes" => shebang.no_writes = true,
                    "allow-key-locking" if store.over_rest => shebang.key_locking = true,
                    flag if FLAGS.contains(&flag) => {}
                    flag => return Err(format!("ERR Unexpected flag in script shebang: {flag}")),
                }
            }
        }
        Ok(shebang)
    }
}
