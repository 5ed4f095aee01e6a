//! A fix in a tenant, and the note that commits with it: the same file is never run twice there by
//! mistake, whatever became of the process or the connection that ran it.
//!
//! The note lies in the tenant's own schema, so that it travels with the tenant's backup: a tenant that
//! is restored to before its repair may be repaired again.

use std::sync::Arc;

use tokio_postgres::error::SqlState;
use tokio_postgres::{Client, SimpleQueryMessage};

use super::connection::{End, TenantConnection};
use super::message::{Envelope, ExpectedHead, GUARD_MARK, Piece};
use crate::history::REPAIRS_TABLE;
use crate::migration::Fix;
use crate::pg::{self, PgError, Pool};
use crate::plan::AfterFix;
use crate::run::{Progress, RunId};
use crate::tenant::{SchemaName, TenantId, quote_literal};

/// What a run does to repair tenants.
#[derive(Clone, Debug)]
pub struct Repair {
    /// What is run once in each.
    pub fix: Arc<Fix>,
    /// What follows.
    pub then: AfterFix,
    /// What to do where it was run before.
    pub before: RunBefore,
    /// The run.
    pub run: RunId,
    /// Who has asked for it: user, host, process.
    pub by: String,
    /// Why.
    pub reason: Option<String>,
}

/// What to do with a tenant in which an earlier run has run the same fix.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum RunBefore {
    /// It is left out: only what follows is done.
    LeaveOut,
    /// It is run once more.
    RunAgain,
}

/// Where a tenant stands with the fix of this run.
pub(super) enum FixState<'a> {
    /// The run has none.
    None,
    /// It is to be run.
    Due(DueFix<'a>),
    /// This run has run it.
    Run,
    /// An earlier run has: in words.
    RunBefore(String),
}

/// A fix that is to be run in a tenant.
#[derive(Clone, Copy, Debug)]
pub(super) struct DueFix<'a> {
    repair: &'a Repair,
    /// How many notes of it there are.
    noted: usize,
}

impl<'a> DueFix<'a> {
    pub(super) fn fix(&self) -> &'a Fix {
        &self.repair.fix
    }
}

impl Repair {
    /// Looks for notes of the fix.
    pub(super) async fn state(
        &self,
        client: &Client,
        schema: &SchemaName,
    ) -> Result<FixState<'_>, tokio_postgres::Error> {
        let notes = notes_of(client, schema, &self.fix).await?;
        if notes.iter().any(|note| note.run == self.run.as_str()) {
            return Ok(FixState::Run);
        }
        if let (Some(last), RunBefore::LeaveOut) = (notes.last(), self.before) {
            return Ok(FixState::RunBefore(last.words(&self.fix)));
        }
        Ok(FixState::Due(DueFix {
            repair: self,
            noted: notes.len(),
        }))
    }
}

/// A note that a tenant has of a fix.
struct Note {
    run: String,
    at: String,
}

impl Note {
    fn words(&self, fix: &Fix) -> String {
        let Self { run, at } = self;
        format!(
            "{fix} was run here before, at {at} by run {run}, and is left out (--again runs it once more)"
        )
    }
}

/// What a tenant has noted of a fix, the newest last.
async fn notes_of(
    client: &Client,
    schema: &SchemaName,
    fix: &Fix,
) -> Result<Vec<Note>, tokio_postgres::Error> {
    let answers = client
        .simple_query(&format!(
            "SELECT run,pg_catalog.to_char(applied_at AT TIME ZONE 'UTC','YYYY-MM-DD\"T\"HH24:MI:SS\"Z\"') \
             FROM {}.{REPAIRS_TABLE} WHERE sha256='{}' ORDER BY applied_at",
            schema.quoted(),
            fix.sha256()
        ))
        .await;
    let answers = match answers {
        Err(error) if error.code() == Some(&SqlState::UNDEFINED_TABLE) => Vec::new(),
        answers => answers?,
    };
    let note = |answer: &SimpleQueryMessage| match answer {
        SimpleQueryMessage::Row(row) => Some(Note {
            run: row.get(0)?.to_owned(),
            at: row.get(1)?.to_owned(),
        }),
        _ => None,
    };
    Ok(answers.iter().filter_map(note).collect())
}

/// Whether a tenant has had a fix before: by which run and when, in words. Only looks.
///
/// # Errors
/// Where that cannot be read.
pub async fn was_run(pool: &Pool, tenant: &TenantId, fix: &Fix) -> Result<Option<String>, PgError> {
    let client = pg::checkout(pool, &tenant.database).await?;
    let notes = notes_of(&client, &tenant.schema, fix).await;
    let notes =
        notes.map_err(|error| PgError::query(format!("reading the repairs of {tenant}"), error))?;
    Ok(notes.last().map(|last| last.words(fix)))
}

impl Envelope {
    fn repairs(&self) -> String {
        format!("{}.{REPAIRS_TABLE}", self.schema.quoted())
    }

    /// Creates the table of notes, where there is none.
    pub(super) fn create_repairs(&self) -> String {
        format!(
            "CREATE TABLE IF NOT EXISTS {}(sha256 pg_catalog.text NOT NULL,name pg_catalog.text NOT NULL,\
             bytes pg_catalog.int8 NOT NULL,run pg_catalog.text NOT NULL,applied_by pg_catalog.text NOT NULL,\
             reason pg_catalog.text,applied_at pg_catalog.timestamptz NOT NULL)",
            self.repairs()
        )
    }

    /// The note of a fix, written under the guards of a history row, and only where nobody has noted it
    /// since: a message that was given up may arrive after all.
    pub(super) fn repair_note(&self, due: &DueFix<'_>, expected: ExpectedHead) -> String {
        let (table, repair) = (self.repairs(), due.repair);
        let sha256 = repair.fix.sha256();
        let reason = repair.reason.as_deref();
        format!(
            "INSERT INTO {table}(sha256,name,bytes,run,applied_by,reason,applied_at) \
             VALUES ('{sha256}',{},(CASE {} WHEN (SELECT pg_catalog.count(*) FROM {table} WHERE sha256='{sha256}')<>{} \
             THEN '{GUARD_MARK}noted' ELSE '{}' END)::pg_catalog.int8,{},{},{},pg_catalog.clock_timestamp())",
            quote_literal(&repair.fix.name),
            self.is_astray(expected),
            due.noted,
            repair.fix.text.len(),
            quote_literal(repair.run.as_str()),
            quote_literal(&repair.by),
            reason.map_or_else(|| "NULL".to_owned(), quote_literal),
        )
    }
}

impl<'a, T: Fn(Progress) + Send + Sync> TenantConnection<'a, T> {
    /// Runs a fix in a transaction of its own.
    pub(super) async fn run_fix(&mut self, due: DueFix<'a>) -> Result<(), End> {
        self.begin_fix(due);
        self.send(&[Piece::Fix(due)]).await?;
        self.fixed(due);
        Ok(())
    }

    pub(super) fn begin_fix(&self, due: DueFix<'a>) {
        (self.tell)(Progress::Migration(Arc::clone(&due.repair.fix.name)));
    }

    /// It is committed.
    pub(super) fn fixed(&mut self, due: DueFix<'a>) {
        self.applied.has_mended = true;
        self.leaves(due.fix().session);
    }
}
