//! From PostgreSQL's error to a failure that names the file, the statement and the line.

use std::time::Duration;

use tokio_postgres::error::{DbError, ErrorPosition, SqlState};

use super::leak;
use super::message::{GUARD_MARK, Message, Part, Piece};
use crate::migration::{Migration, Place, Step};
use crate::pg;
use crate::run::{Failure, FailureClass};
use crate::sql;

/// Said where the cursor of the leak check is not there any more.
const CLOSED_ALL: &str = "the file closes all cursors, and so the one by which fleet finds out whether it keeps to its \
    tenant; it was rolled back";

/// Which guard refused.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Guard {
    /// Another session holds the tenant's lock.
    Lock,
    /// The tenant's schema is not where the search path leads.
    Schema,
    /// The file ended the transaction, or reset all of its settings.
    Transaction,
    /// The file moved the search path.
    SearchPath,
    /// The file gave up the lock of its tenant.
    Unlocked,
    /// The history is not what was read.
    History,
    /// The fix of a repair was noted meanwhile.
    Noted,
    /// The file has reached outside of its tenant.
    Leak,
    /// The file leaves a cursor that COMMIT would run.
    Held,
    /// The file runs as another role than its tenant's.
    Role,
}

impl Guard {
    /// The guard that speaks in an error. The text is ours: the server only echoes it.
    pub(super) fn of(error: &DbError) -> Option<Self> {
        let (_, rest) = error.message().split_once(GUARD_MARK)?;
        let word: String = rest
            .chars()
            .take_while(|c| c.is_ascii_lowercase() || *c == '_')
            .collect();
        match word.as_str() {
            "lock" => Some(Self::Lock),
            "schema" => Some(Self::Schema),
            "transaction" => Some(Self::Transaction),
            "search_path" => Some(Self::SearchPath),
            "unlocked" => Some(Self::Unlocked),
            "history" => Some(Self::History),
            "noted" => Some(Self::Noted),
            "leak" => Some(Self::Leak),
            "held" => Some(Self::Held),
            "role" => Some(Self::Role),
            _ => None,
        }
    }

    pub(super) fn failure(self) -> Failure {
        let (class, message, hint) = match self {
            Self::Lock => (
                FailureClass::Transient,
                "another session is migrating this tenant",
                "wait for it, or look it up in pg_locks (locktype = 'advisory')",
            ),
            Self::Schema => (
                FailureClass::Permanent,
                "the tenant's schema is not there, or fleet's role may not use it",
                "was the tenant dropped since the plan was made? else GRANT USAGE, CREATE ON SCHEMA to fleet's role",
            ),
            Self::Transaction => (
                FailureClass::Permanent,
                "the file reset the settings of its transaction, or ended it; its history row was not written",
                "take RESET ALL, COMMIT, ROLLBACK and what sets fleet.pin out of the file; after a COMMIT, look at what it left behind",
            ),
            Self::SearchPath => (
                FailureClass::Permanent,
                "the file moved the search_path; it was rolled back",
                "what follows would have landed outside the tenant: take SET search_path (also set_config and RESET) out of the file",
            ),
            Self::Unlocked => (
                FailureClass::Permanent,
                "the file gave up its tenant's lock",
                "take pg_advisory_unlock_all() and DISCARD out of the file: only the lock keeps a second applier out",
            ),
            Self::History => (
                FailureClass::Transient,
                "the tenant's history changed after it was read; it was rolled back",
                "somebody else migrates this tenant at the same time",
            ),
            Self::Noted => (
                FailureClass::Transient,
                "the fix was run in this tenant since its notes were read; it was rolled back",
                "somebody else repairs this tenant at the same time",
            ),
            Self::Leak => (
                FailureClass::Permanent,
                "the file reaches outside of its tenant; it was rolled back",
                "write names without a schema",
            ),
            Self::Held => (
                FailureClass::Permanent,
                "the file leaves a cursor WITH HOLD open; it was rolled back",
                "COMMIT would run its query when nothing can be proven any more, and nobody fetches from it: CLOSE it, or take WITH HOLD off",
            ),
            Self::Role => (
                FailureClass::Permanent,
                "the file changed the role that its tenant's migrations run as; its history row was not written",
                "take SET ROLE, RESET ROLE and SET SESSION AUTHORIZATION out of the file: with execution.isolation: role only the tenant's own role may change the tenant",
            ),
        };
        Failure::new(class, message).with_hint(hint)
    }
}

/// The failure of a file whose transaction found another history than the one that is there again
/// now that it is rolled back: nobody else has written to it.
pub(super) fn file_wrote_history(migration: Option<String>) -> Failure {
    Failure {
        migration,
        ..Failure::new(
            FailureClass::Permanent,
            "the file writes to the history table itself; it was rolled back",
        )
    }
    .with_hint("take what touches the history table out of the file: the row is fleet's to write")
}

/// Explains the error that ended a message after `completed` of its statements.
pub(super) fn explain(
    message: &Message,
    pieces: &[Piece],
    completed: usize,
    error: &tokio_postgres::Error,
) -> (Failure, Option<Guard>) {
    let failure = pg::failure_of(error);
    let Some(db_error) = error.as_db_error() else {
        return (failure, None);
    };
    let part = message.part(completed);
    if let Some(guard) = Guard::of(db_error) {
        let mut failure = match guard {
            Guard::Leak => leak::failure(db_error),
            guard => guard.failure(),
        };
        if let Part::Check(file) | Part::HistoryRow(file) = part {
            failure.migration = Some(pieces[file].to_string());
        }
        return (failure, Some(guard));
    }
    (locate(failure, message, pieces, part, db_error), None)
}

/// Explains the error that ended a step, in a message with so many characters before the step's own.
pub(super) fn explain_step(
    migration: &Migration,
    index: usize,
    step: &Step,
    characters_before: usize,
    error: &tokio_postgres::Error,
) -> (Failure, Option<Guard>) {
    let mut failure = pg::failure_of(error);
    let mut guard = None;
    if let Some(db_error) = error.as_db_error() {
        guard = Guard::of(db_error);
        if let Some(guard) = guard {
            failure = guard.failure();
        }
        (failure.line, failure.column) = place_in_step(step, characters_before, db_error);
        if let Some(hint) = hint(db_error.code(), Part::File(0, index)) {
            failure = failure.with_hint(hint);
        }
    }
    failure.migration = Some(migration.to_string());
    failure.statement = u32::try_from(index + 1).ok();
    (failure, guard)
}

/// The line of the file, and the column where PostgreSQL points at one.
fn place_in_step(
    step: &Step,
    characters_before: usize,
    error: &DbError,
) -> (Option<u32>, Option<u32>) {
    let within = match error.position() {
        Some(ErrorPosition::Original(character)) => usize::try_from(*character)
            .ok()
            .and_then(|character| character.checked_sub(characters_before)),
        _ => None,
    };
    let Some(within @ 1..) = within else {
        return (Some(step.place.line + line_within(error)), None);
    };
    let place = below(step.place, sql::place_of_character(&step.text, within));
    (Some(place.line), Some(place.column))
}

/// A place in a text that itself begins at a place.
fn below(start: Place, within: Place) -> Place {
    let before = if within.line == 1 {
        start.column - 1
    } else {
        0
    };
    Place {
        line: start.line + within.line - 1,
        column: before + within.column,
    }
}

/// Adds migration, statement, line and column.
fn locate(
    mut failure: Failure,
    message: &Message,
    pieces: &[Piece],
    part: Part,
    db_error: &DbError,
) -> Failure {
    let place = position(message, pieces, db_error);
    match (place, part) {
        // a syntax error stops the whole message before its first statement: only the position tells
        (Some(place), _) => {
            failure.migration = Some(pieces[place.file].to_string());
            failure.line = Some(place.place.line);
            failure.column = Some(place.place.column);
            failure.statement = Some(place.statement);
        }
        (None, Part::File(file, statement)) => {
            let piece = pieces[file];
            failure.migration = Some(piece.to_string());
            failure.statement = u32::try_from(statement + 1).ok();
            failure.line = piece
                .statements()
                .get(statement)
                .map(|place| place.line + line_within(db_error));
        }
        (None, Part::Check(file)) if *db_error.code() == SqlState::INVALID_CURSOR_NAME => {
            failure.migration = Some(pieces[file].to_string());
            failure.message = CLOSED_ALL.into();
        }
        (None, Part::Check(file) | Part::HistoryRow(file)) => {
            failure.migration = Some(pieces[file].to_string());
            failure.message = format!("while recording the migration: {}", failure.message);
        }
        (None, Part::Deferred | Part::Commit) => {
            failure.migration = pieces.last().map(ToString::to_string);
            failure.message = format!("at COMMIT: {}", failure.message);
        }
        (None, Part::Prefix) => {}
    }
    match hint(db_error.code(), part) {
        Some(hint) => failure.with_hint(hint),
        None => failure,
    }
}

/// What ended a statement that ran too long: settings with their values, since a file or a role may have set
/// others.
pub(super) fn ended_by_timeout(statement: u128, index_build: u128) -> String {
    let shown = |ms: u128| match u64::try_from(ms) {
        Ok(ms) => humantime::format_duration(Duration::from_millis(ms)).to_string(),
        Err(_) => format!("{ms}ms"),
    };
    format!(
        "execution.statement_timeout ({}) ended it, or for an index that is built concurrently \
         execution.index_build_timeout ({}); or somebody's cancel",
        shown(statement),
        shown(index_build)
    )
}

/// What to do about errors that come of how fleet runs a file. PostgreSQL's own hints go first.
fn hint(code: &SqlState, part: Part) -> Option<&'static str> {
    match (code, part) {
        (code, Part::Check(_)) if *code == SqlState::INVALID_CURSOR_NAME => {
            Some("take CLOSE ALL out of the file: CLOSE its own cursors by name")
        }
        (code, Part::Check(_) | Part::HistoryRow(_)) if *code != SqlState::LOCK_NOT_AVAILABLE => {
            Some(
                "the file itself ran: does it change the role, drop its own schema, or make its transaction read-only?",
            )
        }
        (code, _) if *code == SqlState::INVALID_TRANSACTION_TERMINATION => Some(
            "fleet opens and ends the transaction itself: nothing that the file calls may COMMIT or ROLLBACK, unless the file is marked -- fleet: no-transaction",
        ),
        (code, Part::File(..)) if *code == SqlState::INSUFFICIENT_PRIVILEGE => Some(
            "GRANT fleet's role what it lacks; to alter a table it has to own it (ALTER TABLE … OWNER TO)",
        ),
        _ => None,
    }
}

struct FilePosition {
    file: usize,
    place: Place,
    statement: u32,
}

fn position(message: &Message, pieces: &[Piece], error: &DbError) -> Option<FilePosition> {
    let Some(ErrorPosition::Original(character)) = error.position() else {
        return None;
    };
    let (file, within) = message.file_at(usize::try_from(*character).ok()?)?;
    let piece = pieces[file];
    let place = sql::place_of_character(piece.body(), within);
    let before = piece
        .statements()
        .iter()
        .filter(|start| (start.line, start.column) <= (place.line, place.column))
        .count();
    Some(FilePosition {
        file,
        place,
        statement: u32::try_from(before.max(1)).unwrap_or(u32::MAX),
    })
}

/// Lines below the statement's first at which a DO block failed. PostgreSQL names them only in the
/// context, `PL/pgSQL function inline_code_block line 3 at RAISE`, whose digits survive translation.
fn line_within(error: &DbError) -> u32 {
    error
        .where_()
        .and_then(|context| context.lines().last())
        .filter(|line| line.contains("inline_code_block"))
        .and_then(|line| {
            line.split(|c: char| !c.is_ascii_digit())
                .find(|digits| !digits.is_empty())
                .and_then(|digits| digits.parse::<u32>().ok())
        })
        .map_or(0, |line| line.saturating_sub(1))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_place_in_a_step_is_a_place_in_its_file() {
        let at = |line, column| Place { line, column };
        assert_eq!(below(at(4, 3), at(1, 8)), at(4, 10));
        assert_eq!(below(at(4, 3), at(2, 8)), at(5, 8));
    }
}
