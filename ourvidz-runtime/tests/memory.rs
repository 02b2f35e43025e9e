//! Weights are mapped, not copied. A file of its own: the test reads the memory of its whole process.
#![cfg(target_os = "linux")]
#![allow(clippy::print_stdout)]

mod common;

use std::fs::File;
use std::io::{BufWriter, Write};

use anyhow::{Context, Result, ensure};
use ourvidz_runtime::{DType, Graph, Target, Tensor, TensorSet, nn, open_safetensors};

const WIDTH: usize = 2048;
const LAYERS: usize = 24;
const MATRIX: usize = WIDTH * WIDTH * 4;

/// Bytes of anonymous memory that the process holds; mapped files do not count.
fn anonymous() -> Result<usize> {
    let status = std::fs::read_to_string("/proc/self/status")?;
    let line = status.lines().find(|line| line.starts_with("RssAnon:")).context("RssAnon")?;
    let kilobytes: usize = line.split_whitespace().nth(1).context("a number")?.parse()?;
    Ok(1024 * kilobytes)
}

/// A checkpoint of 24 matrices [2048, 2048], 403 MB, each of which moves a vector by one place.
fn write_checkpoint(path: &std::path::Path) -> Result<()> {
    let mut header = serde_json::Map::new();
    for i in 0..LAYERS {
        let entry = serde_json::json!({
            "dtype": "F32", "shape": [WIDTH, WIDTH], "data_offsets": [i * MATRIX, (i + 1) * MATRIX],
        });
        header.insert(format!("{i}.weight"), entry);
    }
    let mut header = serde_json::to_vec(&header)?;
    header.resize(header.len().next_multiple_of(8), b' ');
    let mut matrix = vec![0u8; MATRIX];
    for row in 0..WIDTH {
        let at = 4 * (row * WIDTH + (row + 1) % WIDTH);
        matrix[at..at + 4].copy_from_slice(&1f32.to_le_bytes());
    }
    let mut file = BufWriter::new(File::create(path)?);
    file.write_all(&(header.len() as u64).to_le_bytes())?;
    file.write_all(&header)?;
    for _ in 0..LAYERS {
        file.write_all(&matrix)?;
    }
    Ok(file.flush()?)
}

fn chain(tensors: &TensorSet, layers: usize) -> Result<Graph> {
    let mut g = Graph::new("chain", Target::Portable, DType::F32);
    let mut x = g.input("x", DType::F32, vec!["batch".into(), WIDTH.into()]);
    for i in 0..layers {
        x = nn::linear_without_bias(&mut g, &tensors.root().at(i), x, WIDTH)?;
    }
    g.output("y", x);
    Ok(g)
}

#[test]
fn loading_and_running_do_not_copy_the_weights() -> Result<()> {
    let folder = tempfile::tempdir()?;
    let path = folder.path().join("model.safetensors");
    write_checkpoint(&path)?;
    let tensors = TensorSet::new("chain", open_safetensors(&path)?);
    let cache = folder.path().join("cache");
    let x = Tensor::f32(&[1, WIDTH], (0..WIDTH).map(|i| i as f32).collect())?;
    // What the library itself needs, and its threads, is not the question.
    let mut small = common::load(chain(&tensors, 1)?, &cache)?;
    common::run(&mut small, &[("x", &x)])?;

    let before = anonymous()?;
    let mut session = common::load(chain(&tensors, LAYERS)?, &cache)?;
    let loaded = anonymous()?.saturating_sub(before);
    let y = common::run(&mut session, &[("x", &x)])?;
    let run = anonymous()?.saturating_sub(before);

    let weights = LAYERS * MATRIX;
    println!("weights {} MB, loaded {} MB, run {} MB", weights >> 20, loaded >> 20, run >> 20);
    for (what, grown) in [("loading", loaded), ("running", run)] {
        ensure!(10 * grown < 3 * weights, "{what} took {} MB of {}", grown >> 20, weights >> 20);
    }
    // The mapped bytes are the weights: each layer has moved the vector by one.
    let expected: Vec<f32> = (0..WIDTH).map(|i| ((i + LAYERS) % WIDTH) as f32).collect();
    ensure!(y.into_f32() == expected && !cache.exists());
    Ok(())
}
