//! The statements of a migration that runs without a transaction, and how each is settled when its
//! end is not known.

use std::sync::Arc;

use super::Place;

/// One statement of a migration that runs without a transaction.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Step {
    /// From its first to its last word.
    pub text: Arc<str>,
    /// Where it begins in the file.
    pub place: Place,
    /// 32 hexadecimal digits over the text: tells whether a file was edited above what is done.
    pub hash: String,
    /// How it is run.
    pub kind: StepKind,
}

/// How a step is run.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum StepKind {
    /// In one transaction with the note that it is done, so that it is never in doubt. To the
    /// server a statement alone is a transaction too: nothing else changes by it.
    Atomic,
    /// It only changes the session, and is run again in each session that what follows needs.
    Session,
    /// Alone in its message, for the server (or what it calls) refuses a transaction around it.
    /// Noted before and after; between the two it is in doubt.
    Outside(Settlement),
}

/// How to find out what became of a step that was begun and not noted as done.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Settlement {
    /// `CREATE INDEX CONCURRENTLY`: the catalogue shows the index, and whether it is valid.
    IndexBuilt(IndexBuild),
    /// `DROP INDEX CONCURRENTLY`: done when the index is gone.
    IndexDropped(ObjectName),
    /// `REINDEX … CONCURRENTLY`: what it left half built is dropped, then it is run again.
    Reindexed,
    /// `ALTER TABLE … DETACH PARTITION … CONCURRENTLY`: detached, pending, or not begun.
    PartitionDetached {
        /// The partitioned table.
        parent: ObjectName,
        /// The partition.
        partition: ObjectName,
    },
    /// Running it once more does no harm, as with `VACUUM`.
    RunAgain,
    /// Only a person can tell: a procedure that commits, `CREATE DATABASE`, ….
    ByHand,
}

/// What a `CREATE INDEX CONCURRENTLY` asks for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct IndexBuild {
    /// The index's name; the server chooses one where the statement gives none.
    pub name: Option<String>,
    /// The table.
    pub table: ObjectName,
    /// The same statement without `CONCURRENTLY` and `IF NOT EXISTS`: on an empty copy of the table
    /// it shows what the definition must look like.
    pub plain: String,
}

/// A name as the server resolves it, with its schema where the statement gives one.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ObjectName {
    /// The schema in front of it.
    pub schema: Option<String>,
    /// The bare name.
    pub name: String,
}

impl StepKind {
    /// Whether it waits for every transaction of its database that is older than itself: of such
    /// statements only a few run at a time in one database.
    pub fn waits_for_others(&self) -> bool {
        match self {
            Self::Outside(
                Settlement::IndexBuilt(_)
                | Settlement::IndexDropped(_)
                | Settlement::Reindexed
                | Settlement::PartitionDetached { .. },
            ) => true,
            Self::Outside(Settlement::RunAgain | Settlement::ByHand)
            | Self::Atomic
            | Self::Session => false,
        }
    }
}
