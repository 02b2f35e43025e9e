use super::terms::Phrase;
use super::words::Words;

const ADULT: u32 = 18;

/// Whether an age under 18 is written: `14 year old`, `14yo`, `14 y/o`, `fourteen-year-old`, `aged 12`,
/// `age: 12`, `6 months old`, `turned 15`, `her 16th birthday`, `under 18`. A number alone is no age, nor is
/// one followed by an aged thing (`12 year old whisky`).
pub(super) fn names_a_minor(words: &Words, aged_thing: &[Phrase]) -> bool {
    (0..words.len()).any(|i| after_a_cue(words, i) || before_a_unit(words, i, aged_thing))
}

/// A cue, then a number: `aged 12`, `age of 12`, `turned 15`, `under 18`.
fn after_a_cue(words: &Words, cue: usize) -> bool {
    let after = cue + 1;
    let skip = usize::from(matches!(words.written(after), "of" | "is" | "just" | "only" | "the" | "years"));
    let Some(number) = number(words.written(after + skip)) else {
        return words.written(cue) == "u18";
    };
    match words.written(cue) {
        "age" | "aged" | "ages" | "turned" | "turning" => number < ADULT,
        "under" | "below" => number == ADULT,
        "younger" | "less" => false,
        "than" => number == ADULT && matches!(words.written(cue.wrapping_sub(1)), "younger" | "less"),
        _ => false,
    }
}

/// A number, then a unit: `14 year old`, `14yo`, `16th birthday`.
fn before_a_unit(words: &Words, start: usize, aged_thing: &[Phrase]) -> bool {
    let written = words.written(start);
    let digits = written.len() - written.trim_start_matches(|c: char| c.is_ascii_digit()).len();
    // The unit is fused to the digits ("14yo") or is the next word.
    let (number, unit, mut next) = match written.split_at(digits) {
        ("", _) => (number(written), words.written(start + 1), start + 2),
        (digits, "") => (digits.parse().ok(), words.written(start + 1), start + 2),
        (digits, unit) => (digits.parse().ok(), unit, start + 1),
    };
    let Some(number) = number else { return false };
    let old = |index: usize| {
        matches!(words.written(index), "old" | "olds")
            || (words.written(index) == "of" && words.written(index + 1) == "age")
    };
    let young = match unit {
        "yo" | "yos" | "yearold" | "yearsold" | "yrold" => number < ADULT,
        "y" if matches!(words.written(next), "o" | "old") => {
            next += 1;
            number < ADULT
        }
        "year" | "years" | "yr" | "yrs" if old(next) => {
            next += 1;
            number < ADULT
        }
        "yrs" | "yr" => number < ADULT,
        "month" | "months" | "week" | "weeks" | "day" | "days" if old(next) => true,
        "th" | "st" | "nd" | "rd" => number < ADULT && words.written(next) == "birthday",
        _ => false,
    };
    young && !words.any_at(next, aged_thing)
}

fn number(word: &str) -> Option<u32> {
    const NAMES: [&str; 19] = [
        "zero",
        "one",
        "two",
        "three",
        "four",
        "five",
        "six",
        "seven",
        "eight",
        "nine",
        "ten",
        "eleven",
        "twelve",
        "thirteen",
        "fourteen",
        "fifteen",
        "sixteen",
        "seventeen",
        "eighteen",
    ];
    if let Ok(number) = word.parse() {
        return Some(number);
    }
    NAMES.iter().position(|name| *name == word).and_then(|number| u32::try_from(number).ok())
}
