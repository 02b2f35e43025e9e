//! Values between Redis and Lua, as Redis documents the conversion.

use mlua::{Lua, Result, Table, Value};

use crate::Reply;

/// RESP2's view of a reply: nil is false, a status and an error are tables with one field.
pub(super) fn to_lua(lua: &Lua, reply: &Reply) -> Result<Value> {
    let field = |name: &str, text: &str| {
        let table = lua.create_table()?;
        table.raw_set(name, text)?;
        Ok(Value::Table(table))
    };
    match reply.to_resp2() {
        Reply::Int(n) => Ok(Value::Number(n as f64)),
        Reply::Bulk(bytes) => Ok(Value::String(lua.create_string(bytes)?)),
        Reply::Status(text) => field("ok", &text),
        Reply::Error(text) => field("err", &text),
        Reply::Array(items) => {
            let table = lua.create_table_with_capacity(items.len(), 0)?;
            for (at, item) in items.iter().enumerate() {
                table.raw_set(at + 1, to_lua(lua, item)?)?;
            }
            Ok(Value::Table(table))
        }
        _ => Ok(Value::Boolean(false)),
    }
}

/// What a script returned: numbers lose their fraction, false is nil, an array ends at its first nil.
pub(super) fn to_reply(value: &Value) -> Result<Reply> {
    Ok(match value {
        Value::Boolean(true) => Reply::Int(1),
        Value::Integer(n) => Reply::Int(*n),
        Value::Number(n) => Reply::Int(*n as i64),
        Value::String(text) => Reply::bulk(text.as_bytes().to_vec()),
        Value::Table(table) => table_to_reply(table)?,
        _ => Reply::Nil,
    })
}

fn table_to_reply(table: &Table) -> Result<Reply> {
    if let Value::String(text) = table.raw_get("err")? {
        return Ok(Reply::Error(text.to_string_lossy()));
    }
    if let Value::String(text) = table.raw_get("ok")? {
        return Ok(Reply::Status(text.to_string_lossy().replace(['\r', '\n'], " ")));
    }
    let mut items = Vec::new();
    loop {
        match table.raw_get::<Value>(items.len() + 1)? {
            Value::Nil => return Ok(Reply::Array(items)),
            item => items.push(to_reply(&item)?),
        }
    }
}
