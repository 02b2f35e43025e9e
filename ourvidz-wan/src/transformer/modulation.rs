use ourvidz_runtime::nn;
use ourvidz_runtime::{DType, Graph, Value, Weights};

use super::Tap;
use crate::{Result, WanTransformerConfig};

/// Vectors that the timestep gives to one block, each `[D]` in f32. To a scale, 1 is already added.
#[derive(Debug, Clone, Copy)]
pub(super) struct Modulation {
    pub(super) shift_msa: Value,
    pub(super) scale_msa: Value,
    pub(super) gate_msa: Value,
    pub(super) c_shift_msa: Value,
    pub(super) c_scale_msa: Value,
    pub(super) c_gate_msa: Value,
}

/// Modulation of all blocks in the order of [`super::blocks`], and shift and scale of the last norm.
pub(super) struct Modulations {
    pub(super) blocks: Vec<Modulation>,
    pub(super) shift: Value,
    pub(super) scale: Value,
}

/// Declares `timestep` and computes every modulation from it: in f32, for all blocks at once.
pub(super) fn modulations(
    g: &mut Graph,
    w: &Weights<'_>,
    config: &WanTransformerConfig,
    tap: &mut Tap<'_>,
) -> Result<Modulations> {
    let (dtype, d) = (g.dtype(), config.inner_dim());
    let timestep = g.input("timestep", DType::F32, vec![1.into()]);
    let timestep = g.reshape(timestep, &[1, 1], vec![1.into(), 1.into()])?;
    let features = nn::sinusoidal_embedding(g, timestep, config.freq_dim)?; // [1, freq_dim]
    tap(g, "timesteps_proj", features);
    let w_time = w.at("condition_embedder");
    let hidden = nn::linear_f32(g, &w_time.at("time_embedder.linear_1"), features, d)?;
    let hidden = nn::silu(g, hidden)?;
    let temb = nn::linear_f32(g, &w_time.at("time_embedder.linear_2"), hidden, d)?; // [1, D]
    tap(g, "temb", temb);
    let active = nn::silu(g, temb)?;
    let active = g.cast(active, dtype);
    let projected = nn::linear(g, &w_time.at("time_proj"), active, 6 * d)?; // [1, 6 D]
    tap(g, "timestep_proj", projected);
    let projected = g.cast(projected, DType::F32);
    let projected = g.reshape(projected, &[1, 6, d as i64], vec![1.into(), 6.into(), d.into()])?;

    let tables: Vec<Value> = super::blocks(config)
        .map(|block| g.weight_f32(&w.at(block), "scale_shift_table", &[1, 6, d]))
        .collect::<ourvidz_runtime::Result<_>>()?;
    let count = tables.len();
    let tables = g.concat(&tables, 0)?; // [blocks, 6, D]
    let of_blocks = g.add(tables, projected)?;
    let of_blocks = with_one(g, of_blocks, &[0.0, 1.0, 0.0, 0.0, 1.0, 0.0])?;
    let table = g.weight_f32(w, "scale_shift_table", &[1, 2, d])?;
    let temb = g.reshape(temb, &[1, 1, d as i64], vec![1.into(), 1.into(), d.into()])?;
    let last = g.add(table, temb)?;
    let last = with_one(g, last, &[0.0, 1.0])?;

    let flat = |g: &mut Graph, x, rows: usize| g.reshape(x, &[-1], vec![(rows * d).into()]);
    let (of_blocks, last) = (flat(g, of_blocks, 6 * count)?, flat(g, last, 2)?);
    let all = g.concat(&[of_blocks, last], 0)?;
    let vectors = g.split(all, 0, 6 * count + 2)?;
    let (of_blocks, last) = vectors.split_at(6 * count);
    let blocks = of_blocks.as_chunks::<6>().0.iter().map(|v| Modulation {
        shift_msa: v[0],
        scale_msa: v[1],
        gate_msa: v[2],
        c_shift_msa: v[3],
        c_scale_msa: v[4],
        c_gate_msa: v[5],
    });
    Ok(Modulations { blocks: blocks.collect(), shift: last[0], scale: last[1] })
}

/// Adds a number to each row: x [..., rows, D] -> [..., rows, D].
fn with_one(g: &mut Graph, x: Value, rows: &[f32]) -> Result<Value> {
    let rows = g.constant_f32(&[1, rows.len(), 1], rows);
    Ok(g.add(x, rows)?)
}
