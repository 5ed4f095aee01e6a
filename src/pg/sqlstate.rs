//! What an error of PostgreSQL means, by its SQLSTATE and never by its text: once, here.

use std::error::Error as _;
use std::fmt::Write as _;

use tokio_postgres::error::{DbError, SqlState};

use crate::run::{Failure, FailureClass};

/// Longer messages are cut: a `RAISE` can hold megabytes, and every failure is kept in the ledger.
pub const MAX_MESSAGE_BYTES: usize = 8 * 1024;

/// Whether another try may succeed after this SQLSTATE.
///
/// Transient are locks and serialization (the other transaction ends), connections and server
/// restarts (the server comes back). Everything else happens again in the same way; that includes
/// `57014` (our own `statement_timeout`, or somebody's cancel), `53100` (disk full) and `53200`
/// (more locks than `max_locks_per_transaction` has room for).
pub fn sqlstate_class(code: &SqlState) -> FailureClass {
    let is_transient = matches!(
        code.code(),
        // lock_not_available, deadlock_detected, serialization_failure, statement_completion_unknown
        "55P03" | "40P01" | "40001" | "40003"
        // too_many_connections, idle_in_transaction_session_timeout
        | "53300" | "25P03"
        // admin_shutdown, crash_shutdown, cannot_connect_now, idle_session_timeout
        | "57P01" | "57P02" | "57P03" | "57P05"
    ) || is_connection_exception(code);
    if is_transient {
        FailureClass::Transient
    } else {
        FailureClass::Permanent
    }
}

/// Class 08, except a protocol violation: that is us or a pooler, and happens again.
fn is_connection_exception(code: &SqlState) -> bool {
    code.code().starts_with("08") && *code != SqlState::PROTOCOL_VIOLATION
}

/// Whether the session is gone, so that what was in flight is in doubt until the history is read.
pub fn is_connection_lost(error: &tokio_postgres::Error) -> bool {
    if let Some(code) = error.code() {
        return matches!(code.code(), "57P01" | "57P02" | "57P05" | "25P03")
            || is_connection_exception(code);
    }
    error.is_closed() || io_error(error).is_some()
}

/// The error of the operating system behind a driver's error.
pub(super) fn io_error(error: &tokio_postgres::Error) -> Option<&std::io::Error> {
    error.source()?.downcast_ref::<std::io::Error>()
}

/// A tenant's failure from a driver's error: PostgreSQL's own words where it has spoken.
/// Migration, statement and line are the caller's to add.
pub fn failure_of(error: &tokio_postgres::Error) -> Failure {
    let Some(db) = error.as_db_error() else {
        let class = if is_connection_lost(error) {
            FailureClass::Transient
        } else {
            FailureClass::Permanent
        };
        return Failure::new(class, describe(error));
    };
    Failure {
        sqlstate: Some(db.code().code().to_owned()),
        detail: db.detail().map(presentable),
        hint: hint_of(db),
        context: db.where_().map(presentable),
        ..Failure::new(sqlstate_class(db.code()), presentable(db.message()))
    }
}

/// PostgreSQL's own hint, and what it comes to in a migration file where it leaves that open.
fn hint_of(db: &DbError) -> Option<String> {
    let own = db.hint().map(presentable);
    let advice = match db.code().code() {
        // unsafe_new_enum_value_usage
        "55P04" => {
            "Put ALTER TYPE … ADD VALUE into a migration of its own, in front of the one that uses the value (with execution.transaction: migration)."
        }
        // out_of_memory: its shared memory has no room for another lock
        "53200" => {
            "Or split the file: a transaction keeps a lock on every table and index that it has touched."
        }
        _ => return own,
    };
    Some(own.map_or_else(|| advice.to_owned(), |own| format!("{own} {advice}")))
}

/// A driver's error with its reasons in one line: the driver's own text hides them.
pub fn describe(error: &tokio_postgres::Error) -> String {
    match error.as_db_error() {
        Some(db) => describe_db(db),
        None => presentable(&chain(error)),
    }
}

fn describe_db(db: &DbError) -> String {
    let mut text = presentable(db.message());
    let _ = write!(text, " [{}]", db.code().code());
    if let Some(detail) = db.detail() {
        let _ = write!(text, " ({})", presentable(detail));
    }
    text
}

/// An error and its sources, each said once.
pub(super) fn chain(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut source = error.source();
    while let Some(reason) = source {
        let words = reason.to_string();
        // io::Error shows what it wraps and then names it as its source too
        if !text.ends_with(&words) {
            let _ = write!(text, ": {words}");
        }
        source = reason.source();
    }
    text
}

/// A text from a server, fit for a terminal and a ledger: cut to [`MAX_MESSAGE_BYTES`] on a
/// character boundary with a note, control characters other than newline and tab taken out.
pub(super) fn presentable(text: &str) -> String {
    let kept = &text[..text.floor_char_boundary(MAX_MESSAGE_BYTES)];
    let mut clean: String = kept
        .chars()
        .filter(|c| !c.is_control() || matches!(c, '\n' | '\t'))
        .collect();
    if kept.len() < text.len() {
        let _ = write!(clean, "… (cut: {} bytes in all)", text.len());
    }
    clean
}

#[cfg(test)]
mod tests {
    use super::*;

    fn class(code: &str) -> FailureClass {
        sqlstate_class(&SqlState::from_code(code))
    }

    #[test]
    fn locks_connections_and_restarts_are_worth_another_try() {
        for code in [
            "55P03", "40P01", "40001", "53300", "57P01", "57P02", "57P03", "08006", "08001",
            "25P03", "57P05",
        ] {
            assert_eq!(class(code), FailureClass::Transient, "{code}");
        }
    }

    #[test]
    fn what_would_happen_again_is_permanent() {
        for code in [
            "57014", "23505", "42601", "42501", "28P01", "3D000", "53100", "53200", "25006",
            "08P01", "XX000",
        ] {
            assert_eq!(class(code), FailureClass::Permanent, "{code}");
        }
    }

    #[test]
    fn a_huge_message_is_cut_on_a_character_boundary() {
        let text = presentable(&"é".repeat(5_000_000));
        assert!(text.len() < MAX_MESSAGE_BYTES + 64, "{}", text.len());
        assert!(text.ends_with("… (cut: 10000000 bytes in all)"), "{text}");
    }

    #[test]
    fn control_characters_do_not_reach_a_terminal() {
        assert_eq!(presentable("a\u{1b}[2Jb\r\n\tc\0"), "a[2Jb\n\tc");
    }

    #[test]
    fn a_chain_says_every_reason_once() {
        let inner = std::io::Error::other("the inner reason");
        let outer = std::io::Error::other(inner);
        assert_eq!(chain(&outer), "the inner reason");
    }
}
