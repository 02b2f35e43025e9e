use serde_json::{Map, Value};

use ourvidz_runtime::{Error, Result};

/// Refuses options that the graphs here do not build, by name; options that change nothing are let through.
///
/// `allowed` lists an option's values that mean "as built"; an absent option always does.
pub(crate) fn check(file: &str, found: &Map<String, Value>, allowed: &[(&str, &[Value])]) -> Result<()> {
    for (field, values) in allowed {
        if let Some(value) = found.get(*field).filter(|value| !values.contains(value)) {
            let choices: Vec<_> = values.iter().map(Value::to_string).collect();
            return Err(invalid(
                file,
                field,
                &format!("must be {}", choices.join(" or ")),
                value.to_string(),
            ));
        }
    }
    Ok(())
}

/// An error about one field of one file.
pub(crate) fn invalid(file: &str, field: &str, rule: &str, value: impl ToString) -> Error {
    Error::Config { file: file.into(), field: field.into(), rule: rule.into(), value: value.to_string() }
}
