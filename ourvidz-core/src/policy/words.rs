use unicode_normalization::UnicodeNormalization;
use unicode_normalization::char::is_combining_mark;

use super::terms::Phrase;

/// A prompt as comparable words, in order.
#[derive(Debug)]
pub(super) struct Words {
    words: Vec<Word>,
}

/// One word in every reading: as written, and with digits and signs read as letters.
#[derive(Debug)]
struct Word {
    readings: Vec<String>,
}

impl Words {
    pub(super) fn of(text: &str) -> Self {
        let plain: String = text
            .nfkd()
            .filter(|&c| !is_combining_mark(c) && !is_invisible(c))
            .flat_map(char::to_lowercase)
            .map(look_alike)
            .collect();
        let mut words: Vec<Word> = plain
            .split(|c: char| !c.is_alphanumeric() && !matches!(c, '@' | '$' | '!'))
            .map(|word| word.trim_end_matches(['!', '@', '$']))
            .filter(|word| !word.is_empty())
            .map(Word::of)
            .collect();
        let joined = joined_letters(&words);
        words.extend(joined);
        Self { words }
    }

    /// Takes out every occurrence of the phrases; what stood around them does not become neighbours.
    pub(super) fn remove(&mut self, phrases: &[Phrase]) {
        for start in 0..self.words.len() {
            let longest = phrases.iter().filter(|p| self.matches_at(start, p)).map(Vec::len).max();
            for word in self.words.iter_mut().skip(start).take(longest.unwrap_or(0)) {
                word.readings.clear();
            }
        }
    }

    pub(super) fn contain(&self, phrases: &[Phrase]) -> bool {
        (0..self.words.len()).any(|start| phrases.iter().any(|phrase| self.matches_at(start, phrase)))
    }

    /// Whether one of the phrases begins at word `start`.
    pub(super) fn any_at(&self, start: usize, phrases: &[Phrase]) -> bool {
        phrases.iter().any(|phrase| self.matches_at(start, phrase))
    }

    pub(super) fn len(&self) -> usize {
        self.words.len()
    }

    /// Word `index` as written; empty past the end or when taken out.
    pub(super) fn written(&self, index: usize) -> &str {
        self.words.get(index).and_then(|word| word.readings.first()).map_or("", String::as_str)
    }

    fn matches_at(&self, start: usize, phrase: &[&str]) -> bool {
        let Some(words) = self.words.get(start..start + phrase.len()) else { return false };
        let last = phrase.len() - 1;
        words.iter().zip(phrase).enumerate().all(|(i, (word, term))| word.is(term, i == last))
    }
}

impl Word {
    fn of(word: &str) -> Self {
        let mut readings = vec![word.to_owned()];
        if word.chars().any(char::is_alphabetic) {
            for one in ['i', 'l'] {
                let letters: String = word.chars().map(|c| as_letter(c, one)).collect();
                if !readings.contains(&letters) {
                    readings.push(letters);
                }
            }
        }
        Self { readings }
    }

    fn is(&self, term: &str, plural: bool) -> bool {
        self.readings.iter().any(|reading| {
            reading == term || (plural && reading.strip_suffix('s').is_some_and(|singular| singular == term))
        })
    }
}

/// Every word that 3 to 16 single letters in a row spell, wherever in the row it begins: `s e x c h i l d`.
fn joined_letters(words: &[Word]) -> Vec<Word> {
    let single = |word: &Word| word.readings.first().is_some_and(|written| written.chars().count() == 1);
    let windows = words
        .chunk_by(|a, b| single(a) && single(b))
        .flat_map(|run| (3..=run.len().min(16)).flat_map(|len| run.windows(len)));
    // An empty word keeps two joined words from being read as one phrase.
    let apart = |window: &[Word]| {
        let word: String =
            window.iter().filter_map(|word| word.readings.first()).map(String::as_str).collect();
        [Word { readings: Vec::new() }, Word::of(&word)]
    };
    windows.flat_map(apart).collect()
}

/// Zero-width, directional, soft-hyphen, variation and tag characters.
fn is_invisible(c: char) -> bool {
    matches!(c,
        '\u{ad}' | '\u{34f}' | '\u{61c}' | '\u{115f}' | '\u{1160}' | '\u{17b4}' | '\u{17b5}'
        | '\u{180b}'..='\u{180f}' | '\u{200b}'..='\u{200f}' | '\u{202a}'..='\u{202e}'
        | '\u{2060}'..='\u{206f}' | '\u{3164}' | '\u{fe00}'..='\u{fe0f}' | '\u{feff}' | '\u{ffa0}'
        | '\u{e0000}'..='\u{e0fff}')
}

/// Cyrillic and Greek letters that look like Latin ones.
fn look_alike(c: char) -> char {
    match c {
        'а' | 'α' => 'a',
        'с' | 'ϲ' => 'c',
        'ԁ' => 'd',
        'е' | 'є' | 'ε' => 'e',
        'һ' => 'h',
        'і' | 'ι' | 'ı' => 'i',
        'ј' => 'j',
        'к' | 'κ' => 'k',
        'ӏ' => 'l',
        'м' => 'm',
        'п' | 'η' => 'n',
        'о' | 'ο' | 'σ' => 'o',
        'р' | 'ρ' => 'p',
        'ѕ' => 's',
        'т' | 'τ' => 't',
        'υ' => 'u',
        'ν' | 'ѵ' => 'v',
        'х' | 'χ' => 'x',
        'у' => 'y',
        other => other,
    }
}

fn as_letter(c: char, one: char) -> char {
    match c {
        '0' => 'o',
        '1' | '!' => one,
        '3' => 'e',
        '4' | '@' => 'a',
        '5' | '$' => 's',
        '7' => 't',
        '8' => 'b',
        '9' => 'g',
        other => other,
    }
}
