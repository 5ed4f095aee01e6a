//! A statement with the numbers of its lines, and a caret where PostgreSQL points.

use std::io::{self, Write};

use super::causes::INDENT;
use super::style::{Style, Tone};
use super::wording::clean_line;
use crate::sql::Excerpt;

/// A line is shown at least so far, however narrow the terminal is.
const LEAST: usize = 40;

/// Writes the lines, indented as facts are.
pub(super) fn write_excerpt(
    out: &mut dyn Write,
    excerpt: &Excerpt,
    style: Style,
) -> io::Result<()> {
    let digits = excerpt
        .lines
        .last()
        .map_or(1, |(number, _)| number.to_string().len());
    // the mark, a blank, the number, ` │ `
    let gutter = INDENT + digits + 5;
    let room = usize::from(style.width).saturating_sub(gutter).max(LEAST);
    let mut expected = None;
    for (number, text) in &excerpt.lines {
        if expected.is_some_and(|expected| expected != *number) {
            writeln!(out, "{:INDENT$}  {:>digits$}", "", "…")?;
        }
        expected = number.checked_add(1);
        let is_meant = excerpt.line == Some(*number);
        let column = excerpt.column.filter(|_| is_meant);
        let (shown, caret) = fit(text, column, room);
        let mark = if is_meant { ">" } else { " " };
        let head = style.paint(Tone::Secondary, &format!("{mark} {number:>digits$} │"));
        writeln!(
            out,
            "{}",
            format!("{:INDENT$}{head} {shown}", "").trim_end()
        )?;
        if let Some(caret) = caret {
            let head = style.paint(Tone::Secondary, &format!("  {:digits$} │", ""));
            let caret = style.paint(Tone::Failure, &format!("{:caret$}^", ""));
            writeln!(out, "{:INDENT$}{head} {caret}", "")?;
        }
    }
    Ok(())
}

/// What of a line is shown, and how many columns are in front of the caret. Of a long line it is what is around
/// the caret.
fn fit(text: &str, column: Option<u32>, room: usize) -> (String, Option<usize>) {
    let characters: Vec<char> = text.chars().collect();
    let meant = column.and_then(|column| usize::try_from(column).ok()?.checked_sub(1));
    let start = match meant {
        Some(meant) if characters.len() > room => {
            meant.saturating_sub(room / 2).min(characters.len() - room)
        }
        _ => 0,
    };
    let end = characters.len().min(start + room);
    let piece = |from: usize, to: usize| -> String {
        let piece: String = characters[from.min(to)..to].iter().collect();
        // a tab is as wide as the terminal likes, and the caret has to stand below its character
        clean_line(&piece.replace('\t', "    "))
    };
    let before = if start > 0 { "…" } else { "" };
    let behind = if end < characters.len() { "…" } else { "" };
    let caret = meant.map(|meant| {
        let in_front = format!("{before}{}", piece(start, meant.clamp(start, end)));
        console::measure_text_width(&in_front)
    });
    (format!("{before}{}{behind}", piece(start, end)), caret)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn shown(excerpt: &Excerpt) -> String {
        let mut out = Vec::new();
        write_excerpt(&mut out, excerpt, Style::plain()).unwrap();
        String::from_utf8(out).unwrap()
    }

    #[test]
    fn the_caret_stands_below_its_character() {
        let excerpt = Excerpt {
            lines: vec![
                (8, "CREATE INDEX i".to_owned()),
                (10, "\tON täble (emial);".to_owned()),
            ],
            line: Some(10),
            column: Some(12),
        };
        let pad = " ".repeat(INDENT);
        assert_eq!(
            shown(&excerpt),
            format!(
                "{pad}   8 │ CREATE INDEX i\n{pad}   …\n{pad}> 10 │     ON täble (emial);\n{pad}     │               ^\n"
            )
        );
    }

    #[test]
    fn of_a_long_line_the_middle_is_shown() {
        let text = format!("{}x{}", "a".repeat(500), "b".repeat(500));
        let (shown, caret) = fit(&text, Some(501), 60);
        assert_eq!(shown.chars().count(), 62);
        assert_eq!(shown.chars().nth(caret.unwrap()), Some('x'));
        let (shown, caret) = fit("SELECT (", Some(9), 60);
        assert_eq!((shown.as_str(), caret), ("SELECT (", Some(8)));
        assert_eq!(fit(&text, None, 3).0, "aaa…");
    }

    #[test]
    fn a_file_cannot_move_the_cursor() {
        assert_eq!(fit("a\u{1b}[2Jb", Some(6), 60).0, "a\\u{1b}[2Jb");
    }
}
