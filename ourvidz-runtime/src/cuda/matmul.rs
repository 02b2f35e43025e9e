use std::collections::HashMap;
use std::ffi::{c_int, c_void};
use std::ptr::{from_ref, null_mut};
use std::sync::Mutex;

use super::context::locked;
use super::driver::{
    Algorithm, COMPUTE_F32, COMPUTE_TF32, CublasLt, DESCRIBE_BIAS, DESCRIBE_EPILOGUE, DESCRIBE_TRANSPOSE_A,
    EPILOGUE_BIAS, EPILOGUE_GELU_BIAS, EPILOGUE_NONE, Handle, Heuristic, LAYOUT_BATCH_COUNT,
    LAYOUT_BATCH_OFFSET, PREFER_WORKSPACE,
};
use crate::DType;

/// Most memory that a product may take beside its operands. What cuBLASLt's own documents advise for Hopper.
const MOST_WORKSPACE: u64 = 32 << 20;

/// Products whose algorithms are remembered: prompts have many lengths, and a process may see them for months.
const MOST_CHOSEN: usize = 4096;

/// `CUDA_R_32F`
const KIND_F32: c_int = 0;

/// cuBLASLt's handle of a GPU, and the algorithms it chose for products so far.
pub(super) struct Matmuls {
    library: &'static CublasLt,
    handle: usize,
    chosen: Mutex<HashMap<Product, (Algorithm, usize)>>,
}

/// y [rows, out] = x [rows, input] times a matrix, plus a bias and what `gelu` and `residual` say; `batch.count` times.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(super) struct Product {
    pub(super) dtype: DType,
    pub(super) rows: usize,
    pub(super) input: usize,
    pub(super) out: usize,
    /// From one row of x to the next; at least `input`.
    pub(super) x_stride: usize,
    /// From one row of y to the next; at least `out`.
    pub(super) stride: usize,
    pub(super) batch: Batch,
    /// The matrix lies as [out, input], otherwise as [input, out].
    pub(super) out_first: bool,
    /// y is in f32, whatever the other operands are.
    pub(super) wide: bool,
    /// GELU by its tanh approximation behind the bias.
    pub(super) gelu: bool,
    /// A vector is added to each row.
    pub(super) bias: bool,
    /// A tensor like y is added.
    pub(super) residual: bool,
}

/// Products like one another, and the numbers from one of their operands to the next one's.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(super) struct Batch {
    pub(super) count: usize,
    pub(super) matrix: usize,
    pub(super) x: usize,
    pub(super) y: usize,
}

impl Batch {
    /// A product by itself.
    pub(super) const ONE: Batch = Batch { count: 1, matrix: 0, x: 0, y: 0 };
}

/// A product that is ready to run; its descriptions belong to one node, or to one call.
pub(super) struct Plan {
    library: &'static CublasLt,
    handle: Handle,
    description: Handle,
    /// Of the matrix, x and y.
    layouts: [Handle; 3],
    algorithm: Algorithm,
    /// Bytes of scratch memory.
    pub(super) workspace: usize,
    bias: bool,
    residual: bool,
}

/// Where the operands of a product lie.
#[derive(Debug, Clone, Copy)]
pub(super) struct Operands {
    pub(super) x: *const c_void,
    pub(super) matrix: *const c_void,
    pub(super) bias: *const c_void,
    /// y itself where there is none.
    pub(super) residual: *const c_void,
    pub(super) y: *mut c_void,
    pub(super) workspace: *mut c_void,
}

// SAFETY: the handles are plain pointers into cuBLASLt, which lets any thread use them, one at a time.
unsafe impl Send for Plan {}

impl Matmuls {
    pub(super) fn new() -> Result<Matmuls, String> {
        let library = CublasLt::get()?;
        let mut handle = null_mut();
        // SAFETY: writes a new handle into a variable of ours.
        result("cublasLtCreate", unsafe { (library.create)(&mut handle) })?;
        Ok(Matmuls { library, handle: handle as usize, chosen: Mutex::default() })
    }

    /// Describes a product and lets cuBLASLt choose how to compute it, where it did not before.
    pub(super) fn plan(&self, product: Product) -> Result<Plan, String> {
        let library = self.library;
        let mut plan = Plan {
            library,
            handle: self.handle as Handle,
            description: null_mut(),
            layouts: [null_mut(); 3],
            algorithm: Algorithm::default(),
            workspace: 0,
            bias: product.bias,
            residual: product.residual,
        };
        let (kind, compute) = match product.dtype {
            DType::F16 => (2, COMPUTE_F32),
            DType::Bf16 => (14, COMPUTE_F32),
            _ => (KIND_F32, COMPUTE_TF32),
        };
        // cuBLASLt counts by columns: rows there are the last axis here, and y is the matrix times x.
        let [rows, input, out] = [product.rows, product.input, product.out].map(|n| n as u64);
        let matrix = if product.out_first { (input, out) } else { (out, input) };
        // SAFETY: handles are written to variables of the plan, which gives them back when it is dropped.
        unsafe {
            let code = (library.description)(&mut plan.description, compute, 0);
            result("cublasLtMatmulDescCreate", code)?;
            let (x, y) = ((input, rows), (out, rows));
            let result_kind = if product.wide { KIND_F32 } else { kind };
            let sizes = [
                (kind, matrix, matrix.0),
                (kind, x, product.x_stride as u64),
                (result_kind, y, product.stride as u64),
            ];
            for (layout, (kind, (rows, columns), stride)) in plan.layouts.iter_mut().zip(sizes) {
                let code = (library.layout)(layout, kind, rows, columns, stride as i64);
                result("cublasLtMatrixLayoutCreate", code)?;
            }
        }
        if product.batch != Batch::ONE {
            plan.repeat(product.batch)?;
        }
        plan.describe(DESCRIBE_TRANSPOSE_A, &c_int::from(product.out_first))?;
        let epilogue = match (product.gelu, product.bias) {
            (true, _) => EPILOGUE_GELU_BIAS,
            (false, true) => EPILOGUE_BIAS,
            (false, false) => EPILOGUE_NONE,
        };
        plan.describe(DESCRIBE_EPILOGUE, &epilogue)?;
        let mut chosen = locked(&self.chosen);
        (plan.algorithm, plan.workspace) = match chosen.get(&product) {
            Some(known) => *known,
            None => {
                let found = plan.choose().map_err(|e| format!("{e} for {product:?}"))?;
                if chosen.len() >= MOST_CHOSEN {
                    chosen.clear();
                }
                *chosen.entry(product).or_insert(found)
            }
        };
        Ok(plan)
    }
}

impl Plan {
    fn describe<T>(&self, attribute: c_int, value: &T) -> Result<(), String> {
        let value: *const T = value;
        // SAFETY: the library copies as many bytes as it is told that the value has.
        let code =
            unsafe { (self.library.describe)(self.description, attribute, value.cast(), size_of::<T>()) };
        result("cublasLtMatmulDescSetAttribute", code)
    }

    /// Sets how many products there are.
    fn repeat(&self, batch: Batch) -> Result<(), String> {
        let count = c_int::try_from(batch.count).map_err(|_| format!("{} products", batch.count))?;
        for (layout, offset) in self.layouts.iter().zip([batch.matrix, batch.x, batch.y]) {
            let offset = offset as i64;
            let (count, offset) = (from_ref(&count).cast(), from_ref(&offset).cast());
            for (attribute, value, size) in [
                (LAYOUT_BATCH_COUNT, count, size_of::<c_int>()),
                (LAYOUT_BATCH_OFFSET, offset, size_of::<i64>()),
            ] {
                // SAFETY: the library copies as many bytes as it is told that the value has.
                let code = unsafe { (self.library.describe_layout)(*layout, attribute, value, size) };
                result("cublasLtMatrixLayoutSetAttribute", code)?;
            }
        }
        Ok(())
    }

    fn choose(&self) -> Result<(Algorithm, usize), String> {
        let library = self.library;
        let mut preference = null_mut();
        let mut best = Heuristic::default();
        let mut count = 0;
        let [matrix, x, y] = self.layouts;
        // SAFETY: the descriptions are whole; the preference is dropped behind its last use.
        unsafe {
            result("cublasLtMatmulPreferenceCreate", (library.preference)(&mut preference))?;
            let most = from_ref(&MOST_WORKSPACE).cast();
            let limited = (library.prefer)(preference, PREFER_WORKSPACE, most, size_of::<u64>());
            let code = match limited {
                0 => (library.heuristic)(
                    self.handle,
                    self.description,
                    matrix,
                    x,
                    y,
                    y,
                    preference,
                    1,
                    &mut best,
                    &mut count,
                ),
                code => code,
            };
            (library.drop_preference)(preference);
            result("cublasLtMatmulAlgoGetHeuristic", code)?;
        }
        if count == 0 || best.state != 0 {
            return Err("cuBLASLt has no algorithm".into());
        }
        Ok((best.algorithm, best.workspace))
    }

    /// # Safety
    /// The operands must be on the device with the sizes of the plan's product, and `workspace` as large as it asks.
    pub(super) unsafe fn run(&self, operands: &Operands, stream: Handle) -> Result<(), String> {
        if self.bias {
            self.describe(DESCRIBE_BIAS, &operands.bias)?;
        }
        let (one, beta) = (1f32, if self.residual { 1f32 } else { 0f32 });
        let [matrix, x, y] = self.layouts;
        // SAFETY: as promised by the caller.
        let code = unsafe {
            (self.library.matmul)(
                self.handle,
                self.description,
                from_ref(&one).cast(),
                operands.matrix,
                matrix,
                operands.x,
                x,
                from_ref(&beta).cast(),
                operands.residual,
                y,
                operands.y,
                y,
                &self.algorithm,
                operands.workspace,
                self.workspace,
                stream,
            )
        };
        result("cublasLtMatmul", code)
    }
}

impl Drop for Plan {
    fn drop(&mut self) {
        // SAFETY: each handle was made for this plan alone; the library takes null.
        unsafe {
            for layout in self.layouts.iter().filter(|layout| !layout.is_null()) {
                (self.library.drop_layout)(*layout);
            }
            if !self.description.is_null() {
                (self.library.drop_description)(self.description);
            }
        }
    }
}

fn result(call: &str, code: c_int) -> Result<(), String> {
    if code == 0 { Ok(()) } else { Err(format!("{call} failed with cuBLAS status {code}")) }
}
