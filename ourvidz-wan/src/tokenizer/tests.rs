//! Every text of `tests/golden/wan/tokens.json` and of `tokens/tokens.json.gz`, cleaned and split, by either file of the
//! tokenizer.

use std::fs::File;
use std::path::PathBuf;

use anyhow::{Context, Result, ensure};
use flate2::read::GzDecoder;
use serde::Deserialize;

use super::*;

#[derive(Deserialize)]
struct Golden {
    cases: Vec<Case>,
    truncated: Vec<Truncated>,
}

#[derive(Deserialize)]
struct Case {
    text: String,
    cleaned: String,
    ids: Vec<i64>,
}

#[derive(Deserialize)]
struct Truncated {
    cleaned: String,
    max_length: usize,
    ids: Vec<i64>,
}

/// Strings in many scripts.
#[derive(Deserialize)]
struct Generated {
    cases: Vec<GeneratedCase>,
}

#[derive(Deserialize)]
struct GeneratedCase {
    text: String,
    /// Where cleaning changes the text.
    cleaned: Option<String>,
    ids: Vec<i64>,
}

fn folder() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../tests/golden/wan")
}

fn golden() -> Result<Golden> {
    Ok(serde_json::from_str(&std::fs::read_to_string(folder().join("tokens.json"))?)?)
}

fn tokenizers() -> Result<[Umt5Tokenizer; 2]> {
    tokenizers_of("t2v_f32/tokenizer")
}

fn tokenizers_of(name: &str) -> Result<[Umt5Tokenizer; 2]> {
    let path = folder().join(name);
    let pieces = std::fs::read(path.join("spiece.model"))?;
    Ok([Umt5Tokenizer::from_folder(&path)?, Umt5Tokenizer::from_sentencepiece(&pieces, "spiece.model")?])
}

#[test]
fn prompts_are_cleaned_as_diffusers_cleans_them() -> Result<()> {
    let cases = golden()?.cases;
    ensure!(cases.len() > 200);
    for case in cases {
        let found = prompt_clean(&case.text);
        ensure!(found == case.cleaned, "{:?}: {found:?}, expected {:?}", case.text, case.cleaned);
    }
    Ok(())
}

/// Where the crate is known to differ from ftfy: a newer version that agrees should be noticed.
#[test]
fn where_cleaning_differs_from_ftfy() {
    for (text, here, ftfy) in [
        ("<b>it&#8217;s", "<b>it's", "<b>it’s"),
        ("< &EACUTE;", "< É", "< &EACUTE;"),
        ("a &#1; b", "a \u{1} b", "a b"),
        ("lapÄ— ÄÆ miÅ¡kÄ…", "lapÄ— ÄÆ miÅ¡kÄ…", "lapė į mišką"),
        ("ÏæÅ þ", "ÏæÅ þ", "쾁 þ"),
    ] {
        let found = prompt_clean(text);
        assert_eq!(found, here);
        assert_ne!(found, ftfy);
    }
}

#[test]
fn escapes_are_taken_out_whole() {
    for (text, expected) in [
        ("\x1b[1;31mred\x1b[0m fox", "red fox"),
        ("a\x1b[2Jb", "ab"),
        ("\x1b[12", "[12"),
        ("\x1b[;ü", "[;ü"),
        ("（￣▽￣）", "( \u{304}▽ \u{304})"),
        ("a\x1cb\x1fc", "abc"),
    ] {
        assert_eq!(prompt_clean(text), expected, "{text:?}");
    }
}

#[test]
fn a_long_line_does_not_end_in_the_middle_of_a_character() {
    let text = "雪".repeat(400_000);
    assert_eq!(prompt_clean(&text), text);
}

#[test]
fn tokens_are_those_of_the_reference() -> Result<()> {
    let [json, pieces] = tokenizers()?;
    for case in golden()?.cases {
        let found = json.encode(&case.cleaned, usize::MAX)?;
        ensure!(found.ids == case.ids && found.cut.is_none(), "{:?}: {:?}", case.cleaned, found.ids);
        // The extra tokens are not in the sentencepiece model.
        if !case.cleaned.contains("<extra_id_") {
            ensure!(pieces.encode(&case.cleaned, usize::MAX)?.ids == case.ids, "{:?}", case.cleaned);
        }
    }
    ensure!(json.vocab_size() == pieces.vocab_size() + 10);
    Ok(())
}

/// What ftfy takes for UTF-8 that was damaged, and the crate does not: `where_cleaning_differs_from_ftfy`.
const NOT_REPAIRED: &str = "ÁæÌÓÏæÅ";

#[test]
fn strings_in_many_scripts_are_cleaned_and_split_as_by_the_reference() -> Result<()> {
    let file = File::open(folder().join("tokens/tokens.json.gz"))?;
    let golden: Generated = serde_json::from_reader(GzDecoder::new(file))?;
    ensure!(golden.cases.len() == 2394, "{} cases", golden.cases.len());
    let [json, pieces] = tokenizers_of("tokens")?;
    let (mut wrong, mut not_repaired) = (Vec::new(), 0);
    for case in &golden.cases {
        let cleaned = case.cleaned.as_ref().unwrap_or(&case.text);
        let found = prompt_clean(&case.text);
        if found != *cleaned && found.starts_with(NOT_REPAIRED) {
            not_repaired += 1;
        } else if found != *cleaned {
            wrong.push(format!("{:?} cleaned\n  found    {found:?}\n  expected {cleaned:?}", case.text));
        }
        for (name, tokenizer) in [("tokenizer.json", &json), ("spiece.model", &pieces)] {
            let found = tokenizer.encode(cleaned, usize::MAX)?.ids;
            if found != case.ids {
                let expected = &case.ids;
                wrong.push(format!("{cleaned:?} by {name}\n  found    {found:?}\n  expected {expected:?}"));
            }
        }
    }
    ensure!(wrong.is_empty(), "{} differ:\n{}", wrong.len(), wrong.join("\n"));
    ensure!(not_repaired == 1, "{not_repaired} not repaired");
    Ok(())
}

#[test]
fn what_does_not_fit_is_cut_and_told() -> Result<()> {
    let golden = golden()?;
    ensure!(!golden.truncated.is_empty());
    for tokenizer in tokenizers()? {
        for case in &golden.truncated {
            let found = tokenizer.encode(&case.cleaned, case.max_length)?;
            ensure!(found.ids == case.ids, "{:?}: {:?}", case.cleaned, found.ids);
            let whole = tokenizer.encode(&case.cleaned, usize::MAX)?;
            ensure!(found.cut.is_some() == (whole.ids.len() > case.max_length), "{:?}", case.cleaned);
        }
        // What is kept and what is cut make the text.
        let long = golden.cases.iter().find(|case| case.ids.len() > 512).context("a long text")?;
        let found = tokenizer.encode(&long.cleaned, 512)?;
        ensure!(found.ids.len() == 512 && found.ids[..511] == long.ids[..511] && found.ids[511] == 1);
        let cut = found.cut.context("cut")?;
        let kept = long.cleaned.strip_suffix(&cut).context("the end of the text")?;
        ensure!(!kept.is_empty() && !cut.is_empty());
        ensure!(tokenizer.encode(kept.trim_end(), 512)?.ids == found.ids, "{kept:?}");
        let fits = tokenizer.encode(&long.cleaned, long.ids.len())?;
        ensure!(fits.ids == long.ids && fits.cut.is_none());
    }
    Ok(())
}

#[test]
fn the_end_token_always_fits() -> Result<()> {
    let [json, _] = tokenizers()?;
    ensure!(json.encode("", 512)? == Tokens { ids: vec![1], cut: None });
    ensure!(json.encode("fox", 1)? == Tokens { ids: vec![1], cut: Some("fox".into()) });
    let error = json.encode("fox", 0).err().context("must be refused")?;
    ensure!(error.to_string() == "max_sequence_length must be at least 1, got 0", "{error}");
    Ok(())
}

#[test]
fn damaged_files_are_refused_by_their_name() -> Result<()> {
    let folder = tempfile::tempdir()?;
    let error = Umt5Tokenizer::from_folder(folder.path()).err().context("must be refused")?.to_string();
    ensure!(error.contains("tokenizer.json") && error.contains("spiece.model"), "{error}");
    let pieces = folder.path().join("spiece.model");
    let whole = std::fs::read(self::folder().join("t2v_f32/tokenizer/spiece.model"))?;
    for bytes in [&b"\xff\xff\xff"[..], b"", &whole[..whole.len() / 2 + 1], &[26, 2, 18, 0]] {
        std::fs::write(&pieces, bytes)?;
        let error = Umt5Tokenizer::from_folder(folder.path()).err().context("must be refused")?;
        ensure!(matches!(&error, Error::Tokenizer { path, .. } if path.ends_with("spiece.model")), "{error}");
    }
    std::fs::write(folder.path().join("tokenizer.json"), "{}")?;
    let error = Umt5Tokenizer::from_folder(folder.path()).err().context("must be refused")?;
    ensure!(matches!(&error, Error::Tokenizer { path, .. } if path.ends_with("tokenizer.json")), "{error}");
    Ok(())
}
