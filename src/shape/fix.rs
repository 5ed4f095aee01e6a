//! SQL that would align a tenant with the shape that it ought to have, where it is plain. What would destroy data, or
//! what nobody can say without knowing more, is a comment with the reason.

use std::fmt::Write as _;

use super::own_name::filled;
use super::{Change, Difference, Kind, Shape};
use crate::tenant::{TenantId, quote_literal};

/// What is done about one difference.
enum Fix {
    /// Statements to be run.
    Run(Vec<String>),
    /// A statement that somebody has to decide about, and why.
    Decide(String, &'static str),
    /// Nothing that can be written down.
    ByHand(&'static str),
}

/// The SQL for one tenant, for psql. Statements stand in the order in which they have to be run.
pub fn fix_plan(tenant: &TenantId, differences: &[Difference], found: &Shape) -> String {
    let mut text = format!(
        "-- {tenant}\nSET search_path = {};\n",
        tenant.schema.quoted()
    );
    let mut ordered: Vec<&Difference> = differences.iter().collect();
    ordered.sort_by_key(|difference| order(difference));
    for difference in ordered {
        let _ = writeln!(text, "-- {difference}");
        match fix(difference, found) {
            Fix::Run(statements) => {
                for statement in statements {
                    let statement = filled(&statement, tenant);
                    let _ = writeln!(text, "{};", statement.trim_end().trim_end_matches(';'));
                }
            }
            Fix::Decide(statement, reason) => {
                let statement = filled(&statement, tenant);
                let _ = writeln!(text, "-- not done: {reason}");
                for line in statement.lines() {
                    let _ = writeln!(text, "-- {line}");
                }
            }
            Fix::ByHand(reason) => {
                let _ = writeln!(text, "-- not plain: {reason}");
            }
        }
    }
    text.push_str("RESET search_path;\n");
    text
}

/// What depends on others goes before them where it goes, and after them where it comes.
fn order(difference: &Difference) -> (u8, std::cmp::Reverse<Kind>, Kind) {
    let goes = difference.change == Change::Additional;
    let reversed = if goes {
        difference.kind
    } else {
        Kind::Extension
    };
    (
        u8::from(!goes),
        std::cmp::Reverse(reversed),
        difference.kind,
    )
}

fn fix(difference: &Difference, found: &Shape) -> Fix {
    let name = difference.name.as_str();
    let table = difference.table.as_deref().unwrap_or_default();
    let expected = difference.expected.as_deref();
    match difference.kind {
        Kind::Column => column(difference, table),
        Kind::Index => index(difference, name),
        Kind::Constraint => constraint(difference, (table, name), found),
        Kind::View => view(difference),
        Kind::Function | Kind::Procedure => routine(difference),
        Kind::Trigger => trigger(difference, (table, name)),
        Kind::Policy => replaced(
            difference,
            format!("DROP POLICY {name} ON {table}"),
            |definition| format!("CREATE POLICY {name} ON {table} {definition}"),
        ),
        Kind::Rule => replaced(
            difference,
            format!("DROP RULE {name} ON {table}"),
            str::to_owned,
        ),
        Kind::Statistics => replaced(
            difference,
            format!("DROP STATISTICS {name}"),
            |definition| format!("CREATE STATISTICS {name} {definition}"),
        ),
        Kind::RowSecurity => row_security(name, expected),
        Kind::Sequence => sequence(difference),
        Kind::Enum => labels(difference),
        Kind::Comment => Fix::Run(vec![match expected {
            Some(comment) => format!("COMMENT ON {name} IS {}", quote_literal(comment)),
            None => format!("COMMENT ON {name} IS NULL"),
        }]),
        Kind::Grant => grant(difference),
        Kind::MaterializedView => match difference.change {
            Change::Missing => Fix::Run(vec![format!(
                "CREATE MATERIALIZED VIEW {name} AS {}",
                expected.unwrap_or_default()
            )]),
            _ => Fix::ByHand("what is built on it goes with it, and filling it takes time"),
        },
        Kind::Table if difference.change == Change::Additional => {
            Fix::Decide(format!("DROP TABLE {name}"), "its rows would be lost")
        }
        Kind::Table => Fix::ByHand("the migration that makes it says how"),
        _ => Fix::ByHand("somebody has to look at it"),
    }
}

/// What holds no data is dropped, and made anew.
fn replaced(difference: &Difference, drop: String, create: impl Fn(&str) -> String) -> Fix {
    let expected = difference.expected.as_deref();
    let mut statements = Vec::new();
    if difference.change != Change::Missing {
        statements.push(drop);
    }
    statements.extend(expected.map(create));
    Fix::Run(statements)
}

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

fn column(difference: &Difference, table: &str) -> Fix {
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

fn index(difference: &Difference, name: &str) -> Fix {
    let create = |definition: &str| {
        let definition = definition
            .trim_end_matches(" INVALID")
            .trim_end_matches(" not ready");
        let unique = definition.strip_prefix("CREATE UNIQUE INDEX ");
        match unique.or_else(|| definition.strip_prefix("CREATE INDEX ")) {
            Some(rest) if unique.is_some() => format!("CREATE UNIQUE INDEX CONCURRENTLY {rest}"),
            Some(rest) => format!("CREATE INDEX CONCURRENTLY {rest}"),
            None => definition.to_owned(),
        }
    };
    let is_odd = |definition: &Option<String>| {
        definition.as_deref().is_some_and(|d| {
            d.starts_with("(behind") || d.contains(" ON ONLY ") || d.ends_with("replica identity")
        })
    };
    if is_odd(&difference.expected) || is_odd(&difference.found) {
        return Fix::ByHand(
            "it is behind a constraint, on a partitioned table, or a replica identity",
        );
    }
    replaced(
        difference,
        format!("DROP INDEX CONCURRENTLY {name}"),
        create,
    )
}

fn constraint(difference: &Difference, (table, name): (&str, &str), found: &Shape) -> Fix {
    let is_table = found.get(Kind::Table, None, table).is_some();
    let alter = if is_table {
        format!("ALTER TABLE {table}")
    } else {
        format!("ALTER DOMAIN {table}")
    };
    let drop = format!("{alter} DROP CONSTRAINT {name}");
    let Some(expected) = &difference.expected else {
        return Fix::Run(vec![drop]);
    };
    let validate = format!("{alter} VALIDATE CONSTRAINT {name}");
    let plain = expected.trim_end_matches(" NOT VALID");
    if difference.found.as_deref() == Some(&format!("{plain} NOT VALID")) {
        return Fix::Run(vec![validate]);
    }
    let mut statements = Vec::new();
    if difference.change == Change::Different {
        statements.push(drop);
    }
    let can_wait = expected.starts_with("CHECK") || expected.starts_with("FOREIGN KEY");
    if can_wait {
        statements.push(format!("{alter} ADD CONSTRAINT {name} {plain} NOT VALID"));
        if plain == expected {
            statements.push(validate);
        }
    } else {
        statements.push(format!("{alter} ADD CONSTRAINT {name} {expected}"));
    }
    Fix::Run(statements)
}

fn view(difference: &Difference) -> Fix {
    let name = &difference.name;
    let Some(expected) = &difference.expected else {
        return Fix::Run(vec![format!("DROP VIEW {name}")]);
    };
    let (options, query) = match expected.strip_prefix("with (") {
        Some(rest) => match rest.split_once(")\n") {
            Some((options, query)) => (format!(" WITH ({options})"), query),
            None => return Fix::ByHand("somebody has to look at it"),
        },
        None => (String::new(), expected.as_str()),
    };
    Fix::Run(vec![format!(
        "CREATE OR REPLACE VIEW {name}{options} AS{query}"
    )])
}

fn routine(difference: &Difference) -> Fix {
    let word = if difference.kind == Kind::Procedure {
        "PROCEDURE"
    } else {
        "FUNCTION"
    };
    let Some(expected) = &difference.expected else {
        return Fix::Run(vec![format!("DROP {word} {}", difference.name)]);
    };
    // the arguments are part of the definition, with their names and defaults
    let end = difference.name.find('(').unwrap_or(difference.name.len());
    Fix::Run(vec![format!(
        "CREATE OR REPLACE {word} {}{expected}",
        &difference.name[..end]
    )])
}

fn trigger(difference: &Difference, (table, name): (&str, &str)) -> Fix {
    let states = [
        (" DISABLED", "DISABLE"),
        (" REPLICA", "ENABLE REPLICA"),
        (" ALWAYS", "ENABLE ALWAYS"),
    ];
    let split = |definition: &str| -> (String, &'static str) {
        let state = states
            .iter()
            .find_map(|(mark, word)| Some((definition.strip_suffix(mark)?, *word)));
        match state {
            Some((definition, word)) => (definition.to_owned(), word),
            None => (definition.to_owned(), "ENABLE"),
        }
    };
    let expected = difference.expected.as_deref().map(split);
    let found = difference.found.as_deref().map(split);
    let mut statements = Vec::new();
    let is_other = expected.as_ref().map(|e| &e.0) != found.as_ref().map(|f| &f.0);
    if is_other && found.is_some() {
        statements.push(format!("DROP TRIGGER {name} ON {table}"));
    }
    if let Some((definition, state)) = expected {
        if is_other {
            statements.push(definition);
        }
        let now = if is_other {
            "ENABLE"
        } else {
            found.map_or("ENABLE", |found| found.1)
        };
        if state != now {
            statements.push(format!("ALTER TABLE {table} {state} TRIGGER {name}"));
        }
    }
    Fix::Run(statements)
}

fn row_security(table: &str, expected: Option<&str>) -> Fix {
    let is_enabled = expected.is_some_and(|flags| flags.starts_with("enabled"));
    let is_forced = expected.is_some_and(|flags| flags.ends_with("forced"));
    let (enable, force) = (
        if is_enabled { "ENABLE" } else { "DISABLE" },
        if is_forced { "FORCE" } else { "NO FORCE" },
    );
    Fix::Run(vec![format!(
        "ALTER TABLE {table} {enable} ROW LEVEL SECURITY, {force} ROW LEVEL SECURITY"
    )])
}

fn sequence(difference: &Difference) -> Fix {
    let name = &difference.name;
    let options = |definition: &str| -> Option<String> {
        let is_plain = !definition.starts_with("unlogged") && !definition.contains(" identity of ");
        is_plain.then(|| {
            definition
                .split(" owned by ")
                .next()
                .unwrap_or_default()
                .to_owned()
        })
    };
    match (&difference.expected, &difference.found) {
        (Some(expected), found) => match options(expected) {
            Some(plain) if found.is_some() => {
                let cycle = if plain.ends_with(" cycle") {
                    ""
                } else {
                    " no cycle"
                };
                Fix::Run(vec![format!("ALTER SEQUENCE {name} {plain}{cycle}")])
            }
            Some(plain) => Fix::Run(vec![format!("CREATE SEQUENCE {name} {plain}")]),
            None => Fix::ByHand("it belongs to an identity column, or is not logged"),
        },
        (None, _) => Fix::Decide(format!("DROP SEQUENCE {name}"), "its value would be lost"),
    }
}

/// The labels of `('new', 'paid')`, as they are written.
fn label_list(definition: &str) -> Vec<&str> {
    let inside = definition.trim_start_matches('(').trim_end_matches(')');
    inside
        .split(", ")
        .filter(|label| !label.is_empty())
        .collect()
}

fn labels(difference: &Difference) -> Fix {
    let name = &difference.name;
    match (&difference.expected, &difference.found) {
        (Some(expected), None) => Fix::Run(vec![format!("CREATE TYPE {name} AS ENUM {expected}")]),
        (None, _) => Fix::Run(vec![format!("DROP TYPE {name}")]),
        (Some(expected), Some(found)) => {
            let (expected, mut now) = (label_list(expected), label_list(found));
            let kept: Vec<&str> = expected
                .iter()
                .copied()
                .filter(|l| now.contains(l))
                .collect();
            if kept != now {
                return Fix::ByHand(
                    "labels of an enum can be added, and neither moved nor taken away",
                );
            }
            let mut statements = Vec::new();
            for (index, label) in expected.iter().enumerate() {
                if now.get(index) == Some(label) {
                    continue;
                }
                let place = match now.get(index) {
                    Some(next) => format!(" BEFORE {next}"),
                    None => String::new(),
                };
                statements.push(format!("ALTER TYPE {name} ADD VALUE {label}{place}"));
                now.insert(index, label);
            }
            Fix::Run(statements)
        }
    }
}

fn grant(difference: &Difference) -> Fix {
    let Some((subject, role)) = difference.name.rsplit_once(" to ") else {
        return Fix::ByHand("somebody has to look at it");
    };
    if subject == "schema" || role.contains('{') {
        return Fix::ByHand("it is about the schema itself, or a role of the tenant's own");
    }
    let on = |privileges: &str| -> (String, String) {
        match subject
            .strip_prefix("column ")
            .and_then(|column| column.rsplit_once('.'))
        {
            Some((table, column)) => {
                let each: Vec<String> = privileges
                    .split(", ")
                    .map(|p| format!("{p} ({column})"))
                    .collect();
                (each.join(", "), format!("table {table}"))
            }
            None => (privileges.to_owned(), subject.to_owned()),
        }
    };
    let mut statements = Vec::new();
    for (definition, verb, word) in [
        (&difference.found, "REVOKE", "FROM"),
        (&difference.expected, "GRANT", "TO"),
    ] {
        let Some(definition) = definition else {
            continue;
        };
        let (with_option, plain): (Vec<&str>, Vec<&str>) = definition
            .split(", ")
            .partition(|p| p.ends_with(" with grant option"));
        for (privileges, ending) in [(plain, ""), (with_option, " WITH GRANT OPTION")] {
            if privileges.is_empty() {
                continue;
            }
            let bare: Vec<&str> = privileges
                .iter()
                .map(|p| p.trim_end_matches(" with grant option"))
                .collect();
            let (privileges, object) = on(&bare.join(", "));
            let ending = if verb == "GRANT" { ending } else { "" };
            statements.push(format!(
                "{verb} {privileges} ON {object} {word} {role}{ending}"
            ));
        }
    }
    Fix::Run(statements)
}
