//! Pictures of tiny-sdxl, judged: colour and shape of every thing, and how two stand to one another.

mod common;

use anyhow::Result;
use common::{Least, enough, open};
use ourvidz_demo_score::Settings;

#[test]
fn pictures_show_what_the_prompt_says() -> Result<()> {
    let (lists, models, _cache) = open()?;
    let mut sdxl = models.sdxl()?;
    let settings = Settings::default();
    let scores: ourvidz_demo_score::Result<Vec<_>> =
        lists.images.iter().map(|entry| Ok(entry.score(&mut sdxl, &settings)?.0)).collect();
    enough("images", &scores?, &Least { all: 90, held_out: 80 })
}
