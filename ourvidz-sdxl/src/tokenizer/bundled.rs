use std::io::Read;

use flate2::read::GzDecoder;
use tokenizers::models::bpe::{Merges, Vocab};

use super::{END, START};

/// The merge list of OpenAI's CLIP; assets/README.md says where it is from.
static MERGES: &[u8] = include_bytes!("../../assets/bpe_simple_vocab_16e6.txt.gz");

/// Merges that CLIP takes from the list: 49,152 tokens less 256 bytes, at which counting also dropped two.
const COUNT: usize = 49152 - 256 - 2;

/// Ids in CLIP's order: bytes, bytes that end a word, merges, start, end.
pub(super) fn vocabulary() -> Result<(Vocab, Merges), String> {
    let mut text = String::new();
    GzDecoder::new(MERGES).read_to_string(&mut text).map_err(|e| e.to_string())?;
    let merges: Merges = text
        .lines()
        .skip(1)
        .take(COUNT)
        .filter_map(|line| line.split_once(' '))
        .map(|(a, b)| (a.to_owned(), b.to_owned()))
        .collect();
    let bytes = byte_symbols();
    let single = bytes.iter().map(char::to_string);
    let ending = bytes.iter().map(|c| format!("{c}</w>"));
    let merged = merges.iter().map(|(a, b)| format!("{a}{b}"));
    let special = [START, END].map(str::to_owned);
    let tokens = single.chain(ending).chain(merged).chain(special);
    Ok((tokens.zip(0..).collect(), merges))
}

/// A printable character for each byte, printable bytes first: the table of GPT-2.
fn byte_symbols() -> Vec<char> {
    let printable = |b: &u32| matches!(b, 33..=126 | 161..=172 | 174..=255);
    let shown = (0..256).filter(printable);
    let hidden = (0..256).filter(|b| !printable(b)).count() as u32;
    shown.chain(256..256 + hidden).filter_map(char::from_u32).collect()
}
