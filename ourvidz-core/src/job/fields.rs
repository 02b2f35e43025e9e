use std::ops::RangeInclusive;

use serde::Serialize;
use serde_json::{Map, Value};

use crate::{Error, Result};

/// Longest prompt or negative prompt, in characters. Longer ones are refused: a prompt costs one pass of the
/// text encoders per 75 tokens.
pub const MAX_PROMPT_CHARS: usize = 10_000;

/// One value of a job that was changed to fit a rule.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Adjusted {
    /// The field as the job spelled it, e.g. `config.sample_steps`.
    pub field: String,
    /// What the job asked for.
    pub requested: Value,
    /// What is done instead.
    pub effective: Value,
    /// Why.
    pub rule: String,
}

/// A field that is present: its spelling and its value, never null.
#[derive(Debug, Clone, Copy)]
pub(super) struct Found<'a> {
    pub(super) path: &'a str,
    pub(super) value: &'a Value,
}

/// A job's three levels, read by path: `prompt`, `config.seed`, `metadata.seed`. The first spelling that is
/// present wins, so lists of spellings go from the newest to the oldest.
#[derive(Debug)]
pub(super) struct Fields<'a> {
    root: &'a Map<String, Value>,
    config: Option<&'a Map<String, Value>>,
    metadata: Option<&'a Map<String, Value>>,
    pub(super) adjusted: Vec<Adjusted>,
}

impl<'a> Fields<'a> {
    pub(super) fn new(root: &'a Map<String, Value>) -> Result<Self> {
        let level = |name: &'static str| match root.get(name) {
            None | Some(Value::Null) => Ok(None),
            Some(Value::Object(map)) => Ok(Some(map)),
            Some(other) => Err(Found { path: name, value: other }.breaks("must be an object")),
        };
        Ok(Self { root, config: level("config")?, metadata: level("metadata")?, adjusted: Vec::new() })
    }

    pub(super) fn find(&self, spellings: &[&'a str]) -> Option<Found<'a>> {
        spellings.iter().find_map(|&path| {
            let value = match path.split_once('.') {
                Some(("config", key)) => self.config?.get(key),
                Some((_, key)) => self.metadata?.get(key),
                None => self.root.get(path),
            };
            value.filter(|value| !value.is_null()).map(|value| Found { path, value })
        })
    }

    pub(super) fn text(&self, spellings: &[&'a str]) -> Result<Option<&'a str>> {
        self.find(spellings).map(Found::text).transpose()
    }

    /// Text where an empty string means absent (URLs, informative names).
    pub(super) fn filled_text(&self, spellings: &[&'a str]) -> Result<Option<String>> {
        for &spelling in spellings {
            if let Some(text) = self.text(&[spelling])?.map(str::trim).filter(|text| !text.is_empty()) {
                return Ok(Some(text.to_owned()));
            }
        }
        Ok(None)
    }

    /// Text of at most [`MAX_PROMPT_CHARS`].
    pub(super) fn prompt_text(&self, spellings: &[&'a str]) -> Result<Option<String>> {
        let Some(found) = self.find(spellings) else { return Ok(None) };
        let text = found.text()?;
        match text.chars().count() {
            0..=MAX_PROMPT_CHARS => Ok(Some(text.to_owned())),
            count => Err(Error::Invalid {
                field: found.path.to_owned(),
                rule: format!("must have at most {MAX_PROMPT_CHARS} characters"),
                value: format!("{count} characters"),
            }),
        }
    }

    pub(super) fn flag(&self, spellings: &[&'a str]) -> Result<Option<bool>> {
        self.find(spellings).map(Found::flag).transpose()
    }

    /// A seed: 0 is one, -1 counts as absent.
    pub(super) fn seed(&self) -> Result<Option<u64>> {
        let Some(found) = self.find(&["config.seed", "seed", "metadata.seed"]) else { return Ok(None) };
        if matches!(found.number(), Ok(number) if number == -1.0) {
            return Ok(None);
        }
        let exact = match found.value {
            Value::String(text) => text.trim().parse().ok(),
            value => value.as_u64(),
        };
        exact
            .or_else(|| found.number().ok().and_then(whole))
            .map(Some)
            .ok_or_else(|| found.breaks("must be a whole number from 0 to 18446744073709551615"))
    }

    /// A number, clamped to `range`; a change is recorded.
    pub(super) fn clamped(
        &mut self,
        spellings: &[&'a str],
        range: RangeInclusive<f64>,
        default: f64,
    ) -> Result<f64> {
        let Some(found) = self.find(spellings) else { return Ok(default) };
        let number = found.number()?;
        let effective = number.clamp(*range.start(), *range.end());
        if effective != number {
            self.adjust(found, effective.into(), format!("from {} to {}", range.start(), range.end()));
        }
        Ok(effective)
    }

    /// A whole number, rounded and clamped to `range`; a change is recorded.
    pub(super) fn clamped_count(
        &mut self,
        spellings: &[&'a str],
        range: RangeInclusive<u32>,
        default: u32,
    ) -> Result<u32> {
        let Some(found) = self.find(spellings) else { return Ok(default) };
        let number = found.number()?;
        let effective = number.round().clamp(f64::from(*range.start()), f64::from(*range.end()));
        let effective = effective as u32; // exact: whole and inside a range of u32
        if f64::from(effective) != number {
            let rule = format!("a whole number from {} to {}", range.start(), range.end());
            self.adjust(found, effective.into(), rule);
        }
        Ok(effective)
    }

    pub(super) fn adjust(&mut self, found: Found<'_>, effective: Value, rule: impl Into<String>) {
        self.adjusted.push(Adjusted {
            field: found.path.to_owned(),
            requested: shortened(found.value),
            effective,
            rule: rule.into(),
        });
    }
}

impl<'a> Found<'a> {
    pub(super) fn text(self) -> Result<&'a str> {
        self.value.as_str().ok_or_else(|| self.breaks("must be text"))
    }

    /// A finite number, written as a JSON number or as text.
    pub(super) fn number(self) -> Result<f64> {
        let number = match self.value {
            Value::String(text) => text.trim().parse().ok(),
            value => value.as_f64(),
        };
        number.filter(|number: &f64| number.is_finite()).ok_or_else(|| self.breaks("must be a number"))
    }

    fn flag(self) -> Result<bool> {
        match self.value {
            Value::Bool(flag) => Ok(*flag),
            Value::String(text) if text.eq_ignore_ascii_case("true") => Ok(true),
            Value::String(text) if text.eq_ignore_ascii_case("false") => Ok(false),
            value => match value.as_u64() {
                Some(0) => Ok(false),
                Some(1) => Ok(true),
                _ => Err(self.breaks("must be true or false")),
            },
        }
    }

    pub(super) fn breaks(self, rule: impl Into<String>) -> Error {
        Error::Invalid {
            field: self.path.to_owned(),
            rule: rule.into(),
            value: short(&self.value.to_string()),
        }
    }
}

/// A non-negative whole number that a double holds exactly.
pub(super) fn whole(number: f64) -> Option<u64> {
    const EXACT: f64 = 9_007_199_254_740_992.0; // 2^53
    (number.fract() == 0.0 && (0.0..=EXACT).contains(&number)).then_some(number as u64)
}

/// The first 64 characters of `text`: errors and callbacks do not carry a producer's whole value.
pub(super) fn short(text: &str) -> String {
    match text.char_indices().nth(64) {
        Some((end, _)) => format!("{}...", &text[..end]),
        None => text.to_owned(),
    }
}

fn shortened(value: &Value) -> Value {
    match value {
        Value::Array(_) | Value::Object(_) => Value::String(short(&value.to_string())),
        Value::String(text) => Value::String(short(text)),
        other => other.clone(),
    }
}
