use crate::{Error, Result, WanTransformerConfig};

/// Base of the rotary frequencies; Wan's configuration has no field for it.
const THETA: f64 = 10_000.0;

/// Cosines and sines that rotate queries and keys by their position in the video.
///
/// Both tables are [L, D], row by row: L tokens (columns change fastest, then rows, then frames), D the
/// width of one head. A row holds the angles of the token's frame, then of its row, then of its column;
/// every angle stands twice in a row, once for each number of the pair it rotates.
#[derive(Debug, Clone, PartialEq)]
pub struct RotaryTables {
    /// Cosines, [L, D].
    pub cos: Vec<f32>,
    /// Sines, [L, D].
    pub sin: Vec<f32>,
}

impl RotaryTables {
    /// Tables for a grid of tokens along frames, rows and columns ([`crate::VideoGeometry::grid`]).
    pub fn new(config: &WanTransformerConfig, grid: [usize; 3]) -> Result<Self> {
        check_positions(config, grid)?;
        let dims = axis_dims(config.attention_head_dim);
        let angles: [Vec<Vec<f64>>; 3] = std::array::from_fn(|axis| axis_angles(dims[axis], grid[axis]));

        let length = grid.iter().product::<usize>() * config.attention_head_dim;
        let (mut cos, mut sin) = (Vec::with_capacity(length), Vec::with_capacity(length));
        for frame in &angles[0] {
            for row in &angles[1] {
                for column in &angles[2] {
                    for angle in frame.iter().chain(row).chain(column) {
                        cos.extend([angle.cos() as f32; 2]);
                        sin.extend([angle.sin() as f32; 2]);
                    }
                }
            }
        }
        Ok(Self { cos, sin })
    }
}

/// Checks that the model has a rotary position for every token of a grid.
pub(crate) fn check_positions(config: &WanTransformerConfig, grid: [usize; 3]) -> Result<()> {
    for (axis, positions) in ["frames", "rows", "columns"].into_iter().zip(grid) {
        let most = config.rope_max_seq_len;
        if positions > most {
            return Err(Error::TooLong { axis, positions, most });
        }
    }
    Ok(())
}

/// How a head's width is divided among frames, rows and columns: rows and columns get a third each,
/// rounded down to an even number, and frames get the rest.
fn axis_dims(head_dim: usize) -> [usize; 3] {
    let side = 2 * (head_dim / 6);
    [head_dim - 2 * side, side, side]
}

/// Angles of every position along one axis: [positions, dim / 2].
fn axis_angles(dim: usize, positions: usize) -> Vec<Vec<f64>> {
    let frequencies: Vec<f64> =
        (0..dim).step_by(2).map(|i| 1.0 / THETA.powf(i as f64 / dim as f64)).collect();
    (0..positions).map(|position| frequencies.iter().map(|f| position as f64 * f).collect()).collect()
}
