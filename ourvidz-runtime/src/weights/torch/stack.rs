//! What the opcodes share: the stack, the memo, and the bytes of the pickle.

use super::pickle::{Machine, Object, Value};
use super::{Refusal, refuse};

const STACK: &str = "must have a pickle that fits its own stack";
const WHOLE: &str = "must have a whole pickle";

impl<'a> Machine<'a> {
    /// Values that the pickle has made so far.
    pub(super) fn size(&self) -> usize {
        self.objects.len() + self.held + self.stack.len() + self.marks.len() + self.memo.len()
    }

    pub(super) fn push(&mut self, object: Object) {
        self.objects.push(object);
        self.stack.push(Value::Object(self.objects.len() - 1));
    }

    pub(super) fn push_tuple(&mut self, items: Vec<Value>) {
        self.held += items.len();
        self.push(Object::Tuple(items));
    }

    /// Height below which the stack belongs to what came before the last mark.
    pub(super) fn floor(&self) -> usize {
        self.marks.last().copied().unwrap_or(0)
    }

    pub(super) fn pop(&mut self) -> Result<Value, Refusal> {
        if self.stack.len() <= self.floor() {
            return self.empty();
        }
        self.stack.pop().map_or_else(|| self.empty(), Ok)
    }

    /// The value that `pop` would take.
    pub(super) fn top(&self) -> Result<Value, Refusal> {
        let top = self.stack.last().copied().filter(|_| self.stack.len() > self.floor());
        top.map_or_else(|| self.empty(), Ok)
    }

    pub(super) fn since_mark(&mut self) -> Result<Vec<Value>, Refusal> {
        match self.marks.pop() {
            Some(mark) => Ok(self.stack.split_off(mark)),
            None => self.empty(),
        }
    }

    pub(super) fn remember(&mut self, index: u32) -> Result<(), Refusal> {
        let top = self.top()?;
        self.memo.insert(index, top);
        Ok(())
    }

    pub(super) fn recall(&mut self, index: u32) -> Result<(), Refusal> {
        let Some(value) = self.memo.get(&index) else {
            return refuse("must recall what it remembered", format!("memo {index}"));
        };
        self.stack.push(*value);
        Ok(())
    }

    pub(super) fn object(&self, value: Value) -> Option<&Object> {
        match value {
            Value::Object(index) => self.objects.get(index),
            _ => None,
        }
    }

    pub(super) fn text(&self, value: Value) -> Option<&str> {
        match self.object(value) {
            Some(Object::Text(text)) => Some(text),
            _ => None,
        }
    }

    /// A few words about a value, never what it holds.
    pub(super) fn show(&self, value: Value) -> String {
        match (value, self.object(value)) {
            (_, Some(Object::Text(_))) => "a text".into(),
            (_, Some(Object::Tuple(items))) => format!("a tuple of {}", items.len()),
            (_, Some(Object::List(items))) => format!("a list of {}", items.len()),
            (_, Some(Object::Dict(items))) => format!("a dict of {}", items.len()),
            (_, Some(Object::Storage(_))) => "a storage".into(),
            (_, Some(Object::Tensor(_))) => "a tensor".into(),
            (Value::Global(global), _) => format!("{global:?}"),
            (Value::Int(n), _) => n.to_string(),
            (other, _) => format!("{other:?}").to_lowercase(),
        }
    }

    pub(super) fn empty<T>(&self) -> Result<T, Refusal> {
        refuse(STACK, format!("an empty stack at byte {}", self.at))
    }

    pub(super) fn slice(&mut self, length: usize) -> Result<&'a [u8], Refusal> {
        let end = self.at.checked_add(length).filter(|end| *end <= self.input.len());
        let Some(end) = end else { return refuse(WHOLE, format!("{} bytes", self.input.len())) };
        let start = std::mem::replace(&mut self.at, end);
        Ok(&self.input[start..end])
    }

    pub(super) fn bytes<const N: usize>(&mut self) -> Result<[u8; N], Refusal> {
        let mut out = [0; N];
        out.copy_from_slice(self.slice(N)?);
        Ok(out)
    }

    pub(super) fn text_of(&mut self, length: usize) -> Result<(), Refusal> {
        match std::str::from_utf8(self.slice(length)?) {
            Ok(text) => {
                let text = text.to_owned();
                self.push(Object::Text(text));
                Ok(())
            }
            Err(_) => refuse("must have texts in UTF-8", format!("byte {}", self.at)),
        }
    }

    pub(super) fn long(&mut self) -> Result<i64, Refusal> {
        let [length] = self.bytes()?;
        let digits = self.slice(length.into())?;
        if digits.len() > 8 {
            return refuse("must have numbers of at most 64 bits", format!("{} bytes", digits.len()));
        }
        let negative = digits.last().is_some_and(|byte| *byte >= 0x80);
        let mut out = if negative { [0xff; 8] } else { [0; 8] };
        out[..digits.len()].copy_from_slice(digits);
        Ok(i64::from_le_bytes(out))
    }

    /// Text up to the end of the line.
    pub(super) fn line(&mut self) -> Result<&'a str, Refusal> {
        let rest = &self.input[self.at..];
        let Some(end) = rest.iter().position(|byte| *byte == b'\n') else {
            return refuse(WHOLE, format!("{} bytes", self.input.len()));
        };
        self.at += end + 1;
        std::str::from_utf8(&rest[..end])
            .or_else(|_| refuse("must have names in UTF-8", format!("byte {}", self.at)))
    }
}
