//! Which attempts have to prove that their migrations keep to the tenant, and what follows where one does not.
//!
//! In the first wave all of them, and its first tenant goes alone. Elsewhere a migration is proven in each database
//! until it has gone through there once: what it does to one tenant, it does to the others.

use std::collections::HashSet;
use std::time::Duration;

use super::attempts::Verdict;
use super::dispatcher::Dispatcher;
use super::queue::Job;
use crate::ledger::Ledger;
use crate::migration::Version;
use crate::migrator::TenantMigrator;
use crate::run::{Failure, Halt};
use crate::tenant::DatabaseName;

/// What an edit of the file means where the leak shows only in a later tenant.
const EDITED: &str = "Other tenants have the file as it was: once it is edited, fleet migrate leaves them out until \
    fleet accept-divergent takes their history as it is";

/// What has been proven so far.
#[derive(Debug, Default)]
pub(super) struct LeakChecks {
    passed: HashSet<(DatabaseName, Version)>,
}

impl LeakChecks {
    /// Whether a tenant has something pending that nobody has proven in its database.
    pub(super) fn is_due(&self, job: &Job) -> bool {
        let mut pending = job.assignment.pending.iter();
        pending.any(|version| !self.passed.contains(&(job.database().clone(), *version)))
    }

    /// A tenant is at its target.
    pub(super) fn passed(&mut self, job: &Job) {
        if job.assignment.checks_leaks && !job.applied.migrations.is_empty() {
            let pending = job.assignment.pending.iter();
            self.passed
                .extend(pending.map(|version| (job.database().clone(), *version)));
        }
    }

    /// Whether a tenant has something pending that another one has already.
    fn has_passed(&self, job: &Job) -> bool {
        let mut pending = job.assignment.pending.iter();
        pending.any(|pending| self.passed.iter().any(|(_, version)| version == pending))
    }

    /// Whether any tenant has come through.
    pub(super) fn any_passed(&self) -> bool {
        !self.passed.is_empty()
    }
}

impl<M: TenantMigrator, L: Ledger> Dispatcher<M, L> {
    /// A migration has reached outside of its tenant, and was rolled back. It would do so in every other: no
    /// budget has room for that.
    pub(super) fn leaked(&mut self, job: Job, duration: Duration, mut failure: Failure) {
        let halt = Halt::Leak {
            migration: failure.migration.clone().unwrap_or_default(),
            found: failure.message.clone(),
        };
        if self.leaks.has_passed(&job) {
            let hint = failure.hint.unwrap_or_default();
            failure.hint = Some(format!("{hint}. {EDITED}"));
        }
        self.finish(job, duration, Verdict::failed(failure));
        if self.stopped.is_none() {
            self.halt(halt);
        }
    }
}
