//! What an act does, from the command line to the plan, the ledger and the migrator.

use std::sync::Arc;

use super::started_by;
use crate::ledger::{ActedOn, HistoryRow, NewAct};
use crate::migration::{Fix, Migration, MigrationSet, Version};
use crate::migrator::{Repair, RunBefore, Work};
use crate::plan::{
    Action, AfterFix, Entry, HistorySnapshot, Plan, TenantPlan, VersionColumn, rows_to_change,
};
use crate::run::{Act, RunId};

/// An act with its reason.
pub(super) struct Deed {
    /// Which one.
    pub(super) act: Act,
    /// Why, as it was typed.
    pub(super) reason: Option<String>,
    /// What is done.
    pub(super) what: What,
}

/// What is done in each tenant.
pub(super) enum What {
    /// A fix is run.
    Fix {
        fix: Arc<Fix>,
        then: AfterFix,
        before: RunBefore,
    },
    /// The history is made to say something.
    Entry(Entry),
}

impl Deed {
    /// The SQL, where there is some.
    pub(super) fn fix(&self) -> Option<&Arc<Fix>> {
        match &self.what {
            What::Fix { fix, .. } => Some(fix),
            What::Entry(_) => None,
        }
    }

    /// Whether pending migrations are run with it.
    pub(super) fn migrates(&self) -> bool {
        matches!(
            self.what,
            What::Fix {
                then: AfterFix::Migrate,
                ..
            }
        )
    }

    /// What becomes of the tenants of a plan that was made for migrating.
    pub(super) fn plan(&self, plan: Plan, set: &MigrationSet) -> Plan {
        match self.what {
            What::Fix { then, .. } => plan.for_fix(then),
            What::Entry(entry) => plan.for_entry(entry, set),
        }
    }

    /// What is recorded before anything is touched.
    pub(super) fn record(&self, plan: &Plan, set: &MigrationSet) -> NewAct {
        let accepts = matches!(self.what, What::Entry(Entry::AcceptDivergent(_)));
        let tenants = plan.tenants.iter().filter_map(|tenant| {
            let Action::Migrate(versions) = &tenant.action else {
                return None;
            };
            let (was, now) = if accepts {
                changes(tenant, versions, set)
            } else {
                Default::default()
            };
            Some(ActedOn {
                tenant: tenant.tenant.id.clone(),
                versions: versions.to_vec(),
                was,
                now,
            })
        });
        NewAct {
            act: self.act,
            reason: self.reason.clone(),
            fix: self.fix().cloned(),
            tenants: tenants.collect(),
        }
    }

    /// What the migrator does.
    pub(super) fn work(&self, run: &RunId) -> Work {
        match &self.what {
            What::Fix { fix, then, before } => Work::Repair(Repair {
                fix: Arc::clone(fix),
                then: *then,
                before: *before,
                run: run.clone(),
                by: started_by(),
                reason: self.reason.clone(),
            }),
            What::Entry(entry) => Work::Enter(*entry),
        }
    }
}

/// Rows of a history as they are, and as they are to be.
fn changes(
    tenant: &TenantPlan,
    versions: &[Version],
    set: &MigrationSet,
) -> (Vec<HistoryRow>, Vec<HistoryRow>) {
    let was = rows_to_change(versions, &tenant.history)
        .into_iter()
        .map(|row| HistoryRow {
            version: row.version,
            name: row.name,
            checksum: row.checksum.to_string(),
        });
    let files = versions.iter().filter_map(|version| set.get(*version));
    let now = files.map(|file| HistoryRow {
        version: file.version(),
        name: file.name().to_owned(),
        checksum: checksum(file, &tenant.history).to_string(),
    });
    (was.collect(), now.collect())
}

fn checksum(file: &Migration, history: &HistorySnapshot) -> u64 {
    match history {
        HistorySnapshot::Rows {
            column: VersionColumn::Int4,
            ..
        } => file.checksum_int4().unwrap_or(file.checksum_int8()),
        _ => file.checksum_int8(),
    }
}
