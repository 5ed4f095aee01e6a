//! Columns of tables, and defaults of those of views.

use super::mention::Text;
use super::{Case, Difference, Fix, Kind, own};

/// What a definition may hold that is not understood here, or that ADD COLUMN does not take.
const ODD: &[&str] = &[
    " storage ",
    " compression ",
    " statistics ",
    " with (",
    " options (",
    " not null no inherit",
    " not null not valid",
];

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
        let marks = [" generated ", " collate "];
        let mut marks = marks.iter().chain(ODD);
        if marks.any(|mark| definition.contains(mark)) {
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

pub(super) fn column(difference: &Difference, case: &Case<'_>) -> Fix {
    let table = difference.table.as_deref().unwrap_or_default();
    let column = difference.name.get(table.len() + 1..).unwrap_or_default();
    if case.is_there(Kind::View, table) {
        return of_view(difference, (table, column));
    }
    if case.is_there(Kind::ForeignTable, table) {
        return Fix::by_hand("it has to fit what the other server holds");
    }
    let alter = format!("ALTER TABLE {}", own(table));
    match (&difference.expected, &difference.found) {
        (None, _) => {
            let statement = format!("{alter} DROP COLUMN {column}");
            Fix::decide(statement, "what is in the column would be lost")
        }
        (Some(expected), None) => missing((table, column), expected, case),
        (Some(expected), Some(found)) => different((table, column), (expected, found), case),
    }
}

/// Whether a constraint or an index of a table that begins so is about a column.
fn is_in(
    shape: &super::Shape,
    (table, column): (&str, &str),
    is_meant: impl Fn(&str) -> bool,
) -> bool {
    shape.items().any(|item| {
        matches!(item.kind, Kind::Constraint | Kind::Index)
            && item.table.as_deref() == Some(table)
            && is_meant(&item.definition)
            && Text::of(&[&item.definition]).mentions(column)
    })
}

fn is_primary(definition: &str) -> bool {
    definition.starts_with("PRIMARY KEY")
}

fn is_unique(definition: &str) -> bool {
    definition.starts_with("UNIQUE") || definition.starts_with("CREATE UNIQUE INDEX")
}

fn missing((table, column): (&str, &str), expected: &str, case: &Case<'_>) -> Fix {
    if ODD.iter().any(|mark| expected.contains(mark)) {
        return Fix::by_hand("there is more to this column than ADD COLUMN takes");
    }
    let statement = format!("ALTER TABLE {} ADD COLUMN {column} {expected}", own(table));
    let has_default = expected.contains(" default ");
    let numbers_rows = expected.contains(" as identity") || expected.contains("nextval(");
    let at = (table, column);
    if numbers_rows || is_in(case.expected, at, is_primary) {
        return Fix::decide(
            statement,
            "rows would get new numbers, and what points to them would point elsewhere",
        );
    }
    if has_default && is_in(case.expected, at, is_unique) {
        return Fix::decide(
            statement,
            "rows would get one value, and it has to be unique",
        );
    }
    let domain = ColumnParts::of(expected)
        .and_then(|parts| case.expected.get(Kind::Domain, None, parts.type_name));
    let refuses_null = domain.is_some_and(|domain| domain.definition.ends_with(" not null"));
    let is_required = expected.ends_with(" not null") || refuses_null;
    if is_required && !has_default && !expected.contains(" generated ") {
        return Fix::decide(
            statement,
            "a table with rows needs a value for each of them",
        );
    }
    Fix::run(statement)
}

fn different(
    (table, column): (&str, &str),
    (expected, found): (&str, &str),
    case: &Case<'_>,
) -> Fix {
    let (Some(expected), Some(found)) = (ColumnParts::of(expected), ColumnParts::of(found)) else {
        return Fix::by_hand("there is more to this column than type, default and NOT NULL");
    };
    let alter = format!("ALTER TABLE {}", own(table));
    if expected.type_name != found.type_name {
        return Fix::decide(
            format!("{alter} ALTER COLUMN {column} TYPE {}", expected.type_name),
            "values may not fit, and the table may be rewritten",
        );
    }
    let mut actions = Vec::new();
    if expected.default != found.default {
        actions.push(match expected.default {
            Some(default) => format!("ALTER COLUMN {column} SET DEFAULT {default}"),
            None => format!("ALTER COLUMN {column} DROP DEFAULT"),
        });
    }
    match (expected.is_not_null, found.is_not_null) {
        (true, false) => actions.push(format!("ALTER COLUMN {column} SET NOT NULL")),
        (false, true) if is_in(case.found, (table, column), is_primary) => {
            return Fix::by_hand("a primary key holds the column, and no NULL goes there");
        }
        (false, true) => actions.push(format!("ALTER COLUMN {column} DROP NOT NULL")),
        _ => {}
    }
    // one statement: all of it, or nothing
    let statement = format!("{alter} {}", actions.join(", "));
    let new_default = expected
        .default
        .filter(|_| expected.default != found.default);
    if new_default.is_some_and(|default| default.contains("nextval(")) {
        return Fix::decide(
            statement,
            "rows may have numbers that the sequence has not given: look at its value first",
        );
    }
    Fix::run(statement)
}

/// A view's column is an item for its default alone.
fn of_view(difference: &Difference, (view, column): (&str, &str)) -> Fix {
    let alter = format!("ALTER VIEW {} ALTER COLUMN {column}", own(view));
    let Some(expected) = &difference.expected else {
        return Fix::run(format!("{alter} DROP DEFAULT"));
    };
    let found = difference.found.as_deref().map(ColumnParts::of);
    match (ColumnParts::of(expected), found) {
        (Some(expected), Some(Some(found))) if expected.type_name != found.type_name => {
            Fix::by_hand("the view itself has another column there")
        }
        (
            Some(ColumnParts {
                default: Some(default),
                ..
            }),
            _,
        ) => Fix::run(format!("{alter} SET DEFAULT {default}")),
        _ => Fix::by_hand("there is more to this column than type and default"),
    }
}
