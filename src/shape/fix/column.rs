//! Columns.

use super::{Difference, Fix};

/// What a column is like, by the order in which its definition is written.
#[derive(Debug, Default, PartialEq, Eq)]
struct ColumnParts<'a> {
    type_name: &'a str,
    default: Option<&'a str>,
    is_not_null: bool,
}

impl<'a> ColumnParts<'a> {
    /// None where there is more to it than type, default and NOT NULL.
    fn of(definition: &'a str) -> Option<Self> {
        let marks = [
            " generated ",
            " collate ",
            " storage ",
            " compression ",
            " statistics ",
            " with (",
            " options (",
        ];
        if marks.iter().any(|mark| definition.contains(mark)) {
            return None;
        }
        let (before, is_not_null) = match definition.strip_suffix(" not null") {
            Some(before) => (before, true),
            None => (definition, false),
        };
        let (type_name, default) = match before.split_once(" default ") {
            Some((type_name, default)) => (type_name, Some(default)),
            None => (before, None),
        };
        Some(Self {
            type_name,
            default,
            is_not_null,
        })
    }
}

pub(super) fn column(difference: &Difference, table: &str) -> Fix {
    let column = difference.name.get(table.len() + 1..).unwrap_or_default();
    let alter = format!("ALTER TABLE {table}");
    let (expected, found) = match (&difference.expected, &difference.found) {
        (None, _) => {
            let statement = format!("{alter} DROP COLUMN {column}");
            return Fix::Decide(statement, "what is in the column would be lost");
        }
        (Some(expected), None) => {
            let needs_values = expected.ends_with(" not null")
                && !expected.contains(" default ")
                && !expected.contains(" generated ");
            let statement = format!("{alter} ADD COLUMN {column} {expected}");
            return if needs_values {
                Fix::Decide(
                    statement,
                    "a table with rows needs a value for each of them",
                )
            } else {
                Fix::Run(vec![statement])
            };
        }
        (Some(expected), Some(found)) => (expected, found),
    };
    let (Some(expected), Some(found)) = (ColumnParts::of(expected), ColumnParts::of(found)) else {
        return Fix::ByHand("there is more to this column than type, default and NOT NULL");
    };
    if expected.type_name != found.type_name {
        let statement = format!("{alter} ALTER COLUMN {column} TYPE {}", expected.type_name);
        return Fix::Decide(
            statement,
            "values may not fit, and the table may be rewritten",
        );
    }
    let mut statements = Vec::new();
    if expected.default != found.default {
        statements.push(match expected.default {
            Some(default) => format!("{alter} ALTER COLUMN {column} SET DEFAULT {default}"),
            None => format!("{alter} ALTER COLUMN {column} DROP DEFAULT"),
        });
    }
    match (expected.is_not_null, found.is_not_null) {
        (true, false) => statements.push(format!("{alter} ALTER COLUMN {column} SET NOT NULL")),
        (false, true) => statements.push(format!("{alter} ALTER COLUMN {column} DROP NOT NULL")),
        _ => {}
    }
    Fix::Run(statements)
}
