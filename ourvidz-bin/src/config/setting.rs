use std::fmt;

use super::env_vars::Environment;

/// A value, and who set it.
#[derive(Debug, Clone)]
pub(crate) struct Setting<T> {
    pub(crate) value: T,
    pub(crate) from: Source,
}

/// Who set a value.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Source {
    Flag(&'static str),
    Variable(&'static str),
    /// A key of the configuration file.
    File(&'static str),
    Default,
}

impl fmt::Display for Source {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Source::Flag(name) | Source::Variable(name) => f.write_str(name),
            Source::File(key) => write!(f, "{key} in the configuration file"),
            Source::Default => f.write_str("default"),
        }
    }
}

impl<T> Setting<T> {
    pub(crate) fn default(value: T) -> Self {
        Self { value, from: Source::Default }
    }

    /// A key of the file, else the default.
    pub(crate) fn of_file(key: &'static str, value: Option<T>, default: T) -> Self {
        match value {
            Some(value) => Self { value, from: Source::File(key) },
            None => Self::default(default),
        }
    }
}

/// Flag, else environment variable, else key of the file.
pub(crate) fn text(
    flag: (&'static str, Option<&str>),
    environment: &Environment,
    variables: &[&'static str],
    file: (&'static str, Option<&str>),
) -> Option<Setting<String>> {
    let (name, value) = flag;
    if let Some(value) = value {
        return Some(Setting { value: value.to_owned(), from: Source::Flag(name) });
    }
    if let Some((name, value)) = environment.first(variables) {
        return Some(Setting { value: value.to_owned(), from: Source::Variable(name) });
    }
    let (key, value) = file;
    value.map(|value| Setting { value: value.to_owned(), from: Source::File(key) })
}
