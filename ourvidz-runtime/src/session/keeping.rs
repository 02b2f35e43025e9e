use super::{DeviceTensor, Session, from_ort};
use crate::{Device, Error, Result, Tensor};

/// One run of a model that hands state on to its next run: [`Session::run_keeping`].
#[derive(Debug, Clone, Copy, Default)]
pub struct KeepingRun<'a> {
    /// Inputs from the host.
    pub inputs: &'a [(&'a str, &'a Tensor)],
    /// Inputs that are on the device.
    pub kept: &'a [(&'a str, &'a DeviceTensor)],
    /// Outputs that come to the host.
    pub outputs: &'a [&'a str],
    /// Outputs that stay on the device.
    pub keep: &'a [&'a str],
}

/// One run of a model that writes its state where it read it: [`Session::run_renewing`].
#[derive(Debug)]
pub struct RenewingRun<'a> {
    /// Inputs from the host.
    pub inputs: &'a [(&'a str, &'a Tensor)],
    /// Outputs that come to the host.
    pub outputs: &'a [&'a str],
    /// What is on the device, read and written.
    pub state: &'a mut [Renewed<'a>],
}

/// A tensor on the device that a run replaces.
#[derive(Debug)]
pub struct Renewed<'a> {
    /// The input that it is.
    pub input: &'a str,
    /// The output of the same shape and type that it becomes.
    pub output: &'a str,
    /// Given by [`Session::run_keeping`] of any session on the same device.
    pub tensor: &'a mut DeviceTensor,
}

impl Session {
    /// Runs once with some outputs on the host and others on the device, each in its order.
    ///
    /// # Errors
    /// As [`Session::run`].
    pub fn run_keeping(&mut self, run: KeepingRun<'_>) -> Result<(Vec<Tensor>, Vec<DeviceTensor>)> {
        // A binding of its own for each run: a second run would write its state over what it reads.
        let mut bound = self.outputs_in(run.outputs, &Device::Cpu.memory()?)?;
        let what = format!("binding {}", self.name);
        let memory = self.device.memory()?;
        for name in run.keep {
            bound.binding.bind_output_to_device(*name, &memory).map_err(Error::session(&what))?;
        }
        for (name, tensor) in run.inputs {
            self.set(&mut bound, name, tensor)?;
        }
        for (name, tensor) in run.kept {
            self.set_on_device(&mut bound, name, tensor)?;
        }
        let what = format!("running {} on {}", self.name, self.device);
        let ran = self.inner.run_binding_with_options(&bound.binding, &self.plain);
        let mut values = ran.map_err(Error::session(&what))?;
        bound.binding.synchronize_outputs().map_err(Error::session(&what))?;
        let host = run.outputs.iter().map(|name| from_ort(&values[*name], &what)).collect::<Result<_>>()?;
        let kept = run.keep.iter().map(|name| {
            let known = || run.keep.iter().map(|name| (*name).to_owned()).collect();
            let missing = || Error::NotFound { what: format!("output {name}"), looked_for: known() };
            let value = values.remove(name).ok_or_else(missing)?;
            let shape = value.shape().iter().map(|n| *n as usize).collect();
            Ok(DeviceTensor { value, shape })
        });
        Ok((host, kept.collect::<Result<_>>()?))
    }

    /// Runs once and writes what it keeps over what it reads: no second copy of the state. State that a failed run
    /// leaves is undefined.
    ///
    /// Right only where each node that reads an input of the state is done before its output is written: the same node,
    /// or one that the writing node waits for.
    ///
    /// # Errors
    /// As [`Session::run`]; an output of the state that is unknown, or of another shape or type than its input.
    pub fn run_renewing(&mut self, run: RenewingRun<'_>) -> Result<Vec<Tensor>> {
        let mut bound = self.outputs_in(run.outputs, &Device::Cpu.memory()?)?;
        for (name, tensor) in run.inputs {
            self.set(&mut bound, name, tensor)?;
        }
        let what = format!("binding {}", self.name);
        for state in run.state {
            self.set_on_device(&mut bound, state.input, state.tensor)?;
            let value = &mut state.tensor.value;
            bound.binding.bind_output(state.output, value).map_err(Error::session(&what))?;
        }
        let what = format!("running {} on {}", self.name, self.device);
        let ran = self.inner.run_binding_with_options(&bound.binding, &self.plain);
        let values = ran.map_err(Error::session(&what))?;
        bound.binding.synchronize_outputs().map_err(Error::session(&what))?;
        run.outputs.iter().map(|name| from_ort(&values[*name], &what)).collect()
    }
}
