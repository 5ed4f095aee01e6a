//! The notes that a tenant's own schema keeps of a migration that is under way without a transaction,
//! and the messages that write them. The table is dropped with the last of them.

use tokio_postgres::{Client, SimpleQueryMessage};

use super::doubt::Noted;
use super::message::{Envelope, ExpectedHead};
use super::role::RoleScope;
use crate::history::STEPS_TABLE;
use crate::migration::{Migration, Step, StepKind};
use crate::tenant::quote_literal;

/// How much of a statement is noted that can be told by its number alone.
const NOTED_CHARACTERS: usize = 200;

/// What is noted of a migration.
pub(super) async fn read(
    client: &Client,
    envelope: &Envelope,
    migration: &Migration,
) -> Result<Vec<Noted>, tokio_postgres::Error> {
    let answers = client
        .simple_query(&format!(
            "SELECT step,hash,statement,finished_at IS NOT NULL FROM {} WHERE version={} ORDER BY step",
            envelope.steps(),
            migration.version()
        ))
        .await?;
    let noted = |answer: &SimpleQueryMessage| match answer {
        SimpleQueryMessage::Row(row) => Some(Noted {
            step: row.get(0)?.parse().ok()?,
            hash: row.get(1)?.to_owned(),
            statement: row.get(2)?.to_owned(),
            is_done: row.get(3)? == "t",
        }),
        _ => None,
    };
    Ok(answers.iter().filter_map(noted).collect())
}

/// The messages around steps.
impl Envelope {
    /// The table of notes with its schema.
    pub(super) fn steps(&self) -> String {
        format!("{}.{STEPS_TABLE}", self.schema.quoted())
    }

    /// Takes the tenant's lock for the session, pins the session to the tenant, makes the tables.
    pub(super) fn open_steps(&self, migration: &Migration, expected: ExpectedHead) -> String {
        let mut statements = vec!["BEGIN ISOLATION LEVEL READ COMMITTED READ WRITE".to_owned()];
        statements.extend(self.settings.iter().map(|setting| format!("SET {setting}")));
        statements.extend(self.create_schema());
        statements.extend(self.set_role(RoleScope::Session));
        statements.push(self.pin("pg_try_advisory_lock", false));
        statements.extend(self.create_history());
        statements.push(format!(
            "CREATE TABLE IF NOT EXISTS {}(version pg_catalog.int8 NOT NULL,step pg_catalog.int4 NOT NULL,\
             hash pg_catalog.text NOT NULL,statement pg_catalog.text NOT NULL,\
             begun_at pg_catalog.timestamptz NOT NULL,finished_at pg_catalog.timestamptz,\
             how pg_catalog.text,PRIMARY KEY(version,step))",
            self.steps()
        ));
        // notes of a migration that the history holds by now are nobody's any more
        statements.push(format!(
            "DELETE FROM {} WHERE version<>{}",
            self.steps(),
            migration.version()
        ));
        statements.push(self.guard(Some(expected)));
        statements.push("COMMIT".to_owned());
        statements.join(";")
    }

    /// Records the migration and drops the notes, in one transaction.
    pub(super) fn close_steps(
        &self,
        migration: &Migration,
        expected: ExpectedHead,
        applied_on: &str,
    ) -> String {
        format!(
            "BEGIN;{};DROP TABLE {};COMMIT",
            self.history_row(migration, expected, applied_on),
            self.steps()
        )
    }

    pub(super) fn before_atomic(&self) -> String {
        format!(
            "BEGIN ISOLATION LEVEL READ COMMITTED READ WRITE;{}",
            self.guard(None)
        )
    }

    pub(super) fn note_begun(&self, migration: &Migration, number: u32, step: &Step) -> String {
        let statement = &step.text;
        format!(
            "{};{}",
            self.guard(None),
            self.note(migration, number, step, statement, "NULL", "NULL")
        )
    }

    pub(super) fn note_done(
        &self,
        migration: &Migration,
        number: u32,
        step: &Step,
        how: Option<&str>,
    ) -> String {
        let statement = match &step.kind {
            StepKind::Outside(_) => step.text.to_string(),
            StepKind::Atomic | StepKind::Session => {
                step.text.chars().take(NOTED_CHARACTERS).collect()
            }
        };
        let how = how.map_or_else(|| "NULL".to_owned(), quote_literal);
        format!(
            "{};{}",
            self.guard(None),
            self.note(
                migration,
                number,
                step,
                &statement,
                "pg_catalog.clock_timestamp()",
                &how
            )
        )
    }

    fn note(
        &self,
        migration: &Migration,
        number: u32,
        step: &Step,
        statement: &str,
        finished_at: &str,
        how: &str,
    ) -> String {
        format!(
            "INSERT INTO {}(version,step,hash,statement,begun_at,finished_at,how) \
             VALUES ({},{number},'{}',{},pg_catalog.clock_timestamp(),{finished_at},{how}) \
             ON CONFLICT (version,step) DO UPDATE SET hash=excluded.hash,statement=excluded.statement,\
             finished_at=excluded.finished_at,how=excluded.how",
            self.steps(),
            migration.version(),
            step.hash,
            quote_literal(statement),
        )
    }

    pub(super) fn note_forgotten(&self, migration: &Migration, number: u32) -> String {
        format!(
            "DELETE FROM {} WHERE version={} AND step={number}",
            self.steps(),
            migration.version()
        )
    }
}
