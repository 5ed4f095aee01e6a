//! Sample facts, and tests of what they become.

mod acts;
mod bars;
mod documents;
mod etas;
mod failures;
mod holds;
mod ledger;
mod live;
mod plans;
mod rehearsals;
mod statuses;
mod summaries;
mod throttling;

use std::io::{self, ErrorKind, Write};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use super::style::{Invocation, Style};
use crate::migration::{Migration, MigrationSet, TransactionMode, Version};
use crate::rollout::RolloutEvent;
use crate::run::{
    ExitCode, Failure, FailureClass, Outcome, RunId, RunOutcome, RunSummary, TenantResult, Totals,
    group_failures,
};
use crate::tenant::{DatabaseName, SchemaName, TenantId};

pub(super) const RUN: &str = "20261123-161004-7f3a";

pub(super) fn tenant(schema: &str) -> TenantId {
    TenantId {
        database: DatabaseName::new("main"),
        schema: SchemaName::parse(schema).unwrap(),
    }
}

/// A duplicate key at V12.
pub(super) fn failure() -> Failure {
    let mut failure = Failure::new(
        FailureClass::Permanent,
        "could not create unique index \"users_email_key\"",
    );
    failure.migration = Some("V12__unique_email".to_owned());
    failure.statement = Some(1);
    failure.line = Some(4);
    failure.sqlstate = Some("23505".to_owned());
    failure.detail = Some("Key (email)=(ann@example.com) is duplicated.".to_owned());
    failure
}

/// A lock that was not given.
fn lock_timeout() -> Failure {
    let mut failure = Failure::new(
        FailureClass::Transient,
        "canceling statement due to lock timeout",
    );
    failure.migration = Some("V11__orders".to_owned());
    failure.line = Some(2);
    failure.sqlstate = Some("55P03".to_owned());
    failure.blocked_by = Some("pid 4711, psql, idle in transaction for 2 h".to_owned());
    failure
}

fn result(schema: &str, outcome: Outcome) -> TenantResult {
    let (from, to, applied) = match outcome {
        Outcome::Succeeded => (11, 12, vec!["V12__unique_email".to_owned()]),
        Outcome::UpToDate => (12, 12, Vec::new()),
        Outcome::Failed | Outcome::Interrupted | Outcome::Skipped => (11, 11, Vec::new()),
    };
    TenantResult {
        tenant: tenant(schema),
        outcome,
        from: Some(from),
        to: Some(to),
        applied,
        attempts: u32::from(!matches!(outcome, Outcome::Skipped | Outcome::UpToDate)),
        duration: Duration::from_millis(12),
        reason: None,
        failure: None,
        notes: Vec::new(),
    }
}

fn failed(schema: &str, failure: Failure) -> TenantResult {
    TenantResult {
        failure: Some(failure),
        ..result(schema, Outcome::Failed)
    }
}

fn because(schema: &str, outcome: Outcome, reason: &str) -> TenantResult {
    TenantResult {
        reason: Some(reason.to_owned()),
        ..result(schema, outcome)
    }
}

/// So many tenants `prefix001`, … with one outcome.
fn many(prefix: &str, number: usize, outcome: Outcome) -> Vec<TenantResult> {
    (1..=number)
        .map(|n| result(&format!("{prefix}{n:03}"), outcome))
        .collect()
}

fn totals(tenants: &[TenantResult]) -> Totals {
    let mut totals = Totals {
        tenants: tenants.len() as u64,
        ..Totals::default()
    };
    for tenant in tenants {
        totals.count(tenant.outcome);
    }
    totals
}

fn summary_of(outcome: RunOutcome, exit: ExitCode, tenants: Vec<TenantResult>) -> RunSummary {
    let failures = tenants
        .iter()
        .filter_map(|t| Some((&t.tenant, t.failure.as_ref()?)));
    RunSummary {
        run: RunId::new(RUN),
        outcome,
        exit,
        target: Some(12),
        totals: totals(&tenants),
        failures: group_failures(failures),
        tenants,
        newcomers: Vec::new(),
        waves: Vec::new(),
        halt: None,
        rounds: Vec::new(),
        throttled: Vec::new(),
        error: None,
        duration: Duration::from_millis(4_200),
    }
}

fn migration(stem: &str, mode: TransactionMode) -> Migration {
    Migration {
        refinery: refinery_core::Migration::unapplied(stem, "SELECT 1").unwrap(),
        path: PathBuf::from(format!("{stem}.sql")),
        body: "SELECT 1".into(),
        mode,
        statements: Vec::new(),
        steps: std::sync::Arc::default(),
        session: crate::migration::SessionUse::None,
        out_of_order: false,
    }
}

/// V10 to V12.
fn set() -> MigrationSet {
    let stems = ["V10__init", "V11__orders", "V12__unique_email"];
    let migrations = stems.map(|stem| migration(stem, TransactionMode::Transactional));
    MigrationSet::new(Path::new("m"), migrations.into())
}

fn started(to_migrate: u64, totals: Totals) -> RolloutEvent {
    RolloutEvent::RunStarted {
        run: RunId::new(RUN),
        resumes: None,
        target: Some(12),
        to_migrate,
        concurrency: 8,
        pace: crate::rollout::Pace::Fixed,
        totals,
        outlook: None,
        deadline: None,
    }
}

fn attempt(schema: &str, attempt: u32) -> RolloutEvent {
    RolloutEvent::AttemptStarted {
        tenant: tenant(schema),
        attempt,
        pending: 1,
        expected: None,
        outlook: None,
    }
}

fn migration_of(schema: &str) -> RolloutEvent {
    RolloutEvent::TenantProgress {
        tenant: tenant(schema),
        progress: crate::run::Progress::Migration("V12__unique_email".into()),
    }
}

fn retry(schema: &str) -> RolloutEvent {
    RolloutEvent::AttemptFailedWillRetry {
        tenant: tenant(schema),
        attempt: 1,
        failure: lock_timeout(),
        retry_in: Duration::from_millis(200),
    }
}

fn finished(result: TenantResult, totals: Totals) -> RolloutEvent {
    RolloutEvent::TenantFinished {
        result: Arc::new(result),
        totals,
        outlook: None,
    }
}

fn ended(summary: RunSummary) -> RolloutEvent {
    RolloutEvent::RunFinished {
        summary: Arc::new(summary),
    }
}

/// What a function writes.
fn written(write: impl FnOnce(&mut dyn Write) -> io::Result<()>) -> String {
    let mut out = Vec::new();
    write(&mut out).unwrap();
    String::from_utf8(out).unwrap()
}

/// A stream that tests can read while a reporter owns it.
#[derive(Clone, Default)]
struct Shared(Arc<Mutex<Vec<u8>>>);

impl Shared {
    fn text(&self) -> String {
        String::from_utf8(self.0.lock().unwrap().clone()).unwrap()
    }
}

impl Write for Shared {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0.lock().unwrap().extend_from_slice(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// A stream whose reader went away.
struct Broken;

impl Write for Broken {
    fn write(&mut self, _: &[u8]) -> io::Result<usize> {
        Err(ErrorKind::BrokenPipe.into())
    }

    fn flush(&mut self) -> io::Result<()> {
        Err(ErrorKind::BrokenPipe.into())
    }
}

const PLAIN: Style = Style {
    color: false,
    width: 80,
    invocation: Invocation::NONE,
};

fn versions(numbers: &[Version]) -> Arc<[Version]> {
    numbers.into()
}
