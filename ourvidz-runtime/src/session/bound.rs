use std::sync::atomic::{AtomicU64, Ordering};

use ort::memory::MemoryInfo;
use ort::session::IoBinding;
use ort::value::DynValue;

use super::{Session, from_ort, to_ort};
use crate::{Device, Error, Result, Tensor};

/// A tensor in the memory of a session's device: what one run gives and another takes, without the host between.
#[derive(Debug)]
pub struct DeviceTensor {
    pub(super) value: DynValue,
    pub(super) shape: Vec<usize>,
}

impl DeviceTensor {
    /// Sizes of the axes.
    pub fn shape(&self) -> &[usize] {
        &self.shape
    }
}

/// Inputs that stay on the device of the session that made it, for [`Session::run_bound`].
///
/// Unlike a [`Binding`](super::Binding) it does not hold the session, so one session can serve several in turn.
#[derive(Debug)]
pub struct Bound {
    pub(super) binding: IoBinding,
    pub(super) outputs: Vec<String>,
    session: u64,
}

/// A number per session, so that a [`Bound`] never meets another session than its own.
pub(super) fn next_id() -> u64 {
    static NEXT: AtomicU64 = AtomicU64::new(0);
    NEXT.fetch_add(1, Ordering::Relaxed)
}

impl Session {
    /// Puts inputs on the device; the named outputs come to the host after each run.
    ///
    /// # Errors
    /// As [`Session::run`].
    pub fn bound(&mut self, inputs: &[(&str, &Tensor)], outputs: &[&str]) -> Result<Bound> {
        let mut bound = self.outputs_in(outputs, &Device::Cpu.memory()?)?;
        for (name, tensor) in inputs {
            self.set(&mut bound, name, tensor)?;
        }
        Ok(bound)
    }

    /// Uses a tensor of the device as an input, where it lies.
    ///
    /// # Errors
    /// [`Error::Invalid`] for an input that is not there or a binding of another session.
    pub fn set_on_device(&self, bound: &mut Bound, name: &str, tensor: &DeviceTensor) -> Result<()> {
        self.owns(bound)?;
        self.input(name)?;
        let what = format!("binding {name} of {}", self.name);
        bound.binding.bind_input(name, &tensor.value).map_err(Error::session(what))
    }

    /// Replaces the given inputs, keeps the others where they are, and runs.
    ///
    /// # Errors
    /// As [`Session::run`], and [`Error::Invalid`] for a binding of another session.
    pub fn run_bound(&mut self, bound: &mut Bound, changed: &[(&str, &Tensor)]) -> Result<Vec<Tensor>> {
        self.owns(bound)?;
        for (name, tensor) in changed {
            self.set(bound, name, tensor)?;
        }
        let what = format!("running {} on {}", self.name, self.device);
        // The last run's results are bound now, and would refuse another size.
        for name in &bound.outputs {
            let memory = Device::Cpu.memory()?;
            bound.binding.bind_output_to_device(name, &memory).map_err(Error::session(&what))?;
        }
        let outputs = self
            .inner
            .run_binding_with_options(&bound.binding, &self.plain)
            .map_err(Error::session(&what))?;
        bound.binding.synchronize_outputs().map_err(Error::session(&what))?;
        bound.outputs.iter().map(|name| from_ort(&outputs[name.as_str()], &what)).collect()
    }

    /// Runs once; the named outputs stay on the device.
    ///
    /// # Errors
    /// As [`Session::run`].
    pub fn run_on_device(
        &mut self,
        inputs: &[(&str, &Tensor)],
        device_inputs: &[(&str, &DeviceTensor)],
        outputs: &[&str],
    ) -> Result<Vec<DeviceTensor>> {
        // Each run has a binding of its own: a second one would write into the first one's results.
        let mut bound = self.outputs_in(outputs, &self.device.memory()?)?;
        for (name, tensor) in inputs {
            self.set(&mut bound, name, tensor)?;
        }
        for (name, tensor) in device_inputs {
            self.set_on_device(&mut bound, name, tensor)?;
        }
        let what = format!("running {} on {}", self.name, self.device);
        let mut values = self
            .inner
            .run_binding_with_options(&bound.binding, &self.plain)
            .map_err(Error::session(&what))?;
        bound.binding.synchronize_outputs().map_err(Error::session(&what))?;
        let taken = bound.outputs.iter().map(|name| {
            let missing =
                || Error::NotFound { what: format!("output {name}"), looked_for: bound.outputs.clone() };
            let value = values.remove(name).ok_or_else(missing)?;
            let shape = value.shape().iter().map(|n| *n as usize).collect();
            Ok(DeviceTensor { value, shape })
        });
        taken.collect()
    }

    pub(super) fn outputs_in(&self, outputs: &[&str], memory: &MemoryInfo) -> Result<Bound> {
        let what = format!("binding {}", self.name);
        let mut binding = self.inner.create_binding().map_err(Error::session(&what))?;
        for name in outputs {
            binding.bind_output_to_device(*name, memory).map_err(Error::session(&what))?;
        }
        let outputs = outputs.iter().map(|name| (*name).to_owned()).collect();
        Ok(Bound { binding, outputs, session: self.id })
    }

    /// Puts one more input on the device, or another in its place.
    ///
    /// # Errors
    /// [`Error::Invalid`] for an input that is not there, a type that cannot be converted, or a binding of another
    /// session.
    pub fn set(&self, bound: &mut Bound, name: &str, tensor: &Tensor) -> Result<()> {
        self.owns(bound)?;
        let input = self.input(name)?;
        let what = format!("binding {name} of {}", self.name);
        let mut tensor = tensor.to_dtype(input.dtype.unwrap_or(tensor.dtype()))?;
        if input.rank == Some(0) && tensor.shape() == [1] {
            // Exported models take single numbers as scalars.
            tensor = tensor.into_scalar();
        }
        let value = to_ort(tensor).map_err(Error::session(&what))?;
        bound.binding.bind_input(name, &value).map_err(Error::session(&what))
    }

    pub(super) fn input(&self, name: &str) -> Result<&super::Input> {
        let known = || self.inputs.iter().map(|input| input.name.clone()).collect::<Vec<_>>();
        let found = self.inputs.iter().find(|input| input.name == name);
        found.ok_or_else(|| self.unknown("input", name, &known()))
    }

    fn unknown(&self, kind: &str, name: &str, known: &[String]) -> Error {
        let rule = format!("must be one of {}", known.join(", "));
        Error::Invalid { field: format!("{kind} of {}", self.name), rule, value: name.into() }
    }

    pub(super) fn owns(&self, bound: &Bound) -> Result<()> {
        if bound.session == self.id {
            return Ok(());
        }
        let rule = "must be a binding of this session".to_owned();
        Err(Error::Invalid { field: format!("binding of {}", self.name), rule, value: "another's".into() })
    }
}
