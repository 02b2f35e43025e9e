/// Rows under headers, columns aligned by two spaces, numbers as they are.
pub(super) fn table(headers: &[&str], rows: &[Vec<String>]) -> String {
    let mut widths: Vec<usize> = headers.iter().map(|header| header.len()).collect();
    for row in rows {
        for (width, cell) in widths.iter_mut().zip(row) {
            *width = (*width).max(cell.chars().count());
        }
    }
    let line = |cells: &mut dyn Iterator<Item = &str>| {
        let mut text = String::new();
        for (cell, width) in cells.zip(&widths) {
            text.push_str(cell);
            text.extend(std::iter::repeat_n(' ', width + 2 - cell.chars().count()));
        }
        text.truncate(text.trim_end().len());
        text
    };
    let mut lines = vec![line(&mut headers.iter().copied())];
    lines.extend(rows.iter().map(|row| line(&mut row.iter().map(String::as_str))));
    lines.join("\n")
}

/// At most `limit` characters, on one line.
pub(super) fn short(text: &str, limit: usize) -> String {
    let mut shown: String = text.chars().map(|c| if c.is_control() { ' ' } else { c }).take(limit).collect();
    if text.chars().count() > limit {
        shown.push_str("...");
    }
    shown
}

/// Milliseconds as people read them, e.g. `450 ms`, `12 s`, `3 min`, `2.5 h`.
pub(super) fn span(milliseconds: u64) -> String {
    match milliseconds {
        0..1_000 => format!("{milliseconds} ms"),
        1_000..120_000 => format!("{} s", milliseconds / 1_000),
        120_000..7_200_000 => format!("{} min", milliseconds / 60_000),
        _ => format!("{:.1} h", milliseconds as f64 / 3_600_000.0),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn columns_are_as_wide_as_their_widest_cell() {
        let rows = [vec!["a".into(), "1".into()], vec!["long".into(), "22".into()]];
        assert_eq!(table(&["id", "n"], &rows), "id    n\na     1\nlong  22");
        assert_eq!(table(&["id"], &[]), "id");
    }

    #[test]
    fn long_text_is_cut_between_characters() {
        assert_eq!(short("äöü", 3), "äöü");
        assert_eq!(short("äöüß\n", 4), "äöüß...");
        assert_eq!(short("a\nb", 9), "a b");
    }

    #[test]
    fn spans_have_one_unit() {
        assert_eq!([999, 119_999, 120_000, 9_000_000].map(span), ["999 ms", "119 s", "2 min", "2.5 h"]);
    }
}
