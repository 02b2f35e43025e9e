//! Reference frames of tiny-wan's clips: a frame that is given is there, as near as the trained VAE brings it, and at the
//! right end.

mod common;

use anyhow::Result;
use common::{Least, enough, open, wan};
use ourvidz_demo_score::Settings;

#[test]
fn given_frames_are_held_at_their_end() -> Result<()> {
    let (lists, models, _cache) = open()?;
    let Some(mut wan) = wan(&models)? else { return Ok(()) };
    let settings = Settings::default();
    let scores: ourvidz_demo_score::Result<Vec<_>> =
        lists.references.iter().map(|entry| Ok(entry.score(&mut wan, &settings)?.0)).collect();
    enough("references", &scores?, &Least { all: 100, held_out: 0 })
}
