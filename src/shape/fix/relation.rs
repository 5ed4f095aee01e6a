//! What belongs to tables.

use super::{Change, Difference, Fix, Kind, Shape, replaced};

pub(super) fn index(difference: &Difference, name: &str) -> Fix {
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

pub(super) fn constraint(
    difference: &Difference,
    (table, name): (&str, &str),
    found: &Shape,
) -> Fix {
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

pub(super) fn trigger(difference: &Difference, (table, name): (&str, &str)) -> Fix {
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

pub(super) fn row_security(table: &str, expected: Option<&str>) -> Fix {
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
