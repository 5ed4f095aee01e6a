//! What planning is told about a tenant: its own history, read from its schema.

use std::sync::Arc;

use crate::migration::Version;

/// One row of refinery's history table.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct AppliedRow {
    /// The version.
    pub version: Version,
    /// The name behind the double underscore.
    pub name: String,
    /// refinery's checksum, of whichever build wrote it.
    pub checksum: u64,
}

/// One step of a migration that is under way outside a transaction, as the tenant's own table notes it.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct StepRow {
    /// The migration's version.
    pub version: Version,
    /// Which statement of the file, from 1.
    pub step: u32,
    /// [`crate::migration::Step::hash`] of the statement that was run.
    pub hash: String,
    /// Whether it is known to be done. Else it was begun, and its end is not known.
    pub is_done: bool,
}

/// The type of the history table's version column, which tells which build of refinery made it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum VersionColumn {
    /// A stock build.
    Int4,
    /// A build with `int8-versions`.
    Int8,
}

/// What the history of one tenant looked like when it was read.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum HistorySnapshot {
    /// There is no such schema.
    SchemaAbsent,
    /// The schema has no history table, or an empty one beside other relations.
    NoTable {
        /// Tables, views and sequences of the schema beside a history table: more than none means that
        /// somebody was here.
        relations: u64,
    },
    /// The rows, by version. Equal histories of many tenants share one allocation.
    Rows {
        /// The type of the version column.
        column: VersionColumn,
        /// Ascending versions.
        rows: Arc<[AppliedRow]>,
        /// Steps of the migration that the tenant is in the middle of; none for nearly all tenants.
        steps: Arc<[StepRow]>,
    },
    /// A row that refinery cannot have written.
    Corrupt {
        /// The row as text, such as `version 3`.
        row: String,
        /// What is wrong with it.
        problem: String,
    },
    /// The server refused to show it.
    Unreadable {
        /// PostgreSQL's message.
        message: String,
        /// PostgreSQL's code.
        sqlstate: Option<String>,
    },
}
