//! Whether it is safe to run again. Says no more than is known.

use std::collections::{BTreeSet, HashSet};

use super::wording::{clean, verb};
use crate::migration::{MigrationSet, TransactionMode, Version};
use crate::run::{Failure, FailureClass, RunSummary, TenantResult};

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
    let undone = |t: &&TenantResult| t.failure.is_some() && !is_in_place(t);
    if run.totals.interrupted == 0 && !run.tenants.iter().any(|t| undone(&t)) {
        return None;
    }
    let failures = || {
        let tenants = run.tenants.iter().filter(undone);
        tenants.filter_map(|t| t.failure.as_ref())
    };
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

/// Whether the migration that a tenant has failed at is applied all the same: the tenant is unlike the others.
pub(super) fn is_in_place(tenant: &TenantResult) -> bool {
    let stem = tenant.failure.as_ref().and_then(|f| f.migration.as_deref());
    stem.is_some_and(|stem| is_version(stem, tenant.to))
}

/// Whether a stem is that of this version.
pub(super) fn is_version(stem: &str, version: Option<Version>) -> bool {
    let of_stem = || {
        stem.strip_prefix(['V', 'U'])?
            .split("__")
            .next()?
            .parse()
            .ok()
    };
    version.is_some() && of_stem() == version
}

/// Whether the server may have committed after all: the connection ended without its answer.
fn is_outcome_unknown(failure: &Failure) -> bool {
    match failure.sqlstate.as_deref() {
        // statement_completion_unknown, connection exceptions, a server that goes down
        Some(code) => code == "40003" || code.starts_with("08") || code.starts_with("57P"),
        None => failure.migration.is_some() || failure.class == FailureClass::Transient,
    }
}
