//! The file of a repair: read and inspected as a migration file is.

use std::path::Path;

use super::error::{Problem, SourceError};
use super::file;
use crate::migration::{Fix, FixBody, StepKind, TransactionMode};
use crate::sql::Script;

/// Reads the SQL of a repair.
///
/// # Errors
/// Everything that is wrong with the file, each with its place.
pub fn read_fix(path: &Path) -> Result<Fix, SourceError> {
    let refused = |problems| SourceError::Fix {
        path: path.to_owned(),
        problems,
    };
    let text = file::text(path).map_err(refused)?;
    let script = file::inspected(path, &text).map_err(refused)?;
    if script.mode == TransactionMode::NonTransactional {
        return Err(refused(vec![outside(path, &script)]));
    }
    let name = path.file_name().unwrap_or(path.as_os_str());
    let inspected = FixBody {
        body: script.body.into(),
        statements: script.statements,
        session: script.session,
    };
    Ok(Fix::new(&name.to_string_lossy(), &text, inspected))
}

/// A fix is all or nothing: halfway through one that commits statement by statement, nobody could say
/// whether the same command may be typed again.
fn outside(path: &Path, script: &Script) -> Problem {
    let outside = script
        .steps
        .iter()
        .find(|step| step.kind != StepKind::Atomic)
        .or(script.steps.first());
    Problem {
        path: path.to_owned(),
        place: outside.map(|step| step.place),
        problem: "a repair runs in one transaction, and this cannot run in one".to_owned(),
        hint: "put what needs no transaction (CREATE INDEX CONCURRENTLY, VACUUM, a file with \
               -- fleet: no-transaction) into a migration of its own: those are carried on after an \
               interruption"
            .to_owned(),
    }
}
