//! What belongs to tables.

use super::{Case, Difference, Fix, Kind, Shape, own};
use crate::tenant::quote_identifier;

/// How many bytes PostgreSQL keeps of a name.
const MAX_NAME: usize = 63;

/// How the name ends that something has until what it replaces is gone.
const NEW: &str = "_fleet_new";

/// Another name for what takes the place of something.
fn spare_name(name: &str) -> String {
    let quoted = name.strip_prefix('"').and_then(|n| n.strip_suffix('"'));
    let mut plain = quoted.map_or_else(|| name.to_owned(), |n| n.replace("\"\"", "\""));
    while plain.len() + NEW.len() > MAX_NAME {
        plain.pop();
    }
    quote_identifier(&(plain + NEW))
}

/// An index as it is created, without the words for what is wrong with it.
fn bare_index(definition: &str) -> &str {
    definition
        .trim_end_matches(" INVALID")
        .trim_end_matches(" not ready")
}

/// CREATE INDEX CONCURRENTLY under some name.
fn build(definition: &str, name: &str, new_name: &str) -> Option<String> {
    let unique = definition.strip_prefix("CREATE UNIQUE INDEX ");
    let word = if unique.is_some() {
        "UNIQUE INDEX"
    } else {
        "INDEX"
    };
    let rest = unique.or_else(|| definition.strip_prefix("CREATE INDEX "))?;
    let rest = rest.strip_prefix(name)?;
    Some(format!("CREATE {word} CONCURRENTLY {new_name}{rest}"))
}

pub(super) fn index(difference: &Difference, case: &Case<'_>) -> Fix {
    let name = difference.name.as_str();
    let table = difference.table.as_deref().unwrap_or_default();
    let is_odd = |definition: &Option<String>| {
        definition.as_deref().is_some_and(|d| {
            d.starts_with("(behind")
                || d.contains(" ON ONLY ")
                || d.contains(" replica identity")
                || d.contains(" being dropped")
        })
    };
    if is_odd(&difference.expected) || is_odd(&difference.found) {
        return Fix::by_hand(
            "it is behind a constraint, on a partitioned table, a replica identity, or half dropped",
        );
    }
    let found = difference.found.as_deref();
    let holds_keys =
        found.is_some_and(|found| found.starts_with("CREATE UNIQUE") && case.is_referenced(table));
    let Some(expected) = difference.expected.as_deref() else {
        return if holds_keys {
            Fix::by_hand("foreign keys may stand on it")
        } else {
            Fix::run(format!("DROP INDEX CONCURRENTLY {}", own(name)))
        };
    };
    if bare_index(expected) != expected {
        return Fix::by_hand("the one that it is compared with is invalid itself");
    }
    let Some(found) = found else {
        return match build(expected, name, name) {
            Some(statement) => Fix::run(statement),
            None => Fix::by_hand("somebody has to look at it"),
        };
    };
    if bare_index(found) == expected {
        return Fix::run(reindex(name));
    }
    if holds_keys {
        return Fix::by_hand("foreign keys may stand on it");
    }
    let spare = spare_name(name);
    match build(expected, name, &spare) {
        Some(statement) => Fix::Run(vec![
            statement,
            "BEGIN".to_owned(),
            format!("DROP INDEX {}", own(name)),
            format!("ALTER INDEX {} RENAME TO {name}", own(&spare)),
            "COMMIT".to_owned(),
        ]),
        None => Fix::by_hand("somebody has to look at it"),
    }
}

fn reindex(name: &str) -> String {
    format!("REINDEX INDEX CONCURRENTLY {}", own(name))
}

/// What is done about an index that is invalid, and no difference.
pub(super) fn invalid(name: &str, definition: &str) -> Fix {
    let of_reindex = ["_ccnew", "_ccold"];
    let plain = name
        .trim_matches('"')
        .trim_end_matches(|c: char| c.is_ascii_digit());
    if definition.starts_with("(behind")
        || definition.contains(" ON ONLY ")
        || definition.contains(" being dropped")
    {
        Fix::by_hand("it is behind a constraint, on a partitioned table, or half dropped")
    } else if of_reindex.iter().any(|end| plain.ends_with(end)) {
        Fix::decide(
            format!("DROP INDEX CONCURRENTLY {}", own(name)),
            "REINDEX CONCURRENTLY has left it",
        )
    } else {
        Fix::run(reindex(name))
    }
}

/// A constraint of a table or a domain, where it stands.
struct Place<'a> {
    alter: String,
    name: &'a str,
    is_partitioned: bool,
}

pub(super) fn constraint(difference: &Difference, case: &Case<'_>) -> Fix {
    let table = difference.table.as_deref().unwrap_or_default();
    if case.is_there(Kind::ForeignTable, table) {
        return Fix::by_hand("it has to fit what the other server holds");
    }
    let texts = [&difference.expected, &difference.found];
    let is_odd = |d: &String| d.contains(" (triggers: ") || d.contains(" NOT ENFORCED");
    if texts.into_iter().flatten().any(is_odd) {
        return Fix::by_hand("its triggers are off, or it is not enforced");
    }
    let definition = case.table(table);
    let place = Place {
        alter: format!(
            "ALTER {} {}",
            if definition.is_some() {
                "TABLE"
            } else {
                "DOMAIN"
            },
            own(table)
        ),
        name: &difference.name,
        is_partitioned: definition.is_some_and(|d| d.contains("partition by ")),
    };
    if let Some(reason) = difference
        .found
        .as_deref()
        .and_then(|found| needed(found, table, case))
    {
        return Fix::by_hand(reason);
    }
    match (difference.expected.as_deref(), difference.found.as_deref()) {
        (None, Some(found)) if is_primary(found) && has_primary(table, case.expected) => {
            Fix::by_hand("the table ought to have another primary key")
        }
        (None, _) => Fix::run(place.dropped()),
        (Some(expected), None) if is_primary(expected) && has_primary(table, case.found) => {
            Fix::by_hand("the table has another primary key")
        }
        (Some(expected), None) => place.added(expected),
        (Some(expected), Some(found)) => place.replaced(expected, found),
    }
}

fn is_primary(definition: &str) -> bool {
    definition.starts_with("PRIMARY KEY")
}

fn has_primary(table: &str, shape: &Shape) -> bool {
    shape.items().any(|item| {
        item.kind == Kind::Constraint
            && item.table.as_deref() == Some(table)
            && is_primary(&item.definition)
    })
}

/// Why a constraint that is there cannot go.
fn needed(found: &str, table: &str, case: &Case<'_>) -> Option<&'static str> {
    let is_key = is_primary(found) || found.starts_with("UNIQUE");
    if is_key && case.is_referenced(table) {
        return Some("foreign keys may stand on it");
    }
    // PostgreSQL lets a view that groups by a primary key name all columns
    let groups = case.found.items().any(|item| {
        matches!(
            item.kind,
            Kind::View | Kind::MaterializedView | Kind::Function
        ) && item.definition.contains("GROUP BY")
    });
    (is_primary(found) && groups).then_some("a view that groups by it may stand on it")
}

impl Place<'_> {
    fn dropped(&self) -> String {
        format!("{} DROP CONSTRAINT {}", self.alter, self.name)
    }

    /// Whether it can be checked without keeping everybody out.
    fn can_wait(&self, definition: &str) -> bool {
        definition.starts_with("CHECK")
            || (definition.starts_with("FOREIGN KEY") && !self.is_partitioned)
    }

    fn add(&self, name: &str, definition: &str) -> Vec<String> {
        let alter = &self.alter;
        if !self.can_wait(definition) {
            return vec![format!("{alter} ADD CONSTRAINT {name} {definition}")];
        }
        let plain = definition.trim_end_matches(" NOT VALID");
        let mut statements = vec![format!("{alter} ADD CONSTRAINT {name} {plain} NOT VALID")];
        if plain == definition {
            statements.push(format!("{alter} VALIDATE CONSTRAINT {name}"));
        }
        statements
    }

    fn added(&self, expected: &str) -> Fix {
        Fix::Run(self.add(self.name, expected))
    }

    fn replaced(&self, expected: &str, found: &str) -> Fix {
        let (alter, name) = (&self.alter, self.name);
        let plain = expected.trim_end_matches(" NOT VALID");
        if expected != plain {
            return Fix::by_hand("elsewhere it holds for new rows only");
        }
        if found == format!("{plain} NOT VALID") {
            return Fix::run(format!("{alter} VALIDATE CONSTRAINT {name}"));
        }
        if !self.can_wait(expected) || !self.can_wait(found) {
            if self.is_partitioned || alter.starts_with("ALTER DOMAIN") {
                return Fix::by_hand("partitions have it under names of their own");
            }
            return Fix::run(format!(
                "{}, ADD CONSTRAINT {name} {expected}",
                self.dropped()
            ));
        }
        // what is there goes when the new one has been found to hold
        let spare = spare_name(name);
        let mut statements = self.add(&spare, expected);
        statements.extend([
            "BEGIN".to_owned(),
            self.dropped(),
            format!("{alter} RENAME CONSTRAINT {spare} TO {name}"),
            "COMMIT".to_owned(),
        ]);
        Fix::Run(statements)
    }
}

/// A trigger or a rule, which can be there and off.
pub(super) fn switched(difference: &Difference, (table, name): (&str, &str)) -> Fix {
    let kind = if difference.kind == Kind::Rule {
        "RULE"
    } else {
        "TRIGGER"
    };
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
        statements.push(format!("DROP {kind} {name} ON {table}"));
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
            statements.push(format!("ALTER TABLE {table} {state} {kind} {name}"));
        }
    }
    Fix::at_once(statements)
}

pub(super) fn row_security(table: &str, expected: Option<&str>) -> Fix {
    let is_enabled = expected.is_some_and(|flags| flags.starts_with("enabled"));
    let is_forced = expected.is_some_and(|flags| flags.ends_with("forced"));
    let (enable, force) = (
        if is_enabled { "ENABLE" } else { "DISABLE" },
        if is_forced { "FORCE" } else { "NO FORCE" },
    );
    Fix::run(format!(
        "ALTER TABLE {table} {enable} ROW LEVEL SECURITY, {force} ROW LEVEL SECURITY"
    ))
}
