use std::collections::HashMap;

use super::{Refusal, refuse};
use crate::DType;

/// Values on the stack, in the memo and in containers together; a checkpoint of a thousand tensors has some ten
/// thousand.
const MOST_OBJECTS: usize = 1 << 18;
/// torch reads no more axes than this.
const MOST_AXES: usize = 64;

/// A tensor as the pickle describes it.
#[derive(Debug, Clone)]
pub(super) struct Tensor {
    pub(super) storage: Storage,
    /// Elements of the storage before the first.
    pub(super) offset: u64,
    pub(super) size: Vec<usize>,
    /// Elements from one index to the next, for each axis.
    pub(super) stride: Vec<u64>,
}

/// A record of numbers.
#[derive(Debug, Clone)]
pub(super) struct Storage {
    /// Class in torch, e.g. `FloatStorage`.
    pub(super) class: &'static str,
    /// Nothing for types that no model here knows.
    pub(super) dtype: Option<DType>,
    pub(super) key: String,
    /// Elements.
    pub(super) numel: u64,
}

/// Storages by the name of their class.
const STORAGES: [(&str, Option<DType>); 14] = [
    ("FloatStorage", Some(DType::F32)),
    ("HalfStorage", Some(DType::F16)),
    ("BFloat16Storage", Some(DType::Bf16)),
    ("LongStorage", Some(DType::I64)),
    ("IntStorage", Some(DType::I32)),
    ("BoolStorage", Some(DType::Bool)),
    ("DoubleStorage", None),
    ("ShortStorage", None),
    ("CharStorage", None),
    ("ByteStorage", None),
    ("ComplexFloatStorage", None),
    ("ComplexDoubleStorage", None),
    ("QInt8Storage", None),
    ("QUInt8Storage", None),
];

/// Everything a pickle may name. None of it is called: each stands for what the interpreter does itself.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) enum Global {
    OrderedDict,
    RebuildTensor,
    RebuildParameter,
    Storage(usize),
}

/// Small enough to copy: containers lie in [`Machine::objects`], so that nothing is ever cloned or dropped deep.
#[derive(Debug, Clone, Copy)]
pub(super) enum Value {
    Nothing,
    Bool,
    Int(i64),
    Float,
    Global(Global),
    Object(usize),
}

#[derive(Debug)]
pub(super) enum Object {
    Text(String),
    Tuple(Vec<Value>),
    List(Vec<Value>),
    Dict(Vec<(Value, Value)>),
    Storage(Storage),
    Tensor(Tensor),
}

pub(super) struct Machine<'a> {
    pub(super) input: &'a [u8],
    pub(super) at: usize,
    pub(super) stack: Vec<Value>,
    pub(super) marks: Vec<usize>,
    pub(super) memo: HashMap<u32, Value>,
    pub(super) objects: Vec<Object>,
    /// Elements in containers so far.
    pub(super) held: usize,
}

/// Interprets a pickle that is a dict of names and tensors.
pub(super) fn interpret(input: &[u8]) -> Result<Vec<(String, Tensor)>, Refusal> {
    let mut machine = Machine {
        input,
        at: 0,
        stack: Vec::new(),
        marks: Vec::new(),
        memo: HashMap::new(),
        objects: Vec::new(),
        held: 0,
    };
    let top = machine.run()?;
    let Value::Object(top) = top else { return refuse(TOP, machine.show(top)) };
    let Object::Dict(pairs) = &machine.objects[top] else {
        return refuse(TOP, machine.show(Value::Object(top)));
    };
    pairs
        .iter()
        .map(|(name, value)| {
            let Some(name) = machine.text(*name) else {
                return refuse(TOP, format!("a name that is {}", machine.show(*name)));
            };
            match machine.object(*value) {
                Some(Object::Tensor(tensor)) => Ok((name.to_owned(), tensor.clone())),
                _ => refuse(TOP, format!("{name}, which is {}", machine.show(*value))),
            }
        })
        .collect()
}

const TOP: &str = "must hold a dict of names and tensors";

impl Machine<'_> {
    fn run(&mut self) -> Result<Value, Refusal> {
        loop {
            if self.size() > MOST_OBJECTS {
                return refuse("must have a pickle of at most 262,144 values", "more");
            }
            let op = self.bytes::<1>()?[0];
            match op {
                // PROTO
                0x80 => {
                    let protocol = self.bytes::<1>()?[0];
                    if protocol != 2 {
                        return refuse("must have a pickle of protocol 2", format!("protocol {protocol}"));
                    }
                }
                b'.' => return self.pop(),
                b'(' => self.marks.push(self.stack.len()),
                b'N' => self.stack.push(Value::Nothing),
                // NEWTRUE, NEWFALSE
                0x88 | 0x89 => self.stack.push(Value::Bool),
                b'K' => {
                    let [n] = self.bytes()?;
                    self.stack.push(Value::Int(n.into()));
                }
                b'M' => {
                    let n = u16::from_le_bytes(self.bytes()?);
                    self.stack.push(Value::Int(n.into()));
                }
                b'J' => {
                    let n = i32::from_le_bytes(self.bytes()?);
                    self.stack.push(Value::Int(n.into()));
                }
                // LONG1
                0x8a => {
                    let n = self.long()?;
                    self.stack.push(Value::Int(n));
                }
                b'G' => {
                    self.bytes::<8>()?;
                    self.stack.push(Value::Float);
                }
                b'X' => {
                    let length = u32::from_le_bytes(self.bytes()?);
                    self.text_of(length as usize)?;
                }
                // SHORT_BINSTRING, which Python 2 wrote
                b'U' => {
                    let [length] = self.bytes()?;
                    self.text_of(length.into())?;
                }
                b']' => self.push(Object::List(Vec::new())),
                b'}' => self.push(Object::Dict(Vec::new())),
                b')' => self.push(Object::Tuple(Vec::new())),
                b't' => {
                    let items = self.since_mark()?;
                    self.push_tuple(items);
                }
                // TUPLE1, TUPLE2, TUPLE3
                0x85..=0x87 => {
                    let at = self.stack.len().checked_sub(usize::from(op - 0x84));
                    let Some(at) = at.filter(|at| *at >= self.floor()) else { return self.empty() };
                    let items = self.stack.split_off(at);
                    self.push_tuple(items);
                }
                b'a' => {
                    let item = self.pop()?;
                    self.append(vec![item])?;
                }
                b'e' => {
                    let items = self.since_mark()?;
                    self.append(items)?;
                }
                b's' => {
                    let (value, key) = (self.pop()?, self.pop()?);
                    self.set(vec![key, value])?;
                }
                b'u' => {
                    let items = self.since_mark()?;
                    self.set(items)?;
                }
                b'q' => {
                    let [index] = self.bytes()?;
                    self.remember(index.into())?;
                }
                b'r' => {
                    let index = u32::from_le_bytes(self.bytes()?);
                    self.remember(index)?;
                }
                b'h' => {
                    let [index] = self.bytes()?;
                    self.recall(index.into())?;
                }
                b'j' => {
                    let index = u32::from_le_bytes(self.bytes()?);
                    self.recall(index)?;
                }
                b'c' => {
                    let global = self.global()?;
                    self.stack.push(Value::Global(global));
                }
                b'Q' => {
                    let id = self.pop()?;
                    let storage = self.storage(id)?;
                    self.push(Object::Storage(storage));
                }
                b'R' => {
                    let (arguments, callable) = (self.pop()?, self.pop()?);
                    self.reduce(callable, arguments)?;
                }
                b'b' => self.build()?,
                other => return refuse("must have a pickle of data alone", format!("opcode {other:#04x}")),
            }
        }
    }

    /// The attributes that `state_dict()` gives an OrderedDict (`_metadata`) say nothing about tensors.
    fn build(&mut self) -> Result<(), Refusal> {
        let (state, target) = (self.pop()?, self.top()?);
        let dict = |value| matches!(self.object(value), Some(Object::Dict(_)));
        if dict(state) && dict(target) {
            return Ok(());
        }
        refuse("must give attributes to dicts alone", self.show(target))
    }

    fn reduce(&mut self, callable: Value, arguments: Value) -> Result<(), Refusal> {
        let Some(Object::Tuple(arguments)) = self.object(arguments) else {
            return refuse("must call with a tuple of arguments", self.show(arguments));
        };
        match (callable, arguments.as_slice()) {
            (Value::Global(Global::OrderedDict), []) => self.push(Object::Dict(Vec::new())),
            (Value::Global(Global::RebuildTensor), [storage, offset, size, stride, _, _, ..]) => {
                let tensor = self.tensor(*storage, *offset, *size, *stride)?;
                self.push(Object::Tensor(tensor));
            }
            (Value::Global(Global::RebuildParameter), [data, _, _])
                if matches!(self.object(*data), Some(Object::Tensor(_))) =>
            {
                let data = *data;
                self.stack.push(data);
            }
            _ => {
                let found = format!("{} of {} arguments", self.show(callable), arguments.len());
                return refuse("must call what makes dicts and tensors", found);
            }
        }
        Ok(())
    }

    fn tensor(&self, storage: Value, offset: Value, size: Value, stride: Value) -> Result<Tensor, Refusal> {
        const RULE: &str = "must describe tensors by a storage, an offset, sizes and strides";
        let Some(Object::Storage(storage)) = self.object(storage) else {
            return refuse(RULE, self.show(storage));
        };
        let natural = |value: &Value| match value {
            Value::Int(n) => u64::try_from(*n).ok(),
            _ => None,
        };
        let naturals = |value| match self.object(value) {
            Some(Object::Tuple(items)) if items.len() <= MOST_AXES => {
                items.iter().map(natural).collect::<Option<Vec<u64>>>()
            }
            _ => None,
        };
        let (Some(offset), Some(size), Some(stride)) = (natural(&offset), naturals(size), naturals(stride))
        else {
            return refuse(RULE, format!("storage {} with other values", storage.key));
        };
        let size: Option<Vec<usize>> = size.into_iter().map(|n| usize::try_from(n).ok()).collect();
        match size {
            Some(size) if size.len() == stride.len() => {
                Ok(Tensor { storage: storage.clone(), offset, size, stride })
            }
            _ => refuse(RULE, format!("storage {} with other counts of axes", storage.key)),
        }
    }

    fn storage(&self, id: Value) -> Result<Storage, Refusal> {
        const RULE: &str = "must describe storages by a class, a key, a device and a length";
        let Some(Object::Tuple(parts)) = self.object(id) else { return refuse(RULE, self.show(id)) };
        let [kind, Value::Global(Global::Storage(class)), key, _device, Value::Int(numel)] = parts.as_slice()
        else {
            return refuse(RULE, format!("{} values", parts.len()));
        };
        let (class, dtype) = STORAGES[*class];
        match (self.text(*kind), self.text(*key), u64::try_from(*numel)) {
            (Some("storage"), Some(key), Ok(numel)) => Ok(Storage { class, dtype, key: key.into(), numel }),
            _ => refuse(RULE, class),
        }
    }

    fn global(&mut self) -> Result<Global, Refusal> {
        let (module, name) = (self.line()?, self.line()?);
        let storage = STORAGES.iter().position(|(class, _)| *class == name);
        match (module, name, storage) {
            ("collections", "OrderedDict", _) => Ok(Global::OrderedDict),
            ("torch._utils", "_rebuild_tensor_v2", _) => Ok(Global::RebuildTensor),
            ("torch._utils", "_rebuild_parameter", _) => Ok(Global::RebuildParameter),
            ("torch", _, Some(class)) => Ok(Global::Storage(class)),
            _ => refuse("must name nothing but dicts and tensors", format!("{module}.{name}")),
        }
    }

    fn append(&mut self, items: Vec<Value>) -> Result<(), Refusal> {
        self.held += items.len();
        match self.container()? {
            Object::List(list) => {
                list.extend(items);
                Ok(())
            }
            _ => refuse("must append to lists", "something else"),
        }
    }

    fn set(&mut self, items: Vec<Value>) -> Result<(), Refusal> {
        self.held += items.len();
        let (pairs, rest) = items.as_chunks::<2>();
        match self.container()? {
            Object::Dict(dict) if rest.is_empty() => {
                dict.extend(pairs.iter().map(|[key, value]| (*key, *value)));
                Ok(())
            }
            _ => refuse("must set pairs of a dict", "something else"),
        }
    }

    fn container(&mut self) -> Result<&mut Object, Refusal> {
        match self.top()? {
            Value::Object(index) => Ok(&mut self.objects[index]),
            other => refuse("must fill lists and dicts", self.show(other)),
        }
    }
}
