use std::sync::LazyLock;

/// Words in a row.
pub(super) type Phrase = Vec<&'static str>;

/// The word lists of `terms.txt`.
#[derive(Debug, Default)]
pub(super) struct Terms {
    pub(super) minor: Vec<Phrase>,
    pub(super) sexual: Vec<Phrase>,
    pub(super) always: Vec<Phrase>,
    pub(super) harmless: Vec<Phrase>,
    pub(super) aged_thing: Vec<Phrase>,
}

impl Terms {
    pub(super) fn get() -> &'static Terms {
        static TERMS: LazyLock<Terms> = LazyLock::new(|| Terms::read(include_str!("terms.txt")));
        &TERMS
    }

    fn read(text: &'static str) -> Self {
        let mut terms = Terms::default();
        let mut section = "";
        for line in text.lines().map(str::trim).filter(|line| !line.is_empty() && !line.starts_with('#')) {
            if line.starts_with('[') {
                section = line;
                continue;
            }
            let phrase = line.split_whitespace().collect();
            match section {
                "[minor]" => terms.minor.push(phrase),
                "[sexual]" => terms.sexual.push(phrase),
                "[always]" => terms.always.push(phrase),
                "[harmless]" => terms.harmless.push(phrase),
                "[aged thing]" => terms.aged_thing.push(phrase),
                _ => {}
            }
        }
        terms
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_line_lands_in_a_list_in_the_form_it_is_compared_in() {
        let terms = Terms::get();
        let lists = [&terms.minor, &terms.sexual, &terms.always, &terms.harmless, &terms.aged_thing];
        let lines = include_str!("terms.txt")
            .lines()
            .filter(|line| !line.trim().is_empty() && !line.starts_with(['#', '[']))
            .count();
        assert_eq!(lists.iter().map(|list| list.len()).sum::<usize>(), lines);
        for list in lists {
            assert!(!list.is_empty());
            for word in list.iter().flatten() {
                assert!(word.bytes().all(|b| b.is_ascii_lowercase()), "{word}");
            }
        }
    }
}
