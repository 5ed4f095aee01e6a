//! What a rehearsal has found out about a tenant.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use serde::Serialize;

use super::Failure;
use crate::migration::{Migration, Version};
use crate::tenant::TenantId;

/// One tenant, whose pending migrations were run and rolled back.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TenantRehearsal {
    /// Which tenant.
    pub tenant: TenantId,
    /// What a run would make of it.
    pub outcome: RehearsalOutcome,
    /// Its version, None for an empty history.
    pub from: Option<Version>,
    /// How long its migrations took, those included that failed.
    pub duration: Duration,
    /// The migrations that went through, in order.
    pub migrations: Vec<RehearsedMigration>,
    /// The migrations that were not rehearsed, in order.
    pub not_rehearsed: Vec<NotRehearsed>,
    /// Why it would fail, or what stood in the way.
    pub failure: Option<Failure>,
    /// Why the plan refuses it.
    pub reason: Option<String>,
}

impl TenantRehearsal {
    /// One that nothing is known of yet.
    pub fn new(tenant: TenantId, from: Option<Version>, outcome: RehearsalOutcome) -> Self {
        Self {
            tenant,
            outcome,
            from,
            duration: Duration::ZERO,
            migrations: Vec::new(),
            not_rehearsed: Vec::new(),
            failure: None,
            reason: None,
        }
    }

    /// Whether something was asked for that was not done, and that another rehearsal may do.
    pub fn is_lacking(&self) -> bool {
        match self.outcome {
            RehearsalOutcome::Busy => true,
            RehearsalOutcome::NotRehearsed => self
                .not_rehearsed
                .first()
                .is_none_or(|first| !first.cause.is_by_nature()),
            RehearsalOutcome::WouldSucceed
            | RehearsalOutcome::WouldFail
            | RehearsalOutcome::UpToDate
            | RehearsalOutcome::Held
            | RehearsalOutcome::Refused => false,
        }
    }
}

/// What a run would make of a tenant.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum RehearsalOutcome {
    /// All that can be rehearsed went through.
    WouldSucceed,
    /// A migration failed, as it would in a run.
    WouldFail,
    /// Somebody else was at the tenant, or had a lock for longer than was waited.
    Busy,
    /// Nothing of it could be rehearsed, or not to the end.
    NotRehearsed,
    /// Nothing is pending.
    UpToDate,
    /// Somebody, or a window, keeps it from being migrated now.
    Held,
    /// The plan does not touch it.
    Refused,
}

impl RehearsalOutcome {
    /// The word in JSON.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::WouldSucceed => "would_succeed",
            Self::WouldFail => "would_fail",
            Self::Busy => "busy",
            Self::NotRehearsed => "not_rehearsed",
            Self::UpToDate => "up_to_date",
            Self::Held => "held",
            Self::Refused => "refused",
        }
    }
}

/// A migration by the stem of its file, in the order of versions.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct MigrationStem {
    version: Version,
    text: Arc<str>,
}

impl MigrationStem {
    /// Of a file.
    pub fn of(migration: &Migration) -> Self {
        Self {
            version: migration.version(),
            text: migration.to_string().into(),
        }
    }

    /// The bare text.
    pub fn as_str(&self) -> &str {
        &self.text
    }
}

impl fmt::Display for MigrationStem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text)
    }
}

/// One migration that went through.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RehearsedMigration {
    /// Which.
    pub migration: MigrationStem,
    /// How long its message took, from its first byte to its last answer.
    pub duration: Duration,
    /// The locks that it has taken, one a table.
    pub locks: Vec<TableLock>,
}

/// The strongest lock of a migration on a table that was there before.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TableLock {
    /// The table, with its schema where that is not the tenant's.
    pub table: Arc<str>,
    /// How it is locked.
    pub mode: LockMode,
    /// From the begin of the statement that took it to the end of the transaction that it would be in.
    pub held: Duration,
}

/// PostgreSQL's locks on tables, weakest first.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum LockMode {
    /// Reading.
    AccessShare,
    /// Reading with row locks.
    RowShare,
    /// Writing.
    RowExclusive,
    /// `VACUUM`, `CREATE INDEX CONCURRENTLY`, some forms of `ALTER TABLE`.
    ShareUpdateExclusive,
    /// `CREATE INDEX`.
    Share,
    /// `CREATE TRIGGER`, foreign keys.
    ShareRowExclusive,
    /// `REFRESH MATERIALIZED VIEW CONCURRENTLY`.
    Exclusive,
    /// Most forms of `ALTER TABLE`, `DROP`, `TRUNCATE`.
    AccessExclusive,
}

/// Whom a lock keeps waiting.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Blocked {
    /// Neither those who read nor those who write.
    Nobody,
    /// Those who write.
    Writes,
    /// Those who read too.
    ReadsAndWrites,
}

impl LockMode {
    /// Every mode, as `pg_locks` and as SQL has it.
    const ALL: [(Self, &'static str, &'static str); 8] = [
        (Self::AccessShare, "AccessShareLock", "ACCESS SHARE"),
        (Self::RowShare, "RowShareLock", "ROW SHARE"),
        (Self::RowExclusive, "RowExclusiveLock", "ROW EXCLUSIVE"),
        (
            Self::ShareUpdateExclusive,
            "ShareUpdateExclusiveLock",
            "SHARE UPDATE EXCLUSIVE",
        ),
        (Self::Share, "ShareLock", "SHARE"),
        (
            Self::ShareRowExclusive,
            "ShareRowExclusiveLock",
            "SHARE ROW EXCLUSIVE",
        ),
        (Self::Exclusive, "ExclusiveLock", "EXCLUSIVE"),
        (
            Self::AccessExclusive,
            "AccessExclusiveLock",
            "ACCESS EXCLUSIVE",
        ),
    ];

    /// The mode that `pg_locks` calls so.
    pub fn parse(word: &str) -> Option<Self> {
        let mut all = Self::ALL.into_iter();
        all.find(|(_, in_pg_locks, _)| *in_pg_locks == word)
            .map(|(mode, _, _)| mode)
    }

    /// The mode as `LOCK TABLE` has it.
    pub fn as_str(self) -> &'static str {
        let mut all = Self::ALL.into_iter();
        all.find(|(mode, _, _)| *mode == self)
            .map_or("", |(_, _, in_sql)| in_sql)
    }

    /// Whom it keeps waiting.
    pub fn blocks(self) -> Blocked {
        match self {
            Self::AccessShare
            | Self::RowShare
            | Self::RowExclusive
            | Self::ShareUpdateExclusive => Blocked::Nobody,
            Self::Share | Self::ShareRowExclusive | Self::Exclusive => Blocked::Writes,
            Self::AccessExclusive => Blocked::ReadsAndWrites,
        }
    }
}

/// A migration that was not rehearsed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NotRehearsed {
    /// Which.
    pub migration: MigrationStem,
    /// Why not.
    pub cause: NotRehearsedCause,
}

/// Why a migration was not rehearsed.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum NotRehearsedCause {
    /// It runs without a transaction, so that it cannot be taken back.
    NonTransactional,
    /// It comes after this one, which was not rehearsed, and may need it.
    Behind(MigrationStem),
    /// One of its statements took longer than a rehearsal's may.
    TooLong(Duration),
    /// It needs that an earlier one is committed.
    NeedsCommit,
    /// The rehearsal was stopped.
    Stopped,
    /// The connection was lost, or could not be had.
    Lost,
    /// The schema is not there any more.
    Gone,
}

impl NotRehearsedCause {
    /// Whether no other rehearsal would do it either.
    pub fn is_by_nature(&self) -> bool {
        match self {
            Self::NonTransactional | Self::Behind(_) | Self::NeedsCommit | Self::Gone => true,
            Self::TooLong(_) | Self::Stopped | Self::Lost => false,
        }
    }
}

impl fmt::Display for NotRehearsedCause {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::NonTransactional => f.write_str("it runs without a transaction"),
            Self::Behind(other) => write!(f, "it comes after {other}"),
            Self::TooLong(limit) => write!(
                f,
                "a statement took longer than rehearsal.statement_timeout ({})",
                humantime::format_duration(*limit)
            ),
            Self::NeedsCommit => f.write_str(
                "it needs that the pending ones before it are committed, as in a run they are",
            ),
            Self::Stopped => f.write_str("the rehearsal was stopped"),
            Self::Lost => f.write_str("there was no connection, or it was lost"),
            Self::Gone => f.write_str("the tenant's schema is not there any more"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn modes_are_told_by_the_words_of_pg_locks_and_ordered_by_strength() {
        assert_eq!(LockMode::parse("ShareLock"), Some(LockMode::Share));
        assert_eq!(LockMode::parse("SHARE"), None);
        assert!(LockMode::AccessExclusive > LockMode::ShareUpdateExclusive);
        assert_eq!(LockMode::AccessExclusive.as_str(), "ACCESS EXCLUSIVE");
        assert_eq!(LockMode::Share.blocks(), Blocked::Writes);
        assert_eq!(LockMode::ShareUpdateExclusive.blocks(), Blocked::Nobody);
    }
}
