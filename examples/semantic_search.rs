//! Search by meaning in a small corpus: the documents nearest to a question.
//!
//! `cargo run --release --example semantic_search -- models/Qwen3-Embedding-0.6B "what do foxes eat?" [CORPUS.txt]`
//!
//! A corpus has one document per line; without one, a dozen sentences are searched. A checkpoint that has a prompt
//! named `query` gets it before the question.

use anyhow::{Context, Result};
use ourvidz_qwen::{EmbedOptions, Embedder, Prompt};

const CORPUS: &str = "\
Foxes hunt mice and voles, and eat berries when they find them.
The arctic fox changes its coat from brown to white in autumn.
A group of foxes is called a skulk.
Bread that rises overnight in the fridge tastes better.
Add the garlic last, or it will burn and turn bitter.
Water boils at about ninety degrees Celsius on a high mountain.
Light takes eight minutes from the Sun to the Earth.
The bridge was built in four years and has stood for two centuries.
A hash map answers look-ups in constant time, in no particular order.
Use a lower guidance scale when pictures look burnt.
A slow camera push towards the subject makes a scene feel calm.
Neon signs are mirrored in the wet streets of a city at night.";

fn main() -> Result<()> {
    let mut arguments = std::env::args().skip(1);
    let usage = "usage: semantic_search MODEL QUESTION [CORPUS.txt]";
    let (model, question) = (arguments.next().context(usage)?, arguments.next().context(usage)?);
    let corpus = match arguments.next() {
        Some(path) => std::fs::read_to_string(path)?,
        None => CORPUS.to_owned(),
    };
    let documents: Vec<&str> = corpus.lines().filter(|line| !line.is_empty()).collect();

    let mut embedder = Embedder::builder(model).load()?;
    let has_query = embedder.prompts().any(|(name, _)| name == "query");
    let prompt = if has_query { Prompt::Named("query".into()) } else { Prompt::Default };
    let vectors = embedder.embed(&documents)?;
    let query =
        embedder.embed_with(&[&question], &EmbedOptions { prompt, ..EmbedOptions::default() })?.remove(0);

    let mut hits: Vec<(f32, &str)> =
        vectors.iter().map(|v| query.cosine_similarity(v)).zip(documents).collect();
    hits.sort_by(|a, b| b.0.total_cmp(&a.0));
    for (similarity, document) in hits.iter().take(5) {
        println!("{similarity:.3}  {document}");
    }
    Ok(())
}
