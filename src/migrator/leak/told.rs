//! What was found, in words.

use tokio_postgres::error::DbError;

use super::{END, LEAK};
use crate::migrator::message::GUARD_MARK;
use crate::run::{Failure, FailureClass, REACHES_OUTSIDE};

/// How many objects are told in the message; the others are in the detail.
const TOLD: usize = 4;

/// One thing that a file has done outside of its tenant.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Leak {
    what: What,
    /// The kind of the object, and its name.
    object: String,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum What {
    Dropped,
    Created,
    Changed,
    WroteTo,
    Moved,
}

impl What {
    fn of(number: u64) -> Option<Self> {
        [
            Self::Dropped,
            Self::Created,
            Self::Changed,
            Self::WroteTo,
            Self::Moved,
        ]
        .get(usize::try_from(number).ok()?)
        .copied()
    }

    fn word(self) -> &'static str {
        match self {
            Self::Dropped => "dropped",
            Self::Created => "created",
            Self::Changed => "changed",
            Self::WroteTo => "wrote to",
            Self::Moved => "moved",
        }
    }
}

/// The failure of a file that reaches outside of its tenant.
pub(in crate::migrator) fn failure(error: &DbError) -> Failure {
    let (leaks, all) = leaks_of(error.message()).unwrap_or_default();
    let told: Vec<String> = leaks
        .iter()
        .map(|leak| format!("{} {}", leak.what.word(), leak.object))
        .collect();
    let list = |told: &[String], all: usize| match all.saturating_sub(told.len()) {
        0 => told.join(", "),
        more => format!("{}, and {more} more", told.join(", ")),
    };
    let shown = list(&told[..told.len().min(TOLD)], all);
    let message = format!("{REACHES_OUTSIDE} and was rolled back: it {shown}");
    Failure {
        detail: (all > TOLD).then(|| list(&told, all)),
        ..Failure::new(FailureClass::Permanent, message)
    }
    .with_hint(hint(&leaks))
}

fn hint(leaks: &[Leak]) -> String {
    let is_table = |leak: &Leak| leak.what == What::Changed && leak.object.starts_with("table ");
    let foreign_key = if leaks.iter().any(is_table) {
        " (a foreign key locks and changes the table it points to: it is let pass where databases[].search_path names that table's schema)"
    } else {
        ""
    };
    format!(
        "a migration runs once in every tenant: what all of them share is for somebody to do once, outside of the set. \
         Write names without a schema; or, where it is meant, -- fleet: allow leak REASON in the file{foreign_key}"
    )
}

/// What the guard has found, as far as it is named, and how much it is in all.
fn leaks_of(message: &str) -> Option<(Vec<Leak>, usize)> {
    let (_, found) = message.split_once(&format!("{GUARD_MARK}{LEAK}"))?;
    let (found, _) = found.rsplit_once(END)?;
    let (all, named): (usize, Vec<(u64, String, String)>) = serde_json::from_str(found).ok()?;
    let leaks = named.into_iter().filter_map(|(what, kind, name)| {
        Some(Leak {
            what: What::of(what)?,
            object: format!("{kind} {name}").trim_end().to_owned(),
        })
    });
    Some((leaks.collect(), all))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_found_is_read_out_of_an_error_in_any_language() {
        let message = r#"ungültige Eingabesyntax für Typ boolean: »fleet_guard:leak [3, [[1,"view","public.\"a »b«\""],[3,"table","b.c"]]] fleet_guard:end«"#;
        let (leaks, all) = leaks_of(message).unwrap();
        assert_eq!(all, 3);
        assert_eq!(leaks[0].object, r#"view public."a »b«""#);
        assert_eq!(leaks[1].what, What::WroteTo);
        assert_eq!(leaks_of("fleet_guard:leak [1"), None);
    }

    #[test]
    fn a_foreign_key_is_thought_of_where_a_table_was_changed() {
        let leak = |what, object: &str| Leak {
            what,
            object: object.to_owned(),
        };
        assert!(hint(&[leak(What::Changed, "table a.b")]).contains("foreign key"));
        assert!(!hint(&[leak(What::WroteTo, "table a.b")]).contains("foreign key"));
    }
}
