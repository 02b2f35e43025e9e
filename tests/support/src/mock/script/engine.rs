//! Lua 5.1 as scripts find it in Redis.

use std::cell::RefCell;
use std::collections::HashMap;
use std::fmt;
use std::time::{Duration, Instant};

use mlua::chunk::ChunkMode;
use mlua::debug::Debug;
use mlua::{Function, HookTriggers, Lua, Result, Table, Value, Variadic, VmState};

use super::{convert, json, json_decode, sha1_hex};
use crate::Reply;
use crate::mock::store::{Bytes, Store};
use crate::mock::table;
use crate::reply::format_g;

/// A script that runs longer is stopped; Redis would answer BUSY to everybody else.
const LONGEST: Duration = Duration::from_secs(5);
/// The name of a script in its own error messages.
const SOURCE: &str = "user_script";

thread_local! {
    static ENGINE: RefCell<Option<Engine>> = const { RefCell::new(None) };
}

/// Whether a script compiles. The error is Redis's text.
pub(super) fn check(sha: &str, body: &[u8]) -> std::result::Result<(), String> {
    with_engine(|engine| engine.function(sha, body).map(drop))
}

/// Runs a script that compiles. Writes before an error stay.
pub(super) fn run(store: &mut Store, sha: &str, body: &[u8], keys: &[Bytes], args: &[Bytes]) -> Reply {
    let seven = store.setup.is_seven();
    let done = with_engine(|engine| {
        let script = engine.function(sha, body)?;
        engine.run(store, sha, script, keys, args, seven).map_err(|e| format!("ERR {e}"))
    });
    done.unwrap_or_else(Reply::Error)
}

/// An error of `redis.call` or a library function on its way through Lua.
#[derive(Debug)]
struct Raised {
    text: String,
    /// A table with the field `err`, as Redis 7 raises errors of commands.
    as_table: bool,
}

impl fmt::Display for Raised {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text)
    }
}

impl std::error::Error for Raised {}

/// An error with the place of the call, like one of Lua's own functions.
fn library_error(lua: &Lua, text: &str) -> mlua::Error {
    let caller = lua.inspect_stack(1, own_line).flatten();
    let text = caller.map_or_else(|| text.to_owned(), |line| format!("{SOURCE}:{line}: {text}"));
    mlua::Error::external(Raised { text, as_table: false })
}

/// The line that a function of the script is at; `None` for all others.
fn own_line(frame: &Debug) -> Option<usize> {
    let own = frame.source().short_src.is_some_and(|source| source == SOURCE);
    own.then(|| frame.current_line()).flatten()
}

/// The line of the innermost function that belongs to the script.
fn line(lua: &Lua) -> Option<usize> {
    for level in 0..50 {
        match lua.inspect_stack(level, own_line) {
            Some(None) => {}
            Some(line) => return line,
            None => return None,
        }
    }
    None
}

struct Engine {
    lua: Lua,
    runner: Function,
    compiled: RefCell<HashMap<String, Function>>,
}

fn with_engine<R>(
    work: impl FnOnce(&Engine) -> std::result::Result<R, String>,
) -> std::result::Result<R, String> {
    ENGINE.with(|cell| {
        let mut slot = cell.borrow_mut();
        if slot.is_none() {
            *slot = Some(Engine::new().map_err(|e| format!("ERR starting Lua: {e}"))?);
        }
        slot.as_ref().map_or_else(|| Err("ERR no Lua".into()), work)
    })
}

impl Engine {
    fn new() -> Result<Self> {
        let lua = Lua::new();
        let cjson = lua.create_table()?;
        let encode = lua.create_function(|lua, values: Variadic<Value>| {
            let text = only(&values, "encode").and_then(json::encode).map_err(|e| library_error(lua, &e))?;
            lua.create_string(text)
        })?;
        let decode = lua.create_function(|lua, values: Variadic<Value>| {
            let text = only(&values, "decode").and_then(text_argument);
            text.and_then(|text| json_decode::decode(lua, &text)).map_err(|e| library_error(lua, &e))
        })?;
        cjson.raw_set("encode", encode)?;
        cjson.raw_set("decode", decode)?;
        cjson.raw_set("null", Value::NULL)?;
        let sha = lua.create_function(|_, text: mlua::LuaString| Ok(sha1_hex(&text.as_bytes())))?;
        let unwrap = lua.create_function(|lua, value: Value| unwrap(lua, value))?;
        let prelude = lua.load(include_str!("prelude.lua")).set_name("=prelude");
        let runner = prelude.call((unwrap, cjson, sha))?;
        Ok(Self { lua, runner, compiled: RefCell::default() })
    }

    fn function(&self, sha: &str, body: &[u8]) -> std::result::Result<Function, String> {
        // By the body's own digest: the same script with and without a first line has two of them.
        let own = format!("{sha} {}", body.len());
        if let Some(function) = self.compiled.borrow().get(&own) {
            return Ok(function.clone());
        }
        let chunk = self.lua.load(body).set_name(format!("@{SOURCE}")).set_mode(ChunkMode::Text);
        let function = chunk.into_function().map_err(|error| {
            let text = match &error {
                mlua::Error::SyntaxError { message, .. } => message.clone(),
                other => other.to_string(),
            };
            format!("ERR Error compiling script (new function): {text}")
        })?;
        self.compiled.borrow_mut().insert(own, function.clone());
        Ok(function)
    }

    fn run(
        &self,
        store: &mut Store,
        sha: &str,
        script: Function,
        keys: &[Bytes],
        args: &[Bytes],
        seven: bool,
    ) -> Result<Reply> {
        let lua = &self.lua;
        let list = |words: &[Bytes]| -> Result<Table> {
            lua.create_sequence_from(
                words.iter().map(|word| lua.create_string(word)).collect::<Result<Vec<_>>>()?,
            )
        };
        let (keys, args) = (list(keys)?, list(args)?);
        let started = Instant::now();
        lua.set_hook(HookTriggers::new().every_nth_instruction(1_000_000), move |_, _| {
            if started.elapsed() < LONGEST {
                return Ok(VmState::Continue);
            }
            Err(mlua::Error::external(Raised {
                text: "script ran for more than 5 s".into(),
                as_table: false,
            }))
        })?;
        let store = RefCell::new(store);
        let reply = lua.scope(|scope| {
            let call = scope.create_function(|lua, words: Variadic<Value>| {
                let reply = command(&mut store.borrow_mut(), &words);
                if let Reply::Error(text) = reply {
                    return Err(mlua::Error::external(Raised { text, as_table: seven }));
                }
                convert::to_lua(lua, &reply)
            })?;
            let pcall = scope.create_function(|lua, words: Variadic<Value>| {
                convert::to_lua(lua, &command(&mut store.borrow_mut(), &words))
            })?;
            let pick = scope.create_function(move |_, raising: bool| {
                Ok(if raising { call.clone() } else { pcall.clone() })
            })?;
            let handler = scope.create_function(|lua, error: Value| {
                let error = unwrap(lua, error)?;
                let text = failure(&error, sha, line(lua), seven);
                lua.create_string(text)
            })?;
            let (fine, value): (bool, Value) =
                self.runner.call((script, keys, args, pick, handler, seven))?;
            if fine {
                return convert::to_reply(&value);
            }
            let text = value.as_string().map(|text| text.to_string_lossy()).unwrap_or_default();
            Ok(Reply::Error(text.replace(['\r', '\n'], " ")))
        });
        lua.remove_hook();
        reply
    }
}

/// The one argument of a cjson function.
fn only<'a>(values: &'a [Value], function: &str) -> std::result::Result<&'a Value, String> {
    match values {
        [value] => Ok(value),
        _ => Err(format!("bad argument #1 to '{function}' (expected 1 argument)")),
    }
}

fn text_argument(value: &Value) -> std::result::Result<Vec<u8>, String> {
    word(value)
        .ok_or_else(|| format!("bad argument #1 to 'decode' (string expected, got {})", value.type_name()))
}

/// The text of an error that nobody caught.
fn failure(error: &Value, sha: &str, line: Option<usize>, seven: bool) -> String {
    let plain = |value: &Value| match value {
        Value::String(text) => text.to_string_lossy(),
        other => other.to_string().unwrap_or_default(),
    };
    let place = line.map(|line| format!("{SOURCE}:{line}"));
    if !seven {
        let text = match error {
            Value::Table(table) => plain(&table.raw_get("err").unwrap_or(Value::Nil)),
            other => plain(other),
        };
        let place = place.map(|place| format!("@{place}: ")).unwrap_or_default();
        return format!("ERR Error running script (call to f_{sha}): {place}{text}");
    }
    let text = match error {
        Value::Table(table) => match table.raw_get("err") {
            Ok(Value::String(text)) => text.to_string_lossy(),
            _ => "ERR unknown error".into(),
        },
        other => format!("ERR {}", plain(other)),
    };
    match place {
        Some(place) => format!("{text} script: {sha}, on @{place}."),
        None => text,
    }
}

/// An error of a Rust function as what a script would have caught in Redis: a table or a string.
fn unwrap(lua: &Lua, value: Value) -> Result<Value> {
    let Value::Error(error) = &value else { return Ok(value) };
    let Some(raised) = error.downcast_ref::<Raised>() else {
        return Ok(Value::String(lua.create_string(error.to_string())?));
    };
    if raised.as_table {
        return convert::to_lua(lua, &Reply::Error(raised.text.clone()));
    }
    Ok(Value::String(lua.create_string(&raised.text)?))
}

/// One command of a script.
fn command(store: &mut Store, values: &[Value]) -> Reply {
    if values.is_empty() {
        return Reply::Error("ERR Please specify at least one argument for this redis lib call".into());
    }
    match values.iter().map(word).collect::<Option<Vec<_>>>() {
        Some(words) => table::run(store, &words),
        None => Reply::Error("ERR Lua redis lib command arguments must be strings or integers".into()),
    }
}

fn word(value: &Value) -> Option<Vec<u8>> {
    match value {
        Value::String(text) => Some(text.as_bytes().to_vec()),
        Value::Integer(n) => Some(n.to_string().into_bytes()),
        Value::Number(n) => Some(format_g(*n, 17).into_bytes()),
        _ => None,
    }
}
