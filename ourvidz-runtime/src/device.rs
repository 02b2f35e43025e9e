use std::fmt;
use std::str::FromStr;

use ort::ep::{ArenaExtendStrategy, CUDA, ExecutionProvider, ExecutionProviderDispatch, TensorRT};
use ort::memory::{AllocationDevice, AllocatorType, MemoryInfo, MemoryType};

use crate::{Error, Precision, Result, Target};

/// Where a model runs. Asked for and not there is an error, never a quiet run elsewhere.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
pub enum Device {
    /// The processor.
    #[default]
    Cpu,
    /// An NVIDIA GPU by its number.
    Cuda(i32),
    /// The same GPU through TensorRT, which must be installed.
    TensorRt(i32),
}

impl Device {
    /// Which operators a graph for this device may use.
    pub fn target(self) -> Target {
        match self {
            Device::Cuda(_) => Target::Cuda,
            Device::Cpu | Device::TensorRt(_) => Target::Portable,
        }
    }

    /// fp32 on the processor, fp16 on a GPU.
    pub fn default_precision(self) -> Precision {
        match self {
            Device::Cpu => Precision::Fp32,
            Device::Cuda(_) | Device::TensorRt(_) => Precision::Fp16,
        }
    }

    /// Checks that the device can compute in `precision`.
    ///
    /// # Errors
    /// [`Error::Invalid`]: the processor's kernels of ONNX Runtime are fp32.
    pub fn check_precision(self, precision: Precision) -> Result<()> {
        if self != Device::Cpu || precision == Precision::Fp32 {
            return Ok(());
        }
        Err(Error::Invalid {
            field: "precision".into(),
            rule: "must be fp32 on cpu".into(),
            value: precision.to_string(),
        })
    }

    /// The provider to register, after checking that the loaded library has it. `graphs` lets CUDA record runs.
    pub(crate) fn provider(self, graphs: bool) -> Result<Option<ExecutionProviderDispatch>> {
        let unavailable =
            |reason: &str| Error::DeviceUnavailable { device: self.to_string(), reason: reason.into() };
        match self {
            Device::Cpu => Ok(None),
            Device::Cuda(id) => {
                // The arena's default strategy doubles what it holds; models here know what they need.
                let cuda = CUDA::default()
                    .with_device_id(id)
                    .with_arena_extend_strategy(ArenaExtendStrategy::SameAsRequested)
                    .with_cuda_graph(graphs);
                if !CUDA::is_available().unwrap_or(false) {
                    return Err(unavailable(
                        "the ONNX Runtime library in use has no CUDA provider; run `ourvidz setup --cuda`",
                    ));
                }
                Ok(Some(cuda.build().error_on_failure()))
            }
            Device::TensorRt(id) => {
                let tensorrt = TensorRT::default().with_device_id(id).with_fp16(true);
                if !TensorRT::is_available().unwrap_or(false) {
                    return Err(unavailable("the ONNX Runtime library in use has no TensorRT provider"));
                }
                Ok(Some(tensorrt.build().error_on_failure()))
            }
        }
    }

    /// Memory that values stay in between runs.
    pub(crate) fn memory(self) -> Result<MemoryInfo<'static>> {
        let (device, id) = match self {
            Device::Cpu => (AllocationDevice::CPU, 0),
            Device::Cuda(id) | Device::TensorRt(id) => (AllocationDevice::CUDA, id),
        };
        MemoryInfo::new(device, id, AllocatorType::Device, MemoryType::Default)
            .map_err(Error::session(format!("describing the memory of {self}")))
    }
}

impl fmt::Display for Device {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Device::Cpu => f.write_str("cpu"),
            Device::Cuda(id) => write!(f, "cuda:{id}"),
            Device::TensorRt(id) => write!(f, "tensorrt:{id}"),
        }
    }
}

impl FromStr for Device {
    type Err = Error;

    /// `cpu`, `cuda`, `cuda:1`, `tensorrt`, `tensorrt:1`
    fn from_str(text: &str) -> Result<Self> {
        let (kind, number) = text.split_once(':').unwrap_or((text, "0"));
        let id = number.parse::<i32>().ok().filter(|id| *id >= 0);
        match (kind, id) {
            ("cpu", _) if kind == text => Ok(Device::Cpu),
            ("cuda", Some(id)) => Ok(Device::Cuda(id)),
            ("tensorrt", Some(id)) => Ok(Device::TensorRt(id)),
            _ => Err(Error::Invalid {
                field: "device".into(),
                rule: "must be cpu, cuda:N or tensorrt:N".into(),
                value: text.into(),
            }),
        }
    }
}
