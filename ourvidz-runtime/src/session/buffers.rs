use std::collections::BTreeMap;

use ort::memory::Allocator;
use ort::session::RunOptions;
use ort::value::{DynTensor, TensorElementType};

use super::{Bound, Session, from_ort, to_ort};
use crate::{DType, Device, Error, Result, Tensor, cuda};

/// Tensors in a session's memory that keep their addresses, by name: caches that a run writes in place, and what a
/// recorded CUDA graph reads and writes.
#[derive(Debug)]
pub struct Buffers {
    device: Device,
    allocator: Allocator,
    tensors: BTreeMap<String, DynTensor>,
}

impl Session {
    /// No buffers yet, in the memory of this session's device.
    ///
    /// # Errors
    /// ONNX Runtime has no allocator for the device.
    pub fn buffers(&self) -> Result<Buffers> {
        let what = format!("allocating buffers of {}", self.name);
        let allocator = Allocator::new(&self.inner, self.device.memory()?).map_err(Error::session(what))?;
        Ok(Buffers { device: self.device, allocator, tensors: BTreeMap::new() })
    }

    /// Uses the buffer `buffer` as an input, where it lies. A write to the buffer is seen by the next run.
    ///
    /// # Errors
    /// [`Error::Invalid`] for an input or a buffer that is not there, or a binding of another session.
    pub fn set_buffer(&self, bound: &mut Bound, name: &str, buffers: &Buffers, buffer: &str) -> Result<()> {
        self.owns(bound)?;
        self.input(name)?;
        let what = format!("binding {name} of {}", self.name);
        bound.binding.bind_input(name, buffers.tensor(buffer)?).map_err(Error::session(what))
    }

    /// Lets each run write an output into the buffer `buffer`, which may be an input's.
    ///
    /// # Errors
    /// [`Error::Invalid`] for a buffer that is not there or a binding of another session; an output that is unknown.
    pub fn set_output(
        &self,
        bound: &mut Bound,
        name: &str,
        buffers: &mut Buffers,
        buffer: &str,
    ) -> Result<()> {
        self.owns(bound)?;
        let what = format!("binding {name} of {}", self.name);
        let tensor = buffers.tensor_mut(buffer)?;
        bound.binding.bind_output(name, tensor).map_err(Error::session(what))
    }

    /// Runs with what is bound; outputs that are in no buffer are lost.
    ///
    /// With `graph`, a session with [`SessionOptions::cuda_graph`](super::SessionOptions::cuda_graph) records the
    /// second or third such run and from then on repeats it, so every input and output must be in a buffer. One number
    /// stands for one binding.
    ///
    /// # Errors
    /// As [`Session::run`].
    pub fn run_in_place(&mut self, bound: &mut Bound, graph: Option<u32>) -> Result<()> {
        self.owns(bound)?;
        let what = format!("running {} on {}", self.name, self.device);
        let mut recorded = None;
        if let Some(id) = graph {
            let mut options = RunOptions::new().map_err(Error::session(&what))?;
            options.set("gpu_graph_id", id.to_string()).map_err(Error::session(&what))?;
            recorded = Some(options);
        }
        let options = recorded.as_ref().unwrap_or(&self.plain);
        self.inner.run_binding_with_options(&bound.binding, options).map_err(Error::session(&what))?;
        Ok(())
    }

    /// A binding without outputs, to which buffers are added.
    ///
    /// # Errors
    /// ONNX Runtime fails.
    pub fn unbound(&self) -> Result<Bound> {
        self.outputs_in(&[], &Device::Cpu.memory()?)
    }
}

impl Buffers {
    /// A new buffer of zeros under `name`; one that was there is dropped.
    ///
    /// # Errors
    /// The memory is not there; a type that no buffer has.
    pub fn add(&mut self, name: &str, dtype: DType, shape: &[usize]) -> Result<()> {
        let what = format!("allocating {name} on {}", self.device);
        let dims: Vec<i64> = shape.iter().map(|n| *n as i64).collect();
        let tensor = DynTensor::new(&self.allocator, element(dtype), dims).map_err(Error::session(what))?;
        self.tensors.insert(name.to_owned(), tensor);
        let zeros = Tensor::i64(shape, vec![0; shape.iter().product()])?.to_dtype(dtype)?;
        self.write(name, &zeros)
    }

    /// Replaces the numbers of a buffer.
    ///
    /// # Errors
    /// [`Error::Invalid`] for a buffer that is not there; [`Error::Shape`] for another shape or type.
    pub fn write(&mut self, name: &str, tensor: &Tensor) -> Result<()> {
        self.write_all(&[(name, tensor)])
    }

    /// [`write`](Self::write) of several buffers, one wait for all of them.
    ///
    /// # Errors
    /// As there; the others are written.
    pub fn write_all(&mut self, all: &[(&str, &Tensor)]) -> Result<()> {
        // What lies in pageable memory may still be on its way when a copy returns: it lives until all have arrived.
        let sources: Vec<_> = all.iter().map(|(name, tensor)| self.send(name, tensor)).collect();
        if self.device != Device::Cpu {
            cuda::synchronise().map_err(Error::copy(format!("writing on {}", self.device)))?;
        }
        sources.into_iter().try_for_each(|source| source.map(drop))
    }

    /// Starts a copy of `tensor` -> what it is copied from.
    fn send(&mut self, name: &str, tensor: &Tensor) -> Result<DynTensor> {
        let (device, target) = (self.device, self.tensor_mut(name)?);
        let fits = target.shape().iter().map(|n| *n as usize).eq(tensor.shape().iter().copied());
        if !fits || element(tensor.dtype()) != *target.data_type() {
            let found = format!("{} {:?}", tensor.dtype(), tensor.shape());
            let rule = format!("must be {} {:?}", target.data_type(), &**target.shape());
            return Err(Error::shape(name, rule, found));
        }
        let what = format!("writing {name} on {device}");
        let source = to_ort(tensor.clone()).map_err(Error::session(&what))?;
        let bytes = tensor.shape().iter().product::<usize>() * tensor.dtype().size();
        if device != Device::Cpu {
            let (from, to) = (source.data_ptr().cast::<u8>(), target.data_ptr_mut().cast::<u8>());
            // SAFETY: both tensors are of this type and count; the session has made its device's context current.
            unsafe { cuda::copy(to, from, bytes, true) }.map_err(Error::copy(what))?;
            return Ok(source);
        }
        // SAFETY: both tensors are in the processor's memory, of the same type and count, and different.
        unsafe {
            let (from, to) = (source.data_ptr().cast::<u8>(), target.data_ptr_mut().cast::<u8>());
            std::ptr::copy_nonoverlapping(from, to, bytes);
        }
        Ok(source)
    }

    /// The numbers of a buffer, on the host.
    ///
    /// # Errors
    /// [`Error::Invalid`] for a buffer that is not there.
    pub fn read(&self, name: &str) -> Result<Tensor> {
        let what = format!("reading {name} on {}", self.device);
        let tensor = self.tensor(name)?;
        let host = Allocator::default();
        let shape: Vec<i64> = tensor.shape().to_vec();
        let mut copy = DynTensor::new(&host, *tensor.data_type(), shape).map_err(Error::session(&what))?;
        let count = tensor.shape().num_elements();
        let bytes = tensor.data_type().byte_size(count).unwrap_or(0);
        let (from, to) = (tensor.data_ptr().cast::<u8>(), copy.data_ptr_mut().cast::<u8>());
        // SAFETY: both tensors are of this type and count; on CUDA the session has made its context current.
        unsafe {
            match self.device {
                Device::Cpu => std::ptr::copy_nonoverlapping(from, to, bytes),
                _ => cuda::copy(to, from, bytes, false).map_err(Error::copy(&what))?,
            }
        }
        from_ort(&copy.into_dyn(), &what)
    }

    fn tensor(&self, name: &str) -> Result<&DynTensor> {
        self.tensors.get(name).ok_or_else(|| unknown(name, &self.tensors))
    }

    fn tensor_mut(&mut self, name: &str) -> Result<&mut DynTensor> {
        if !self.tensors.contains_key(name) {
            return Err(unknown(name, &self.tensors));
        }
        self.tensors.get_mut(name).ok_or_else(|| unknown(name, &BTreeMap::new()))
    }
}

fn unknown(name: &str, known: &BTreeMap<String, DynTensor>) -> Error {
    let rule = format!("must be one of {}", known.keys().cloned().collect::<Vec<_>>().join(", "));
    Error::Invalid { field: "buffer".into(), rule, value: name.into() }
}

fn element(dtype: DType) -> TensorElementType {
    match dtype {
        DType::F32 => TensorElementType::Float32,
        DType::F16 => TensorElementType::Float16,
        DType::Bf16 => TensorElementType::Bfloat16,
        DType::I64 => TensorElementType::Int64,
        DType::I32 => TensorElementType::Int32,
        DType::Bool => TensorElementType::Bool,
        DType::U8 => TensorElementType::Uint8,
    }
}
