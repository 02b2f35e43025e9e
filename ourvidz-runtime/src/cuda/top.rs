use std::ptr::null_mut;

use ort::operator::KernelContext;

use super::context::{Argument, Source};
use super::definition::{Definition, DeviceRun, HostTensor, Input};
use crate::DType;

/// Numbers that are kept of each row.
pub(crate) const TOP: usize = 64;

/// Numbers that a block sorts.
const CHUNK: usize = 1024;

/// `TopLogits`: x [..., V] in f32 -> the 64 highest numbers of each row, highest first, and their places as f32.
///
/// Of equal numbers the first comes first. A row has at least 64 and less than 2^24.
pub(super) struct TopLogits;

impl Definition for TopLogits {
    const NAME: &'static str = "TopLogits";
    const INPUTS: &'static [Input] = &[Input::Same];
    const OUTPUTS: usize = 2;
    type Node = ();

    fn node(_: &KernelContext<'_>) {}

    fn shape(_: Option<&()>, inputs: &[&[i64]]) -> Option<Vec<i64>> {
        let mut shape = inputs.first()?.to_vec();
        *shape.last_mut()? = TOP as i64;
        Some(shape)
    }

    fn on_host((): &(), inputs: &[HostTensor]) -> Result<Vec<Vec<f32>>, String> {
        let [x] = inputs else { return Err("needs one input".into()) };
        let (mut values, mut places) = (Vec::new(), Vec::new());
        for row in x.data.chunks_exact(checked(x.width())?) {
            let mut order: Vec<usize> = (0..row.len()).collect();
            order.sort_by(|a, b| row[*b].total_cmp(&row[*a]));
            values.extend(order.iter().take(TOP).map(|i| row[*i]));
            places.extend(order.iter().take(TOP).map(|i| *i as f32));
        }
        Ok(vec![values, places])
    }

    fn on_device((): &mut (), run: &DeviceRun<'_>) -> Result<(), String> {
        let ([x], [values, places]) = (&run.inputs[..], &run.outputs[..]) else {
            return Err("needs one input".into());
        };
        if run.dtype != DType::F32 {
            return Err(format!("takes f32, not {}", run.dtype));
        }
        let macros = [("TOP", TOP as i64)];
        let code = include_str!("kernels/top.cu");
        let kernel = run.context.kernel(&Source { name: "top", code: &[code], macros: &macros })?;
        let (rows, mut count) = (x.rows(), checked(x.width())?);
        let allocator = run.allocator()?;
        // Two places that keys go to in turn: the first is never smaller than the second.
        let bytes = rows * count.div_ceil(CHUNK) * TOP * size_of::<u64>();
        let take = || allocator.alloc::<u8>(bytes).map_err(|e| e.to_string());
        let (mut first, mut second) = (take()?, take()?);
        let mut keys = [first.as_mut_ptr().cast(), second.as_mut_ptr().cast()];
        let mut numbers = x.pointer;
        loop {
            let chunks = count.div_ceil(CHUNK);
            let mut arguments = vec![
                Argument::Pointer(numbers),
                Argument::Pointer(keys[0]),
                Argument::Pointer(keys[1]),
                Argument::Pointer(values.pointer),
                Argument::Pointer(places.pointer),
                Argument::Count(count as i64),
                Argument::Count(chunks as i64),
            ];
            // SAFETY: the arguments are those of the code, and each place holds the keys of all chunks.
            unsafe { run.context.launch(kernel, (rows * chunks, CHUNK / 2), run.stream, &mut arguments)? };
            if chunks == 1 {
                return Ok(());
            }
            count = chunks * TOP;
            keys.swap(0, 1);
            numbers = null_mut();
        }
    }
}

fn checked(width: usize) -> Result<usize, String> {
    if (TOP..1 << 24).contains(&width) { Ok(width) } else { Err(format!("rows of {width} numbers")) }
}
