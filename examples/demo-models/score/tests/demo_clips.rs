//! Clips of tiny-wan, judged: colour, shape and motion.

mod common;

use anyhow::Result;
use common::{Least, enough, open, wan};
use ourvidz_demo_score::Settings;

#[test]
fn clips_show_what_the_prompt_says() -> Result<()> {
    // All of 36 are right; another processor's rounding may turn one or two.
    score("clips", 1, &Settings::default(), &Least { all: 91, held_out: 75 })
}

/// The size of jobs that name none. A clip takes ten times as long: every fifth of the list.
#[test]
fn clips_of_480x832_show_what_the_prompt_says() -> Result<()> {
    let settings = Settings { clip_size: (832, 480), ..Settings::default() };
    score("clips of 480x832", 5, &settings, &Least { all: 75, held_out: 50 })
}

/// Draws and judges every `each`th clip of the list.
fn score(name: &str, each: usize, settings: &Settings, least: &Least) -> Result<()> {
    let (lists, models, _cache) = open()?;
    let Some(mut wan) = wan(&models)? else { return Ok(()) };
    let entries = lists.clips.iter().step_by(each);
    let scores: ourvidz_demo_score::Result<Vec<_>> =
        entries.map(|entry| Ok(entry.score(&mut wan, settings)?.0)).collect();
    enough(name, &scores?, least)
}
