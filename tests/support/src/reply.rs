//! Replies of a Redis server and their bytes in both protocols.

/// One reply. In RESP2 a map and pairs are flat arrays, a set is an array and a double is a bulk string.
#[derive(Debug, Clone, PartialEq)]
pub enum Reply {
    /// `$-1` in RESP2, `_` in RESP3.
    Nil,
    /// `*-1` in RESP2, `_` in RESP3.
    NilArray,
    /// `:1`
    Int(i64),
    /// `+OK`
    Status(String),
    /// `-ERR text`, without the dash; starts with the code.
    Error(String),
    /// `$2 OK`, any bytes.
    Bulk(Vec<u8>),
    /// `*2 ...`
    Array(Vec<Reply>),
    /// `%1 ...` in RESP3.
    Map(Vec<(Reply, Reply)>),
    /// `~1 ...` in RESP3.
    Set(Vec<Reply>),
    /// Members with scores: an array of arrays of two in RESP3.
    Pairs(Vec<(Reply, Reply)>),
    /// `,1.5` in RESP3.
    Double(f64),
    /// `#t` in RESP3, `:1` in RESP2.
    Bool(bool),
    /// `>2 ...` in RESP3: out of band, an array in RESP2.
    Push(Vec<Reply>),
}

impl Reply {
    /// `+OK`.
    pub fn ok() -> Self {
        Self::Status("OK".into())
    }

    /// A bulk string.
    pub fn bulk(bytes: impl Into<Vec<u8>>) -> Self {
        Self::Bulk(bytes.into())
    }

    /// The number of an integer reply, or of a bulk string or status that spells one.
    pub fn as_int(&self) -> Option<i64> {
        match self {
            Self::Int(n) => Some(*n),
            _ => self.as_text()?.parse().ok(),
        }
    }

    /// The text of a bulk string or status in UTF-8. Errors and other kinds are `None`.
    pub fn as_text(&self) -> Option<&str> {
        match self {
            Self::Bulk(bytes) => std::str::from_utf8(bytes).ok(),
            Self::Status(text) => Some(text),
            _ => None,
        }
    }

    /// Whether it is one of the two nils.
    pub fn is_nil(&self) -> bool {
        matches!(self, Self::Nil | Self::NilArray)
    }

    /// Whether it is an error.
    pub fn is_error(&self) -> bool {
        matches!(self, Self::Error(_))
    }

    /// Texts of an array's items, of which each is a bulk string or a status; `None` otherwise.
    pub fn as_texts(&self) -> Option<Vec<&str>> {
        match self {
            Self::Array(items) | Self::Set(items) => items.iter().map(Self::as_text).collect(),
            _ => None,
        }
    }

    /// The same reply as a RESP2 client sees it: no maps, sets, pairs, doubles or booleans.
    pub fn to_resp2(&self) -> Self {
        let flat = |pairs: &[(Self, Self)]| {
            Self::Array(pairs.iter().flat_map(|(a, b)| [a.to_resp2(), b.to_resp2()]).collect())
        };
        match self {
            Self::Map(pairs) | Self::Pairs(pairs) => flat(pairs),
            Self::Array(items) | Self::Set(items) | Self::Push(items) => {
                Self::Array(items.iter().map(Self::to_resp2).collect())
            }
            Self::Double(value) => Self::Bulk(format_g(*value, 17).into_bytes()),
            Self::Bool(value) => Self::Int(i64::from(*value)),
            other => other.clone(),
        }
    }

    /// Appends the reply's bytes in RESP2.
    pub fn write_resp2(&self, out: &mut Vec<u8>) {
        match self.to_resp2() {
            Self::Nil => out.extend_from_slice(b"$-1\r\n"),
            Self::NilArray => out.extend_from_slice(b"*-1\r\n"),
            Self::Array(items) => {
                line(out, '*', &items.len().to_string());
                items.iter().for_each(|item| item.write_resp2(out));
            }
            other => other.write_plain(out),
        }
    }

    /// Appends the reply's bytes in RESP3.
    pub fn write_resp3(&self, out: &mut Vec<u8>) {
        let mut many = |mark, items: &[Self]| {
            line(out, mark, &items.len().to_string());
            items.iter().for_each(|item| item.write_resp3(out));
        };
        match self {
            Self::Nil | Self::NilArray => out.extend_from_slice(b"_\r\n"),
            Self::Array(items) => many('*', items),
            Self::Set(items) => many('~', items),
            Self::Push(items) => many('>', items),
            Self::Map(pairs) => {
                line(out, '%', &pairs.len().to_string());
                for (key, value) in pairs {
                    key.write_resp3(out);
                    value.write_resp3(out);
                }
            }
            Self::Pairs(pairs) => {
                line(out, '*', &pairs.len().to_string());
                for (member, score) in pairs {
                    Self::Array(vec![member.clone(), score.clone()]).write_resp3(out);
                }
            }
            Self::Double(value) => line(out, ',', &format_g(*value, 17)),
            Self::Bool(value) => line(out, '#', if *value { "t" } else { "f" }),
            other => other.write_plain(out),
        }
    }

    /// Kinds that look the same in both protocols.
    fn write_plain(&self, out: &mut Vec<u8>) {
        match self {
            Self::Int(n) => line(out, ':', &n.to_string()),
            Self::Status(text) => line(out, '+', text),
            // A line break inside would end the reply early; Redis writes spaces as well.
            Self::Error(text) => line(out, '-', &text.replace(['\r', '\n'], " ")),
            Self::Bulk(bytes) => {
                line(out, '$', &bytes.len().to_string());
                out.extend_from_slice(bytes);
                out.extend_from_slice(b"\r\n");
            }
            _ => {}
        }
    }
}

fn line(out: &mut Vec<u8>, mark: char, text: &str) {
    out.push(mark as u8);
    out.extend_from_slice(text.as_bytes());
    out.extend_from_slice(b"\r\n");
}

/// A number as C's `%.{precision}g` prints it.
pub fn format_g(value: f64, precision: usize) -> String {
    if value.is_nan() {
        return "nan".into();
    }
    if value.is_infinite() {
        return if value > 0.0 { "inf".into() } else { "-inf".into() };
    }
    let scientific = format!("{value:.*e}", precision - 1);
    let (mantissa, exponent) = scientific.split_once('e').unwrap_or((&scientific, "0"));
    let exponent: i32 = exponent.parse().unwrap_or(0);
    let trimmed = |text: &str| {
        let short = if text.contains('.') { text.trim_end_matches('0').trim_end_matches('.') } else { text };
        short.to_owned()
    };
    if exponent < -4 || exponent >= precision as i32 {
        let sign = if exponent < 0 { '-' } else { '+' };
        format!("{}e{sign}{:02}", trimmed(mantissa), exponent.abs())
    } else {
        trimmed(&format!("{value:.*}", (precision as i32 - 1 - exponent) as usize))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_print_as_in_c() {
        let cases = [
            (0.1, 17, "0.10000000000000001"),
            (0.1, 14, "0.1"),
            (5.0, 17, "5"),
            (-0.0, 14, "-0"),
            (1e21, 17, "1e+21"),
            (1_700_000_000_123.0, 14, "1700000000123"),
            (1_700_000_000_123_456.0, 14, "1.7000000001235e+15"),
            (1.5e-7, 14, "1.5e-07"),
            (100.0, 14, "100"),
            (f64::INFINITY, 17, "inf"),
        ];
        for (value, precision, text) in cases {
            assert_eq!(format_g(value, precision), text);
        }
    }

    #[test]
    fn both_protocols() {
        let reply = Reply::Array(vec![Reply::Map(vec![(Reply::bulk("a"), Reply::Double(1.5))]), Reply::Nil]);
        let (mut two, mut three) = (Vec::new(), Vec::new());
        reply.write_resp2(&mut two);
        reply.write_resp3(&mut three);
        assert_eq!(two, b"*2\r\n*2\r\n$1\r\na\r\n$3\r\n1.5\r\n$-1\r\n");
        assert_eq!(three, b"*2\r\n%1\r\n$1\r\na\r\n,1.5\r\n_\r\n");
    }
}
