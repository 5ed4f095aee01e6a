//! The documents of `runs`, `show` and `tenants`.

use std::time::Duration;

use serde::Serialize;

use super::acts::ActsKeys;
use super::pace::RecordedRow;
use super::waves::{HaltRow, WaveRecordRow};
use super::{Each, TenantKey};
use crate::ledger::{AttemptRecord, RunDetail, RunRecord, RunTenantRecord};
use crate::migration::Version;
use crate::report::causes::recorded_failures;
use crate::run::{AttemptNumber, Failure, FailureGroup, Outcome, RunId, Totals, milliseconds};
use crate::tenant::{Labels, Presence, Tenant};

#[derive(Serialize)]
struct RunsDocument<T> {
    runs: T,
}

#[derive(Serialize)]
pub(super) struct RunRow<'a> {
    run: &'a str,
    command: &'a str,
    resumes: Option<&'a str>,
    state: &'static str,
    started_at: &'a str,
    finished_at: Option<&'a str>,
    duration_ms: u64,
    target: Option<Version>,
    set_fingerprint: &'a str,
    started_by: &'a str,
    fleet_version: &'a str,
    exit_code: Option<u8>,
    halted: Option<HaltRow<'a>>,
    what_changed: Option<&'a str>,
    totals: Totals,
}

impl<'a> RunRow<'a> {
    pub(super) fn of(run: &'a RunRecord) -> Self {
        let duration = Duration::try_from_secs_f64(run.duration_s).unwrap_or_default();
        Self {
            run: run.id.as_str(),
            command: &run.command,
            resumes: run.resumes.as_ref().map(RunId::as_str),
            state: run.state.as_str(),
            started_at: &run.started_at,
            finished_at: run.finished_at.as_deref(),
            duration_ms: milliseconds(duration),
            target: run.target,
            set_fingerprint: &run.set_fingerprint,
            started_by: &run.started_by,
            fleet_version: &run.fleet_version,
            exit_code: run.exit_code,
            halted: run.halt.as_ref().map(HaltRow::recorded),
            what_changed: run.what_changed.as_deref(),
            totals: run.totals,
        }
    }
}

/// Past runs.
pub fn runs_document(runs: &[RunRecord]) -> impl Serialize + '_ {
    RunsDocument {
        runs: Each::of(runs, RunRow::of),
    }
}

/// The keys of a run, then its lists; `run`, `totals`, `tenants` and `failures` are where the
/// document of `migrate` has them.
#[derive(Serialize)]
struct ShowDocument<'a, T, A, E> {
    #[serde(flatten)]
    run: RunRow<'a>,
    tenants: T,
    failed_attempts: A,
    failures: Causes,
    events: E,
    waves: Vec<WaveRecordRow<'a>>,
    #[serde(flatten)]
    acts: Option<ActsKeys<'a>>,
}

/// Groups that only exist for this document.
struct Causes(Vec<FailureGroup>);

impl Serialize for Causes {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        super::causes(&self.0).serialize(serializer)
    }
}

#[derive(Serialize)]
struct RunTenantRow<'a> {
    database: &'a str,
    schema: &'a str,
    outcome: Option<Outcome>,
    claimed: bool,
    from: Option<Version>,
    to: Option<Version>,
    attempts: AttemptNumber,
    duration_ms: u64,
    reason: Option<&'a str>,
}

impl<'a> RunTenantRow<'a> {
    fn of(tenant: &'a RunTenantRecord) -> Self {
        Self {
            database: tenant.tenant.database.as_str(),
            schema: tenant.tenant.schema.as_str(),
            outcome: tenant.outcome,
            claimed: tenant.claimed,
            from: tenant.from,
            to: tenant.to,
            attempts: tenant.attempts,
            duration_ms: tenant.duration_ms,
            reason: tenant.reason.as_deref(),
        }
    }
}

#[derive(Serialize)]
struct AttemptRow<'a> {
    database: &'a str,
    schema: &'a str,
    attempt: AttemptNumber,
    ended_at: &'a str,
    duration_ms: u64,
    outcome: Outcome,
    applied: &'a [String],
    failure: Option<&'a Failure>,
    notes: &'a [String],
}

impl<'a> AttemptRow<'a> {
    fn of(attempt: &'a AttemptRecord) -> Self {
        Self {
            database: attempt.tenant.database.as_str(),
            schema: attempt.tenant.schema.as_str(),
            attempt: attempt.attempt,
            ended_at: &attempt.ended_at,
            duration_ms: attempt.duration_ms,
            outcome: attempt.outcome,
            applied: &attempt.applied,
            failure: attempt.failure.as_ref(),
            notes: &attempt.notes,
        }
    }
}

/// One run with all that is known of it.
pub fn show_document(detail: &RunDetail) -> impl Serialize + '_ {
    ShowDocument {
        run: RunRow::of(&detail.run),
        tenants: Each::of(&detail.tenants, RunTenantRow::of),
        failed_attempts: Each::of(&detail.failed_attempts, AttemptRow::of),
        failures: Causes(recorded_failures(detail)),
        events: Each::of(&detail.events, RecordedRow::of),
        waves: detail.waves.iter().map(WaveRecordRow::of).collect(),
        acts: ActsKeys::of(&detail.run, &detail.acts),
    }
}

#[derive(Serialize)]
struct TenantsDocument<T> {
    tenants: T,
}

#[derive(Serialize)]
struct FoundRow<'a> {
    #[serde(flatten)]
    key: TenantKey<'a>,
    labels: &'a Labels,
    exists: bool,
}

/// What the config finds.
pub fn tenants_document<'a>(tenants: &'a [Tenant]) -> impl Serialize + 'a {
    TenantsDocument {
        tenants: Each::of(tenants, |tenant: &'a Tenant| FoundRow {
            key: TenantKey::of(&tenant.id),
            labels: &tenant.labels,
            exists: tenant.presence == Presence::Present,
        }),
    }
}
