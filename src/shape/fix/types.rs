//! Sequences and enums.

use super::{Difference, Fix};

pub(super) fn sequence(difference: &Difference) -> Fix {
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

pub(super) fn labels(difference: &Difference) -> Fix {
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
