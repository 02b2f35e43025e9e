//! Speed of an embedder: texts one by one, and 32 at a time. `scripts/bench_sentence_transformers.py` is its twin.
//!
//! `cargo run --release --example bench_embed -- MODEL TEXTS.txt [--rounds 5] [--threads 2] [--device cpu] [--no-prepack]`
//!
//! One text per line. Prints the median over the rounds of milliseconds per text when the first 90 are embedded one by
//! one, and when all are embedded 32 at a time, as JSON: by the clock, and of the processor, which tells more on a
//! machine that has other work to do (Linux only). On another device than the processor also the lowest cosine
//! similarity of a text's embedding to the one that the processor gives.

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
        single.push(timed(short.len(), || short.iter().try_for_each(|text| embed(&mut embedder, &[text])))?);
        batched
            .push(timed(texts.len(), || texts.chunks(32).try_for_each(|texts| embed(&mut embedder, texts)))?);
    }
    let [single, batched] = [single, batched].map(|rounds: Vec<(f64, f64)>| {
        let (wall, cpu): (Vec<_>, Vec<_>) = rounds.into_iter().unzip();
        format!(r#"{{"ms": {:.3}, "cpu_ms": {:.3}}}"#, median(wall), median(cpu))
    });
    let lowest = match options.device {
        Device::Cpu => String::new(),
        _ => format!(r#", "lowest_cosine": {:.7}"#, lowest_cosine(&options, &mut embedder, &texts)?),
    };
    println!(r#"{{"loading_s": {loading:.3}, "single": {single}, "batch_32": {batched}{lowest}}}"#);
    Ok(())
}

fn lowest_cosine(options: &Options, embedder: &mut Embedder, texts: &[&str]) -> Result<f32> {
    let expected = Embedder::builder(&options.model).load()?.embed(texts)?;
    let found = embedder.embed(texts)?;
    Ok(found.iter().zip(&expected).map(|(a, b)| a.cosine_similarity(b)).fold(1.0, f32::min))
}

fn embed(embedder: &mut Embedder, texts: &[&str]) -> Result<()> {
    anyhow::ensure!(embedder.embed(texts)?.len() == texts.len());
    Ok(())
}

/// Milliseconds per text by the clock and of the processor.
fn timed(texts: usize, work: impl FnOnce() -> Result<()>) -> Result<(f64, f64)> {
    let (start, cpu) = (Instant::now(), cpu_seconds()?);
    work()?;
    let per_text = |seconds: f64| seconds * 1e3 / texts as f64;
    Ok((per_text(start.elapsed().as_secs_f64()), per_text(cpu_seconds()? - cpu)))
}

/// Seconds of the processor that all threads took so far: fields 14 and 15 of proc_pid_stat(5), a hundred a second.
fn cpu_seconds() -> Result<f64> {
    let text = std::fs::read_to_string("/proc/self/stat")?;
    let fields: Vec<&str> = text.rsplit(')').next().unwrap_or_default().split_whitespace().collect();
    Ok((fields[11].parse::<f64>()? + fields[12].parse::<f64>()?) / 100.0)
}

fn median(mut values: Vec<f64>) -> f64 {
    values.sort_by(f64::total_cmp);
    values[values.len() / 2]
}
