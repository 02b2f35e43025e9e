mod bound;
mod buffers;
mod keeping;
mod release;

use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use ort::operator::OperatorDomain;
use ort::session::builder::{GraphOptimizationLevel, SessionBuilder};
use ort::session::{RunOptions, Session as OrtSession};
use ort::value::{DynTensor, DynValue, TensorElementType};

use crate::graph::Model;
use crate::tensor::Data;
use crate::weights::{LoadProgress, WeightCache};
use crate::{DType, Device, Error, Precision, Result, Tensor, cuda, library};

pub use bound::{Bound, DeviceTensor};
pub use buffers::Buffers;
pub use keeping::{KeepingRun, Renewed, RenewingRun};

/// How a model becomes a session.
#[derive(Clone, Default)]
pub struct SessionOptions {
    /// Where it runs.
    pub device: Device,
    /// Threads on the processor; `None` takes one per core.
    pub threads: Option<usize>,
    /// On the processor, copy matrices into the order that its kernels read: faster runs, above all of few tokens, for
    /// a second copy of the weights in memory. On CUDA kernels always do as they need.
    pub prepack: bool,
    /// Write a trace of every node's time here, named after the model.
    pub profile: Option<PathBuf>,
    /// Operators of other domains than ONNX Runtime's own.
    pub operators: Vec<Arc<OperatorDomain>>,
    /// Take memory for each value when it is computed, instead of planning one block for a whole run. A plan is kept for
    /// every shape that was met, beside the memory of the run that it was made in: with shapes that change, twice the
    /// memory.
    pub without_memory_plan: bool,
    /// Let [`Session::run_in_place`] record runs as CUDA graphs and repeat them.
    pub cuda_graph: bool,
}

impl std::fmt::Debug for SessionOptions {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("SessionOptions")
            .field("device", &self.device)
            .field("threads", &self.threads)
            .field("prepack", &self.prepack)
            .field("profile", &self.profile)
            .field("operators", &self.operators.len())
            .field("without_memory_plan", &self.without_memory_plan)
            .field("cuda_graph", &self.cuda_graph)
            .finish()
    }
}

/// A model that is ready to run. One thread owns it: runs take `&mut self`.
pub struct Session {
    name: String,
    id: u64,
    device: Device,
    inner: OrtSession,
    inputs: Vec<Input>,
    /// Of runs that no CUDA graph records.
    plain: RunOptions,
}

impl std::fmt::Debug for Session {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Session")
            .field("name", &self.name)
            .field("device", &self.device)
            .finish_non_exhaustive()
    }
}

#[derive(Debug)]
struct Input {
    name: String,
    dtype: Option<DType>,
    rank: Option<usize>,
}

impl Session {
    /// Loads a graph built here. Weights that need another type or layout are converted into `cache` first.
    ///
    /// # Errors
    /// The library or the device is not there; ONNX Runtime refuses the graph; files cannot be read or written.
    pub fn load(
        model: &Model,
        options: &SessionOptions,
        cache: &WeightCache,
        progress: &mut dyn FnMut(LoadProgress<'_>),
    ) -> Result<Session> {
        let mut builder = builder(model.name(), options)?;
        if model.uses(cuda::DOMAIN) {
            if let Device::Cuda(_) = options.device {
                cuda::check(options.device)?;
            }
            let failed = || Error::session(format!("registering operators for {}", model.name()));
            builder = builder.with_operators(cuda::operators()?).map_err(failed())?;
        }
        let prepared = model.prepare(cache, progress)?;
        let what = format!("loading {} on {}", model.name(), options.device);
        if let Some(folder) = &prepared.folder {
            builder = builder
                .with_config_entry(
                    "session.model_external_initializers_file_folder_path",
                    folder.to_string_lossy(),
                )
                .map_err(Error::session(&what))?;
        }
        // Folding would copy every transposed matrix into memory of its own.
        builder = builder.with_disabled_optimizers("ConstantFolding").map_err(Error::session(&what))?;
        if matches!(options.device, Device::Cuda(_)) {
            // A node that quietly ran on the processor would copy its inputs back and forth on each step.
            builder = builder.with_disable_cpu_fallback().map_err(Error::session(&what))?;
        }
        if options.device == Device::Cpu && !options.prepack {
            // Prepacking copies every matrix; on CUDA it is what brings convolution kernels into order.
            builder = builder.with_prepacking(false).map_err(Error::session(&what))?;
        }
        let _guard = registering(model.uses(cuda::DOMAIN) || !options.operators.is_empty());
        let inner = builder.commit_from_memory(&prepared.bytes).map_err(Error::session(&what))?;
        Session::new(model.name(), options.device, inner)
    }

    /// Loads an exported `.onnx` file with its external data.
    ///
    /// Exporters leave computations of shapes in their graphs, which ONNX Runtime keeps on the processor: unlike with
    /// a graph built here, that is allowed on every device.
    ///
    /// # Errors
    /// As [`Session::load`].
    pub fn load_file(name: &str, path: &Path, options: &SessionOptions) -> Result<Session> {
        let what = format!("loading {} on {}", path.display(), options.device);
        let mut builder = builder(name, options)?;
        let _guard = registering(!options.operators.is_empty());
        let inner = builder.commit_from_file(path).map_err(Error::session(what))?;
        Session::new(name, options.device, inner)
    }

    fn new(name: &str, device: Device, inner: OrtSession) -> Result<Session> {
        let inputs = inner.inputs().iter().map(|input| Input {
            name: input.name().to_owned(),
            dtype: input.dtype().tensor_type().and_then(dtype_of),
            rank: input.dtype().tensor_shape().map(|shape| shape.len()),
        });
        let inputs = inputs.collect();
        let what = format!("preparing runs of {name}");
        let mut plain = RunOptions::new().map_err(Error::session(&what))?;
        plain.set("gpu_graph_id", "-1").map_err(Error::session(&what))?;
        Ok(Session { name: name.to_owned(), id: bound::next_id(), device, inner, inputs, plain })
    }

    /// Names of the inputs, in the model's order.
    pub fn inputs(&self) -> impl Iterator<Item = &str> {
        self.inputs.iter().map(|input| input.name.as_str())
    }

    /// Float type of an input, where it is one.
    pub fn input_precision(&self, name: &str) -> Option<Precision> {
        match self.inputs.iter().find(|input| input.name == name)?.dtype {
            Some(DType::F32) => Some(Precision::Fp32),
            Some(DType::F16) => Some(Precision::Fp16),
            Some(DType::Bf16) => Some(Precision::Bf16),
            _ => None,
        }
    }

    /// Names of the outputs, in the model's order.
    pub fn outputs(&self) -> impl Iterator<Item = &str> {
        self.inner.outputs().iter().map(|output| output.name())
    }

    /// Runs once; gives the named outputs in their order, on the host.
    ///
    /// # Errors
    /// An input is unknown or of a type that cannot be converted; ONNX Runtime fails.
    pub fn run(&mut self, inputs: &[(&str, &Tensor)], outputs: &[&str]) -> Result<Vec<Tensor>> {
        self.bind(inputs, outputs)?.run(&[])
    }

    /// Puts inputs on the device once, for a loop that changes only some of them.
    ///
    /// # Errors
    /// As [`Session::run`].
    pub fn bind(&mut self, inputs: &[(&str, &Tensor)], outputs: &[&str]) -> Result<Binding<'_>> {
        let bound = self.bound(inputs, outputs)?;
        Ok(Binding { session: self, bound })
    }
}

/// A session with inputs that stay on its device between runs.
#[derive(Debug)]
pub struct Binding<'s> {
    session: &'s mut Session,
    bound: Bound,
}

impl Binding<'_> {
    /// Replaces the given inputs, keeps the others where they are, and runs.
    ///
    /// # Errors
    /// As [`Session::run`].
    pub fn run(&mut self, changed: &[(&str, &Tensor)]) -> Result<Vec<Tensor>> {
        self.session.run_bound(&mut self.bound, changed)
    }
}

/// ONNX Runtime adds a domain to a table of the whole process after looking whether it is there, and lets another session
/// do so between: sessions with domains of their own are made one after the other.
fn registering(has_operators: bool) -> Option<MutexGuard<'static, ()>> {
    static REGISTERING: Mutex<()> = Mutex::new(());
    // A panic elsewhere while holding the lock leaves nothing half done here.
    has_operators.then(|| REGISTERING.lock().unwrap_or_else(PoisonError::into_inner))
}

fn builder(name: &str, options: &SessionOptions) -> Result<SessionBuilder> {
    let environment = library::environment(options.device)?;
    let what = format!("preparing a session on {}", options.device);
    let mut builder = OrtSession::builder(environment).map_err(Error::session(&what))?;
    builder = builder.with_memory_pattern(!options.without_memory_plan).map_err(Error::session(&what))?;
    builder = builder.with_optimization_level(GraphOptimizationLevel::All).map_err(Error::session(&what))?;
    if let Some(provider) = options.device.provider(options.cuda_graph)? {
        builder = builder.with_execution_providers([provider]).map_err(|e| Error::DeviceUnavailable {
            device: options.device.to_string(),
            reason: e.message().to_owned(),
        })?;
    }
    if let Some(threads) = options.threads {
        builder = builder.with_intra_threads(threads).map_err(Error::session(&what))?;
    }
    if let Some(folder) = &options.profile {
        builder = builder.with_profiling(folder.join(name)).map_err(Error::session(&what))?;
    }
    for domain in &options.operators {
        builder = builder.with_operators(domain.clone()).map_err(Error::session(&what))?;
    }
    Ok(builder)
}

fn to_ort(tensor: Tensor) -> ort::Result<DynTensor> {
    let shape: Vec<i64> = tensor.shape().iter().map(|n| *n as i64).collect();
    Ok(match tensor.into_data() {
        Data::F32(data) => ort::value::Tensor::from_array((shape, data))?.upcast(),
        Data::F16(data) => ort::value::Tensor::from_array((shape, data))?.upcast(),
        Data::Bf16(data) => ort::value::Tensor::from_array((shape, data))?.upcast(),
        Data::I64(data) => ort::value::Tensor::from_array((shape, data))?.upcast(),
        Data::I32(data) => ort::value::Tensor::from_array((shape, data))?.upcast(),
    })
}

fn from_ort(value: &DynValue, what: &str) -> Result<Tensor> {
    let failed = || Error::session(what);
    let dtype = value.dtype().tensor_type().and_then(dtype_of);
    let (shape, data) = match dtype {
        Some(DType::F16) => extract(value, Data::F16).map_err(failed())?,
        Some(DType::Bf16) => extract(value, Data::Bf16).map_err(failed())?,
        Some(DType::I64) => extract(value, Data::I64).map_err(failed())?,
        Some(DType::I32) => extract(value, Data::I32).map_err(failed())?,
        _ => extract(value, Data::F32).map_err(failed())?,
    };
    let count = shape.iter().product();
    Tensor::checked(&shape, count, data)
}

fn extract<T: ort::value::PrimitiveTensorElementType + Clone>(
    value: &DynValue,
    wrap: impl Fn(Vec<T>) -> Data,
) -> ort::Result<(Vec<usize>, Data)> {
    let (shape, data) = value.try_extract_tensor::<T>()?;
    Ok((shape.iter().map(|n| *n as usize).collect(), wrap(data.to_vec())))
}

fn dtype_of(element: TensorElementType) -> Option<DType> {
    Some(match element {
        TensorElementType::Float32 => DType::F32,
        TensorElementType::Float16 => DType::F16,
        TensorElementType::Bfloat16 => DType::Bf16,
        TensorElementType::Int64 => DType::I64,
        TensorElementType::Int32 => DType::I32,
        TensorElementType::Bool => DType::Bool,
        _ => return None,
    })
}
