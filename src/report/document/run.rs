//! The document of `migrate` and `resume`.

use serde::Serialize;

use super::lint::finding_rows;
use super::pace::ThrottledRow;
use super::waves::{HaltRow, WaveRow};
use super::{Each, causes};
use crate::lint::Finding;
use crate::migration::Version;
use crate::run::{
    AttemptNumber, ExitCode, Failure, Outcome, RunOutcome, RunSummary, TenantResult, Totals,
    milliseconds,
};
use crate::tenant::TenantId;

#[derive(Serialize)]
struct RunDocument<'a, T, F> {
    run: &'a str,
    outcome: RunOutcome,
    exit_code: u8,
    target: Option<Version>,
    totals: Totals,
    tenants: T,
    failures: F,
    new: Vec<TenantKey<'a>>,
    waves: Vec<WaveRow<'a>>,
    halted: Option<HaltRow<'a>>,
    throttled: Vec<ThrottledRow<'a>>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    rounds: Vec<RoundRow<'a>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    error: Option<&'a str>,
}

/// One of several runs of a command; the document is of all of them, under the name of the last.
#[derive(Serialize)]
struct RoundRow<'a> {
    run: &'a str,
    totals: Totals,
}

/// Which tenant, as two keys.
#[derive(Serialize)]
pub(in crate::report) struct TenantKey<'a> {
    database: &'a str,
    schema: &'a str,
}

impl<'a> TenantKey<'a> {
    pub(in crate::report) fn of(tenant: &'a TenantId) -> Self {
        Self {
            database: tenant.database.as_str(),
            schema: tenant.schema.as_str(),
        }
    }
}

/// One tenant of a run.
#[derive(Serialize)]
pub(in crate::report) struct TenantRow<'a> {
    database: &'a str,
    schema: &'a str,
    outcome: Outcome,
    from: Option<Version>,
    to: Option<Version>,
    applied: &'a [String],
    attempts: AttemptNumber,
    duration_ms: u64,
    reason: Option<&'a str>,
    failure: Option<&'a Failure>,
    notes: &'a [String],
}

impl<'a> TenantRow<'a> {
    pub(in crate::report) fn of(result: &'a TenantResult) -> Self {
        Self {
            database: result.tenant.database.as_str(),
            schema: result.tenant.schema.as_str(),
            outcome: result.outcome,
            from: result.from,
            to: result.to,
            applied: &result.applied,
            attempts: result.attempts,
            duration_ms: milliseconds(result.duration),
            reason: result.reason.as_deref(),
            failure: result.failure.as_ref(),
            notes: &result.notes,
        }
    }
}

/// What went wrong where there was no run.
#[derive(Clone, Copy, Debug, Serialize)]
pub struct Complaint<'a> {
    /// The message.
    pub error: &'a str,
    /// What can be done about it.
    pub hint: Option<&'a str>,
}

/// A command that opened no run has the same keys.
#[derive(Serialize)]
struct RunlessDocument<'a> {
    run: Option<&'a str>,
    outcome: RunOutcome,
    exit_code: u8,
    target: Option<Version>,
    totals: Totals,
    tenants: [(); 0],
    failures: [(); 0],
    new: [(); 0],
    throttled: [(); 0],
    #[serde(flatten)]
    complaint: Option<Complaint<'a>>,
}

/// A run that the lint has refused, with what it has found.
#[derive(Serialize)]
struct LintedDocument<R, F> {
    #[serde(flatten)]
    refused: R,
    findings: F,
}

/// The end of a command that was refused for its files.
pub fn refused_by_lint<'a>(
    complaint: Complaint<'a>,
    findings: &'a [Finding],
) -> impl Serialize + 'a {
    let exit = ExitCode::Refused;
    LintedDocument {
        refused: runless_document(RunOutcome::Refused, exit, Some(complaint)),
        findings: finding_rows(findings),
    }
}

/// The end of a command that opened no run: an error, or nothing to resume.
pub fn runless_document(
    outcome: RunOutcome,
    exit: ExitCode,
    complaint: Option<Complaint<'_>>,
) -> impl Serialize + '_ {
    RunlessDocument {
        run: None,
        outcome,
        exit_code: exit.code(),
        target: None,
        totals: Totals::default(),
        tenants: [],
        failures: [],
        new: [],
        throttled: [],
        complaint,
    }
}

/// A run that was refused after a look at the tenants, with what that has shown.
pub(super) struct RefusedRun<'a, F, R> {
    pub(super) exit_code: u8,
    pub(super) target: Option<Version>,
    pub(super) failures: F,
    pub(super) error: &'a str,
    pub(super) rehearsal: R,
}

/// The keys of [`RunlessDocument`], and one more.
#[derive(Serialize)]
struct RefusedDocument<'a, F, R> {
    run: Option<&'a str>,
    outcome: RunOutcome,
    exit_code: u8,
    target: Option<Version>,
    totals: Totals,
    tenants: [(); 0],
    failures: F,
    new: [(); 0],
    throttled: [(); 0],
    error: &'a str,
    hint: Option<&'a str>,
    rehearsal: R,
}

impl<'a, F: Serialize + 'a, R: Serialize + 'a> RefusedRun<'a, F, R> {
    pub(super) fn document(self) -> impl Serialize + 'a {
        RefusedDocument {
            run: None,
            outcome: RunOutcome::Refused,
            exit_code: self.exit_code,
            target: self.target,
            totals: Totals::default(),
            tenants: [],
            failures: self.failures,
            new: [],
            throttled: [],
            error: self.error,
            hint: None,
            rehearsal: self.rehearsal,
        }
    }
}

/// A run at its end.
pub fn run_document(summary: &RunSummary) -> impl Serialize + '_ {
    RunDocument {
        run: summary.run.as_str(),
        outcome: summary.outcome,
        exit_code: summary.exit.code(),
        target: summary.target,
        totals: summary.totals,
        tenants: Each::of(&summary.tenants, TenantRow::of),
        failures: causes(&summary.failures),
        new: summary.newcomers.iter().map(TenantKey::of).collect(),
        waves: summary.waves.iter().map(WaveRow::of).collect(),
        halted: summary.halt.as_ref().map(HaltRow::of),
        throttled: summary.throttled.iter().map(ThrottledRow::of).collect(),
        rounds: summary
            .rounds
            .iter()
            .map(|round| RoundRow {
                run: round.run.as_str(),
                totals: round.totals,
            })
            .collect(),
        error: summary.error.as_deref(),
    }
}
