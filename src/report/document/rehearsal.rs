//! The document of `rehearse`, and the lines before it.

use serde::Serialize;

use super::run::RefusedRun;
use super::{Each, RawName, causes};
use crate::migration::Version;
use crate::rollout::{LockSummary, Rehearsal, RunForecast, Sample, WaveForecast};
use crate::run::{
    Blocked, Failure, FailureGroup, NotRehearsed, RehearsalOutcome, RehearsedMigration, TableLock,
    TenantRehearsal, milliseconds,
};

#[derive(Serialize)]
struct RehearsalDocument<'a, T, F, L> {
    exit_code: u8,
    target: Option<Version>,
    totals: RehearsalTotals,
    tenants: T,
    failures: F,
    locks: L,
    not_rehearsed: Vec<NotRehearsedCount<'a>>,
    sample: Option<SampleRow>,
    forecast: Option<ForecastRow<'a>>,
    duration_ms: u64,
}

/// Every outcome, also those that nobody has.
#[derive(Serialize)]
struct RehearsalTotals {
    tenants: usize,
    would_succeed: usize,
    would_fail: usize,
    busy: usize,
    not_rehearsed: usize,
    up_to_date: usize,
    held: usize,
    refused: usize,
}

/// One tenant of a rehearsal.
#[derive(Serialize)]
pub(in crate::report) struct RehearsedRow<'a> {
    database: &'a str,
    schema: &'a str,
    outcome: RehearsalOutcome,
    from: Option<Version>,
    duration_ms: u64,
    migrations: Vec<MigrationRow<'a>>,
    not_rehearsed: Vec<NotRehearsedRow<'a>>,
    reason: Option<&'a str>,
    failure: Option<&'a Failure>,
}

#[derive(Serialize)]
struct MigrationRow<'a> {
    migration: &'a str,
    duration_ms: u64,
    locks: Vec<LockRow<'a>>,
}

#[derive(Serialize)]
struct LockRow<'a> {
    table: &'a str,
    mode: &'static str,
    blocks: Blocked,
    held_ms: u64,
}

#[derive(Serialize)]
struct NotRehearsedRow<'a> {
    migration: &'a str,
    reason: String,
}

#[derive(Serialize)]
struct NotRehearsedCount<'a> {
    #[serde(flatten)]
    row: NotRehearsedRow<'a>,
    tenants: usize,
}

#[derive(Serialize)]
struct LockSummaryRow<'a> {
    migration: &'a str,
    table: &'a str,
    mode: &'static str,
    blocks: Blocked,
    tenants: usize,
    median_ms: u64,
    worst_ms: u64,
    worst_tenant: RawName<'a>,
}

#[derive(Serialize)]
struct SampleRow {
    seed: u64,
    left_out: usize,
}

#[derive(Serialize)]
struct ForecastRow<'a> {
    wall_ms: u64,
    at_most_ms: u64,
    concurrency: usize,
    measured: usize,
    supposed: usize,
    waves: Vec<ForecastWave<'a>>,
}

/// The same for a wave.
#[derive(Serialize)]
struct ForecastWave<'a> {
    wave: u32,
    name: &'a str,
    tenants: usize,
    wall_ms: Option<u64>,
    at_most_ms: Option<u64>,
    soak_ms: u64,
}

impl<'a> ForecastWave<'a> {
    fn of(of: &'a WaveForecast) -> Self {
        let forecast = of.forecast.as_ref();
        Self {
            wave: of.wave.number,
            name: &of.wave.terms.name,
            tenants: of.wave.tenants.len(),
            wall_ms: forecast.map(|forecast| milliseconds(forecast.wall)),
            at_most_ms: forecast.map(|forecast| milliseconds(forecast.at_most)),
            soak_ms: milliseconds(of.wave.terms.soak),
        }
    }
}

impl<'a> RehearsedRow<'a> {
    pub(in crate::report) fn of(tenant: &'a TenantRehearsal) -> Self {
        Self {
            database: tenant.tenant.database.as_str(),
            schema: tenant.tenant.schema.as_str(),
            outcome: tenant.outcome,
            from: tenant.from,
            duration_ms: milliseconds(tenant.duration),
            migrations: tenant.migrations.iter().map(MigrationRow::of).collect(),
            not_rehearsed: tenant.not_rehearsed.iter().map(not_rehearsed).collect(),
            reason: tenant.reason.as_deref(),
            failure: tenant.failure.as_ref(),
        }
    }
}

impl<'a> MigrationRow<'a> {
    fn of(migration: &'a RehearsedMigration) -> Self {
        let lock = |lock: &'a TableLock| LockRow {
            table: &lock.table,
            mode: lock.mode.as_str(),
            blocks: lock.mode.blocks(),
            held_ms: milliseconds(lock.held),
        };
        Self {
            migration: migration.migration.as_str(),
            duration_ms: milliseconds(migration.duration),
            locks: migration.locks.iter().map(lock).collect(),
        }
    }
}

fn not_rehearsed(not: &NotRehearsed) -> NotRehearsedRow<'_> {
    NotRehearsedRow {
        migration: not.migration.as_str(),
        reason: not.cause.to_string(),
    }
}

/// What a rehearsal has found out. `failures` are those of its tenants by cause, `locks` its locks.
pub fn rehearsal_document<'a>(
    rehearsal: &'a Rehearsal,
    failures: &'a [FailureGroup],
    locks: &'a [LockSummary],
) -> impl Serialize + 'a {
    let count = |outcome| rehearsal.count(outcome);
    RehearsalDocument {
        exit_code: rehearsal.exit().code(),
        target: rehearsal.target,
        totals: RehearsalTotals {
            tenants: rehearsal.tenants.len(),
            would_succeed: count(RehearsalOutcome::WouldSucceed),
            would_fail: count(RehearsalOutcome::WouldFail),
            busy: count(RehearsalOutcome::Busy),
            not_rehearsed: count(RehearsalOutcome::NotRehearsed),
            up_to_date: count(RehearsalOutcome::UpToDate),
            held: count(RehearsalOutcome::Held),
            refused: count(RehearsalOutcome::Refused),
        },
        tenants: Each::of(&rehearsal.tenants, RehearsedRow::of),
        failures: causes(failures),
        locks: Each::of(locks, |lock: &'a LockSummary| LockSummaryRow {
            migration: lock.migration.as_str(),
            table: &lock.table,
            mode: lock.mode.as_str(),
            blocks: lock.mode.blocks(),
            tenants: lock.tenants,
            median_ms: milliseconds(lock.median),
            worst_ms: milliseconds(lock.worst),
            worst_tenant: RawName(&lock.worst_tenant),
        }),
        not_rehearsed: rehearsal
            .not_rehearsed()
            .into_iter()
            .map(|(not, tenants)| NotRehearsedCount {
                row: not_rehearsed(not),
                tenants,
            })
            .collect(),
        sample: rehearsal
            .sample
            .map(|Sample { seed, left_out }| SampleRow { seed, left_out }),
        forecast: rehearsal.forecast.map(
            |RunForecast {
                 wall,
                 at_most,
                 at_a_time,
                 measured,
                 supposed,
             }| ForecastRow {
                wall_ms: milliseconds(wall),
                at_most_ms: milliseconds(at_most),
                concurrency: at_a_time.get(),
                measured,
                supposed,
                waves: rehearsal.waves.iter().map(ForecastWave::of).collect(),
            },
        ),
        duration_ms: milliseconds(rehearsal.duration),
    }
}

/// A run that was refused by its rehearsal: the keys of a run, and the rehearsal's document in one more.
pub fn refused_by_rehearsal<'a>(
    rehearsal: &'a Rehearsal,
    failures: &'a [FailureGroup],
    locks: &'a [LockSummary],
    error: &'a str,
) -> impl Serialize + 'a {
    RefusedRun {
        exit_code: rehearsal.exit().code(),
        target: rehearsal.target,
        failures: causes(failures),
        error,
        rehearsal: rehearsal_document(rehearsal, failures, locks),
    }
    .document()
}
