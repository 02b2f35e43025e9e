use std::ffi::c_void;
use std::marker::PhantomData;

use half::{bf16, f16};
use ort::memory::{Allocator, MemoryType};
use ort::operator::{
    BoxedKernel, ComputeContext, KernelContext, Operator, OperatorDomain, OperatorInput, OperatorOutput,
    ShapeInferenceContext,
};
use ort::value::{DynTensorValueType, Shape, SymbolicDimensions, TensorElementType, ValueType};

use super::context::Context;
use super::driver::Handle;
use crate::{DType, Device};

/// Type of an input, and whether a node may end before it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Input {
    /// In the operator's type.
    Same,
    /// In the operator's type; may be left out with all that follow it.
    SameOrNone,
    /// In f32.
    Float,
    /// In f32; may be left out with all that follow it.
    FloatOrNone,
    /// Bytes: packed numbers.
    Bytes,
    /// In i32; numbers that f32 holds exactly.
    Int,
    /// As `Int`, and on the host on every device.
    HostInt,
}

/// An operator, whose outputs have one shape where [`shapes`](Definition::shapes) does not say otherwise.
pub(super) trait Definition: Send + Sync + 'static {
    const NAME: &'static str;
    const INPUTS: &'static [Input];
    const OUTPUTS: usize = 1;
    /// Attributes of a node, and what it keeps from run to run.
    type Node: Send;

    fn node(attributes: &KernelContext<'_>) -> Self::Node;

    /// Shape of the outputs by those of the inputs, where -1 is a size that is not known yet; nothing, where it takes
    /// more than them. The first input's unless an operator says otherwise.
    fn shape(_node: Option<&Self::Node>, inputs: &[&[i64]]) -> Option<Vec<i64>> {
        inputs.first().map(|shape| shape.to_vec())
    }

    /// Shapes of all outputs when a node runs.
    fn shapes(node: &Self::Node, inputs: &[&[i64]]) -> Option<Vec<Vec<i64>>> {
        Self::shape(Some(node), inputs).map(|shape| vec![shape; Self::OUTPUTS])
    }

    /// The operator in f32 on the processor: what it means.
    fn on_host(node: &Self::Node, inputs: &[HostTensor]) -> Result<Vec<Vec<f32>>, String>;

    /// The operator on a stream.
    fn on_device(node: &mut Self::Node, run: &DeviceRun<'_>) -> Result<(), String>;
}

/// An input on the processor.
#[derive(Debug)]
pub(super) struct HostTensor {
    pub(super) shape: Vec<i64>,
    pub(super) data: Vec<f32>,
}

impl HostTensor {
    pub(super) fn width(&self) -> usize {
        width_of(&self.shape)
    }
}

/// A tensor on the device.
#[derive(Debug)]
pub(super) struct Operand {
    pub(super) shape: Vec<i64>,
    pub(super) pointer: *mut c_void,
}

impl Operand {
    pub(super) fn width(&self) -> usize {
        width_of(&self.shape)
    }

    /// Rows of the last axis.
    pub(super) fn rows(&self) -> usize {
        let leading = self.shape.len().saturating_sub(1);
        self.shape[..leading].iter().product::<i64>().max(0) as usize
    }
}

/// One run of a node on the device.
pub(super) struct DeviceRun<'a> {
    pub(super) context: &'static Context,
    pub(super) stream: Handle,
    pub(super) dtype: DType,
    pub(super) inputs: Vec<Operand>,
    pub(super) outputs: Vec<Operand>,
    /// First numbers of the inputs on the host, in their order.
    pub(super) numbers: Vec<i32>,
    pub(super) compute: &'a ComputeContext,
}

impl DeviceRun<'_> {
    /// Packs in a row of the first output, as elementwise kernels count them.
    pub(super) fn packs(&self) -> usize {
        self.outputs.first().map_or(0, |y| y.width() / super::rows::pack(self.dtype, [y.width(); 2]))
    }

    /// ONNX Runtime's own memory on the device.
    pub(super) fn allocator(&self) -> Result<Allocator, String> {
        let memory = Device::Cuda(self.context.device()).memory().map_err(|e| e.to_string())?;
        self.compute.allocator(&memory).map_err(|e| e.to_string())
    }
}

fn width_of(shape: &[i64]) -> usize {
    shape.last().copied().unwrap_or(1).max(0) as usize
}

/// Adds an operator in every type for both providers.
pub(super) fn register<D: Definition>(mut domain: OperatorDomain) -> ort::Result<OperatorDomain> {
    for dtype in [DType::F32, DType::F16, DType::Bf16] {
        for cuda in [false, true] {
            domain = domain.add(Registered::<D> { dtype, cuda, definition: PhantomData })?;
        }
    }
    Ok(domain)
}

struct Registered<D> {
    dtype: DType,
    cuda: bool,
    definition: PhantomData<D>,
}

impl<D: Definition> Operator for Registered<D> {
    type Kernel<'attr> = BoxedKernel<'attr>;

    fn name(&self) -> &str {
        D::NAME
    }

    fn execution_provider_type(&self) -> Option<&str> {
        self.cuda.then_some("CUDAExecutionProvider")
    }

    fn inputs(&self) -> impl IntoIterator<Item = OperatorInput> {
        let own = element(self.dtype);
        D::INPUTS.iter().map(move |input| match input {
            Input::Same => OperatorInput::required(own),
            Input::SameOrNone => OperatorInput::optional(own),
            Input::Float => OperatorInput::required(TensorElementType::Float32),
            Input::FloatOrNone => OperatorInput::optional(TensorElementType::Float32),
            Input::Bytes => OperatorInput::required(TensorElementType::Uint8),
            Input::Int => OperatorInput::required(TensorElementType::Int32),
            Input::HostInt => {
                OperatorInput::required(TensorElementType::Int32).memory_type(MemoryType::CPUInput)
            }
        })
    }

    fn outputs(&self) -> impl IntoIterator<Item = OperatorOutput> {
        (0..D::OUTPUTS).map(|_| OperatorOutput::required(element(self.dtype)))
    }

    fn infer_shape(&self, ctx: &mut ShapeInferenceContext) -> ort::Result<()> {
        let inputs = ctx.inputs();
        let shapes: Vec<&[i64]> =
            inputs.iter().map(|x| x.tensor_shape().map(|shape| &shape[..]).unwrap_or_default()).collect();
        // A rank that is not known looks like a scalar.
        if shapes.iter().any(|shape| shape.is_empty()) {
            return Ok(());
        }
        let Some(ValueType::Tensor { ty, shape, dimension_symbols }) = inputs.first() else { return Ok(()) };
        let Some(sizes) = D::shape(None, &shapes) else { return Ok(()) };
        let same = |i: usize| shape.get(i) == sizes.get(i);
        let symbol = |i| dimension_symbols.get(i).filter(|_| same(i)).cloned().unwrap_or_default();
        let symbols = (0..sizes.len()).map(symbol).collect::<Vec<String>>();
        // ONNX Runtime would take an unknown size without a name for a number.
        if sizes.iter().zip(&symbols).any(|(size, symbol)| *size < 0 && symbol.is_empty()) {
            return Ok(());
        }
        let output = ValueType::Tensor {
            ty: *ty,
            shape: Shape::new(sizes),
            dimension_symbols: SymbolicDimensions::new(symbols),
        };
        (0..D::OUTPUTS).try_for_each(|i| ctx.set_output(i, &output))
    }

    fn create_kernel<'attr>(&self, ctx: &KernelContext<'attr>) -> ort::Result<BoxedKernel<'attr>> {
        let (mut node, dtype) = (D::node(ctx), self.dtype);
        if self.cuda {
            // Looked up once: a stream that is being captured is asked nothing.
            let mut context = None;
            let run = move |ctx: &ComputeContext| run_on_device::<D>(&mut node, &mut context, dtype, ctx);
            return Ok(Box::new(run));
        }
        Ok(Box::new(move |ctx: &ComputeContext| run_on_host::<D>(&node, dtype, ctx)))
    }
}

fn run_on_device<D: Definition>(
    node: &mut D::Node,
    known: &mut Option<&'static Context>,
    dtype: DType,
    ctx: &ComputeContext,
) -> ort::Result<()> {
    let failed = |reason: String| ort::Error::new(format!("{}: {reason}", D::NAME));
    let stream = ctx.stream()?.ok_or_else(|| failed("there is no CUDA stream".into()))?.as_ptr().cast();
    let (mut inputs, mut numbers) = (Vec::with_capacity(D::INPUTS.len()), Vec::new());
    for i in 0..ctx.num_inputs()? {
        let Some(input) = ctx.input(i)? else { break };
        let shape = input.shape().to_vec();
        if D::INPUTS.get(i) == Some(&Input::HostInt) {
            numbers.extend(input.try_extract_tensor::<i32>()?.1.first());
        }
        let pointer = input.downcast::<DynTensorValueType>()?.data_ptr().cast_mut().cast();
        inputs.push(Operand { shape, pointer });
    }
    let shapes: Vec<&[i64]> = inputs.iter().map(|x| &x.shape[..]).collect();
    let shapes = D::shapes(node, &shapes).ok_or_else(|| failed(format!("cannot take {shapes:?}")))?;
    let mut outputs = Vec::with_capacity(D::OUTPUTS);
    for (i, shape) in shapes.into_iter().enumerate() {
        let output =
            ctx.output(i, shape.clone())?.ok_or_else(|| failed(format!("output {i} is not used")))?;
        let pointer = output.downcast::<DynTensorValueType>()?.data_ptr().cast_mut().cast();
        outputs.push(Operand { shape, pointer });
    }
    if outputs.iter().any(|output| output.shape.contains(&0)) {
        return Ok(());
    }
    let context = match *known {
        Some(context) => context,
        None => *known.insert(Context::of(stream).map_err(failed)?),
    };
    D::on_device(node, &DeviceRun { context, stream, dtype, inputs, outputs, numbers, compute: ctx })
        .map_err(failed)
}

fn run_on_host<D: Definition>(node: &D::Node, dtype: DType, ctx: &ComputeContext) -> ort::Result<()> {
    let failed = |reason: String| ort::Error::new(format!("{}: {reason}", D::NAME));
    let mut inputs = Vec::new();
    for i in 0..ctx.num_inputs()? {
        let (Some(input), Some(kind)) = (ctx.input(i)?, D::INPUTS.get(i)) else { break };
        let stored = match kind {
            Input::Same | Input::SameOrNone => dtype,
            Input::Float | Input::FloatOrNone => DType::F32,
            Input::Bytes => DType::U8,
            Input::Int | Input::HostInt => DType::I32,
        };
        let data = match stored {
            DType::I32 => input.try_extract_tensor::<i32>()?.1.iter().map(|x| *x as f32).collect(),
            DType::U8 => input.try_extract_tensor::<u8>()?.1.iter().map(|x| f32::from(*x)).collect(),
            DType::F16 => input.try_extract_tensor::<f16>()?.1.iter().map(|x| x.to_f32()).collect(),
            DType::Bf16 => input.try_extract_tensor::<bf16>()?.1.iter().map(|x| x.to_f32()).collect(),
            _ => input.try_extract_tensor::<f32>()?.1.to_vec(),
        };
        inputs.push(HostTensor { shape: input.shape().to_vec(), data });
    }
    let shapes: Vec<&[i64]> = inputs.iter().map(|x| &x.shape[..]).collect();
    let shapes = D::shapes(node, &shapes).ok_or_else(|| failed(format!("cannot take {shapes:?}")))?;
    let results = D::on_host(node, &inputs).map_err(failed)?;
    for (i, (result, shape)) in results.into_iter().zip(shapes).enumerate() {
        let mut output = ctx.output(i, shape)?.ok_or_else(|| failed(format!("output {i} is not used")))?;
        let misfit = |len: usize| failed(format!("computed {} numbers for {len}", result.len()));
        macro_rules! fill {
            ($type:ty, $round:expr) => {{
                let (_, values) = output.try_extract_tensor_mut::<$type>()?;
                if values.len() != result.len() {
                    return Err(misfit(values.len()));
                }
                values.iter_mut().zip(&result).for_each(|(to, x)| *to = $round(*x));
            }};
        }
        match dtype {
            DType::F16 => fill!(f16, f16::from_f32),
            DType::Bf16 => fill!(bf16, bf16::from_f32),
            _ => fill!(f32, std::convert::identity),
        }
    }
    Ok(())
}

fn element(dtype: DType) -> TensorElementType {
    match dtype {
        DType::F16 => TensorElementType::Float16,
        DType::Bf16 => TensorElementType::Bfloat16,
        _ => TensorElementType::Float32,
    }
}
