use serde_json::{Map, Value};

use crate::{Error, Result};

/// How many wrappings around a job are opened before the element is refused. The wire has at most three.
pub const MAX_ENVELOPE_DEPTH: usize = 8;

/// Opens an element of a queue: the job object itself, `{"data": <string or object>}`, an array of one, a JSON
/// string, in any nesting up to [`MAX_ENVELOPE_DEPTH`].
pub(super) fn open(raw: &str) -> Result<Map<String, Value>> {
    let mut value = parse_json(raw)?;
    for _ in 0..MAX_ENVELOPE_DEPTH {
        value = match value {
            Value::String(text) => parse_json(&text)?,
            Value::Array(items) => only_item(items)?,
            Value::Object(mut map) => match wrapped(&mut map) {
                Some(inner) => inner,
                None => return Ok(map),
            },
            other => return Err(not_a_job(&other)),
        };
    }
    Err(Error::Invalid {
        field: "job".to_owned(),
        rule: format!("must be wrapped at most {MAX_ENVELOPE_DEPTH} times"),
        value: "more".to_owned(),
    })
}

fn parse_json(text: &str) -> Result<Value> {
    serde_json::from_str(text).map_err(|source| Error::Json { what: "the job".to_owned(), source })
}

fn only_item(items: Vec<Value>) -> Result<Value> {
    let count = items.len();
    let mut items = items.into_iter();
    match (items.next(), items.next()) {
        (Some(item), None) => Ok(item),
        _ => Err(Error::Invalid {
            field: "job".to_owned(),
            rule: "an array must hold exactly one job".to_owned(),
            value: format!("{count} items"),
        }),
    }
}

/// The inner value of `{"data": ...}`; a job that has a `data` key beside others is left as it is.
fn wrapped(map: &mut Map<String, Value>) -> Option<Value> {
    let is_wrapper = map.len() == 1 && matches!(map.get("data"), Some(Value::String(_) | Value::Object(_)));
    if is_wrapper { map.remove("data") } else { None }
}

fn not_a_job(value: &Value) -> Error {
    let kind = match value {
        Value::Null => "null",
        Value::Bool(_) => "a boolean",
        _ => "a number",
    };
    Error::Invalid {
        field: "job".to_owned(),
        rule: "must be a JSON object".to_owned(),
        value: kind.to_owned(),
    }
}
