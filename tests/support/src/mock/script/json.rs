//! `cjson.encode`.

use mlua::{Table, Value};

use crate::reply::format_g;

const DEEPEST: usize = 1000;

/// JSON as lua-cjson writes it: an empty table is `{}`, numbers have 14 digits, a slash is escaped.
pub(super) fn encode(value: &Value) -> Result<Vec<u8>, String> {
    let mut out = Vec::new();
    write(value, 0, &mut out)?;
    Ok(out)
}

fn write(value: &Value, depth: usize, out: &mut Vec<u8>) -> Result<(), String> {
    match value {
        Value::String(text) => quote(&text.as_bytes(), out),
        Value::Integer(n) => out.extend_from_slice(format_g(*n as f64, 14).as_bytes()),
        Value::Number(n) => number(*n, out)?,
        Value::Boolean(value) => out.extend_from_slice(if *value { b"true" } else { b"false" }),
        Value::Nil => out.extend_from_slice(b"null"),
        Value::LightUserData(pointer) if pointer.0.is_null() => out.extend_from_slice(b"null"),
        Value::Table(table) => {
            if depth >= DEEPEST {
                return Err(format!("Cannot serialise, excessive depth ({})", depth + 1));
            }
            match array_length(table)? {
                Some(length) => array(table, length, depth, out)?,
                None => object(table, depth, out)?,
            }
        }
        other => return Err(format!("Cannot serialise {}: type not supported", other.type_name())),
    }
    Ok(())
}

fn number(n: f64, out: &mut Vec<u8>) -> Result<(), String> {
    if !n.is_finite() {
        return Err("Cannot serialise number: must not be NaN or Inf".into());
    }
    out.extend_from_slice(format_g(n, 14).as_bytes());
    Ok(())
}

/// The largest index when all keys are whole numbers from 1 on; `None` makes an object.
fn array_length(table: &Table) -> Result<Option<usize>, String> {
    let (mut items, mut largest) = (0, 0);
    for pair in table.pairs::<Value, Value>() {
        let (key, _) = pair.map_err(|e| e.to_string())?;
        let at = match key {
            Value::Integer(n) => n as f64,
            Value::Number(n) => n,
            _ => return Ok(None),
        };
        if at < 1.0 || at.fract() != 0.0 {
            return Ok(None);
        }
        items += 1;
        largest = largest.max(at as usize);
    }
    // More than half of the places empty: lua-cjson refuses to write the nulls.
    if largest > items * 2 && largest > 10 {
        return Err("Cannot serialise table: excessively sparse array".into());
    }
    Ok(Some(largest).filter(|length| *length > 0))
}

fn array(table: &Table, length: usize, depth: usize, out: &mut Vec<u8>) -> Result<(), String> {
    out.push(b'[');
    for at in 1..=length {
        if at > 1 {
            out.push(b',');
        }
        write(&table.raw_get::<Value>(at).map_err(|e| e.to_string())?, depth + 1, out)?;
    }
    out.push(b']');
    Ok(())
}

fn object(table: &Table, depth: usize, out: &mut Vec<u8>) -> Result<(), String> {
    out.push(b'{');
    let mut first = true;
    for pair in table.pairs::<Value, Value>() {
        let (key, value) = pair.map_err(|e| e.to_string())?;
        if !first {
            out.push(b',');
        }
        first = false;
        match key {
            Value::String(text) => quote(&text.as_bytes(), out),
            Value::Integer(n) => quote(format_g(n as f64, 14).as_bytes(), out),
            Value::Number(n) => quote(format_g(n, 14).as_bytes(), out),
            other => {
                let kind = other.type_name();
                return Err(format!("Cannot serialise {kind}: table key must be a number or string"));
            }
        }
        out.push(b':');
        write(&value, depth + 1, out)?;
    }
    out.push(b'}');
    Ok(())
}

fn quote(text: &[u8], out: &mut Vec<u8>) {
    out.push(b'"');
    for byte in text {
        match byte {
            b'"' => out.extend_from_slice(b"\\\""),
            b'\\' => out.extend_from_slice(b"\\\\"),
            b'/' => out.extend_from_slice(b"\\/"),
            8 => out.extend_from_slice(b"\\b"),
            9 => out.extend_from_slice(b"\\t"),
            10 => out.extend_from_slice(b"\\n"),
            12 => out.extend_from_slice(b"\\f"),
            13 => out.extend_from_slice(b"\\r"),
            0..=31 | 127 => out.extend_from_slice(format!("\\u{byte:04x}").as_bytes()),
            _ => out.push(*byte),
        }
    }
    out.push(b'"');
}
