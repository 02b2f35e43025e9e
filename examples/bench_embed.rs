//! Speed of an embedder: texts one by one, and 32 at a time. `scripts/bench_sentence_transformers.py` is its twin.
//!
//! `cargo run --release --example bench_embed -- MODEL TEXTS.txt [--rounds 5] [--threads 2] [--device cpu] [--no-prepack]`
//!
//! One text per line. Prints the median over the rounds of milliseconds per text when the first 90 are embedded one by
//! one, and of texts per second when all are embedded 32 at a time, as JSON.

use std::path::PathBuf;
use std::time::Instant;

use anyhow::Result;
use clap::Parser;
use ourvidz_qwen::{Device, Embedder, Precision};

#[derive(Parser)]
struct Options {
    model: PathBuf,
    texts: PathBuf,
    #[arg(long, default_value_t = 5)]
    rounds: usize,
    #[arg(long)]
    threads: Option<usize>,
    #[arg(long, default_value = "cpu")]
    device: Device,
    #[arg(long)]
    precision: Option<Precision>,
    /// Leave the weights in the mapped file
    #[arg(long)]
    no_prepack: bool,
    /// Write a trace of every node's time here
    #[arg(long)]
    profile: Option<PathBuf>,
}

fn main() -> Result<()> {
    let options = Options::parse();
    let texts = std::fs::read_to_string(&options.texts)?;
    let texts: Vec<&str> = texts.lines().collect();
    let start = Instant::now();
    let mut builder = Embedder::builder(&options.model).device(options.device);
    if let Some(threads) = options.threads {
        builder = builder.threads(threads);
    }
    if let Some(precision) = options.precision {
        builder = builder.precision(precision);
    }
    if options.no_prepack {
        builder = builder.prepack(false);
    }
    if let Some(folder) = &options.profile {
        builder = builder.profile(folder);
    }
    let mut embedder = builder.load()?;
    let loading = start.elapsed().as_secs_f64();
    let short = &texts[..texts.len().min(90)];
    embedder.embed(short)?;
    let (mut single, mut batched) = (Vec::new(), Vec::new());
    for _ in 0..options.rounds {
        let start = Instant::now();
        for text in short {
            embedder.embed(&[text])?;
        }
        single.push(start.elapsed().as_secs_f64() * 1e3 / short.len() as f64);
        let start = Instant::now();
        for texts in texts.chunks(32) {
            embedder.embed(texts)?;
        }
        batched.push(texts.len() as f64 / start.elapsed().as_secs_f64());
    }
    println!(
        r#"{{"loading_s": {loading:.3}, "single_ms": {:.3}, "batch_32_texts_per_s": {:.1}}}"#,
        median(single),
        median(batched)
    );
    Ok(())
}

fn median(mut values: Vec<f64>) -> f64 {
    values.sort_by(f64::total_cmp);
    values[values.len() / 2]
}
