//! Prompts that tiny-qwen enhances keep their things, each with its colour, and their motion.

mod common;

use anyhow::Result;
use common::{Least, enough, open};

#[test]
fn enhanced_prompts_keep_what_they_ask_for() -> Result<()> {
    let (lists, models, _cache) = open()?;
    let mut qwen = models.qwen()?;
    let scores: ourvidz_demo_score::Result<Vec<_>> =
        lists.enhance.iter().map(|entry| entry.score(&mut qwen)).collect();
    enough("enhanced prompts", &scores?, &Least { all: 95, held_out: 90 })
}
