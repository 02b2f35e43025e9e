use super::context::{Argument, Context, Kernel, Source};
use super::definition::DeviceRun;
use crate::DType;

pub(super) const TYPES: &str = include_str!("kernels/types.cu");
const ROWS: &str = include_str!("kernels/rows.cu");

/// Threads of a block, where a row needs fewer.
const BLOCK: usize = 128;
/// Packs of numbers that a thread holds in registers.
const MOST_PACKS: usize = 6;

/// How threads share the rows of a tensor: each row is held by `threads` of them, in registers.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Rows {
    width: usize,
    /// Numbers that are read at once.
    pack: usize,
    /// Threads of a row: a power of two.
    threads: usize,
    /// Rows of a block.
    rows: usize,
}

impl Rows {
    /// `group`: numbers that must be in one pack's hands, e.g. the width of a head.
    pub(super) fn new(dtype: DType, width: usize, group: usize) -> Result<Rows, String> {
        let pack = pack(dtype, [width, group]);
        let packs = width / pack.max(1);
        let threads = packs.div_ceil(MOST_PACKS).next_power_of_two().max(4);
        if threads > 1024 || width == 0 {
            return Err(format!("rows of {width} numbers are not supported"));
        }
        Ok(Rows { width, pack, threads, rows: (BLOCK / threads).max(1) })
    }

    /// For a single row, where nothing hides how long a thread takes: as many threads as have something to do, a warp at least.
    pub(super) fn of_one(dtype: DType, width: usize) -> Result<Rows, String> {
        let rows = Rows::new(dtype, width, width)?;
        let threads = (width / rows.pack).next_power_of_two().clamp(rows.threads.max(32), 1024);
        Ok(Rows { threads, rows: 1, ..rows })
    }

    /// Whether they are rows of so many numbers.
    pub(super) fn is_for(&self, width: usize) -> bool {
        self.width == width
    }

    /// Compiles `name` of `code` for rows of this form.
    pub(super) fn kernel(
        &self,
        context: &Context,
        dtype: DType,
        (name, code): (&str, &str),
        flags: &[(&str, i64)],
    ) -> Result<Kernel, String> {
        let number = |n: usize| n as i64;
        let mut macros = vec![
            ("TYPE", type_number(dtype)),
            ("WIDTH", number(self.width)),
            ("PACK", number(self.pack)),
            ("THREADS", number(self.threads)),
            ("ROWS", number(self.rows)),
        ];
        macros.extend(flags);
        context.kernel(&Source { name, code: &[TYPES, ROWS, code], macros: &macros })
    }

    /// Runs a kernel on all rows; its last argument is their number.
    ///
    /// # Safety
    /// As [`Context::launch`].
    pub(super) unsafe fn launch(
        &self,
        kernel: Kernel,
        run: &DeviceRun<'_>,
        mut arguments: Vec<Argument>,
    ) -> Result<(), String> {
        let count = run.outputs.first().map_or(0, super::definition::Operand::rows);
        arguments.push(Argument::Count(count as i64));
        let grid = (count.div_ceil(self.rows), self.rows * self.threads);
        // SAFETY: as promised by the caller.
        unsafe { run.context.launch(kernel, grid, run.stream, &mut arguments) }
    }
}

/// Element by element, without sums over rows: `name` of `code` on packs of the first output.
///
/// # Safety
/// As [`Context::launch`].
pub(super) unsafe fn elementwise(
    run: &DeviceRun<'_>,
    code: (&str, &str),
    flags: &[(&str, i64)],
    arguments: Vec<Argument>,
) -> Result<(), String> {
    let rows = run.outputs.first().map_or(0, super::definition::Operand::rows);
    // SAFETY: as promised by the caller.
    unsafe { by_packs(run, code, flags, arguments, rows * run.packs()) }
}

/// `name` of `code` on so many packs as wide as the first output's; the last argument is their number.
///
/// # Safety
/// As [`Context::launch`].
pub(super) unsafe fn by_packs(
    run: &DeviceRun<'_>,
    (name, code): (&str, &str),
    flags: &[(&str, i64)],
    mut arguments: Vec<Argument>,
    packs: usize,
) -> Result<(), String> {
    let Some(y) = run.outputs.first() else { return Err("has no output".into()) };
    let width = y.width();
    let pack = pack(run.dtype, [width, width]);
    let mut macros = vec![("TYPE", type_number(run.dtype)), ("WIDTH", width as i64), ("PACK", pack as i64)];
    macros.extend(flags);
    let kernel = run.context.kernel(&Source { name, code: &[TYPES, code], macros: &macros })?;
    arguments.push(Argument::Count(packs as i64));
    // SAFETY: as promised by the caller.
    unsafe { run.context.launch(kernel, (packs.div_ceil(256), 256), run.stream, &mut arguments) }
}

/// The most numbers of 16 bytes that divide both.
pub(super) fn pack(dtype: DType, [width, group]: [usize; 2]) -> usize {
    let mut pack = 16 / dtype.size();
    while pack > 1 && (!width.is_multiple_of(pack) || !group.is_multiple_of(pack)) {
        pack /= 2;
    }
    pack
}

pub(super) fn type_number(dtype: DType) -> i64 {
    match dtype {
        DType::F16 => 1,
        DType::Bf16 => 2,
        _ => 0,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Every number of a row is held once, by packs that are aligned.
    #[test]
    fn rows_are_covered() -> Result<(), String> {
        for dtype in [DType::F32, DType::F16, DType::Bf16] {
            for width in [1, 7, 12, 96, 160, 320, 384, 640, 1280, 1536, 2048, 5120, 8960] {
                let rows = Rows::new(dtype, width, width)?;
                assert_eq!(width % rows.pack, 0);
                assert!(width / rows.pack <= MOST_PACKS * rows.threads, "{rows:?}");
                assert!(rows.threads.is_power_of_two() && rows.threads * rows.rows <= 1024, "{rows:?}");
            }
        }
        assert!(Rows::new(DType::F32, 1_000_003, 1).is_err());
        assert_eq!(Rows::new(DType::Bf16, 1536, 12)?.pack, 4);
        Ok(())
    }
}
