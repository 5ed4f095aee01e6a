//! The lines of a statement, as its file has them.

use super::{place_at, split};

/// Lines in front of the one that is meant, and behind it.
const BEFORE: u32 = 4;
const BEHIND: u32 = 2;

/// Where somebody points in a file.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Pointer {
    /// Which statement, from 1.
    pub statement: u32,
    /// Which line of the file, from 1; None where the statement as a whole is meant.
    pub line: Option<u32>,
    /// Which character of the line, from 1.
    pub column: Option<u32>,
}

/// A statement as its file has it, or what of it is around the line that is meant.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Excerpt {
    /// The lines with their numbers, ascending; where numbers are left out, so are lines.
    pub lines: Vec<(u32, String)>,
    /// The line that is meant, where it is not the statement as a whole.
    pub line: Option<u32>,
    /// The character of it that is meant, from 1.
    pub column: Option<u32>,
}

/// The statement of a body that is pointed at. None where the body has none there: it is not what it was.
pub fn excerpt(body: &str, pointer: Pointer) -> Option<Excerpt> {
    let index = usize::try_from(pointer.statement).ok()?.checked_sub(1)?;
    let statement = *split(body).get(index)?;
    let first = statement.place.line;
    let last_character = statement.offset + statement.text.len() - 1;
    let last = place_at(body, last_character).line;
    let meant = pointer.line.unwrap_or(first);
    let line_text = body
        .lines()
        .nth(usize::try_from(meant).ok()?.checked_sub(1)?)?;
    // one behind the last character is where PostgreSQL points at the end of its input
    let is_there = pointer.column.is_none_or(|column| {
        usize::try_from(column).is_ok_and(|column| column <= line_text.chars().count() + 1)
    });
    if !is_there || !(first..=last.saturating_add(1)).contains(&meant) {
        return None;
    }
    let around = meant.saturating_sub(BEFORE)..=meant.saturating_add(BEHIND);
    let lines = (1..)
        .zip(body.lines())
        .skip_while(|(number, _)| *number < first)
        .take_while(|(number, _)| *number <= last.max(meant))
        .filter(|(number, _)| *number == first || around.contains(number))
        .map(|(number, text)| (number, text.to_owned()))
        .collect();
    Some(Excerpt {
        lines,
        line: (pointer.column.is_some() || meant != first).then_some(meant),
        column: pointer.column,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    const BODY: &str = "-- first\nCREATE TABLE a (\n  id int\n);\n\nCREATE INDEX b\n  ON a (x)\n  WHERE y;\n-- end\n";

    fn at(statement: u32, line: impl Into<Option<u32>>, column: impl Into<Option<u32>>) -> Pointer {
        Pointer {
            statement,
            line: line.into(),
            column: column.into(),
        }
    }

    fn numbers(body: &str, pointer: Pointer) -> Option<Vec<u32>> {
        let excerpt = excerpt(body, pointer)?;
        Some(excerpt.lines.iter().map(|(number, _)| *number).collect())
    }

    #[test]
    fn a_statement_is_shown_without_its_neighbours() {
        let excerpt = excerpt(BODY, at(2, 7, 9)).unwrap();
        assert_eq!(
            excerpt.lines,
            [
                (6, "CREATE INDEX b".to_owned()),
                (7, "  ON a (x)".to_owned()),
                (8, "  WHERE y;".to_owned())
            ]
        );
        assert_eq!((excerpt.line, excerpt.column), (Some(7), Some(9)));
        assert_eq!(numbers(BODY, at(1, None, None)), Some(vec![2, 3, 4]));
    }

    #[test]
    fn of_a_long_statement_the_beginning_and_what_is_around_the_line_are_shown() {
        let long = format!("INSERT INTO a VALUES\n{}  (0);\n", "  (1),\n".repeat(40));
        assert_eq!(
            numbers(&long, at(1, 20, 4)),
            Some(vec![1, 16, 17, 18, 19, 20, 21, 22])
        );
        assert_eq!(numbers(&long, at(1, None, None)), Some(vec![1, 2, 3]));
    }

    #[test]
    fn a_statement_as_a_whole_has_no_line_of_its_own() {
        let excerpt = excerpt(BODY, at(2, 6, None)).unwrap();
        assert_eq!(excerpt.line, None);
    }

    #[test]
    fn what_is_not_there_is_not_shown() {
        assert_eq!(excerpt(BODY, at(3, None, None)), None);
        assert_eq!(excerpt(BODY, at(1, 7, None)), None);
        assert_eq!(excerpt(BODY, at(1, 90, None)), None);
        assert_eq!(excerpt(BODY, at(2, 7, 40)), None);
        assert_eq!(excerpt(BODY, at(0, None, None)), None);
    }

    #[test]
    fn the_end_of_an_unfinished_statement_is_a_place() {
        assert_eq!(numbers("SELECT (\n", at(1, 1, 9)), Some(vec![1]));
    }
}
