//! A model under construction: values, operators, weights. Ends in ONNX bytes; knows nothing of ONNX Runtime.

mod model;
mod ops;
mod proto;
mod shape;
mod split;
mod views;

pub use model::Model;
pub use shape::Dim;

pub(crate) use model::Source;
pub(crate) use shape::show;

use crate::weights::{Conversion, Layout};
use crate::{DType, Error, Result, Weights};

/// ONNX Runtime's domain of standard operators that take channels last, whatever the number of axes.
pub(crate) const NHWC_DOMAIN: &str = "com.ms.internal.nhwc";

/// Version of the standard operators. ONNX 22 is the first whose `Conv` takes bfloat16; below it, CUDA still has
/// kernels for `InstanceNormalization`, and more readers know the files.
pub(crate) fn opset(dtype: DType) -> i64 {
    if dtype == DType::Bf16 { 22 } else { 20 }
}

/// Which operators a graph may use.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Target {
    /// Standard ONNX only: CPU, TensorRT, exported files.
    Portable,
    /// ONNX Runtime's CPU provider with its fused operators (domain `com.microsoft`), for models that ask for it.
    Cpu,
    /// ONNX Runtime's CUDA provider with its fused operators (domain `com.microsoft`).
    Cuda,
}

/// A tensor in a graph. Copy it freely; it belongs to the [`Graph`] that made it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Value(pub(crate) usize);

/// An attribute of an operator.
#[derive(Debug, Clone, PartialEq)]
pub enum Attribute {
    /// One number.
    Int(i64),
    /// One number.
    Float(f32),
    /// Text.
    Text(String),
    /// A list of numbers.
    Ints(Vec<i64>),
}

#[derive(Debug)]
pub(crate) struct ValueInfo {
    pub(crate) name: String,
    pub(crate) dtype: DType,
    pub(crate) shape: Vec<Dim>,
}

#[derive(Debug)]
pub(crate) struct Node {
    pub(crate) domain: String,
    pub(crate) op: String,
    pub(crate) inputs: Vec<Option<Value>>,
    pub(crate) outputs: Vec<Value>,
    pub(crate) attributes: Vec<(String, Attribute)>,
}

/// A graph under construction.
#[derive(Debug)]
pub struct Graph {
    pub(crate) name: String,
    pub(crate) target: Target,
    pub(crate) dtype: DType,
    pub(crate) values: Vec<ValueInfo>,
    pub(crate) nodes: Vec<Node>,
    pub(crate) inputs: Vec<Value>,
    pub(crate) outputs: Vec<Value>,
    pub(crate) initializers: Vec<(Value, Source)>,
    exporting: bool,
}

impl Graph {
    /// `name` appears in errors and logs; `dtype` is the type of weights and activations.
    pub fn new(name: impl Into<String>, target: Target, dtype: DType) -> Graph {
        Graph {
            name: name.into(),
            target,
            dtype,
            values: Vec::new(),
            nodes: Vec::new(),
            inputs: Vec::new(),
            outputs: Vec::new(),
            initializers: Vec::new(),
            exporting: false,
        }
    }

    /// Stores the matrices of linear layers as [in, out], so that a file needs no `Transpose` before each product.
    ///
    /// A session transposes while multiplying instead and leaves the checkpoint's bytes where they are.
    #[must_use]
    pub fn for_export(mut self) -> Graph {
        self.exporting = true;
        self
    }

    /// Type of weights and activations.
    pub fn dtype(&self) -> DType {
        self.dtype
    }

    /// Which operators the graph may use.
    pub fn target(&self) -> Target {
        self.target
    }

    /// True where feature maps lie as [B, H, W, C] instead of [B, C, H, W].
    ///
    /// ONNX Runtime's fast convolutions and its `GroupNorm` want channels last; neither takes bfloat16.
    pub fn channels_last(&self) -> bool {
        self.target == Target::Cuda && self.dtype != DType::Bf16
    }

    /// Declares an input of the model.
    pub fn input(&mut self, name: &str, dtype: DType, shape: Vec<Dim>) -> Value {
        let value = self.value(name.to_owned(), dtype, shape);
        self.inputs.push(value);
        value
    }

    /// Makes a value an output of the model under `name`.
    pub fn output(&mut self, name: &str, value: Value) {
        let taken = self.outputs.contains(&value) || self.inputs.contains(&value);
        let value = if taken { self.identity(value) } else { value };
        self.values[value.0].name = name.to_owned();
        self.outputs.push(value);
    }

    /// The value that was made an output under `name`.
    pub fn output_value(&self, name: &str) -> Option<Value> {
        self.outputs.iter().copied().find(|value| self.values[value.0].name == name)
    }

    /// Shape of a value.
    pub fn shape(&self, value: Value) -> &[Dim] {
        &self.values[value.0].shape
    }

    /// Size of axis `axis`, counted from the end where negative.
    ///
    /// # Errors
    /// [`Error::Shape`] where the axis is not there or its size is a name.
    pub fn fixed(&self, value: Value, axis: isize) -> Result<usize> {
        let shape = self.shape(value);
        let index = if axis < 0 { shape.len().checked_add_signed(axis) } else { Some(axis as usize) };
        match index.and_then(|i| shape.get(i)).and_then(Dim::fixed) {
            Some(n) => Ok(n as usize),
            None => Err(Error::shape("fixed", format!("axis {axis} must have a fixed size"), show(shape))),
        }
    }

    /// Element type of a value.
    pub fn dtype_of(&self, value: Value) -> DType {
        self.values[value.0].dtype
    }

    /// A weight of the checkpoint in the graph's data type.
    ///
    /// # Errors
    /// [`Error::MissingTensor`], [`Error::WrongShape`].
    pub fn weight(&mut self, w: &Weights<'_>, name: &str, shape: &[usize]) -> Result<Value> {
        self.weight_as(w, name, shape, self.dtype, Layout::AsStored)
    }

    /// A weight of the checkpoint in f32, whatever the graph's data type.
    ///
    /// # Errors
    /// As [`Graph::weight`].
    pub fn weight_f32(&mut self, w: &Weights<'_>, name: &str, shape: &[usize]) -> Result<Value> {
        self.weight_as(w, name, shape, DType::F32, Layout::AsStored)
    }

    pub(crate) fn weight_as(
        &mut self,
        w: &Weights<'_>,
        name: &str,
        shape: &[usize],
        dtype: DType,
        layout: Layout,
    ) -> Result<Value> {
        let view = w.tensor(name, shape)?;
        if !view.dtype.is_float() {
            return Err(Error::TensorType {
                path: view.file.to_path_buf(),
                tensor: w.name(name),
                dtype: view.dtype.to_string(),
            });
        }
        // A kernel of 1 x 1 lies the same way in both layouts.
        let pointwise = matches!(shape, [_, _, 1, 1]);
        let step = if let Layout::Tap(step) = layout { Some(step) } else { None };
        let moved =
            step.is_some() || layout == Layout::Transposed || (layout == Layout::ChannelsLast && !pointwise);
        let mut layout = if moved { layout } else { Layout::AsStored };
        // Only matrices, and kernels of 1 x 1, are stored with their axes swapped: the copy swaps them back.
        let swapped = view.stored_transposed;
        let view = view.as_stored();
        if swapped {
            layout = if layout == Layout::Transposed { Layout::AsStored } else { Layout::Transposed };
        }
        let moved = layout != Layout::AsStored;
        // A kernel of several time steps is several values.
        let name = match step {
            Some(step) => format!("{}.{step}", w.name(name)),
            None => w.name(name),
        };
        let conversion = Conversion { name, dtype, layout, view };
        let dims = if (pointwise && self.channels_last()) || (swapped && step.is_some()) {
            vec![shape[0].into(), 1.into(), 1.into(), shape[1].into()]
        } else if swapped && layout == Layout::Transposed {
            shape.iter().copied().map(Dim::from).collect()
        } else {
            conversion.shape().into_iter().map(Dim::from).collect()
        };
        let value = self.value(conversion.name.clone(), dtype, dims);
        let as_stored = conversion.view.dtype == dtype && !moved;
        let source = if as_stored { Source::Stored(conversion.view) } else { Source::Converted(conversion) };
        self.initializers.push((value, source));
        Ok(value)
    }

    /// The matrix of a linear layer, [out, in] in the checkpoint's terms. The flag says that the value is [in, out].
    pub(crate) fn matrix(&mut self, w: &Weights<'_>, out: usize, input: usize) -> Result<(Value, bool)> {
        let shape = [out, input];
        let view = w.tensor("weight", &shape)?;
        if !view.stored_transposed {
            let layout = if self.exporting { Layout::Transposed } else { Layout::AsStored };
            return Ok((self.weight_as(w, "weight", &shape, self.dtype, layout)?, self.exporting));
        }
        let name = w.name("weight");
        let value = self.value(name.clone(), self.dtype, vec![input.into(), out.into()]);
        let source = if view.dtype == self.dtype {
            Source::Stored(view)
        } else {
            let view = crate::TensorView { shape: vec![input, out], stored_transposed: false, ..view };
            Source::Converted(Conversion { name, view, dtype: self.dtype, layout: Layout::AsStored })
        };
        self.initializers.push((value, source));
        Ok((value, true))
    }

    /// A constant tensor of f32.
    pub fn constant_f32(&mut self, shape: &[usize], data: &[f32]) -> Value {
        self.constant(DType::F32, shape, bytemuck::cast_slice(data).to_vec())
    }

    /// A constant tensor of i64.
    pub fn constant_i64(&mut self, shape: &[usize], data: &[i64]) -> Value {
        self.constant(DType::I64, shape, bytemuck::cast_slice(data).to_vec())
    }

    /// A constant of the graph's data type, given as f32.
    pub fn constant_float(&mut self, shape: &[usize], data: &[f32]) -> Value {
        let bytes = crate::weights::cast_bytes(bytemuck::cast_slice(data), DType::F32, self.dtype);
        self.constant(self.dtype, shape, bytes)
    }

    fn constant(&mut self, dtype: DType, shape: &[usize], bytes: Vec<u8>) -> Value {
        let name = format!("constant_{}", self.values.len());
        let value = self.value(name, dtype, shape.iter().map(|n| (*n).into()).collect());
        self.initializers.push((value, Source::Inline(bytes)));
        value
    }

    /// Adds an operator with one output, of any domain: the way to operators that have no method here.
    ///
    /// The caller vouches for the type and shape of the output. Domains beyond `""` and `com.microsoft` must be
    /// registered with [`SessionOptions::operators`](crate::SessionOptions::operators), but for `ourvidz`, which sessions
    /// register by themselves.
    pub fn operator(
        &mut self,
        domain: &str,
        op: &str,
        inputs: &[Option<Value>],
        attributes: Vec<(&str, Attribute)>,
        output: (DType, Vec<Dim>),
    ) -> Value {
        let [value] = self.operator_with_outputs(domain, op, inputs, attributes, [output]);
        value
    }

    /// Adds an operator with several outputs, as [`Graph::operator`] does one with one.
    pub fn operator_with_outputs<const N: usize>(
        &mut self,
        domain: &str,
        op: &str,
        inputs: &[Option<Value>],
        attributes: Vec<(&str, Attribute)>,
        outputs: [(DType, Vec<Dim>); N],
    ) -> [Value; N] {
        let name = format!("{op}_{}", self.nodes.len());
        let mut count = 0;
        let outputs = outputs.map(|(dtype, shape)| {
            count += 1;
            let name = if count == 1 { name.clone() } else { format!("{name}.{count}") };
            self.value(name, dtype, shape)
        });
        self.nodes.push(Node {
            domain: domain.to_owned(),
            op: op.to_owned(),
            inputs: inputs.to_vec(),
            outputs: outputs.to_vec(),
            attributes: attributes.into_iter().map(|(name, a)| (name.to_owned(), a)).collect(),
        });
        outputs
    }

    fn value(&mut self, name: String, dtype: DType, shape: Vec<Dim>) -> Value {
        self.values.push(ValueInfo { name, dtype, shape });
        Value(self.values.len() - 1)
    }
}
