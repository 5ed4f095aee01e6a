//! The rules of `rehearsal`.

use super::check::Checker;
use super::{Rehearsal, file, values};
use crate::migrator::RehearsalLimits;

/// How a rehearsal goes about it.
pub(super) fn check(checker: &mut Checker<'_>, file: file::Rehearsal) -> Option<Rehearsal> {
    let lock_timeout = checker.value(
        "rehearsal.lock_timeout",
        file.lock_timeout,
        "1s",
        values::timeout,
    );
    let statement_timeout = checker.value(
        "rehearsal.statement_timeout",
        file.statement_timeout,
        "30s",
        values::timeout,
    );
    let concurrency = checker.value(
        "rehearsal.concurrency",
        file.concurrency,
        "2",
        values::count,
    );
    Some(Rehearsal {
        limits: RehearsalLimits {
            lock_timeout: lock_timeout?,
            statement_timeout: statement_timeout?,
        },
        concurrency: concurrency?,
    })
}
