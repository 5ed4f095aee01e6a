//! Plans that are not about migrating: what somebody wants histories to say without anything being
//! run, and which tenants a fix reaches.

use std::sync::Arc;

use super::decide::{self, decide, divergences, fits, is_applied, matches_file};
use super::{Action, AppliedRow, HistorySnapshot, Plan, Refusal};
use crate::migration::{Migration, MigrationSet, Version};
use crate::tenant::Presence;

/// What somebody wants a tenant's history to say.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Entry {
    /// This migration, which comes next, counts as applied.
    Skip(Version),
    /// Every migration up to this one counts as applied, in a tenant that has tables and no history.
    Baseline(Version),
    /// What was applied counts as what the file says now: of this version, or of every one that was edited.
    AcceptDivergent(Option<Version>),
}

/// What follows a fix.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum AfterFix {
    /// Whatever is pending.
    Migrate,
    /// Nothing: what the files say does not matter.
    Stop,
}

impl Entry {
    /// What becomes of one tenant. The versions of [`Action::Migrate`] are those whose rows are written.
    pub fn decide(
        self,
        presence: Presence,
        history: &HistorySnapshot,
        set: &MigrationSet,
    ) -> Action {
        let whole = decide(presence, history, set, set.head());
        match self {
            Self::Skip(version) => skip(version, whole, history, set),
            Self::Baseline(version) => baseline(version, whole, history, set),
            Self::AcceptDivergent(version) => accept(version, whole, history, set),
        }
    }

    /// Whether the rows of these versions are what an entry makes of them: those of the files.
    pub fn is_made(versions: &[Version], history: &HistorySnapshot, set: &MigrationSet) -> bool {
        versions.iter().all(|version| {
            let row = rows(history).iter().find(|row| row.version == *version);
            let (Some(row), Some(file)) = (row, set.get(*version)) else {
                return false;
            };
            matches_file(row, file)
        })
    }
}

impl Plan {
    /// The same tenants, for an entry into their histories. What the fleet as a whole says against a file
    /// counts here too.
    #[must_use]
    pub fn for_entry(mut self, entry: Entry, set: &MigrationSet) -> Self {
        for tenant in &mut self.tenants {
            let is_doubtful = matches!(tenant.action, Action::Refuse(Refusal::SetDoubtful { .. }));
            if !(is_doubtful && matches!(entry, Entry::Skip(_))) {
                tenant.action = entry.decide(tenant.tenant.presence, &tenant.history, set);
            }
        }
        self
    }

    /// The same tenants, for a fix that goes before what is pending. A tenant with nothing pending gets it
    /// too: its list of versions is empty.
    #[must_use]
    pub fn for_fix(mut self, then: AfterFix) -> Self {
        for tenant in &mut self.tenants {
            let has_history = matches!(tenant.history, HistorySnapshot::Rows { .. });
            tenant.action = match (&tenant.action, then) {
                (Action::Migrate(_) | Action::UpToDate | Action::Hold(_), _) if !has_history => {
                    Action::Refuse(Refusal::NothingThere)
                }
                (Action::Migrate(_) | Action::Refuse(_), AfterFix::Stop) if has_history => {
                    Action::Migrate([].into())
                }
                // one that is at its pin, and goes no further
                (Action::UpToDate | Action::Hold(_), _) => Action::Migrate([].into()),
                (as_planned, _) => as_planned.clone(),
            };
        }
        self
    }
}

fn rows(history: &HistorySnapshot) -> &[AppliedRow] {
    match history {
        HistorySnapshot::Rows { rows, .. } => rows,
        _ => &[],
    }
}

/// Only what comes next: a row above a hole would put the tenant out of order.
fn skip(version: Version, whole: Action, history: &HistorySnapshot, set: &MigrationSet) -> Action {
    let rows = rows(history);
    if is_applied(rows, version) {
        return Action::Refuse(Refusal::AppliedAlready(version));
    }
    match whole {
        // a way out of a migration that cannot go on where it stands, and of a hole
        Action::Refuse(Refusal::Halfway { version: of, .. }) if of == version => {}
        Action::Refuse(Refusal::OutOfOrder(holes)) if holes.contains(&version) => {}
        Action::Refuse(refusal) => return Action::Refuse(refusal),
        Action::UpToDate | Action::Migrate(_) | Action::Hold(_) => {}
    }
    let before: Vec<Version> = set
        .migrations()
        .iter()
        .filter(|file| file.version() < version && !file.out_of_order)
        .map(Migration::version)
        .filter(|before| !is_applied(rows, *before))
        .collect();
    match history {
        _ if !before.is_empty() => Action::Refuse(Refusal::NotNext { version, before }),
        HistorySnapshot::Rows { column, .. } => fits(*column, Action::Migrate([version].into())),
        _ => Action::Migrate([version].into()),
    }
}

fn baseline(
    version: Version,
    whole: Action,
    history: &HistorySnapshot,
    set: &MigrationSet,
) -> Action {
    match history {
        HistorySnapshot::NoTable { relations: 0 } => Action::Refuse(Refusal::NothingThere),
        HistorySnapshot::NoTable { .. } => {
            let versions = set.migrations().iter().map(Migration::version);
            Action::Migrate(versions.take_while(|v| *v <= version).collect())
        }
        HistorySnapshot::Rows { rows, .. } => Action::Refuse(Refusal::HasHistory {
            rows: rows.len(),
            version: rows.last().map(|row| row.version),
        }),
        HistorySnapshot::SchemaAbsent => Action::Refuse(Refusal::SchemaMissing),
        HistorySnapshot::Corrupt { .. } | HistorySnapshot::Unreadable { .. } => whole,
    }
}

/// Never where the set is not the tenant's at all: of an older release, or without files that were applied.
fn accept(
    version: Option<Version>,
    whole: Action,
    history: &HistorySnapshot,
    set: &MigrationSet,
) -> Action {
    let HistorySnapshot::Rows { column, rows, .. } = history else {
        return match whole {
            Action::Refuse(_) => whole,
            Action::UpToDate | Action::Migrate(_) | Action::Hold(_) => Action::UpToDate,
        };
    };
    if let Action::Refuse(refusal) = &whole
        && let Some(stranger) = refusal.about_other_files()
    {
        return Action::Refuse(stranger);
    }
    let edited: Arc<[Version]> = divergences(*column, rows, set)
        .map(|divergence| divergence.version)
        .filter(|edited| version.is_none_or(|only| only == *edited))
        .collect();
    if edited.is_empty() {
        Action::UpToDate
    } else {
        fits(*column, Action::Migrate(edited))
    }
}

/// The rows of these versions, as the history has them now.
pub fn rows_to_change(versions: &[Version], history: &HistorySnapshot) -> Vec<AppliedRow> {
    rows(history)
        .iter()
        .filter(|row| versions.contains(&row.version))
        .cloned()
        .collect()
}

/// Whether the tenant is in the middle of this migration.
pub fn is_halfway_in(history: &HistorySnapshot, version: Version) -> bool {
    match history {
        HistorySnapshot::Rows { rows, steps, .. } => decide::halfway(rows, steps) == Some(version),
        _ => false,
    }
}
