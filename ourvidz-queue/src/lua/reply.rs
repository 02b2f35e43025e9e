use serde::de::DeserializeOwned;

use crate::{Error, Result};

/// A reply of either protocol.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Reply {
    Nil,
    Int(i64),
    Text(Vec<u8>),
    List(Vec<Reply>),
}

const WHAT: &str = "reply of the queue's server";

impl Reply {
    /// A whole number that may have come as text.
    pub(crate) fn int(&self) -> Result<i64> {
        match self {
            Reply::Int(number) => Some(*number),
            Reply::Text(text) => std::str::from_utf8(text).ok().and_then(|text| text.parse().ok()),
            Reply::Nil | Reply::List(_) => None,
        }
        .ok_or_else(|| self.unexpected("must be a whole number"))
    }

    /// A number of things: never negative.
    pub(crate) fn count<N: TryFrom<i64>>(&self) -> Result<N> {
        N::try_from(self.int()?).map_err(|_| self.unexpected("must be a number of things"))
    }

    /// Text; bytes that are not UTF-8 become U+FFFD.
    pub(crate) fn text(&self) -> Result<String> {
        match self {
            Reply::Text(text) => Ok(String::from_utf8_lossy(text).into_owned()),
            _ => Err(self.unexpected("must be text")),
        }
    }

    pub(crate) fn texts(&self) -> Result<Vec<String>> {
        self.list()?.iter().map(Reply::text).collect()
    }

    pub(crate) fn list(&self) -> Result<&[Reply]> {
        match self {
            Reply::List(items) => Ok(items),
            _ => Err(self.unexpected("must be a list")),
        }
    }

    /// The items of a list of exactly `N`.
    pub(crate) fn items<const N: usize>(&self) -> Result<&[Reply; N]> {
        self.list()?.try_into().map_err(|_| self.unexpected("must be a list of a certain length"))
    }

    /// A list of records in JSON.
    pub(crate) fn records<T: DeserializeOwned>(&self, what: &'static str) -> Result<Vec<T>> {
        let read = |text: String| {
            serde_json::from_str(&text)
                .map_err(|_| Error::corrupt(what, "must be a record of this crate", text))
        };
        self.texts()?.into_iter().map(read).collect()
    }

    pub(crate) fn unexpected(&self, rule: &'static str) -> Error {
        Error::corrupt(WHAT, rule, format!("{self:?}"))
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    #[test]
    fn numbers_come_as_numbers_or_text() {
        assert_eq!(Reply::Int(-3).int().unwrap(), -3);
        assert_eq!(Reply::Text(b"12".to_vec()).count::<u32>().unwrap(), 12);
        for wrong in [Reply::Nil, Reply::Text(b"x".to_vec()), Reply::Int(-1), Reply::Int(1 << 40)] {
            assert!(matches!(wrong.count::<u32>(), Err(Error::Corrupt { .. })), "{wrong:?}");
        }
    }

    #[test]
    fn bytes_that_are_no_text_are_shown() {
        assert_eq!(Reply::Text(b"a\xff".to_vec()).text().unwrap(), "a\u{fffd}");
    }
}
