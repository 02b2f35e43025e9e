//! `cjson.decode`.

use mlua::{Lua, Value};

const DEEPEST: usize = 1000;

/// The value of one JSON text. Strings may hold any bytes; null is `cjson.null`.
pub(super) fn decode(lua: &Lua, text: &[u8]) -> Result<Value, String> {
    let mut reader = Reader { lua, text, at: 0, depth: 0 };
    let value = reader.value()?;
    reader.space();
    match reader.peek() {
        None => Ok(value),
        Some(_) => Err(reader.expected("the end")),
    }
}

struct Reader<'a> {
    lua: &'a Lua,
    text: &'a [u8],
    at: usize,
    depth: usize,
}

impl Reader<'_> {
    fn value(&mut self) -> Result<Value, String> {
        self.space();
        match self.peek() {
            Some(b'{') => self.nested(Self::object),
            Some(b'[') => self.nested(Self::array),
            Some(b'"') => self.string(),
            Some(b'-' | b'0'..=b'9') => self.number(),
            _ if self.take(b"true") => Ok(Value::Boolean(true)),
            _ if self.take(b"false") => Ok(Value::Boolean(false)),
            _ if self.take(b"null") => Ok(Value::NULL),
            _ => Err(self.expected("value")),
        }
    }

    fn nested(&mut self, read: fn(&mut Self) -> Result<Value, String>) -> Result<Value, String> {
        self.depth += 1;
        if self.depth > DEEPEST {
            let at = self.at + 1;
            return Err(format!("Found too many nested data structures ({}) at character {at}", self.depth));
        }
        self.at += 1;
        let value = read(self);
        self.depth -= 1;
        value
    }

    fn array(&mut self) -> Result<Value, String> {
        let table = self.lua.create_table().map_err(|e| e.to_string())?;
        self.space();
        if self.take(b"]") {
            return Ok(Value::Table(table));
        }
        for at in 1.. {
            let item = self.value()?;
            table.raw_set(at, item).map_err(|e| e.to_string())?;
            self.space();
            if self.take(b"]") {
                break;
            }
            if !self.take(b",") {
                return Err(self.expected("comma or array end"));
            }
        }
        Ok(Value::Table(table))
    }

    fn object(&mut self) -> Result<Value, String> {
        let table = self.lua.create_table().map_err(|e| e.to_string())?;
        self.space();
        if self.take(b"}") {
            return Ok(Value::Table(table));
        }
        loop {
            self.space();
            if self.peek() != Some(b'"') {
                return Err(self.expected("object key string"));
            }
            let key = self.string()?;
            self.space();
            if !self.take(b":") {
                return Err(self.expected("colon"));
            }
            let value = self.value()?;
            table.raw_set(key, value).map_err(|e| e.to_string())?;
            self.space();
            if self.take(b"}") {
                return Ok(Value::Table(table));
            }
            if !self.take(b",") {
                return Err(self.expected("comma or object end"));
            }
        }
    }

    fn number(&mut self) -> Result<Value, String> {
        let start = self.at;
        while self.peek().is_some_and(|byte| b"+-.eE0123456789".contains(&byte)) {
            self.at += 1;
        }
        let text = std::str::from_utf8(&self.text[start..self.at]).unwrap_or_default();
        let parsed = text.parse();
        parsed.map(Value::Number).map_err(|_| {
            self.at = start;
            self.expected_token("value", "invalid number")
        })
    }

    fn string(&mut self) -> Result<Value, String> {
        self.at += 1;
        let mut bytes = Vec::new();
        loop {
            let Some(byte) = self.peek() else {
                self.at = self.text.len();
                return Err(self.expected_token("value", "unexpected end of string"));
            };
            self.at += 1;
            match byte {
                b'"' => break,
                b'\\' => self.escape(&mut bytes)?,
                _ => bytes.push(byte),
            }
        }
        self.lua.create_string(bytes).map(Value::String).map_err(|e| e.to_string())
    }

    fn escape(&mut self, bytes: &mut Vec<u8>) -> Result<(), String> {
        let byte = self.peek().unwrap_or(0);
        self.at += 1;
        bytes.push(match byte {
            b'"' | b'\\' | b'/' => byte,
            b'b' => 8,
            b'f' => 12,
            b'n' => b'\n',
            b'r' => b'\r',
            b't' => b'\t',
            b'u' => {
                let bad = |at: usize| {
                    format!("Expected value but found invalid unicode escape code at character {at}")
                };
                let start = self.at - 1;
                let mut code = self.hex().ok_or_else(|| bad(start))?;
                if (0xD800..0xDC00).contains(&code) {
                    let low = if self.take(b"\\u") { self.hex() } else { None };
                    let low = low.filter(|low| (0xDC00..0xE000).contains(low)).ok_or_else(|| bad(start))?;
                    code = 0x10000 + ((code - 0xD800) << 10) + (low - 0xDC00);
                }
                let letter = char::from_u32(code).ok_or_else(|| bad(start))?;
                bytes.extend_from_slice(letter.encode_utf8(&mut [0; 4]).as_bytes());
                return Ok(());
            }
            _ => {
                self.at -= 2;
                return Err(self.expected_token("value", "invalid escape code"));
            }
        });
        Ok(())
    }

    fn hex(&mut self) -> Option<u32> {
        let digits = self.text.get(self.at..self.at + 4)?;
        let digits =
            std::str::from_utf8(digits).ok().filter(|text| text.chars().all(|c| c.is_ascii_hexdigit()))?;
        self.at += 4;
        u32::from_str_radix(digits, 16).ok()
    }

    fn space(&mut self) {
        while self.peek().is_some_and(|byte| b" \t\r\n".contains(&byte)) {
            self.at += 1;
        }
    }

    fn peek(&self) -> Option<u8> {
        self.text.get(self.at).copied()
    }

    fn take(&mut self, word: &[u8]) -> bool {
        let found = self.text[self.at..].starts_with(word);
        self.at += if found { word.len() } else { 0 };
        found
    }

    fn expected(&self, what: &str) -> String {
        let rest = &self.text[self.at..];
        let token = match rest.first() {
            None => "T_END",
            Some(b'{') => "T_OBJ_BEGIN",
            Some(b'}') => "T_OBJ_END",
            Some(b'[') => "T_ARR_BEGIN",
            Some(b']') => "T_ARR_END",
            Some(b'"') => "T_STRING",
            Some(b':') => "T_COLON",
            Some(b',') => "T_COMMA",
            Some(b'0'..=b'9' | b'-') => "T_NUMBER",
            _ if rest.starts_with(b"true") || rest.starts_with(b"false") => "T_BOOLEAN",
            _ if rest.starts_with(b"null") => "T_NULL",
            _ => "invalid token",
        };
        self.expected_token(what, token)
    }

    fn expected_token(&self, what: &str, token: &str) -> String {
        format!("Expected {what} but found {token} at character {}", self.at + 1)
    }
}
