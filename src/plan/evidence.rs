//! What the fleet as a whole says about a migration set. One tenant whose history does not fit is an
//! odd tenant; where most tenants disagree with a file, it is the file that was edited or lost, and
//! it must not reach the tenants that are still to get it.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::sync::Arc;

use super::decide::matches_file;
use super::{Action, AppliedRow, HistorySnapshot, Refusal, TenantPlan};
use crate::migration::{MigrationSet, Version};

/// Tenants for and against one version.
#[derive(Clone, Copy, Debug, Default)]
struct Votes {
    /// Have it applied, as the file is now.
    same: u64,
    /// Have it applied, as something else or without a file.
    other: u64,
    /// Are past it and never had it.
    never: u64,
}

/// What is wrong with the set, by what most tenants say.
#[derive(Debug, Default)]
pub(super) struct Evidence {
    /// Versions whose file is not what most tenants have applied.
    edited: BTreeSet<Version>,
    /// Versions that most tenants past them have applied, and for which there is no file.
    missing: BTreeSet<Version>,
    /// Versions that are as most tenants have applied them.
    usual: BTreeSet<Version>,
}

impl Evidence {
    /// Counts each distinct history once, with its number of tenants.
    pub(super) fn gather<'a>(
        all: impl Iterator<Item = &'a HistorySnapshot>,
        set: &MigrationSet,
    ) -> Self {
        let mut histories: HashMap<*const AppliedRow, (Arc<[AppliedRow]>, u64)> = HashMap::new();
        for history in all {
            if let HistorySnapshot::Rows { rows, .. } = history {
                let entry = histories.entry(rows.as_ptr());
                entry.or_insert_with(|| (Arc::clone(rows), 0)).1 += 1;
            }
        }
        let head = set.head().unwrap_or(Version::MIN);
        let mut votes: BTreeMap<Version, Votes> = set
            .migrations()
            .iter()
            .map(|migration| (migration.version(), Votes::default()))
            .collect();
        for (rows, _) in histories.values() {
            for row in rows.iter().filter(|row| row.version <= head) {
                votes.entry(row.version).or_default();
            }
        }
        for (rows, tenants) in histories.values() {
            count(&mut votes, rows, *tenants, set);
        }
        Self::weigh(&votes, set)
    }

    fn weigh(votes: &BTreeMap<Version, Votes>, set: &MigrationSet) -> Self {
        let mut evidence = Self::default();
        for (version, votes) in votes {
            let has_file = set.get(*version).is_some();
            if has_file && votes.other > votes.same {
                evidence.edited.insert(*version);
            } else if !has_file && votes.other > votes.never {
                evidence.missing.insert(*version);
            } else if has_file && votes.same > votes.never {
                evidence.usual.insert(*version);
            }
        }
        evidence
    }

    /// One tenant's fate in the light of the others'.
    pub(super) fn reconsider(&self, tenant: &mut TenantPlan) {
        match &tenant.action {
            Action::Migrate(pending) => {
                if let Some(refusal) = self.doubt(tenant, pending) {
                    tenant.action = Action::Refuse(refusal);
                }
            }
            Action::Refuse(Refusal::OutOfOrder(versions))
                if versions.iter().all(|version| self.usual.contains(version)) =>
            {
                tenant.action = Action::Refuse(Refusal::Hole(versions.clone()));
            }
            Action::UpToDate | Action::Refuse(_) | Action::Hold(_) => {}
        }
    }

    fn doubt(&self, tenant: &TenantPlan, pending: &[Version]) -> Option<Refusal> {
        let edited: Vec<Version> = pending
            .iter()
            .copied()
            .filter(|version| self.edited.contains(version))
            .collect();
        let last = *pending.last()?;
        let missing: Vec<Version> = self
            .missing
            .iter()
            .copied()
            .filter(|version| *version < last && tenant.from < Some(*version))
            .collect();
        (!edited.is_empty() || !missing.is_empty())
            .then_some(Refusal::SetDoubtful { edited, missing })
    }
}

fn count(
    votes: &mut BTreeMap<Version, Votes>,
    rows: &[AppliedRow],
    tenants: u64,
    set: &MigrationSet,
) {
    let current = rows.last().map(|row| row.version);
    for (version, votes) in votes {
        let row = rows.binary_search_by_key(version, |row| row.version);
        match (row.ok().map(|index| &rows[index]), set.get(*version)) {
            (Some(row), Some(file)) if matches_file(row, file) => votes.same += tenants,
            (Some(_), _) => votes.other += tenants,
            (None, _) if current > Some(*version) => votes.never += tenants,
            (None, _) => {}
        }
    }
}
