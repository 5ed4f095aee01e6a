//! Columns for people: aligned by what is seen, not by bytes, and never wrapped.

use std::io::{self, Write};

use super::style::{Style, Tone};

/// Between two columns.
const GAP: &str = "  ";

/// Rows under a head.
pub(super) struct Table<const COLUMNS: usize> {
    head: [&'static str; COLUMNS],
    rows: Vec<[Cell; COLUMNS]>,
}

/// One word or number of a table.
pub(super) struct Cell {
    text: String,
    tone: Option<Tone>,
}

impl Cell {
    /// With a colour.
    pub(super) fn toned(text: impl Into<String>, tone: Option<Tone>) -> Self {
        Self {
            text: text.into(),
            tone,
        }
    }
}

impl<T: Into<String>> From<T> for Cell {
    fn from(text: T) -> Self {
        Self::toned(text, None)
    }
}

impl<const COLUMNS: usize> Table<COLUMNS> {
    /// An empty table.
    pub(super) fn new(head: [&'static str; COLUMNS]) -> Self {
        Self {
            head,
            rows: Vec::new(),
        }
    }

    /// Adds a row.
    pub(super) fn push(&mut self, row: [Cell; COLUMNS]) {
        self.rows.push(row);
    }

    /// Writes head and rows.
    pub(super) fn write(&self, out: &mut dyn Write, style: Style) -> io::Result<()> {
        let mut widths = self.head.map(str::len);
        for row in &self.rows {
            for (width, cell) in widths.iter_mut().zip(row) {
                *width = (*width).max(console::measure_text_width(&cell.text));
            }
        }
        let head = self
            .head
            .map(|text| Cell::toned(text, Some(Tone::Secondary)));
        write_row(out, &head, &widths, style)?;
        self.rows
            .iter()
            .try_for_each(|row| write_row(out, row, &widths, style))
    }
}

fn write_row(out: &mut dyn Write, row: &[Cell], widths: &[usize], style: Style) -> io::Result<()> {
    // blanks are owed, not written, so that no line ends with them
    let mut owed = 0;
    for (cell, width) in row.iter().zip(widths) {
        let seen = console::measure_text_width(&cell.text);
        if seen > 0 {
            let text = match cell.tone {
                Some(tone) => style.paint(tone, &cell.text),
                None => cell.text.clone(),
            };
            write!(out, "{:owed$}{text}", "")?;
            owed = 0;
        }
        owed += width - seen + GAP.len();
    }
    writeln!(out)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn columns_are_aligned_by_what_is_seen() {
        let mut table = Table::new(["NAME", "STATE", "N"]);
        table.push([
            "é".into(),
            Cell::toned("failed", Some(Tone::Failure)),
            "1".into(),
        ]);
        table.push(["long name".into(), "".into(), "".into()]);
        let mut out = Vec::new();
        table.write(&mut out, Style::plain()).unwrap();
        assert_eq!(
            String::from_utf8(out).unwrap(),
            "NAME       STATE   N\né          failed  1\nlong name\n"
        );
    }
}
