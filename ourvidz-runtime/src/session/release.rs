use super::Session;
use crate::{Device, Error, Result};

/// What a run gives back to the device, `Arena` of `onnxruntime_run_options_config_keys.h`.
const KEY: &str = "memory.enable_memory_arena_shrinkage";

impl Session {
    /// Whether runs from now on end by giving the device all memory that no weight and no value is in. The next run
    /// takes it anew, which costs milliseconds for each gigabyte. Initially they keep it. On the processor nothing
    /// changes: the system itself takes back what is not used.
    ///
    /// # Errors
    /// ONNX Runtime refuses.
    pub fn release_after_runs(&mut self, release: bool) -> Result<()> {
        let arena = match self.device {
            Device::Cuda(id) | Device::TensorRt(id) if release => format!("gpu:{id}"),
            Device::Cpu if release => return Ok(()),
            _ => String::new(),
        };
        let what = format!("preparing runs of {}", self.name);
        self.plain.set(KEY, arena).map_err(Error::session(what))
    }
}
