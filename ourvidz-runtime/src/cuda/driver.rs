//! The few functions of CUDA's driver, cuBLASLt and NVRTC that the operators call, found when they are first needed.
//!
//! Errors are numbers of each library's own, 0 being success; a library or function that is missing is a value too.

use std::ffi::{c_char, c_int, c_uint, c_void};
use std::sync::OnceLock;

use libloading::Library;

pub(super) type Handle = *mut c_void;

macro_rules! functions {
    ($(#[$doc:meta])* $name:ident from $file:literal { $($field:ident = $symbol:literal($($argument:ty),*);)* }) => {
        $(#[$doc])*
        pub(super) struct $name {
            $(pub(super) $field: unsafe extern "C" fn($($argument),*) -> c_int,)*
        }

        impl $name {
            /// The functions, or why they are not there.
            pub(super) fn get() -> Result<&'static $name, String> {
                static LOADED: OnceLock<Result<$name, String>> = OnceLock::new();
                let load = || {
                    let library = open($file)?;
                    // SAFETY: the signatures are those of CUDA 13's headers, which the number in the name stands for.
                    Ok($name { $($field: unsafe { find(library, $symbol, $file)? },)* })
                };
                LOADED.get_or_init(load).as_ref().map_err(Clone::clone)
            }
        }
    };
}

functions! {
    /// The part of the display driver that runs kernels.
    Driver from "libcuda.so.1" {
        context_of_stream = "cuStreamGetCtx"(Handle, *mut Handle);
        current_context = "cuCtxGetCurrent"(*mut Handle);
        make_current = "cuCtxSetCurrent"(Handle);
        device_of_context = "cuCtxGetDevice"(*mut c_int);
        attribute = "cuDeviceGetAttribute"(*mut c_int, c_int, c_int);
        copy_to_device = "cuMemcpyHtoD_v2"(u64, *const c_void, usize);
        synchronise = "cuCtxSynchronize"();
        copy_to_host = "cuMemcpyDtoH_v2"(*mut c_void, u64, usize);
        load_module = "cuModuleLoadData"(*mut Handle, *const c_void);
        function = "cuModuleGetFunction"(*mut Handle, Handle, *const c_char);
        launch = "cuLaunchKernel"(
            Handle, c_uint, c_uint, c_uint, c_uint, c_uint, c_uint, c_uint, Handle, *mut *mut c_void, *mut *mut c_void
        );
    }
}

functions! {
    /// Matrix products with what follows them.
    CublasLt from "libcublasLt.so.13" {
        create = "cublasLtCreate"(*mut Handle);
        description = "cublasLtMatmulDescCreate"(*mut Handle, c_int, c_int);
        drop_description = "cublasLtMatmulDescDestroy"(Handle);
        describe = "cublasLtMatmulDescSetAttribute"(Handle, c_int, *const c_void, usize);
        layout = "cublasLtMatrixLayoutCreate"(*mut Handle, c_int, u64, u64, i64);
        drop_layout = "cublasLtMatrixLayoutDestroy"(Handle);
        describe_layout = "cublasLtMatrixLayoutSetAttribute"(Handle, c_int, *const c_void, usize);
        preference = "cublasLtMatmulPreferenceCreate"(*mut Handle);
        drop_preference = "cublasLtMatmulPreferenceDestroy"(Handle);
        prefer = "cublasLtMatmulPreferenceSetAttribute"(Handle, c_int, *const c_void, usize);
        heuristic = "cublasLtMatmulAlgoGetHeuristic"(
            Handle, Handle, Handle, Handle, Handle, Handle, Handle, c_int, *mut Heuristic, *mut c_int
        );
        matmul = "cublasLtMatmul"(
            Handle, Handle, *const c_void, *const c_void, Handle, *const c_void, Handle, *const c_void, *const c_void,
            Handle, *mut c_void, Handle, *const Algorithm, *mut c_void, usize, Handle
        );
    }
}

functions! {
    /// The compiler of CUDA C++.
    Nvrtc from "libnvrtc.so.13" {
        create = "nvrtcCreateProgram"(
            *mut Handle, *const c_char, *const c_char, c_int, *const *const c_char, *const *const c_char
        );
        compile = "nvrtcCompileProgram"(Handle, c_int, *const *const c_char);
        destroy = "nvrtcDestroyProgram"(*mut Handle);
        binary_size = "nvrtcGetCUBINSize"(Handle, *mut usize);
        binary = "nvrtcGetCUBIN"(Handle, *mut c_char);
        log_size = "nvrtcGetProgramLogSize"(Handle, *mut usize);
        log = "nvrtcGetProgramLog"(Handle, *mut c_char);
    }
}

/// `cublasLtMatmulAlgo_t`
#[repr(C)]
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Algorithm {
    data: [u64; 8],
}

/// `cublasLtMatmulHeuristicResult_t`
#[repr(C)]
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Heuristic {
    pub(super) algorithm: Algorithm,
    pub(super) workspace: usize,
    pub(super) state: c_int,
    pub(super) waves: f32,
    reserved: [c_int; 4],
}

/// `CUBLASLT_MATMUL_DESC_TRANSA`
pub(super) const DESCRIBE_TRANSPOSE_A: c_int = 3;
/// `CUBLASLT_MATMUL_DESC_EPILOGUE`
pub(super) const DESCRIBE_EPILOGUE: c_int = 7;
/// `CUBLASLT_MATMUL_DESC_BIAS_POINTER`
pub(super) const DESCRIBE_BIAS: c_int = 8;
/// `CUBLASLT_MATRIX_LAYOUT_BATCH_COUNT`, an i32.
pub(super) const LAYOUT_BATCH_COUNT: c_int = 5;
/// `CUBLASLT_MATRIX_LAYOUT_STRIDED_BATCH_OFFSET`, an i64 of elements.
pub(super) const LAYOUT_BATCH_OFFSET: c_int = 6;
/// `CUBLASLT_MATMUL_PREF_MAX_WORKSPACE_BYTES`
pub(super) const PREFER_WORKSPACE: c_int = 1;
/// `CUBLASLT_EPILOGUE_DEFAULT`
pub(super) const EPILOGUE_NONE: c_int = 1;
/// `CUBLASLT_EPILOGUE_BIAS`
pub(super) const EPILOGUE_BIAS: c_int = 4;
/// `CUBLASLT_EPILOGUE_GELU_BIAS`, whose GELU is the approximation by tanh.
pub(super) const EPILOGUE_GELU_BIAS: c_int = 36;
/// `CUBLAS_COMPUTE_32F`
pub(super) const COMPUTE_F32: c_int = 68;
/// `CUBLAS_COMPUTE_32F_FAST_TF32`, as ONNX Runtime computes products of f32.
pub(super) const COMPUTE_TF32: c_int = 77;
/// `CU_DEVICE_ATTRIBUTE_COMPUTE_CAPABILITY_MAJOR` and `_MINOR`
pub(super) const COMPUTE_CAPABILITY: [c_int; 2] = [75, 76];

fn open(file: &str) -> Result<&'static Library, String> {
    // SAFETY: these are NVIDIA's own libraries, which the CUDA provider has loaded or would load by the same name.
    let library = unsafe { Library::new(file) };
    // Never unloaded: function pointers into it live as long as the process.
    let missing = |e| format!("{file} could not be loaded ({e}); run `ourvidz setup --cuda`");
    library.map(|library| &*Box::leak(Box::new(library))).map_err(missing)
}

/// # Safety
/// `F` must be the function's signature.
unsafe fn find<F: Copy>(library: &Library, symbol: &str, file: &str) -> Result<F, String> {
    // SAFETY: as promised by the caller.
    let found = unsafe { library.get::<F>(symbol.as_bytes()) };
    found.map(|found| *found).map_err(|e| format!("{file} has no {symbol} ({e}); run `ourvidz setup --cuda`"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_missing_library_is_named_with_the_command_that_brings_it() {
        let error = open("libnowhere.so.13").map(drop).err().unwrap_or_default();
        assert!(error.starts_with("libnowhere.so.13 could not be loaded"), "{error}");
        assert!(error.ends_with("run `ourvidz setup --cuda`"), "{error}");
    }
}
