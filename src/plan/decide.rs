//! One tenant's fate, as a table that one can read: rows are what its history says.

use std::fmt::{self, Write as _};
use std::sync::Arc;

use super::{Action, AppliedRow, HistorySnapshot, VersionColumn};
use crate::migration::{Migration, MigrationSet, Version};
use crate::tenant::Presence;

/// Why a tenant is not touched.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Refusal {
    /// Files that were edited after they had been applied.
    Divergent(Vec<Divergence>),
    /// The history holds versions above the set's head: this set is older than the tenant.
    Ahead(Vec<Version>),
    /// The history holds versions for which the set has no file.
    Missing(Vec<Version>),
    /// Files below the tenant's version that were never applied to it.
    OutOfOrder(Vec<Version>),
    /// Relations, but no history: restored, or made by another tool.
    NoHistory {
        /// How many relations there are.
        relations: u64,
    },
    /// The tenant is listed and has no schema.
    SchemaMissing,
    /// A row of its history that refinery cannot have written.
    CorruptHistory {
        /// Which row.
        row: String,
        /// What is wrong with it.
        problem: String,
    },
    /// The server refused to show the history.
    Unreadable {
        /// PostgreSQL's message.
        message: String,
        /// PostgreSQL's code.
        sqlstate: Option<String>,
    },
    /// The history table's version column is too narrow.
    VersionTooLarge(Version),
}

/// One file that is not what was applied.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Divergence {
    /// Which version.
    pub version: Version,
    /// The file's stem now.
    pub file: String,
    /// What the history says: name and checksum.
    pub applied: (String, u64),
    /// The checksum of the file, as the build that wrote the history would compute it.
    pub checksum: u64,
}

impl Refusal {
    /// Whether the tenant counts as failed. The others are skipped: they need a decision, not a repair.
    pub fn is_failure(&self) -> bool {
        match self {
            Self::SchemaMissing | Self::CorruptHistory { .. } | Self::Unreadable { .. } => true,
            Self::Divergent(_)
            | Self::Ahead(_)
            | Self::Missing(_)
            | Self::OutOfOrder(_)
            | Self::NoHistory { .. }
            | Self::VersionTooLarge(_) => false,
        }
    }

    /// One word for tables and histograms.
    pub fn kind(&self) -> &'static str {
        match self {
            Self::Divergent(_) => "divergent",
            Self::Ahead(_) => "ahead",
            Self::Missing(_) => "missing",
            Self::OutOfOrder(_) => "out_of_order",
            Self::NoHistory { .. } => "no_history",
            Self::SchemaMissing => "schema_missing",
            Self::CorruptHistory { .. } => "corrupt_history",
            Self::Unreadable { .. } => "unreadable",
            Self::VersionTooLarge(_) => "version_too_large",
        }
    }

    /// What somebody can do about it.
    pub fn hint(&self) -> &'static str {
        match self {
            Self::Divergent(_) => {
                "restore the file as it was applied (git log -p FILE; check that line ends were not converted) and put the change into a new migration"
            }
            Self::Ahead(_) => {
                "this set is older than the tenant: deploy the newer release, fleet never downgrades"
            }
            Self::Missing(_) => {
                "bring the files back: a migration that was applied must stay in the set"
            }
            Self::OutOfOrder(_) => {
                "give the files versions above the tenant's, or name them U<version>__<name>.sql if their order does not matter"
            }
            Self::NoHistory { .. } => {
                "restore the history table with the schema, or insert the rows of what was applied; fleet never starts at the first version on a schema that is in use"
            }
            Self::SchemaMissing => {
                "create the schema, take the tenant off the list, or set create_missing: true"
            }
            Self::CorruptHistory { .. } => {
                "compare the row with another tenant's and correct it by hand"
            }
            Self::Unreadable { .. } => {
                "grant fleet's role USAGE on the schema and SELECT on the table"
            }
            Self::VersionTooLarge(_) => {
                "ALTER TABLE the history's version column to bigint; checksums of both widths are accepted"
            }
        }
    }
}

impl fmt::Display for Refusal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Divergent(files) => {
                let files: Vec<String> = files.iter().map(Divergence::to_string).collect();
                write!(f, "edited after being applied: {}", files.join("; "))
            }
            Self::Ahead(versions) => {
                write!(
                    f,
                    "ahead of this migration set: {} applied, no file",
                    list(versions)
                )
            }
            Self::Missing(versions) => {
                write!(f, "applied, but the file is missing: {}", list(versions))
            }
            Self::OutOfOrder(versions) => {
                write!(f, "not applied, but a later version is: {}", list(versions))
            }
            Self::NoHistory { relations } => {
                write!(f, "{relations} relations but no history table")
            }
            Self::SchemaMissing => f.write_str("the schema does not exist"),
            Self::CorruptHistory { row, problem } => {
                write!(f, "corrupt history row ({row}): {problem}")
            }
            Self::Unreadable { message, .. } => write!(f, "history cannot be read: {message}"),
            Self::VersionTooLarge(version) => write!(
                f,
                "version {version} does not fit the history table's integer column"
            ),
        }
    }
}

impl fmt::Display for Divergence {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (name, applied) = &self.applied;
        write!(
            f,
            "{} (applied as {name} with checksum {applied}, the file has {})",
            self.file, self.checksum
        )
    }
}

/// `V3, V4`, cut after a few.
fn list(versions: &[Version]) -> String {
    const SHOWN: usize = 5;
    let mut text = versions
        .iter()
        .take(SHOWN)
        .map(|v| format!("V{v}"))
        .collect::<Vec<_>>()
        .join(", ");
    if versions.len() > SHOWN {
        let _ = write!(text, " and {} more", versions.len() - SHOWN);
    }
    text
}

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
        (HistorySnapshot::Rows { column, rows }, _) => match verify(*column, rows, set) {
            Some(refusal) => Action::Refuse(refusal),
            None => fits(*column, pending(rows, set, target)),
        },
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
    let divergent: Vec<Divergence> = rows
        .iter()
        .filter_map(|row| divergence(column, row, set.get(row.version)?))
        .collect();
    if !divergent.is_empty() {
        return Some(Refusal::Divergent(divergent));
    }
    if !ahead.is_empty() {
        return Some(Refusal::Ahead(ahead));
    }
    if !missing.is_empty() {
        return Some(Refusal::Missing(missing));
    }
    let current = rows.last()?.version;
    let skipped: Vec<Version> = set
        .migrations()
        .iter()
        .filter(|m| m.version() < current && !m.out_of_order && !is_applied(rows, m.version()))
        .map(Migration::version)
        .collect();
    (!skipped.is_empty()).then_some(Refusal::OutOfOrder(skipped))
}

/// Both checksums count, whatever the column: a table may have been widened after it was written.
fn divergence(column: VersionColumn, row: &AppliedRow, file: &Migration) -> Option<Divergence> {
    let same_text =
        row.checksum == file.checksum_int8() || Some(row.checksum) == file.checksum_int4();
    if row.name == file.name() && same_text {
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

fn is_applied(rows: &[AppliedRow], version: Version) -> bool {
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

fn fits(column: VersionColumn, action: Action) -> Action {
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
