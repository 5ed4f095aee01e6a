//! Functions and procedures.

use super::mention::{Text, bare};
use super::{Case, Difference, Fix, Kind, own};

pub(super) fn routine(difference: &Difference, case: &Case<'_>) -> Fix {
    let word = if difference.kind == Kind::Procedure {
        "PROCEDURE"
    } else {
        "FUNCTION"
    };
    let drop = format!("DROP {word} {}", own(&difference.name));
    let Some(expected) = &difference.expected else {
        return Fix::run(drop);
    };
    // the arguments are part of the definition, with their names and defaults
    let name = bare(&difference.name);
    let create = format!("{word} {}{expected}", own(name));
    let Some(found) = &difference.found else {
        let create = format!("CREATE {create}");
        return if expected.contains(" security definer ") {
            Fix::decide(
                create,
                "everybody may call it until EXECUTE is revoked from PUBLIC, and it runs with its owner's rights",
            )
        } else {
            Fix::run(create)
        };
    };
    if head(expected) != head(found) {
        let statements = ["BEGIN".to_owned(), drop, format!("CREATE {create}")];
        return Fix::Decide(
            statements.into_iter().chain(["COMMIT".to_owned()]).collect(),
            "its arguments or what it returns are others, so that it has to be made anew: what is granted on it and what calls it goes with it".into(),
        );
    }
    let replace = format!("CREATE OR REPLACE {create}");
    let is_built_on = case.found.items().any(|item| {
        let holds = match item.kind {
            Kind::Index | Kind::Constraint => true,
            Kind::Column => item.definition.contains(" generated "),
            _ => false,
        };
        holds && Text::of(&[&item.definition]).mentions(name)
    });
    if is_built_on {
        Fix::decide(
            replace,
            "an index, a constraint or a generated column holds what it said until now",
        )
    } else {
        Fix::run(replace)
    }
}

/// What CREATE OR REPLACE does not let be altered: arguments, their names and defaults, and what is returned. More
/// defaults would do.
fn head(definition: &str) -> &str {
    let end = definition.find(" language ");
    &definition[..end.unwrap_or(definition.len())]
}
