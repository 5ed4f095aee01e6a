//! What roles may do.

use super::{Difference, Fix};

pub(super) fn grant(difference: &Difference) -> Fix {
    let Some((subject, role)) = difference.name.rsplit_once(" to ") else {
        return Fix::by_hand("somebody has to look at it");
    };
    if subject == "schema" {
        return Fix::by_hand("it is about the schema itself");
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
    Fix::at_once(statements)
}
