//! The text of the one message that migrates a tenant: its transaction from BEGIN to COMMIT.
//!
//! The whole of a migration, bookkeeping included, travels as one simple-query message: one round
//! trip, and the history row commits with the migration's own DDL. The server answers each statement
//! with one `CommandComplete`, so that their count names the statement that failed, also where
//! PostgreSQL gives no position.

mod parts;

use std::fmt;

pub(super) use self::parts::{Deferred, FilePlace, Frame, Message, Part};
use super::lock;
use super::looks::Looks;
use super::repair::DueFix;
use super::role::RoleScope;
use crate::migration::{Migration, Place, Version};
use crate::plan::{self, HistorySnapshot, VersionColumn};
use crate::tenant::{RoleName, SchemaName, quote_identifier, quote_literal};

/// What a guard says when it refuses. The server echoes the text inside its own, localised message.
pub(super) const GUARD_MARK: &str = "fleet_guard:";

/// What one tenant's transactions have in common.
#[derive(Clone, Debug)]
pub(super) struct Envelope {
    /// The tenant's schema.
    pub(super) schema: SchemaName,
    /// The role that its migrations run as, where that is another one than fleet's own.
    pub(super) role: Option<RoleName>,
    /// Shared schemas behind it.
    pub(super) shared: Vec<String>,
    /// The history table's bare name.
    pub(super) history_table: String,
    /// What to do before the first migration.
    pub(super) setup: Setup,
    /// The width of the version column, which decides the checksum to write.
    pub(super) column: VersionColumn,
    /// Waiting for a lock, in milliseconds; 0 waits for ever.
    pub(super) lock_timeout_ms: u128,
    /// Running one statement, in milliseconds; 0 is without limit.
    pub(super) statement_timeout_ms: u128,
    /// Further settings of each transaction, `name=value`.
    pub(super) settings: Vec<String>,
    /// Whether it is looked behind each file that it has kept to the tenant.
    pub(super) checks_leaks: bool,
    /// Unguessable by a migration file.
    pub(super) nonce: u64,
}

/// What a tenant lacks before its first migration.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Setup {
    /// Nothing.
    None,
    /// The history table.
    History,
    /// The schema and the history table.
    Schema,
}

/// What the history must still say when the next row is written: its highest version.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct ExpectedHead(pub(super) Option<Version>);

impl ExpectedHead {
    /// Of the history as it was read.
    pub(super) fn of(history: &HistorySnapshot) -> Self {
        Self(plan::version_of(history))
    }

    /// After one more migration.
    pub(super) fn with(self, version: Version) -> Self {
        Self(self.0.max(Some(version)))
    }

    /// In SQL: whether the history table says something else. Two look-ups by key: aggregates over
    /// the table would cost several times as much, most of it in planning.
    fn differs(self, history: &str) -> String {
        match self.0 {
            None => format!("EXISTS (SELECT FROM {history})"),
            Some(head) => format!(
                "NOT EXISTS (SELECT FROM {history} WHERE version={head}) OR EXISTS (SELECT FROM {history} WHERE version>{head})"
            ),
        }
    }
}

/// A file that runs in a transaction, with what records it there.
#[derive(Clone, Copy, Debug)]
pub(super) enum Piece<'a> {
    /// A migration and its history row.
    Migration(&'a Migration),
    /// A fix and its note.
    Fix(DueFix<'a>),
}

impl Piece<'_> {
    /// What is sent of the file.
    pub(super) fn body(&self) -> &str {
        match self {
            Self::Migration(migration) => &migration.body,
            Self::Fix(due) => &due.fix().body,
        }
    }

    /// Where its statements begin.
    pub(super) fn statements(&self) -> &[Place] {
        match self {
            Self::Migration(migration) => &migration.statements,
            Self::Fix(due) => &due.fix().statements,
        }
    }
}

/// What it is called in a failure.
impl fmt::Display for Piece<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Migration(migration) => migration.fmt(f),
            Self::Fix(due) => due.fix().fmt(f),
        }
    }
}

impl Envelope {
    /// The search path: the tenant's schema, then the shared ones.
    pub(super) fn search_path(&self) -> String {
        std::iter::once(self.schema.quoted())
            .chain(self.shared.iter().map(|name| quote_identifier(name)))
            .collect::<Vec<_>>()
            .join(", ")
    }

    /// The history table with its schema.
    pub(super) fn history(&self) -> String {
        format!(
            "{}.{}",
            self.schema.quoted(),
            quote_identifier(&self.history_table)
        )
    }

    /// Builds the message that runs these files in one transaction, each with what records it.
    pub(super) fn message(
        &self,
        pieces: &[Piece],
        expected: ExpectedHead,
        applied_on: &str,
    ) -> Message {
        let mut before = self.prefix();
        if pieces.iter().any(|piece| matches!(piece, Piece::Fix(_))) {
            before.push(self.create_repairs());
        }
        let frame = Frame {
            before,
            after: "COMMIT".to_owned(),
            deferred: Deferred::ForProof,
        };
        self.framed(&frame, pieces, expected, applied_on)
    }

    /// The same files in another frame than a transaction of their own.
    pub(super) fn framed(
        &self,
        frame: &Frame,
        pieces: &[Piece],
        mut expected: ExpectedHead,
        applied_on: &str,
    ) -> Message {
        let mut statements = frame.before.len();
        let mut text = frame.before.join(";");
        let mut characters = text.chars().count();
        let mut files = Vec::with_capacity(pieces.len());
        for (index, piece) in pieces.iter().enumerate() {
            if index > 0 {
                // what the file before has set is not for this one
                let settings = format!(";{}", self.settings_again().join(";"));
                text.push_str(&settings);
                characters += settings.chars().count();
                statements += self.settings_again().len();
            }
            let check = self.leak_check(piece);
            let begin = format!(";{};\n", check.before.join(";"));
            let begin = if check.before.is_empty() {
                ";\n"
            } else {
                &begin
            };
            text.push_str(begin);
            characters += begin.chars().count();
            statements += check.before.len();
            let body_characters = piece.body().chars().count();
            let (deferred, checks) = frame.behind(check.after, index + 1 == pieces.len());
            files.push(FilePlace {
                characters_before: characters,
                characters: body_characters,
                statements_before: statements,
                looks_before: check.before.len(),
                statements: piece.statements().len(),
                records: 1,
                deferred: deferred.len(),
                checks: checks.len(),
            });
            text.push_str(piece.body());
            let record = match piece {
                Piece::Migration(migration) => self.history_row(migration, expected, applied_on),
                Piece::Fix(due) => self.repair_note(due, expected),
            };
            // a trigger on the history is fired by then, too: nothing comes behind the checks
            let behind = [&[record], &deferred[..], &checks[..]].concat();
            // a file may end in a comment or lack its last semicolon
            let tail = format!("\n;{}", behind.join(";"));
            text.push_str(&tail);
            characters += body_characters + tail.chars().count();
            statements += piece.statements().len() + behind.len();
            if let Piece::Migration(migration) = piece {
                expected = expected.with(migration.version());
            }
        }
        text.push(';');
        text.push_str(&frame.after);
        Message {
            text,
            files,
            looks: Looks::default(),
        }
    }

    /// Between two files of one transaction: the limits of a migration, and the role that it began with.
    pub(super) fn settings_again(&self) -> [String; 3] {
        [
            self.set_role(RoleScope::Transaction)
                .unwrap_or_else(|| "RESET ROLE".to_owned()),
            format!("SET LOCAL lock_timeout={}", self.lock_timeout_ms),
            format!("SET LOCAL statement_timeout={}", self.statement_timeout_ms),
        ]
    }

    /// What stands in front of everything: BEGIN, settings, the lock, what is to be made first.
    pub(super) fn prefix(&self) -> Vec<String> {
        let mut prefix = vec!["BEGIN ISOLATION LEVEL READ COMMITTED READ WRITE".to_owned()];
        // the time limits are those of the session, which is made as new after a file that may have
        // touched it
        prefix.extend(
            self.settings
                .iter()
                .map(|setting| format!("SET LOCAL {setting}")),
        );
        prefix.extend(self.create_schema());
        prefix.extend(self.set_role(RoleScope::Transaction));
        prefix.push(self.pin("pg_try_advisory_xact_lock", true));
        prefix.extend(self.create_history());
        prefix
    }

    /// Creates the schema, where that is asked for.
    pub(super) fn create_schema(&self) -> Option<String> {
        let create = || {
            let owner = self.role.as_ref().map(RoleName::quoted);
            let owner = owner.map_or_else(String::new, |role| format!(" AUTHORIZATION {role}"));
            format!(
                "CREATE SCHEMA IF NOT EXISTS {}{owner}",
                self.schema.quoted()
            )
        };
        (self.setup == Setup::Schema).then(create)
    }

    /// Creates the history table, where there is none.
    pub(super) fn create_history(&self) -> Option<String> {
        let create = || {
            format!(
                "CREATE TABLE IF NOT EXISTS {}(version {} PRIMARY KEY,name VARCHAR(255),applied_on VARCHAR(255),checksum VARCHAR(255))",
                self.history(),
                match self.column {
                    VersionColumn::Int4 => "pg_catalog.int4",
                    VersionColumn::Int8 => "pg_catalog.int8",
                },
            )
        };
        (self.setup != Setup::None).then(create)
    }

    /// What stands in each message near its beginning, and in no other tenant's.
    pub(super) fn mark(&self) -> String {
        format!("'fleet.pin','{:x}'", self.nonce)
    }

    /// Pins the transaction, or the session, to the tenant, and takes the tenant's lock.
    ///
    /// `set_config` keeps the text to the letter, so that the guard can compare it. One SELECT for
    /// all three, from left to right; in another order the last would refuse, and nothing be lost.
    pub(super) fn pin(&self, take_lock: &str, is_local: bool) -> String {
        format!(
            "SELECT pg_catalog.set_config('search_path',{},{is_local}),pg_catalog.set_config({},{is_local}),\
             (CASE WHEN NOT pg_catalog.{take_lock}({}) THEN '{GUARD_MARK}lock' \
             WHEN pg_catalog.current_schema() IS DISTINCT FROM {} THEN '{GUARD_MARK}schema' \
             ELSE 'true' END)::pg_catalog.bool",
            quote_literal(&self.search_path()),
            self.mark(),
            lock::key(&self.schema),
            quote_literal(self.schema.as_str()),
        )
    }

    /// Refuses where the session is not as it was pinned, and where `expected` is given also where
    /// somebody else has moved the history.
    pub(super) fn guard(&self, expected: Option<ExpectedHead>) -> String {
        let history = expected.map_or_else(String::new, |expected| {
            format!(
                "WHEN {} THEN '{GUARD_MARK}history' ",
                expected.differs(&self.history())
            )
        });
        format!(
            "SELECT (CASE {}WHEN NOT EXISTS (SELECT FROM pg_catalog.pg_locks l \
             WHERE l.pid=pg_catalog.pg_backend_pid() AND {}) THEN '{GUARD_MARK}unlocked' \
             {history}ELSE 'true' END)::pg_catalog.bool",
            self.is_moved(),
            lock::is_held(&self.schema),
        )
    }

    /// In SQL: the same, and where the history is not what it should be.
    pub(super) fn is_astray(&self, expected: ExpectedHead) -> String {
        let differs = expected.differs(&self.history());
        format!(
            "{}WHEN {differs} THEN '{GUARD_MARK}history'",
            self.is_moved()
        )
    }

    /// In SQL: what the guard says where the settings are not those that were pinned.
    pub(super) fn is_moved(&self) -> String {
        let is_other_role = self.is_other_role();
        format!(
            "{is_other_role}WHEN pg_catalog.current_setting('fleet.pin',true) IS DISTINCT FROM '{:x}' THEN '{GUARD_MARK}transaction' \
             WHEN pg_catalog.current_setting('search_path') IS DISTINCT FROM {} THEN '{GUARD_MARK}search_path' ",
            self.nonce,
            quote_literal(&self.search_path()),
        )
    }

    /// The checksum of a file as this history has it.
    pub(super) fn checksum(&self, migration: &Migration) -> u64 {
        match self.column {
            VersionColumn::Int8 => migration.checksum_int8(),
            VersionColumn::Int4 => migration
                .checksum_int4()
                .unwrap_or_else(|| migration.checksum_int8()),
        }
    }

    /// The history row, written only where the transaction is still the one that was begun, the
    /// search path is where it was put, and nobody else has moved the history. The cast is of an
    /// expression that the planner cannot fold: a folded one would fail always.
    pub(super) fn history_row(
        &self,
        migration: &Migration,
        expected: ExpectedHead,
        applied_on: &str,
    ) -> String {
        let (history, checksum) = (self.history(), self.checksum(migration));
        format!(
            "INSERT INTO {history}(version,name,applied_on,checksum) VALUES ((CASE {} \
             ELSE '{}' END)::pg_catalog.int8,{},{},'{checksum}')",
            self.is_astray(expected),
            migration.version(),
            quote_literal(migration.name()),
            quote_literal(applied_on),
        )
    }
}

#[cfg(test)]
#[path = "message_tests.rs"]
mod tests;
