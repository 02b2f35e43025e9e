//! Weights of a file that torch wrote, in a session: a kernel whose axes the file holds swapped, as kernel and matrix.

mod common;

use std::path::Path;

use anyhow::{Context, Result, ensure};
use common::close;
use ourvidz_runtime::{DType, Graph, Target, Tensor, TensorSet, TensorView, open_safetensors, open_torch};

const KERNEL: &str = "encoder.middle.1.proj.weight";

#[test]
fn a_swapped_kernel_is_the_same_kernel() -> Result<()> {
    let layouts = Path::new(env!("CARGO_MANIFEST_DIR")).join("../tests/golden/wan/layouts");
    let of_torch = open_torch(&layouts.join("original/Wan2.1_VAE.pth"))?;
    let plain = open_safetensors(&layouts.join("repackaged/vae/wan_2.1_vae.safetensors"))?;
    let (swapped, plain) = (of_torch.get(KERNEL).context("swapped")?, plain.get(KERNEL).context("plain")?);
    ensure!(swapped.stored_transposed && !plain.stored_transposed && swapped.shape == plain.shape);
    let [rows, columns, 1, 1] = swapped.shape[..] else { anyhow::bail!("{swapped:?}") };
    ensure!(rows > 1 && numbers(swapped)?.into_f32() != vec![0.0; rows * columns]);
    close("kernel", &numbers(swapped)?, &numbers(plain)?, 0.0)?;
    // As the matrix of a linear layer, with the axes of one element gone.
    let matrix = |view: &TensorView| view.reshaped(vec![rows, columns]).context("a matrix");
    close("matrix", &numbers(&matrix(swapped)?)?, &numbers(&matrix(plain)?)?, 0.0)?;
    ensure!(swapped.reshaped(vec![columns, rows, 1, 1]).is_none() || rows == columns);
    ensure!(swapped.reshaped(vec![rows * columns]).is_none());
    Ok(())
}

/// What a graph reads as weight `w`.
fn numbers(view: &TensorView) -> Result<Tensor> {
    let set = TensorSet::new("vae", [("w".to_owned(), view.clone())].into());
    let mut g = Graph::new("vae", Target::Portable, DType::F32);
    let w = g.weight(&set.root(), "w", &view.shape)?;
    let y = g.identity(w);
    g.output("y", y);
    let cache = tempfile::tempdir()?;
    let mut session = common::load(g, cache.path())?;
    common::run(&mut session, &[])
}
