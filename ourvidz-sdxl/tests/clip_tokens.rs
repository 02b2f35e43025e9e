//! Token ids of CLIP's vocabulary against transformers, goldens of `scripts/goldens/clip_tokens.py`.

use anyhow::{Context, Result, ensure};
use flate2::read::GzDecoder;
use ourvidz_sdxl::ClipTokenizer;
use serde::Deserialize;

const START: u32 = 49406;
const END: u32 = 49407;

#[derive(Deserialize)]
struct Golden {
    cases: Vec<Case>,
}

#[derive(Deserialize)]
struct Case {
    text: String,
    /// As the published folder `tokenizer` splits the text.
    ids: Vec<u32>,
    /// As `tokenizer_2` does, where that differs.
    ids_2: Option<Vec<u32>>,
}

#[test]
fn ids_equal_transformers() -> Result<()> {
    let packed: &[u8] = include_bytes!("golden/clip_tokens.json.gz");
    let golden: Golden = serde_json::from_reader(GzDecoder::new(packed))?;
    ensure!(golden.cases.len() == 2726, "{} cases", golden.cases.len());
    ensure!(golden.cases.iter().filter(|case| case.ids_2.is_some()).count() > 50, "tokenizer_2 differs");
    let (first, second) = (ClipTokenizer::bundled("<|endoftext|>")?, ClipTokenizer::bundled("!")?);
    let mut wrong = Vec::new();
    for case in &golden.cases {
        let ids_2 = case.ids_2.as_ref().unwrap_or(&case.ids);
        for (tokenizer, expected) in [(&first, &case.ids), (&second, ids_2)] {
            let tokens = tokenizer.encode(&case.text)?;
            let found: Vec<u32> = [START].into_iter().chain(tokens).chain([END]).collect();
            if found != *expected {
                wrong.push(format!("{:?}\n  found    {found:?}\n  expected {expected:?}", case.text));
            }
        }
    }
    ensure!(wrong.is_empty(), "{} cases differ:\n{}", wrong.len(), wrong.join("\n"));
    Ok(())
}

#[test]
fn a_padding_token_outside_the_vocabulary_is_an_error() -> Result<()> {
    let error = ClipTokenizer::bundled("<|nothing|>").err().context("must be refused")?;
    ensure!(error.to_string().contains("has no token <|nothing|>"), "{error}");
    Ok(())
}

#[test]
fn windows_hold_75_tokens_between_start_and_end() -> Result<()> {
    for (pad, padding) in [("<|endoftext|>", END), ("!", 0)] {
        let tokenizer = ClipTokenizer::bundled(pad)?;
        for (words, count) in [(0, 1), (1, 1), (74, 1), (75, 1), (76, 2), (150, 2), (151, 3)] {
            let prompt = "cat ".repeat(words);
            let tokens = tokenizer.encode(&prompt)?;
            ensure!(tokens == vec![2368; words], "{words} words are {} tokens", tokens.len());
            let windows = tokenizer.windows(&prompt, 77)?;
            ensure!(windows.len() == count, "{words} words fill {} windows", windows.len());
            let mut chunks = tokens.chunks(75);
            for window in &windows {
                let mut expected = vec![START];
                expected.extend(chunks.next().unwrap_or_default());
                expected.push(END);
                expected.resize(77, padding);
                let expected: Vec<i64> = expected.into_iter().map(i64::from).collect();
                ensure!(*window == expected, "{words} words: {window:?}");
            }
        }
    }
    Ok(())
}

/// Small text encoders have shorter windows.
#[test]
fn windows_of_another_length() -> Result<()> {
    let windows = ClipTokenizer::bundled("!")?.windows("cat cat cat", 4)?;
    let (start, end) = (i64::from(START), i64::from(END));
    ensure!(windows == [[start, 2368, 2368, end], [start, 2368, end, 0]], "{windows:?}");
    Ok(())
}
