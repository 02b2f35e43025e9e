use std::collections::BTreeMap;
use std::ops::Range;

use super::pickle::Tensor;
use super::{Refusal, refuse};
use crate::DType;

/// Where a tensor's numbers begin, and whether its first two axes lie the other way round.
#[derive(Debug, Clone, Copy)]
pub(super) struct Place {
    pub(super) offset: u64,
    pub(super) transposed: bool,
}

/// Finds the numbers of a tensor, all of which lie within its storage's record.
pub(super) fn of(
    name: &str,
    tensor: &Tensor,
    dtype: DType,
    records: &BTreeMap<String, Range<u64>>,
) -> Result<Place, Refusal> {
    let storage = &tensor.storage;
    let Some(record) = records.get(&storage.key) else {
        return refuse(
            "must hold the record of every tensor",
            format!("{name}, whose data/{} is missing", storage.key),
        );
    };
    let bytes = storage.numel.checked_mul(dtype.size() as u64);
    if bytes != Some(record.end - record.start) {
        let found = format!("{name} of {} numbers in {} bytes", storage.numel, record.end - record.start);
        return refuse("must have records as long as their storages", found);
    }
    let count = tensor.size.iter().try_fold(1u64, |n, size| n.checked_mul(*size as u64));
    let end = count.and_then(|count| tensor.offset.checked_add(count));
    if end.is_none_or(|end| end > storage.numel) {
        let found = format!("{name} {:?} from {} of {}", tensor.size, tensor.offset, storage.numel);
        return refuse("must have tensors within their storages", found);
    }
    let Some(transposed) = order(&tensor.size, &tensor.stride) else {
        let found = format!("{name} {:?} with strides {:?}", tensor.size, tensor.stride);
        return refuse("must have contiguous tensors, or matrices with their axes swapped", found);
    };
    // Neither overflows: the end lies within the storage, and the storage within the file.
    Ok(Place { offset: record.start + tensor.offset * dtype.size() as u64, transposed })
}

/// `Some(false)` for row-major order, `Some(true)` for a matrix with its axes swapped; axes of one element may have
/// any stride.
fn order(size: &[usize], stride: &[u64]) -> Option<bool> {
    if row_major(size, stride, 0..size.len()) || size.contains(&0) {
        return Some(false);
    }
    let matrix = size.len() >= 2 && size[2..].iter().all(|n| *n == 1);
    let swapped = [1, 0].into_iter().chain(2..size.len());
    (matrix && row_major(size, stride, swapped)).then_some(true)
}

fn row_major(size: &[usize], stride: &[u64], axes: impl DoubleEndedIterator<Item = usize>) -> bool {
    let mut expected = 1u64;
    axes.rev().all(|axis| {
        let fits = size[axis] == 1 || stride[axis] == expected;
        expected = expected.saturating_mul(size[axis] as u64);
        fits
    })
}
