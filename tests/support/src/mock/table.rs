//! The table of commands, and one command's way through its checks.

use super::commands::{hashes, keys, lists, server, sets, sorted, strings};
use super::script;
use super::store::{Bytes, Store};
use crate::Reply;

/// A command's work; `words[0]` is its name. The error is Redis's text.
pub(crate) type Handler = fn(&mut Store, &[Bytes]) -> Result<Reply, String>;

/// How a command may be used.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Class {
    Read,
    Write,
    /// Waits on a connection of its own, answers nil at once in a transaction; not inside scripts.
    Blocking,
    /// Not inside scripts.
    Admin,
    /// Handled by the connection, not inside scripts and not over REST.
    Session,
}

/// One row: name, arity (negative: at least), class, first key, last key (negative: from the end), step.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Spec {
    pub(crate) name: &'static str,
    arity: i32,
    pub(crate) class: Class,
    keys: (i32, i32, i32),
    handler: Handler,
}

use Class::{Admin, Blocking, Read, Session, Write};

const NO_KEYS: (i32, i32, i32) = (0, 0, 0);
const ONE: (i32, i32, i32) = (1, 1, 1);
const TWO: (i32, i32, i32) = (1, 2, 1);
const ALL: (i32, i32, i32) = (1, -1, 1);
const ALL_BUT_LAST: (i32, i32, i32) = (1, -2, 1);
const EVERY_SECOND: (i32, i32, i32) = (1, -1, 2);

macro_rules! rows {
    ($($name:literal $arity:literal $class:ident $keys:ident $handler:path;)*) => {
        &[$(Spec { name: $name, arity: $arity, class: $class, keys: $keys, handler: $handler }),*]
    };
}

static TABLE: &[Spec] = rows! {
    "ping" -1 Read NO_KEYS server::ping;
    "echo" 2 Read NO_KEYS server::echo;
    "time" 1 Read NO_KEYS server::time;
    "info" -1 Admin NO_KEYS server::info;
    "command" -1 Admin NO_KEYS server::command;
    "config" -2 Admin NO_KEYS server::config;
    "dbsize" 1 Read NO_KEYS server::dbsize;
    "flushall" -1 Write NO_KEYS server::flushall;
    "flushdb" -1 Write NO_KEYS server::flushall;
    "publish" 3 Read NO_KEYS server::publish;
    "eval" -3 Admin NO_KEYS script::eval;
    "evalsha" -3 Admin NO_KEYS script::evalsha;
    "eval_ro" -3 Admin NO_KEYS script::eval_ro;
    "evalsha_ro" -3 Admin NO_KEYS script::evalsha_ro;
    "script" -2 Admin NO_KEYS script::script;
    "hello" -1 Session NO_KEYS server::session;
    "auth" -2 Session NO_KEYS server::session;
    "client" -2 Session NO_KEYS server::session;
    "select" 2 Session NO_KEYS server::session;
    "quit" -1 Session NO_KEYS server::session;
    "reset" 1 Session NO_KEYS server::session;
    "multi" 1 Session NO_KEYS server::session;
    "exec" 1 Session NO_KEYS server::session;
    "discard" 1 Session NO_KEYS server::session;
    "subscribe" -2 Session NO_KEYS server::session;
    "unsubscribe" -1 Session NO_KEYS server::session;
    "get" 2 Read ONE strings::get;
    "set" -3 Write ONE strings::set;
    "setex" 4 Write ONE strings::setex;
    "psetex" 4 Write ONE strings::psetex;
    "setnx" 3 Write ONE strings::setnx;
    "getdel" 2 Write ONE strings::getdel;
    "incr" 2 Write ONE strings::incr;
    "incrby" 3 Write ONE strings::incrby;
    "decr" 2 Write ONE strings::decr;
    "decrby" 3 Write ONE strings::decrby;
    "append" 3 Write ONE strings::append;
    "mget" -2 Read ALL strings::mget;
    "mset" -3 Write EVERY_SECOND strings::mset;
    "strlen" 2 Read ONE strings::strlen;
    "del" -2 Write ALL keys::del;
    "unlink" -2 Write ALL keys::del;
    "exists" -2 Read ALL keys::exists;
    "expire" -3 Write ONE keys::expire;
    "pexpire" -3 Write ONE keys::pexpire;
    "pexpireat" -3 Write ONE keys::pexpireat;
    "expireat" -3 Write ONE keys::expireat;
    "ttl" 2 Read ONE keys::ttl;
    "pttl" 2 Read ONE keys::pttl;
    "persist" 2 Write ONE keys::persist;
    "type" 2 Read ONE keys::type_of;
    "keys" 2 Read NO_KEYS keys::keys;
    "scan" -2 Read NO_KEYS keys::scan;
    "rename" 3 Write TWO keys::rename;
    "lpush" -3 Write ONE lists::lpush;
    "rpush" -3 Write ONE lists::rpush;
    "lpushx" -3 Write ONE lists::lpushx;
    "rpushx" -3 Write ONE lists::rpushx;
    "lpop" -2 Write ONE lists::lpop;
    "rpop" -2 Write ONE lists::rpop;
    "llen" 2 Read ONE lists::llen;
    "lrange" 4 Read ONE lists::lrange;
    "lindex" 3 Read ONE lists::lindex;
    "lrem" 4 Write ONE lists::lrem;
    "lset" 4 Write ONE lists::lset;
    "ltrim" 4 Write ONE lists::ltrim;
    "lpos" -3 Read ONE lists::lpos;
    "linsert" 5 Write ONE lists::linsert;
    "lmove" 5 Write TWO lists::lmove;
    "rpoplpush" 3 Write TWO lists::rpoplpush;
    "blmove" 6 Blocking TWO lists::blmove;
    "brpoplpush" 4 Blocking TWO lists::brpoplpush;
    "blpop" -3 Blocking ALL_BUT_LAST lists::blpop;
    "brpop" -3 Blocking ALL_BUT_LAST lists::brpop;
    "hset" -4 Write ONE hashes::hset;
    "hmset" -4 Write ONE hashes::hmset;
    "hsetnx" 4 Write ONE hashes::hsetnx;
    "hget" 3 Read ONE hashes::hget;
    "hmget" -3 Read ONE hashes::hmget;
    "hgetall" 2 Read ONE hashes::hgetall;
    "hdel" -3 Write ONE hashes::hdel;
    "hexists" 3 Read ONE hashes::hexists;
    "hlen" 2 Read ONE hashes::hlen;
    "hkeys" 2 Read ONE hashes::hkeys;
    "hvals" 2 Read ONE hashes::hvals;
    "hincrby" 4 Write ONE hashes::hincrby;
    "hstrlen" 3 Read ONE hashes::hstrlen;
    "hscan" -3 Read ONE hashes::hscan;
    "sadd" -3 Write ONE sets::sadd;
    "srem" -3 Write ONE sets::srem;
    "smembers" 2 Read ONE sets::smembers;
    "sismember" 3 Read ONE sets::sismember;
    "scard" 2 Read ONE sets::scard;
    "zadd" -4 Write ONE sorted::zadd;
    "zincrby" 4 Write ONE sorted::zincrby;
    "zrem" -3 Write ONE sorted::zrem;
    "zscore" 3 Read ONE sorted::zscore;
    "zmscore" -3 Read ONE sorted::zmscore;
    "zcard" 2 Read ONE sorted::zcard;
    "zcount" 4 Read ONE sorted::zcount;
    "zrank" 3 Read ONE sorted::zrank;
    "zrevrank" 3 Read ONE sorted::zrevrank;
    "zrange" -4 Read ONE sorted::zrange;
    "zrevrange" -4 Read ONE sorted::zrevrange;
    "zrangebyscore" -4 Read ONE sorted::zrangebyscore;
    "zrevrangebyscore" -4 Read ONE sorted::zrevrangebyscore;
    "zremrangebyscore" 4 Write ONE sorted::zremrangebyscore;
    "zremrangebyrank" 4 Write ONE sorted::zremrangebyrank;
    "zpopmin" -2 Write ONE sorted::zpopmin;
    "zpopmax" -2 Write ONE sorted::zpopmax;
};

impl Spec {
    fn writes(&self) -> bool {
        matches!(self.class, Write | Blocking)
    }

    /// The words that are keys.
    pub(crate) fn keys<'a>(&self, words: &'a [Bytes]) -> Vec<&'a Bytes> {
        let (first, last, step) = self.keys;
        if first == 0 {
            return Vec::new();
        }
        let last = if last < 0 { words.len() as i32 + last } else { last };
        (first..=last).step_by(step as usize).filter_map(|at| words.get(at as usize)).collect()
    }
}

/// The row of a command and whether its words are enough. The error is Redis's text to a client.
pub(crate) fn find(store: &Store, words: &[Bytes]) -> Result<&'static Spec, String> {
    let name = words.first().map(|name| String::from_utf8_lossy(name).to_lowercase()).unwrap_or_default();
    let in_script = store.script.is_some();
    let Some(spec) = TABLE.iter().find(|spec| spec.name == name) else {
        return Err(if in_script { unknown_in_script(store) } else { unknown(store, words) });
    };
    let count = words.len() as i32;
    if if spec.arity < 0 { count < -spec.arity } else { count != spec.arity } {
        return Err(match in_script {
            true if store.setup.is_seven() => {
                "ERR Wrong number of args calling Redis command from script".into()
            }
            true => "Wrong number of args calling Redis command From Lua script".into(),
            false => wrong_count(&name),
        });
    }
    Ok(spec)
}

/// Runs a command to its end, without waiting; errors become replies.
pub(crate) fn run(store: &mut Store, words: &[Bytes]) -> Reply {
    let spec = match find(store, words) {
        Ok(spec) => spec,
        Err(text) => return Reply::Error(text),
    };
    if let Some(text) = refused_in_script(store, spec, words) {
        return Reply::Error(text);
    }
    match (spec.handler)(store, words) {
        Ok(reply) => {
            store.writes += u64::from(spec.writes() && !reply.is_nil());
            reply
        }
        Err(text) => Reply::Error(text),
    }
}

/// "ERR wrong number of arguments for 'get' command"
pub(crate) fn wrong_count(name: &str) -> String {
    format!("ERR wrong number of arguments for '{name}' command")
}

fn refused_in_script(store: &Store, spec: &Spec, words: &[Bytes]) -> Option<String> {
    let scope = store.script.as_ref()?;
    if matches!(spec.class, Admin | Session | Blocking) {
        return Some(match store.setup.is_seven() {
            true => "ERR This Redis command is not allowed from script".into(),
            false => "This Redis command is not allowed from scripts".into(),
        });
    }
    if scope.read_only && spec.writes() {
        return Some("ERR Write commands are not allowed from read-only scripts.".into());
    }
    let declared = scope.declared.as_ref()?;
    let foreign = spec.keys(words).into_iter().find(|key| !declared.contains(*key))?;
    Some(format!("ERR Script attempted to access undeclared key '{}'", String::from_utf8_lossy(foreign)))
}

fn unknown_in_script(store: &Store) -> String {
    match store.setup.is_seven() {
        true => "ERR Unknown Redis command called from script".into(),
        false => "Unknown Redis command called from Lua script".into(),
    }
}

fn unknown(store: &Store, words: &[Bytes]) -> String {
    let seven = store.setup.is_seven();
    let text = |word: &Bytes| String::from_utf8_lossy(&word[..word.len().min(128)]).into_owned();
    let mut begin = String::new();
    for word in words.iter().skip(1) {
        if begin.len() >= 128 {
            break;
        }
        let word: String = text(word).chars().take(128 - begin.len()).collect();
        begin += &if seven { format!("'{word}' ") } else { format!("`{word}`, ") };
    }
    let name = words.first().map(text).unwrap_or_default();
    match seven {
        true => format!("ERR unknown command '{name}', with args beginning with: {begin}"),
        false => format!("ERR unknown command `{name}`, with args beginning with: {begin}"),
    }
}
