//! Views.

use super::{Change, Difference, Fix, own};

/// The options of a view as a clause, and its query; None where that is not understood.
fn parts(definition: &str) -> Option<(String, &str)> {
    let (options, query) = match definition.strip_prefix("with (") {
        Some(rest) => {
            let (options, query) = rest.split_once(")\n")?;
            (format!(" WITH ({options})"), query)
        }
        None => (String::new(), definition),
    };
    Some((options, query.trim_end().trim_end_matches(';')))
}

pub(super) fn view(difference: &Difference) -> Fix {
    let name = own(&difference.name);
    let drop = format!("DROP VIEW {name}");
    let Some(expected) = &difference.expected else {
        return Fix::run(drop);
    };
    let Some((options, query)) = parts(expected) else {
        return Fix::by_hand("somebody has to look at it");
    };
    let create = format!("VIEW {name}{options} AS{query}");
    let Some(found) = &difference.found else {
        return Fix::run(format!("CREATE {create}"));
    };
    let found = parts(found).and_then(|(_, query)| columns(query));
    match (columns(query), found) {
        (Some(expected), Some(found)) if extends(expected, found) => {
            Fix::run(format!("CREATE OR REPLACE {create}"))
        }
        _ => Fix::Decide(
            vec![
                "BEGIN".to_owned(),
                drop,
                format!("CREATE {create}"),
                "COMMIT".to_owned(),
            ],
            "its columns may be others, so that it has to be made anew: what is granted on it and what is built on it goes with it".into(),
        ),
    }
}

/// Whether PostgreSQL lets one view take the other's place: the same columns from the same tables, or more at the end.
fn extends(expected: (&str, &str), found: (&str, &str)) -> bool {
    let rest = expected.0.strip_prefix(found.0);
    expected.1 == found.1 && rest.is_some_and(|rest| rest.is_empty() || rest.starts_with(','))
}

/// What a query selects, and from what. None where more than one query says what its columns are.
fn columns(query: &str) -> Option<(&str, &str)> {
    let query = query.trim();
    let words = top_words(query);
    if words.first().is_none_or(|(_, word)| *word != "SELECT") {
        return None;
    }
    let several = ["UNION", "INTERSECT", "EXCEPT"];
    if words.iter().any(|(_, word)| several.contains(word)) {
        return None;
    }
    let ends = [
        "WHERE", "GROUP", "HAVING", "WINDOW", "ORDER", "LIMIT", "OFFSET", "FETCH", "FOR",
    ];
    let end = words.iter().find(|(_, word)| ends.contains(word));
    let end = end.map_or(query.len(), |(at, _)| *at);
    let from = words.iter().find(|(_, word)| *word == "FROM");
    let from = from.map_or(end, |(at, _)| *at).min(end);
    Some((query[..from].trim_end(), query[from..end].trim_end()))
}

/// The words of a query that are in no parentheses and no quotes, with their places.
fn top_words(query: &str) -> Vec<(usize, &str)> {
    let (mut words, mut depth, mut quote, mut start) = (Vec::new(), 0_u32, None, None);
    for (at, c) in query.char_indices().chain([(query.len(), ' ')]) {
        let is_word = quote.is_none() && depth == 0 && (c.is_alphanumeric() || c == '_');
        match start {
            None if is_word => start = Some(at),
            Some(from) if !is_word => {
                words.push((from, &query[from..at]));
                start = None;
            }
            _ => {}
        }
        match (quote, c) {
            (Some(open), _) if open == c => quote = None,
            (None, '\'' | '"') => quote = Some(c),
            (None, '(' | '[') => depth += 1,
            (None, ')' | ']') => depth = depth.saturating_sub(1),
            _ => {}
        }
    }
    words
}

pub(super) fn materialized(difference: &Difference) -> Fix {
    match (difference.change, &difference.expected) {
        (Change::Missing, Some(expected)) => match parts(expected) {
            Some((options, query)) => Fix::run(format!(
                "CREATE MATERIALIZED VIEW {}{options} AS{query}",
                own(&difference.name)
            )),
            None => Fix::by_hand("somebody has to look at it"),
        },
        _ => Fix::by_hand("what is built on it goes with it, and filling it takes time"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn is_replaceable(expected: &str, found: &str) -> bool {
        match (columns(expected), columns(found)) {
            (Some(expected), Some(found)) => extends(expected, found),
            _ => false,
        }
    }

    #[test]
    fn a_view_takes_another_ones_place_where_its_columns_stay() {
        let found = " SELECT id,\n    (x ->> 'a, FROM b') AS a\n   FROM t\n  WHERE id > 1";
        for (expected, is_so) in [
            (" SELECT id,\n    (x ->> 'a, FROM b') AS a\n   FROM t", true),
            (
                " SELECT id,\n    (x ->> 'a, FROM b') AS a,\n    c\n   FROM t",
                true,
            ),
            (
                " SELECT id,\n    (x ->> 'a, FROM b') AS ab\n   FROM t",
                false,
            ),
            (" SELECT id\n   FROM t", false),
            (
                " SELECT id,\n    (x ->> 'a, FROM b') AS a\n   FROM u",
                false,
            ),
            (
                " SELECT id,\n    (x ->> 'a, FROM b') AS a\n   FROM t\nUNION\n SELECT 1,\n    2",
                false,
            ),
            (" WITH z AS (SELECT 1)\n SELECT id FROM z", false),
        ] {
            assert_eq!(is_replaceable(expected, found), is_so, "{expected}");
        }
    }
}
