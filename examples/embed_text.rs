//! How near texts are to the first of them.
//!
//! `cargo run --release --example embed_text -- models/all-MiniLM-L6-v2 "a red fox in snow" "an arctic fox" "a city"`

use anyhow::{Context, Result};
use ourvidz_qwen::Embedder;

fn main() -> Result<()> {
    let mut arguments = std::env::args().skip(1);
    let model = arguments.next().context("usage: embed_text MODEL TEXT TEXT...")?;
    let texts: Vec<String> = arguments.collect();

    let mut embedder = Embedder::builder(model).load()?;
    let embeddings = embedder.embed(&texts)?; // one unit vector per text
    let first = embeddings.first().context("usage: embed_text MODEL TEXT TEXT...")?;
    for (text, embedding) in texts.iter().zip(&embeddings).skip(1) {
        println!("{:.3}  {text}", first.cosine_similarity(embedding));
    }
    Ok(())
}
