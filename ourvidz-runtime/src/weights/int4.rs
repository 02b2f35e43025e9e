//! Matrices as four-bit integers with a scale for each block of a row: what `MatMulNBits` of ONNX Runtime reads.

use super::cast_bytes;
use crate::DType;

/// Numbers that share a scale.
pub(crate) const BLOCK: usize = 32;

/// Which half of a quantised matrix.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Part {
    /// Two numbers a byte, the first in the low half, each 8 more than it is: [N, K] -> [N, K / 32, 16].
    Packed,
    /// One per block: [N, K] -> [N * K / 32].
    Scales,
}

/// One part of the quantised numbers in `bytes` of type `from`, whose count is a multiple of [`BLOCK`]; scales as
/// `scale_type`.
///
/// The number of the largest magnitude becomes -8, so the scale has its sign turned round. Errors are at most half a
/// scale, and up to one scale for numbers near the largest magnitude on the other side.
pub(crate) fn quantise(bytes: &[u8], from: DType, scale_type: DType, part: Part) -> Vec<u8> {
    let threads = std::thread::available_parallelism().map_or(1, usize::from);
    let count = bytes.len() / from.size();
    let each = count.div_ceil(threads).next_multiple_of(BLOCK).max(1 << 16) * from.size();
    let parts: Vec<Vec<u8>> = std::thread::scope(|scope| {
        let work = bytes.chunks(each).map(|chunk| {
            scope.spawn(move || {
                let wide = cast_bytes(chunk, from, DType::F32);
                let values: Vec<f32> =
                    wide.as_chunks::<4>().0.iter().map(|bytes| f32::from_le_bytes(*bytes)).collect();
                blocks(&values, scale_type, part)
            })
        });
        // A thread that panics does so on allocation only, and takes this one with it.
        work.collect::<Vec<_>>().into_iter().flat_map(|handle| handle.join()).collect()
    });
    parts.concat()
}

fn blocks(values: &[f32], scale_type: DType, part: Part) -> Vec<u8> {
    let blocks = values.as_chunks::<BLOCK>().0;
    let scales: Vec<f32> = blocks.iter().map(scale).collect();
    let scales = cast_bytes(bytemuck::cast_slice(&scales), DType::F32, scale_type);
    if part == Part::Scales {
        return scales;
    }
    // The numbers are rounded with the scale that is stored.
    let stored = cast_bytes(&scales, scale_type, DType::F32);
    let stored = stored.as_chunks::<4>().0.iter().map(|bytes| f32::from_le_bytes(*bytes));
    let mut packed = Vec::with_capacity(values.len() / 2);
    blocks.iter().zip(stored).for_each(|(block, scale)| packed.extend_from_slice(&pack(block, scale)));
    packed
}

fn scale(block: &[f32; BLOCK]) -> f32 {
    let largest = block.iter().fold(0.0, |a: f32, b| if b.abs() > a.abs() { *b } else { a });
    largest / -8.0
}

fn pack(block: &[f32; BLOCK], scale: f32) -> [u8; BLOCK / 2] {
    let inverse = if scale == 0.0 { 0.0 } else { 1.0 / scale };
    // Half a step more and cut off: to the nearest. A call of `round` would take longer than all the rest.
    let number = |x: f32| (x * inverse + 8.5).clamp(0.0, 15.5) as u8;
    std::array::from_fn(|i| number(block[2 * i]) | number(block[2 * i + 1]) << 4)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// What the operator makes of a matrix.
    fn dequantised(packed: &[u8], scales: &[f32]) -> Vec<f32> {
        let numbers = packed.iter().flat_map(|byte| [byte & 15, byte >> 4]);
        numbers.zip(0..).map(|(n, i): (u8, usize)| (f32::from(n) - 8.0) * scales[i / BLOCK]).collect()
    }

    fn both(values: &[f32], scale_type: DType) -> (Vec<u8>, Vec<f32>) {
        let bytes = bytemuck::cast_slice(values);
        let scales = quantise(bytes, DType::F32, scale_type, Part::Scales);
        let wide = cast_bytes(&scales, scale_type, DType::F32);
        let wide = wide.as_chunks::<4>().0.iter().map(|bytes| f32::from_le_bytes(*bytes)).collect();
        (quantise(bytes, DType::F32, scale_type, Part::Packed), wide)
    }

    #[test]
    fn numbers_on_the_grid_are_exact() {
        let grid: Vec<f32> = (0..BLOCK).map(|i| (i % 16) as f32 - 8.0).map(|n| n * 0.25).collect();
        let (packed, scales) = both(&grid, DType::F16);
        assert_eq!(scales, [0.25]);
        assert_eq!(packed[..8], [0x10, 0x32, 0x54, 0x76, 0x98, 0xba, 0xdc, 0xfe]);
        assert_eq!(dequantised(&packed, &scales), grid);
        let (packed, scales) = both(&[0.0; 64], DType::F32);
        assert_eq!(dequantised(&packed, &scales), [0.0; 64]);
    }

    #[test]
    fn errors_are_bounded_by_the_scale() {
        // A sequence without a short period, larger than the share of one thread.
        let values: Vec<f32> = (0..300_000_u32)
            .map(|i| (i.wrapping_mul(2_654_435_761) >> 8) as f32 / (1 << 23) as f32 - 1.0)
            .map(|x| x * x * x)
            .collect();
        for scale_type in [DType::F32, DType::F16, DType::Bf16] {
            let (packed, scales) = both(&values, scale_type);
            assert_eq!(packed.len(), values.len() / 2);
            let found = dequantised(&packed, &scales);
            for (i, (x, y)) in values.iter().zip(&found).enumerate() {
                let scale = scales[i / BLOCK];
                // 15 stands for 7 scales; beyond 7.5 the error is more than half of one. The scale itself is rounded.
                let bound = if x / scale > 7.5 { 1.05 } else { 0.55 } * scale.abs();
                assert!((x - y).abs() <= bound, "{scale_type} {i}: {x} became {y}, scale {scale}");
            }
            let square = |v: &mut dyn Iterator<Item = f32>| v.map(|x| f64::from(x).powi(2)).sum::<f64>();
            let error = square(&mut values.iter().zip(&found).map(|(a, b)| a - b));
            let relative = (error / square(&mut values.iter().copied())).sqrt();
            assert!((0.05..0.12).contains(&relative), "{scale_type}: {relative}");
        }
    }
}
