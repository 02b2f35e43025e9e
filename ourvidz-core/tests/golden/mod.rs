//! Reads the goldens of this folder, made by `scripts/goldens/`, and compares whole arrays.

use std::collections::HashMap;

use safetensors::tensor::TensorView;
use safetensors::{Dtype, SafeTensors};

/// A golden file: tensors of float32 (and int64, read as float32) and text metadata.
pub(crate) struct Golden {
    tensors: HashMap<String, Vec<f32>>,
    metadata: HashMap<String, String>,
}

impl Golden {
    /// Reads `tests/golden/{name}.safetensors`; a missing file fails the test.
    pub(crate) fn read(name: &str) -> Self {
        let path = format!("{}/tests/golden/{name}.safetensors", env!("CARGO_MANIFEST_DIR"));
        let bytes = std::fs::read(&path).unwrap_or_else(|error| panic!("{path}: {error}"));
        let (_, header) = SafeTensors::read_metadata(&bytes).unwrap();
        let metadata = header.metadata().clone().unwrap_or_default();
        let tensors = SafeTensors::deserialize(&bytes).unwrap();
        let floats = |view: &TensorView<'_>| match view.dtype() {
            Dtype::F32 => view.data().as_chunks().0.iter().map(|&word| f32::from_le_bytes(word)).collect(),
            Dtype::I64 => {
                view.data().as_chunks().0.iter().map(|&word| i64::from_le_bytes(word) as f32).collect()
            }
            other => panic!("{other:?} in {path}"),
        };
        let tensors = tensors.iter().map(|(name, view)| (name.to_owned(), floats(&view))).collect();
        Self { tensors, metadata }
    }

    pub(crate) fn names(&self) -> Vec<&str> {
        let mut names: Vec<&str> = self.tensors.keys().map(String::as_str).collect();
        names.sort_unstable();
        names
    }

    pub(crate) fn tensor(&self, name: &str) -> &[f32] {
        self.tensors.get(name).unwrap_or_else(|| panic!("no tensor {name}"))
    }

    pub(crate) fn metadata(&self, key: &str) -> &str {
        self.metadata.get(key).unwrap_or_else(|| panic!("no metadata {key}"))
    }
}

/// Every element within `tolerance`, relative for magnitudes above `floor` and scaled by `floor` below it.
#[track_caller]
pub(crate) fn assert_close(name: &str, actual: &[f32], expected: &[f32], tolerance: f32, floor: f32) {
    assert_eq!(actual.len(), expected.len(), "{name}: length");
    assert!(!expected.is_empty(), "{name}: nothing to compare");
    let error = |i: usize| (actual[i] - expected[i]).abs() / expected[i].abs().max(floor);
    let worst = (0..actual.len()).max_by(|&a, &b| error(a).total_cmp(&error(b))).unwrap();
    let (error, a, b) = (error(worst), actual[worst], expected[worst]);
    assert!(error <= tolerance, "{name}: element {worst} is {a}, expected {b}, error {error:e}");
}
