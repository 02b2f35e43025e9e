use std::collections::HashMap;
use std::ffi::{CString, c_char, c_int, c_uint, c_void};
use std::ptr::{null, null_mut};
use std::sync::{Mutex, MutexGuard, OnceLock};

use super::driver::{COMPUTE_CAPABILITY, Driver, Handle, Nvrtc};
use super::matmul::Matmuls;

/// What is kept for each GPU of the process: compiled kernels, and cuBLASLt's handle with its choices.
pub(super) struct Context {
    driver: &'static Driver,
    device: c_int,
    /// As NVRTC names the device, e.g. `sm_90`.
    architecture: String,
    /// Major number of the architecture.
    generation: c_int,
    kernels: Mutex<HashMap<String, Kernel>>,
    matmuls: OnceLock<Result<Matmuls, String>>,
}

/// A compiled kernel.
#[derive(Debug, Clone, Copy)]
pub(super) struct Kernel(usize);

/// CUDA code that is compiled when it is first needed.
pub(super) struct Source<'a> {
    /// Name of the function.
    pub(super) name: &'a str,
    /// Parts of the code, one behind the other.
    pub(super) code: &'a [&'a str],
    /// Macros and their values.
    pub(super) macros: &'a [(&'a str, i64)],
}

impl Context {
    /// The context that a stream belongs to.
    pub(super) fn of(stream: Handle) -> Result<&'static Context, String> {
        static CONTEXTS: Mutex<Option<HashMap<usize, &'static Context>>> = Mutex::new(None);
        let driver = Driver::get()?;
        let mut handle = null_mut();
        // SAFETY: the stream is ONNX Runtime's and lives; the result is written to a variable of ours.
        driver_result("cuStreamGetCtx", unsafe { (driver.context_of_stream)(stream, &mut handle) })?;
        let mut contexts = locked(&CONTEXTS);
        let contexts = contexts.get_or_insert_default();
        if let Some(context) = contexts.get(&(handle as usize)) {
            return Ok(context);
        }
        let context = Context::new(driver, handle)?;
        // As CUDA's own context, it stays until the process ends.
        let context = &*Box::leak(Box::new(context));
        contexts.insert(handle as usize, context);
        Ok(context)
    }

    fn new(driver: &'static Driver, handle: Handle) -> Result<Context, String> {
        let mut current = null_mut();
        // SAFETY: plain queries; the handle is that of a living context.
        unsafe {
            driver_result("cuCtxGetCurrent", (driver.current_context)(&mut current))?;
            if current != handle {
                driver_result("cuCtxSetCurrent", (driver.make_current)(handle))?;
            }
        }
        let mut device = 0;
        // SAFETY: a context is current.
        driver_result("cuCtxGetDevice", unsafe { (driver.device_of_context)(&mut device) })?;
        let [major, minor] = COMPUTE_CAPABILITY.map(|attribute| {
            let mut value = 0;
            // SAFETY: the device is there.
            let code = unsafe { (driver.attribute)(&mut value, attribute, device) };
            driver_result("cuDeviceGetAttribute", code).map(|()| value)
        });
        let (generation, minor) = (major?, minor?);
        Ok(Context {
            driver,
            device,
            architecture: format!("sm_{generation}{minor}"),
            generation,
            kernels: Mutex::default(),
            matmuls: OnceLock::new(),
        })
    }

    /// Number of the GPU.
    pub(super) fn device(&self) -> i32 {
        self.device
    }

    /// Whether its tensor cores multiply bfloat16: Ampere and later.
    pub(super) fn has_bf16_products(&self) -> bool {
        self.generation >= 8
    }

    /// Products of matrices on this GPU.
    pub(super) fn matmuls(&self) -> Result<&Matmuls, String> {
        self.matmuls.get_or_init(Matmuls::new).as_ref().map_err(Clone::clone)
    }

    /// Compiles a kernel, once per process and set of macros.
    pub(super) fn kernel(&self, source: &Source<'_>) -> Result<Kernel, String> {
        let key = format!("{} {:?}", source.name, source.macros);
        let mut kernels = locked(&self.kernels);
        if let Some(kernel) = kernels.get(&key) {
            return Ok(*kernel);
        }
        let binary = compile(source, &self.architecture).map_err(|e| format!("compiling {key}: {e}"))?;
        let name = CString::new(source.name).map_err(|e| e.to_string())?;
        let (mut module, mut function) = (null_mut(), null_mut());
        // SAFETY: the binary is a whole one for this device; the module is never unloaded.
        unsafe {
            driver_result(
                "cuModuleLoadData",
                (self.driver.load_module)(&mut module, binary.as_ptr().cast()),
            )?;
            driver_result(
                "cuModuleGetFunction",
                (self.driver.function)(&mut function, module, name.as_ptr()),
            )?;
        }
        let kernel = Kernel(function as usize);
        kernels.insert(key, kernel);
        Ok(kernel)
    }

    /// Runs a kernel on a stream.
    ///
    /// # Safety
    /// `arguments` must be those of the kernel, in number, type and order, and what they point to on the device must
    /// be there and large enough.
    pub(super) unsafe fn launch(
        &self,
        kernel: Kernel,
        (blocks, threads): (usize, usize),
        stream: Handle,
        arguments: &mut [Argument],
    ) -> Result<(), String> {
        let blocks = c_uint::try_from(blocks).ok().filter(|n| *n <= i32::MAX as c_uint);
        let blocks = blocks.ok_or("a tensor has more rows than a CUDA grid")?;
        let mut places: Vec<*mut c_void> = arguments.iter_mut().map(Argument::place).collect();
        // SAFETY: as promised by the caller.
        let code = unsafe {
            (self.driver.launch)(
                kernel.0 as Handle,
                blocks,
                1,
                1,
                threads as c_uint,
                1,
                1,
                0,
                stream,
                places.as_mut_ptr(),
                null_mut(),
            )
        };
        driver_result("cuLaunchKernel", code)
    }
}

/// An argument of a kernel.
pub(super) enum Argument {
    Pointer(*mut c_void),
    Count(i64),
    Number(f32),
}

impl Argument {
    fn place(&mut self) -> *mut c_void {
        match self {
            Argument::Pointer(x) => std::ptr::from_mut(x).cast(),
            Argument::Count(x) => std::ptr::from_mut(x).cast(),
            Argument::Number(x) => std::ptr::from_mut(x).cast(),
        }
    }
}

fn compile(source: &Source<'_>, architecture: &str) -> Result<Vec<u8>, String> {
    let nvrtc = Nvrtc::get()?;
    let text = |s: String| CString::new(s).map_err(|e| e.to_string());
    let code = text(source.code.concat())?;
    let mut options = vec![text(format!("--gpu-architecture={architecture}"))?, text("--std=c++17".into())?];
    for (name, value) in source.macros {
        options.push(text(format!("-D{name}={value}"))?);
    }
    let options: Vec<*const c_char> = options.iter().map(|o| o.as_ptr()).collect();
    let mut program = null_mut();
    // SAFETY: all strings outlive the program.
    let code = unsafe { (nvrtc.create)(&mut program, code.as_ptr(), null(), 0, null(), null()) };
    nvrtc_result("nvrtcCreateProgram", code)?;
    // SAFETY: the program was made and is destroyed once, behind its last use.
    unsafe {
        let compiled = (nvrtc.compile)(program, options.len() as c_int, options.as_ptr());
        let result = match nvrtc_result("nvrtcCompileProgram", compiled) {
            Ok(()) => read(nvrtc.binary_size, nvrtc.binary, program),
            Err(e) => {
                let log = read(nvrtc.log_size, nvrtc.log, program).unwrap_or_default();
                Err(format!("{e}: {}", String::from_utf8_lossy(&log).trim_end_matches('\0')))
            }
        };
        (nvrtc.destroy)(&mut program);
        result
    }
}

/// # Safety
/// The two functions must give the size of a text of the program and the text.
unsafe fn read(
    size: unsafe extern "C" fn(Handle, *mut usize) -> c_int,
    fill: unsafe extern "C" fn(Handle, *mut c_char) -> c_int,
    program: Handle,
) -> Result<Vec<u8>, String> {
    let mut length = 0;
    // SAFETY: the buffer is as long as the library said.
    unsafe {
        nvrtc_result("nvrtcGetCUBINSize", size(program, &mut length))?;
        let mut bytes = vec![0u8; length];
        nvrtc_result("nvrtcGetCUBIN", fill(program, bytes.as_mut_ptr().cast()))?;
        Ok(bytes)
    }
}

fn driver_result(call: &str, code: c_int) -> Result<(), String> {
    if code == 0 { Ok(()) } else { Err(format!("{call} failed with CUDA error {code}")) }
}

fn nvrtc_result(call: &str, code: c_int) -> Result<(), String> {
    if code == 0 { Ok(()) } else { Err(format!("{call} failed with NVRTC error {code}")) }
}

/// A panic elsewhere while holding the lock leaves nothing half done in these maps.
pub(super) fn locked<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(|poisoned| poisoned.into_inner())
}
