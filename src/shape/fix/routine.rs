//! Views, functions and procedures.

use super::{Difference, Fix, Kind};

pub(super) fn view(difference: &Difference) -> Fix {
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

pub(super) fn routine(difference: &Difference) -> Fix {
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
