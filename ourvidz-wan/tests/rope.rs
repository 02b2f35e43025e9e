//! Rotary tables against diffusers 0.42.1, whole arrays; made by `scripts/goldens/wan_rope.py`.
#![allow(clippy::unwrap_used)]

use ourvidz_wan::{Error, RotaryTables, WanTransformerConfig};
use safetensors::SafeTensors;

const GOLDEN: &[u8] = include_bytes!("golden/wan_rope.safetensors");

/// One unit in the last place of a number just below 1: both sides compute in f64 and round once.
const TOLERANCE: f32 = 6e-8;

fn floats(golden: &SafeTensors<'_>, name: &str) -> Vec<f32> {
    let bytes = golden.tensor(name).unwrap().data();
    bytes.chunks_exact(4).map(|b| f32::from_le_bytes([b[0], b[1], b[2], b[3]])).collect()
}

#[track_caller]
fn assert_close(found: &[f32], expected: &[f32], what: &str) {
    assert_eq!(found.len(), expected.len(), "{what}");
    for (i, (a, b)) in found.iter().zip(expected).enumerate() {
        assert!((a - b).abs() <= TOLERANCE, "{what}[{i}]: {a} against {b}");
    }
}

#[test]
fn tables_equal_diffusers() {
    let golden = SafeTensors::deserialize(GOLDEN).unwrap();
    // Name, width of a head, patch, latent frames, rows, columns: as in the script.
    let cases = [
        ("published", 128, [1, 2, 2], [3, 8, 12]),
        ("uneven", 40, [1, 2, 2], [5, 6, 4]),
        ("long", 12, [1, 2, 2], [21, 2, 104]),
        ("patch", 24, [2, 1, 4], [4, 3, 8]),
    ];
    assert_eq!(golden.len(), 2 * cases.len(), "a golden has no case here");
    for (name, attention_head_dim, patch_size, latents) in cases {
        let config = WanTransformerConfig { attention_head_dim, patch_size, ..Default::default() };
        let grid = std::array::from_fn(|axis| latents[axis] / patch_size[axis]);
        let tables = RotaryTables::new(&config, grid).unwrap();
        let shape = [grid.iter().product::<usize>(), attention_head_dim];
        assert_eq!(golden.tensor(&format!("{name}.cos")).unwrap().shape(), shape, "{name}");
        assert_close(&tables.cos, &floats(&golden, &format!("{name}.cos")), &format!("{name}.cos"));
        assert_close(&tables.sin, &floats(&golden, &format!("{name}.sin")), &format!("{name}.sin"));
    }
}

#[test]
fn more_positions_than_the_model_has_are_refused() {
    let config = WanTransformerConfig { rope_max_seq_len: 8, ..Default::default() };
    assert!(RotaryTables::new(&config, [8, 8, 8]).is_ok());
    let error = RotaryTables::new(&config, [8, 9, 8]).unwrap_err();
    assert!(matches!(error, Error::TooLong { axis: "rows", positions: 9, most: 8 }), "{error}");
}
