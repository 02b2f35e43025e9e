//! What the tests of the models share.
#![allow(dead_code)]

use std::io::Write;

use anyhow::{Result, ensure};
use ourvidz_demo_score::{Lists, Models, Score, folders};
use ourvidz_wan::WanPipeline;

/// The lists, the models, and a folder for their converted weights that goes with it.
pub(crate) fn open() -> Result<(Lists, Models, tempfile::TempDir)> {
    let (prompts, folder) = folders();
    let cache = tempfile::tempdir()?;
    let models = Models { folder, cache: cache.path().to_owned() };
    Ok((Lists::read(&prompts)?, models, cache))
}

/// tiny-wan, where the tree holds it.
pub(crate) fn wan(models: &Models) -> Result<Option<WanPipeline>> {
    if !models.folder.join("tiny-wan").is_dir() {
        writeln!(std::io::stdout(), "ourvidz-bin/models holds no tiny-wan: nothing was scored")?;
        return Ok(None);
    }
    Ok(Some(models.wan()?))
}

/// Shares in percent.
pub(crate) struct Least {
    /// Of all entries.
    pub(crate) all: usize,
    /// Of those that training never had.
    pub(crate) held_out: usize,
}

/// Fails with every wrong entry when too few are right; prints the figures.
pub(crate) fn enough(name: &str, scores: &[Score], least: &Least) -> Result<()> {
    let of = |held_out: bool| -> Vec<&Score> {
        scores.iter().filter(|score| !held_out || score.held_out).collect()
    };
    let mut out = std::io::stdout();
    let mut short = false;
    for (group, entries, least) in [("all", of(false), least.all), ("held out", of(true), least.held_out)] {
        let right = entries.iter().filter(|score| score.verdict.right).count();
        writeln!(out, "{name}, {group}: {right} of {} right, {least} % are enough", entries.len())?;
        short |= entries.is_empty() && least > 0 || 100 * right < least * entries.len();
    }
    let wrong = scores.iter().filter(|score| !score.verdict.right);
    let lines: Vec<String> = wrong
        .map(|score| format!("{:?} (seed {}): {}", score.prompt, score.seed, score.verdict.seen))
        .collect();
    let lines = lines.join("\n  ");
    ensure!(!short, "{name}: too few are right; wrong are\n  {lines}");
    writeln!(out, "wrong:\n  {lines}")?;
    Ok(())
}
