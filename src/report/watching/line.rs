//! What has happened to a run that is watched, a line of JSON each.

use std::io::{self, Write};

use serde::Serialize;

use crate::ledger::{EndedAttempt, News, RunRecord, WaveRecord};
use crate::migration::Version;
use crate::report::document::{PaceRow, TenantKey, write_document};
use crate::run::{AttemptNumber, Failure, Outcome, Totals, WaveNumber};
use crate::tenant::TenantId;

#[derive(Serialize)]
#[serde(tag = "event", rename_all = "snake_case")]
enum Line<'a> {
    WatchStarted {
        run: &'a str,
        command: &'a str,
        target: Option<Version>,
        started_at: &'a str,
        totals: Totals,
    },
    AttemptStarted {
        #[serde(flatten)]
        tenant: TenantKey<'a>,
        attempt: AttemptNumber,
    },
    AttemptFailed {
        #[serde(flatten)]
        tenant: TenantKey<'a>,
        attempt: AttemptNumber,
        failure: Option<&'a Failure>,
    },
    WaveChanged {
        wave: WaveNumber,
        name: &'a str,
        state: &'static str,
        reason: Option<&'a str>,
        approved_by: Option<&'a str>,
        tenants: u64,
        succeeded: u64,
        failed: u64,
    },
    TenantFinished {
        #[serde(flatten)]
        tenant: TenantKey<'a>,
        outcome: Outcome,
        from: Option<Version>,
        to: Option<Version>,
        applied: &'a [String],
        attempts: AttemptNumber,
        failure: Option<&'a Failure>,
        notes: &'a [String],
        totals: Totals,
    },
}

/// The run that is followed.
pub(super) fn begin(out: &mut dyn Write, run: &RunRecord) -> io::Result<()> {
    write_document(
        out,
        &Line::WatchStarted {
            run: run.id.as_str(),
            command: &run.command,
            target: run.target,
            started_at: &run.started_at,
            totals: run.totals,
        },
    )
}

/// A wave is somewhere else now.
pub(super) fn wave(out: &mut dyn Write, wave: &WaveRecord) -> io::Result<()> {
    write_document(
        out,
        &Line::WaveChanged {
            wave: wave.wave,
            name: &wave.terms.name,
            state: wave.state.as_str(),
            reason: wave.reason.as_deref(),
            approved_by: wave.approved_by.as_deref(),
            tenants: wave.tenants,
            succeeded: wave.succeeded,
            failed: wave.failed,
        },
    )
}

/// What has happened since the last look; `started` are attempts that were not seen before.
pub(super) fn news(
    out: &mut dyn Write,
    news: &News,
    started: &[&(TenantId, AttemptNumber)],
    run: &RunRecord,
) -> io::Result<()> {
    for event in &news.events {
        write_document(out, &PaceRow::of(&event.database, event.change))?;
    }
    for ended in &news.ended {
        write_document(out, &ended_line(ended, run.totals))?;
    }
    for (tenant, attempt) in started {
        write_document(
            out,
            &Line::AttemptStarted {
                tenant: TenantKey::of(tenant),
                attempt: *attempt,
            },
        )?;
    }
    Ok(())
}

fn ended_line(ended: &EndedAttempt, totals: Totals) -> Line<'_> {
    let attempt = &ended.attempt;
    let tenant = TenantKey::of(&attempt.tenant);
    if !ended.is_last {
        return Line::AttemptFailed {
            tenant,
            attempt: attempt.attempt,
            failure: attempt.failure.as_ref(),
        };
    }
    Line::TenantFinished {
        tenant,
        outcome: attempt.outcome,
        from: ended.from,
        to: ended.to,
        applied: &attempt.applied,
        attempts: attempt.attempt,
        failure: attempt.failure.as_ref(),
        notes: &attempt.notes,
        totals,
    }
}
