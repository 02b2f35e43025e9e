//! Draws what lists of prompts ask for and says how much of it is right.
#![forbid(unsafe_code)]

use std::io::Write;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result};
use clap::{Parser, ValueEnum};
use indicatif::{ProgressBar, ProgressStyle};
use ourvidz_demo_score::{Lists, Models, Picture, Score, Settings, folders};

/// Draws what lists of prompts ask for, and says how much of it is right
#[derive(Debug, Parser)]
struct Options {
    /// What to score [default: everything]
    #[arg(value_enum)]
    what: Vec<What>,
    /// Folder with images.json, clips.json, references.json and enhance.json [default: those of the repository]
    #[arg(long, value_name = "DIR")]
    prompts: Option<PathBuf>,
    /// Folder with tiny-sdxl, tiny-wan and tiny-qwen [default: those of the program]
    #[arg(long, value_name = "DIR")]
    models: Option<PathBuf>,
    /// Entries of each list, the first ones [default: all]
    #[arg(long)]
    limit: Option<usize>,
    /// Steps of a picture and of a clip
    #[arg(long, default_value_t = 20)]
    steps: usize,
    /// Frames of a clip
    #[arg(long, default_value_t = 17)]
    frames: usize,
    /// Width and height of a clip
    #[arg(long, num_args = 2, default_values_t = [256, 256], value_names = ["WIDTH", "HEIGHT"])]
    size: Vec<usize>,
    /// Where to keep the pictures, and of clips the first, the middle and the last frame side by side
    #[arg(long, value_name = "DIR")]
    out: Option<PathBuf>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum What {
    Images,
    Clips,
    References,
    Enhance,
}

fn main() -> Result<()> {
    let options = Options::parse();
    let (prompts, models) = folders();
    let lists = Lists::read(options.prompts.as_deref().unwrap_or(&prompts))?;
    let folder = options.models.clone().unwrap_or(models);
    let models = Models { folder, cache: std::env::temp_dir().join("ourvidz-demo-score") };
    let settings = Settings {
        image_steps: options.steps,
        clip_steps: options.steps,
        frames: options.frames,
        clip_size: (options.size[0], options.size[1]),
    };
    if let Some(out) = &options.out {
        std::fs::create_dir_all(out).with_context(|| out.display().to_string())?;
    }
    let limit = options.limit.unwrap_or(usize::MAX);
    let asked = |what| options.what.is_empty() || options.what.contains(&what);
    if asked(What::Images) {
        let mut sdxl = models.sdxl()?;
        let score = |(i, entry): (usize, &ourvidz_demo_score::ImageEntry)| {
            let (score, picture) = entry.score(&mut sdxl, &settings)?;
            keep(options.out.as_deref(), "image", i, &[&picture])?;
            Ok(score)
        };
        run("images", lists.images.iter().take(limit).enumerate(), score)?;
    }
    if asked(What::Clips) || asked(What::References) {
        let mut wan = models.wan()?;
        if asked(What::Clips) {
            let score = |(i, entry): (usize, &ourvidz_demo_score::ClipEntry)| {
                let (score, frames) = entry.score(&mut wan, &settings)?;
                keep(options.out.as_deref(), "clip", i, &some(&frames))?;
                Ok(score)
            };
            run("clips", lists.clips.iter().take(limit).enumerate(), score)?;
        }
        if asked(What::References) {
            let score = |(i, entry): (usize, &ourvidz_demo_score::ReferenceEntry)| {
                let (score, frames) = entry.score(&mut wan, &settings)?;
                keep(options.out.as_deref(), "reference", i, &some(&frames))?;
                Ok(score)
            };
            run("references", lists.references.iter().take(limit).enumerate(), score)?;
        }
    }
    if asked(What::Enhance) {
        let mut qwen = models.qwen()?;
        let score = |entry: &ourvidz_demo_score::EnhanceEntry| Ok(entry.score(&mut qwen)?);
        run("enhanced prompts", lists.enhance.iter().take(limit), score)?;
    }
    Ok(())
}

/// Scores one list; a line for each entry, and the sums.
fn run<E>(
    name: &str,
    entries: impl ExactSizeIterator<Item = E>,
    mut score: impl FnMut(E) -> Result<Score>,
) -> Result<()> {
    let bar = ProgressBar::new(entries.len() as u64);
    if let Ok(style) = ProgressStyle::with_template("{msg} [{bar:30}] {pos}/{len} {eta}") {
        bar.set_style(style);
    }
    bar.set_message(name.to_owned());
    let mut out = std::io::stdout();
    let mut scores = Vec::new();
    for entry in entries {
        let score = score(entry)?;
        let Score { prompt, seed, held_out, verdict, seconds } = &score;
        let (right, held_out) =
            (if verdict.right { "right" } else { "WRONG" }, if *held_out { "held out" } else { "" });
        let line = format!("{right}  {held_out:8}  {seconds:5.1} s  {seed:>5}  {prompt:?}: {}", verdict.seen);
        bar.suspend(|| writeln!(out, "{line}"))?;
        bar.inc(1);
        scores.push(score);
    }
    bar.finish_and_clear();
    let sum = |held_out: Option<bool>| {
        let of = scores.iter().filter(|score| held_out.is_none_or(|held_out| score.held_out == held_out));
        let (count, right) = (of.clone().count(), of.filter(|score| score.verdict.right).count());
        format!("{right} of {count} ({:.1} %)", 100.0 * right as f64 / count.max(1) as f64)
    };
    let seconds: f64 = scores.iter().map(|score| score.seconds).sum();
    writeln!(
        out,
        "{name}: {} right; trained {}, held out {}; {:.2} s each\n",
        sum(None),
        sum(Some(false)),
        sum(Some(true)),
        seconds / scores.len().max(1) as f64
    )?;
    Ok(())
}

fn some(frames: &[Picture]) -> Vec<&Picture> {
    let places = [0, frames.len() / 2, frames.len().saturating_sub(1)];
    places.into_iter().filter_map(|place| frames.get(place)).collect()
}

/// Writes pictures side by side.
fn keep(out: Option<&Path>, name: &str, index: usize, pictures: &[&Picture]) -> Result<()> {
    let (Some(out), Some(first)) = (out, pictures.first()) else { return Ok(()) };
    let (width, height) = (first.width() as u32, first.height() as u32);
    let mut all = image::RgbImage::new(width * pictures.len() as u32, height);
    for (picture, at) in pictures.iter().zip((0..).step_by(width as usize)) {
        let one = image::RgbImage::from_raw(width, height, picture.rgb().to_vec()).context("a frame")?;
        image::imageops::replace(&mut all, &one, at, 0);
    }
    let path = out.join(format!("{name}-{index:02}.png"));
    all.save(&path).with_context(|| path.display().to_string())
}
