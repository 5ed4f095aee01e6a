//! Why a tenant is not touched, in one word, in a sentence, and with what helps.

use std::fmt::{self, Write as _};

use super::guard::Unguarded;
use crate::migration::Version;

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
    /// Versions that most other tenants have, and that are missing below this tenant's.
    Hole(Vec<Version>),
    /// Files that are pending here are not what most other tenants have applied, or files between
    /// are gone.
    SetDoubtful {
        /// Not what others have applied.
        edited: Vec<Version>,
        /// Applied by others, without a file.
        missing: Vec<Version>,
    },
    /// It is in the middle of a migration that runs without a transaction, and the file does not go on
    /// from there.
    Halfway {
        /// Which migration.
        version: Version,
        /// Why it cannot go on.
        problem: Halfway,
    },
    /// More than one of these.
    Several(Vec<Refusal>),
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
    /// What is to be skipped was applied.
    AppliedAlready(Version),
    /// What is to be skipped does not come next.
    NotNext {
        /// What is to be skipped.
        version: Version,
        /// What is pending before it.
        before: Vec<Version>,
    },
    /// A baseline is for tenants without a history.
    HasHistory {
        /// How many rows it has.
        rows: usize,
        /// The highest version.
        version: Option<Version>,
    },
    /// Neither tables nor a history: nothing that could be put right.
    NothingThere,
    /// The database does not keep its migrations inside of the tenant, and the config asks for that.
    Unguarded(Unguarded),
}

/// Why a migration that is under way cannot go on.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Halfway {
    /// The set has no such file (any more).
    FileMissing,
    /// A statement that is done is not the file's any more.
    Edited(u32),
    /// The file now runs in a transaction, which would begin it anew.
    Transactional,
    /// Files before it are pending.
    Preceded(Vec<Version>),
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
            | Self::Hole(_)
            | Self::SetDoubtful { .. }
            | Self::Halfway { .. }
            | Self::Several(_)
            | Self::NoHistory { .. }
            | Self::VersionTooLarge(_)
            | Self::AppliedAlready(_)
            | Self::NotNext { .. }
            | Self::HasHistory { .. }
            | Self::NothingThere
            | Self::Unguarded(_) => false,
        }
    }

    /// What of it is about a set that is not the one that was applied here: an edited file alone is not.
    pub(super) fn about_other_files(&self) -> Option<Self> {
        match self {
            Self::Ahead(_) | Self::Missing(_) => Some(self.clone()),
            Self::Several(refusals) => refusals.iter().find_map(Self::about_other_files),
            _ => None,
        }
    }

    /// One word for tables and histograms.
    pub fn kind(&self) -> &'static str {
        match self {
            Self::Divergent(_) => "divergent",
            Self::Ahead(_) => "ahead",
            Self::Missing(_) => "missing",
            Self::OutOfOrder(_) => "out_of_order",
            Self::Hole(_) => "hole",
            Self::SetDoubtful { .. } => "set_doubtful",
            Self::Halfway { .. } => "halfway",
            Self::Several(refusals) => refusals.first().map_or("several", Self::kind),
            Self::NoHistory { .. } => "no_history",
            Self::SchemaMissing => "schema_missing",
            Self::CorruptHistory { .. } => "corrupt_history",
            Self::Unreadable { .. } => "unreadable",
            Self::VersionTooLarge(_) => "version_too_large",
            Self::AppliedAlready(_) => "applied_already",
            Self::NotNext { .. } => "not_next",
            Self::HasHistory { .. } => "has_history",
            Self::NothingThere => "nothing_there",
            Self::Unguarded(_) => "unguarded",
        }
    }

    /// What somebody can do about it.
    pub fn hint(&self) -> &'static str {
        match self {
            Self::Divergent(_) => {
                "restore the file as it was applied (git log -p FILE; check that line ends were not converted) and put the change into a new migration; where the edit changes nothing, fleet accept-divergent takes the file as it is"
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
            Self::Hole(_) => {
                "the other tenants have it, so this one is odd, not the files: compare it with another; where the change is there, fleet skip writes the row, else fleet repair --no-migrate makes it first"
            }
            Self::SetDoubtful { .. } => {
                "put the files right first (git log -p on the directory): what most tenants have applied is what the others must get"
            }
            Self::Halfway { problem, .. } => problem.hint(),
            Self::Several(refusals) => refusals.first().map_or("", Self::hint),
            Self::NoHistory { .. } => {
                "restore the history table with the schema, or say where the tenant is: fleet baseline NAME --at VERSION; fleet never starts at the first version on a schema that is in use"
            }
            Self::SchemaMissing => {
                "create the schema, take the tenant off the list, or set create_missing: true"
            }
            Self::CorruptHistory { .. } => {
                "compare the row with another tenant's and correct it by hand"
            }
            Self::Unreadable {
                sqlstate: Some(code),
                ..
            } if code == "55P03" => {
                "somebody holds a lock on the history table: look at pg_locks, and run it again"
            }
            Self::Unreadable {
                sqlstate: Some(code),
                ..
            } if code == "42703" => {
                "a table of this name that refinery did not make: compare it with another tenant's, or name another history_table"
            }
            Self::Unreadable { .. } => {
                "grant fleet's role what it lacks; a role that owns the schema and its tables has all of it"
            }
            Self::VersionTooLarge(_) => {
                "ALTER TABLE the history's version column to bigint; checksums of both widths are accepted"
            }
            Self::AppliedAlready(_) => {
                "nothing is left to skip here: fleet status shows where it is"
            }
            Self::NotNext { .. } => {
                "skip or migrate what comes before it first: a row above a hole would put the tenant out of order"
            }
            Self::HasHistory { .. } => {
                "fleet skip, fleet accept-divergent and fleet repair put a history right that is there"
            }
            Self::NothingThere => "fleet migrate starts it at the first version",
            Self::Unguarded(unguarded) => unguarded.hint(),
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
            Self::Hole(versions) => {
                write!(
                    f,
                    "other tenants have applied {}, this one has not, though it is further",
                    list(versions)
                )
            }
            Self::SetDoubtful { edited, missing } => {
                f.write_str(
                    "not touched, for the set is not what most other tenants have applied: ",
                )?;
                let edited = (!edited.is_empty()).then(|| format!("{} edited", list(edited)));
                let missing = (!missing.is_empty()).then(|| format!("{} missing", list(missing)));
                let parts: Vec<String> = edited.into_iter().chain(missing).collect();
                f.write_str(&parts.join(", "))
            }
            Self::Halfway { version, problem } => {
                write!(f, "in the middle of V{version}, and {problem}")
            }
            Self::Several(refusals) => {
                let texts: Vec<String> = refusals.iter().map(ToString::to_string).collect();
                f.write_str(&texts.join("; "))
            }
            Self::NoHistory { relations } => match relations {
                1 => f.write_str("1 relation but no history"),
                _ => write!(f, "{relations} relations but no history"),
            },
            Self::SchemaMissing => f.write_str("the schema does not exist"),
            Self::CorruptHistory { row, problem } => {
                write!(f, "corrupt history row ({row}): {problem}")
            }
            Self::Unreadable { message, .. } => write!(f, "cannot be migrated: {message}"),
            Self::VersionTooLarge(version) => write!(
                f,
                "version {version} does not fit the history table's integer column"
            ),
            Self::AppliedAlready(_)
            | Self::NotNext { .. }
            | Self::HasHistory { .. }
            | Self::NothingThere
            | Self::Unguarded(_) => self.write_why_not_so(f),
        }
    }
}

impl Refusal {
    /// Those of tenants that cannot be put right, or migrated, in the way that was asked for.
    fn write_why_not_so(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Unguarded(unguarded) => {
                write!(f, "not guarded by the database: {unguarded}")
            }
            Self::AppliedAlready(version) => write!(f, "V{version} is applied already"),
            Self::NotNext { version, before } => {
                write!(
                    f,
                    "V{version} does not come next: {} before it pending",
                    list(before)
                )
            }
            Self::HasHistory { rows, version } => {
                let rows = match rows {
                    1 => "1 row".to_owned(),
                    rows => format!("{rows} rows"),
                };
                match version {
                    Some(version) => write!(f, "it has a history: {rows}, up to V{version}"),
                    None => f.write_str("it has an empty history"),
                }
            }
            _ => f.write_str("neither tables nor a history are there yet"),
        }
    }
}

impl Halfway {
    fn hint(&self) -> &'static str {
        match self {
            Self::FileMissing => {
                "bring the file back: what it has done so far stays, and only the file says what is left"
            }
            Self::Edited(_) => {
                "restore the statements that are done as they were (git log -p FILE); those after them may be edited"
            }
            Self::Transactional => {
                "give the file its -- fleet: no-transaction mark back: its first statements are done already"
            }
            Self::Preceded(_) => {
                "give these files versions above it: what was begun is finished first"
            }
        }
    }
}

impl fmt::Display for Halfway {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::FileMissing => f.write_str("there is no such file"),
            Self::Edited(step) => write!(
                f,
                "statement {step} of the file, which is done, was edited or removed"
            ),
            Self::Transactional => f.write_str("the file now runs in a transaction"),
            Self::Preceded(versions) => write!(f, "{} before it not applied", list(versions)),
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
