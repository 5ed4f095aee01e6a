//! Sequences and enums.

use super::{Difference, Fix, own};

/// A sequence's options and the column that owns it; None where it is an identity column's, or not logged.
fn options(definition: &str) -> Option<(&str, Option<&str>)> {
    if definition.starts_with("unlogged") || definition.contains(" identity of ") {
        return None;
    }
    Some(match definition.split_once(" owned by ") {
        Some((options, owner)) => (options, Some(owner)),
        None => (definition, None),
    })
}

pub(super) fn sequence(difference: &Difference) -> Fix {
    let name = own(&difference.name);
    let odd = || Fix::by_hand("it belongs to an identity column, or is not logged");
    let Some(expected) = &difference.expected else {
        return Fix::decide(format!("DROP SEQUENCE {name}"), "its value would be lost");
    };
    let Some((plain, owner)) = options(expected) else {
        return odd();
    };
    let owned_by = |owner: Option<&str>| match owner {
        Some(owner) => format!("ALTER SEQUENCE {name} OWNED BY {}", own(owner)),
        None => format!("ALTER SEQUENCE {name} OWNED BY NONE"),
    };
    let Some(found) = &difference.found else {
        let mut statements = vec![format!("CREATE SEQUENCE {name} {plain}")];
        statements.extend(owner.map(|owner| owned_by(Some(owner))));
        statements.push(format!(
            "SELECT setval('{name}', …) -- the last number that was given"
        ));
        return Fix::Decide(
            statements,
            "it would begin anew, and give numbers again that rows have already".into(),
        );
    };
    let Some((plain_found, owner_found)) = options(found) else {
        return odd();
    };
    let mut statements = Vec::new();
    if plain != plain_found {
        let cycle = if plain.ends_with(" cycle") {
            ""
        } else {
            " no cycle"
        };
        statements.push(format!("ALTER SEQUENCE {name} {plain}{cycle}"));
    }
    if owner != owner_found {
        statements.push(owned_by(owner));
    }
    Fix::at_once(statements)
}

/// The labels of `('new', 'paid')`, as they are written.
fn label_list(definition: &str) -> Vec<&str> {
    let inside = definition.trim_start_matches('(').trim_end_matches(')');
    let (mut labels, mut start, mut is_quoted) = (Vec::new(), 0, false);
    for (at, c) in inside.char_indices() {
        match c {
            '\'' => is_quoted = !is_quoted,
            ',' if !is_quoted => {
                labels.push(inside[start..at].trim());
                start = at + 1;
            }
            _ => {}
        }
    }
    labels.push(inside[start..].trim());
    labels.retain(|label| !label.is_empty());
    labels
}

pub(super) fn labels(difference: &Difference) -> Fix {
    let name = own(&difference.name);
    match (&difference.expected, &difference.found) {
        (Some(expected), None) => Fix::run(format!("CREATE TYPE {name} AS ENUM {expected}")),
        (None, _) => Fix::run(format!("DROP TYPE {name}")),
        (Some(expected), Some(found)) => {
            let (expected, mut now) = (label_list(expected), label_list(found));
            let kept: Vec<&str> = expected
                .iter()
                .copied()
                .filter(|l| now.contains(l))
                .collect();
            if kept != now {
                return Fix::by_hand(
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
