//! Operators of our own, domain `ourvidz`: what ONNX Runtime's kernels do in several passes over memory, in one.
//!
//! A [`Definition`](definition::Definition) says an operator twice: as a loop over f32, which is what runs on the
//! processor and what tests hold the standard lowering against, and as CUDA code. Matrix products go to cuBLASLt;
//! everything else is CUDA C++ below `kernels/`, compiled by NVRTC for the device and the width at hand when a node
//! first runs. Nothing needs CUDA when this crate is built, and nothing waits for the device or takes memory outside
//! ONNX Runtime's arena, so that runs can be captured as CUDA graphs.

mod cached_attention;
mod clip;
mod context;
mod definition;
mod driver;
mod gated;
mod layer_norm;
mod linear;
mod matmul;
mod project;
mod rms_norm;
mod rows;
mod top;

use ort::operator::OperatorDomain;

use crate::{Error, Result};

pub(crate) use cached_attention::fits as fits_cached_attention;
pub(crate) use top::TOP;

/// The domain of the operators.
pub(crate) const DOMAIN: &str = "ourvidz";

/// Every operator in every type, for the processor and for CUDA.
pub(crate) fn operators() -> Result<OperatorDomain> {
    let failed = || Error::session("registering the operators of ourvidz");
    let mut domain = OperatorDomain::new(DOMAIN).map_err(failed())?;
    domain = definition::register::<linear::Linear>(domain).map_err(failed())?;
    domain = definition::register::<layer_norm::LayerNorm>(domain).map_err(failed())?;
    domain = definition::register::<layer_norm::ResidualLayerNorm>(domain).map_err(failed())?;
    domain = definition::register::<rms_norm::RmsNorm>(domain).map_err(failed())?;
    domain = definition::register::<rms_norm::SumRmsNorm>(domain).map_err(failed())?;
    domain = definition::register::<rms_norm::RmsNormRotary>(domain).map_err(failed())?;
    domain = definition::register::<clip::BiasSum>(domain).map_err(failed())?;
    domain = definition::register::<clip::AfterFrames>(domain).map_err(failed())?;
    domain = definition::register::<clip::AfterZeros>(domain).map_err(failed())?;
    domain = definition::register::<clip::DoubleFrames>(domain).map_err(failed())?;
    domain = definition::register::<gated::GatedResidual>(domain).map_err(failed())?;
    domain = definition::register::<gated::Geglu>(domain).map_err(failed())?;
    domain = definition::register::<project::Projection<1, false>>(domain).map_err(failed())?;
    domain = definition::register::<project::Projection<2, false>>(domain).map_err(failed())?;
    domain = definition::register::<project::Projection<3, false>>(domain).map_err(failed())?;
    domain = definition::register::<project::Projection<1, true>>(domain).map_err(failed())?;
    domain = definition::register::<project::Projection<2, true>>(domain).map_err(failed())?;
    domain = definition::register::<project::Projection<3, true>>(domain).map_err(failed())?;
    domain = definition::register::<cached_attention::CachedAttention<false>>(domain).map_err(failed())?;
    domain = definition::register::<cached_attention::CachedAttention<true>>(domain).map_err(failed())?;
    definition::register::<top::TopLogits>(domain).map_err(failed())
}

/// Copies between the host and a device: to the host it waits for it, to the device it may go on before.
///
/// # Safety
/// Both places must hold as many bytes, the one on the device in the context of the calling thread. What goes to the
/// device must live until [`synchronise`] has returned.
pub(crate) unsafe fn copy(to: *mut u8, from: *const u8, bytes: usize, to_device: bool) -> Result<(), String> {
    let driver = driver::Driver::get()?;
    // SAFETY: as promised by the caller.
    let code = unsafe {
        match to_device {
            true => (driver.copy_to_device)(to as u64, from.cast(), bytes),
            false => (driver.copy_to_host)(to.cast(), from as u64, bytes),
        }
    };
    if code == 0 { Ok(()) } else { Err(format!("copying failed with CUDA error {code}")) }
}

/// Waits for all that the calling thread's context does.
pub(crate) fn synchronise() -> Result<(), String> {
    let driver = driver::Driver::get()?;
    // SAFETY: takes nothing.
    let code = unsafe { (driver.synchronise)() };
    if code == 0 { Ok(()) } else { Err(format!("waiting failed with CUDA error {code}")) }
}

/// Loads the libraries that the operators need on `device`.
///
/// # Errors
/// [`Error::DeviceUnavailable`] names the library that is missing.
pub(crate) fn check(device: crate::Device) -> Result<()> {
    let missing = |reason| Error::DeviceUnavailable { device: device.to_string(), reason };
    driver::Driver::get().map_err(missing)?;
    driver::CublasLt::get().map_err(missing)?;
    driver::Nvrtc::get().map_err(missing).map(drop)
}
