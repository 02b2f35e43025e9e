//! Clips of tiny-wan, judged: colour, shape and motion.

mod common;

use anyhow::Result;
use common::{Least, enough, open, wan};
use ourvidz_demo_score::Settings;

#[test]
fn clips_show_what_the_prompt_says() -> Result<()> {
    let (lists, models, _cache) = open()?;
    let Some(mut wan) = wan(&models)? else { return Ok(()) };
    let settings = Settings::default();
    let scores: ourvidz_demo_score::Result<Vec<_>> =
        lists.clips.iter().map(|entry| Ok(entry.score(&mut wan, &settings)?.0)).collect();
    // 34 of 36 are right, 7 of 8; another processor's rounding may turn one or two.
    enough("clips", &scores?, &Least { all: 86, held_out: 75 })
}
