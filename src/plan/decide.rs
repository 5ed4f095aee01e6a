//! One tenant's fate, as a table that one can read: rows are what its history says.

use std::sync::Arc;

use super::{
    Action, AppliedRow, Divergence, Halfway, HistorySnapshot, Refusal, StepRow, VersionColumn,
};
use crate::migration::{Migration, MigrationSet, TransactionMode, Version};
use crate::tenant::Presence;

/// Decides what happens to one tenant.
pub fn decide(
    presence: Presence,
    history: &HistorySnapshot,
    set: &MigrationSet,
    target: Option<Version>,
) -> Action {
    match (history, presence) {
        (HistorySnapshot::SchemaAbsent, Presence::ToCreate)
        | (HistorySnapshot::NoTable { relations: 0 }, _) => pending(&[], set, target),
        (HistorySnapshot::SchemaAbsent, _) => Action::Refuse(Refusal::SchemaMissing),
        (HistorySnapshot::NoTable { relations }, _) => Action::Refuse(Refusal::NoHistory {
            relations: *relations,
        }),
        (HistorySnapshot::Corrupt { row, problem }, _) => Action::Refuse(Refusal::CorruptHistory {
            row: row.clone(),
            problem: problem.clone(),
        }),
        (HistorySnapshot::Unreadable { message, sqlstate }, _) => {
            Action::Refuse(Refusal::Unreadable {
                message: message.clone(),
                sqlstate: sqlstate.clone(),
            })
        }
        (
            HistorySnapshot::Rows {
                column,
                rows,
                steps,
            },
            _,
        ) => {
            let action = fits(*column, pending(rows, set, target));
            let refusal =
                verify(*column, rows, set).or_else(|| goes_on(rows, steps, set, action.pending()));
            refusal.map_or(action, Action::Refuse)
        }
    }
}

/// What is wrong with what was applied, the gravest first.
fn verify(column: VersionColumn, rows: &[AppliedRow], set: &MigrationSet) -> Option<Refusal> {
    let head = set.head().unwrap_or(Version::MIN);
    let (ahead, missing): (Vec<Version>, Vec<Version>) = rows
        .iter()
        .map(|row| row.version)
        .filter(|version| set.get(*version).is_none())
        .partition(|version| *version > head);
    let divergent: Vec<Divergence> = divergences(column, rows, set).collect();
    let current = rows.last()?.version;
    let skipped: Vec<Version> = set
        .migrations()
        .iter()
        .filter(|m| m.version() < current && !m.out_of_order && !is_applied(rows, m.version()))
        .map(Migration::version)
        .collect();
    let mut found = Vec::new();
    if !divergent.is_empty() {
        found.push(Refusal::Divergent(divergent));
    }
    for (versions, refusal) in [
        (ahead, Refusal::Ahead as fn(Vec<Version>) -> Refusal),
        (missing, Refusal::Missing),
        (skipped, Refusal::OutOfOrder),
    ] {
        if !versions.is_empty() {
            found.push(refusal(versions));
        }
    }
    match found.len() {
        0 | 1 => found.pop(),
        _ => Some(Refusal::Several(found)),
    }
}

/// What keeps a tenant from going on where it is in the middle of a migration: what is done must
/// still be the beginning of the file. What comes after may have been edited.
fn goes_on(
    rows: &[AppliedRow],
    steps: &[StepRow],
    set: &MigrationSet,
    pending: &[Version],
) -> Option<Refusal> {
    let version = halfway(rows, steps)?;
    let refuse = |problem| Some(Refusal::Halfway { version, problem });
    let Some(file) = set.get(version) else {
        return refuse(Halfway::FileMissing);
    };
    if file.mode == TransactionMode::Transactional {
        return refuse(Halfway::Transactional);
    }
    let before: Vec<Version> = pending.iter().copied().filter(|v| *v < version).collect();
    if !before.is_empty() {
        return refuse(Halfway::Preceded(before));
    }
    let edited = steps
        .iter()
        .filter(|row| row.version == version && row.is_done)
        .find(|row| {
            let step = (row.step as usize).checked_sub(1);
            step.and_then(|index| file.steps.get(index))
                .is_none_or(|step| step.hash != row.hash)
        });
    edited.and_then(|row| refuse(Halfway::Edited(row.step)))
}

/// The migration that a tenant is in the middle of. Notes of one that the history holds are stale.
pub(super) fn halfway(rows: &[AppliedRow], steps: &[StepRow]) -> Option<Version> {
    let mut versions = steps.iter().map(|row| row.version);
    versions.find(|version| !is_applied(rows, *version))
}

/// Whether the file is what was applied. Both checksums count, whatever the column: a table may have
/// been widened after it was written.
pub(super) fn matches_file(row: &AppliedRow, file: &Migration) -> bool {
    let same_text =
        row.checksum == file.checksum_int8() || Some(row.checksum) == file.checksum_int4();
    row.name == file.name() && same_text
}

/// The files that are not what was applied.
pub(super) fn divergences(
    column: VersionColumn,
    rows: &[AppliedRow],
    set: &MigrationSet,
) -> impl Iterator<Item = Divergence> {
    rows.iter()
        .filter_map(move |row| divergence(column, row, set.get(row.version)?))
}

fn divergence(column: VersionColumn, row: &AppliedRow, file: &Migration) -> Option<Divergence> {
    if matches_file(row, file) {
        return None;
    }
    let checksum = match column {
        VersionColumn::Int4 => file.checksum_int4().unwrap_or(file.checksum_int8()),
        VersionColumn::Int8 => file.checksum_int8(),
    };
    Some(Divergence {
        version: row.version,
        file: file.to_string(),
        applied: (row.name.clone(), row.checksum),
        checksum,
    })
}

pub(super) fn is_applied(rows: &[AppliedRow], version: Version) -> bool {
    rows.binary_search_by_key(&version, |row| row.version)
        .is_ok()
}

fn pending(rows: &[AppliedRow], set: &MigrationSet, target: Option<Version>) -> Action {
    let pending: Arc<[Version]> = set
        .migrations()
        .iter()
        .map(Migration::version)
        .filter(|version| target.is_some_and(|target| *version <= target))
        .filter(|version| !is_applied(rows, *version))
        .collect();
    if pending.is_empty() {
        Action::UpToDate
    } else {
        Action::Migrate(pending)
    }
}

pub(super) fn fits(column: VersionColumn, action: Action) -> Action {
    let too_large = match column {
        VersionColumn::Int8 => None,
        VersionColumn::Int4 => action
            .pending()
            .iter()
            .copied()
            .find(|version| i32::try_from(*version).is_err()),
    };
    too_large.map_or(action, |version| {
        Action::Refuse(Refusal::VersionTooLarge(version))
    })
}
