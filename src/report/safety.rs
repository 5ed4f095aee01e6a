//! Whether it is safe to run again. Says no more than is known.

use std::collections::{BTreeSet, HashSet};

use super::wording::{clean, verb};
use crate::migration::{MigrationSet, TransactionMode};
use crate::run::{Failure, FailureClass, RunSummary};

/// The migrations that run statement by statement, outside a transaction: what such a file did
/// before it failed stays.
#[derive(Clone, Debug, Default)]
pub struct Stepwise(HashSet<String>);

impl Stepwise {
    /// Those of a set.
    pub fn of(set: &MigrationSet) -> Self {
        let stepwise = set
            .migrations()
            .iter()
            .filter(|migration| migration.mode == TransactionMode::NonTransactional);
        Self(stepwise.map(ToString::to_string).collect())
    }

    fn contains(&self, failure: &Failure) -> bool {
        failure
            .migration
            .as_ref()
            .is_some_and(|migration| self.0.contains(migration))
    }
}

/// What the failures of a run left behind, in a sentence; None where nothing failed or was cut off.
pub(super) fn sentence(run: &RunSummary, stepwise: &Stepwise) -> Option<String> {
    if run.totals.failed == 0 && run.totals.interrupted == 0 {
        return None;
    }
    let failures = || run.tenants.iter().filter_map(|t| t.failure.as_ref());
    let partly: BTreeSet<&str> = failures()
        .filter(|failure| stepwise.contains(failure))
        .filter_map(|failure| failure.migration.as_deref())
        .collect();
    if !partly.is_empty() {
        let names: Vec<String> = partly.iter().map(|name| clean(name)).collect();
        return Some(format!(
            "{} {} outside a transaction: what came before the failing statement stays and is noted in the tenant; fleet resume goes on from there.",
            names.join(", "),
            verb(names.len(), "runs", "run"),
        ));
    }
    // without a word of which migration a tenant may be in the middle of one that runs step by step
    let is_halfway = |failure: &Failure| failure.migration.is_none() && !stepwise.0.is_empty();
    if run.totals.interrupted > 0 || failures().any(|f| is_outcome_unknown(f) || is_halfway(f)) {
        return Some(
            "It is safe to resume: fleet reads each tenant's history first and carries on from what it says."
                .to_owned(),
        );
    }
    Some(if failures().any(|failure| failure.migration.is_some()) {
        "Nothing is half applied: each failed migration was rolled back.".to_owned()
    } else {
        "Nothing is half applied.".to_owned()
    })
}

/// Whether the server may have committed after all: the connection ended without its answer.
fn is_outcome_unknown(failure: &Failure) -> bool {
    match failure.sqlstate.as_deref() {
        // statement_completion_unknown, connection exceptions, a server that goes down
        Some(code) => code == "40003" || code.starts_with("08") || code.starts_with("57P"),
        None => failure.migration.is_some() || failure.class == FailureClass::Transient,
    }
}
