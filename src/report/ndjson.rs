//! Every event as one line of JSON, as it happens; the last line is the run's document.

use std::io::{self, Write};
use std::time::Instant;

use serde::Serialize;

use super::Reporter;
use super::document::{
    HaltRow, PaceRow, TenantKey, TenantRow, WaveEvent, run_document, write_document,
};
use super::eta::Eta;
use super::sink::Sink;
use crate::migration::Version;
use crate::rollout::{Pace, RolloutEvent};
use crate::run::{
    AttemptNumber, CancelReason, Failure, Measure, Progress, RunId, StopSignal, Totals,
    milliseconds,
};

/// Lines for scripts that follow a run.
pub(super) struct Ndjson {
    sink: Sink,
}

impl Ndjson {
    pub(super) fn new(sink: Sink) -> Self {
        Self { sink }
    }
}

impl Reporter for Ndjson {
    fn report(&mut self, event: &RolloutEvent) {
        self.sink.put(|out| write_event(out, event));
    }

    fn undelivered(&self) -> Option<String> {
        self.sink.undelivered()
    }
}

#[derive(Serialize)]
#[serde(tag = "event", rename_all = "snake_case")]
enum Line<'a> {
    RunStarted {
        run: &'a str,
        resumes: Option<&'a str>,
        target: Option<Version>,
        to_migrate: u64,
        concurrency: usize,
        auto: bool,
        totals: Totals,
        eta_ms: Option<u64>,
        deadline_ms: Option<u64>,
    },
    AttemptStarted {
        #[serde(flatten)]
        tenant: TenantKey<'a>,
        attempt: AttemptNumber,
        pending: usize,
        expected_ms: Option<u64>,
    },
    MigrationStarted {
        #[serde(flatten)]
        tenant: TenantKey<'a>,
        migration: &'a str,
    },
    TenantPutOff {
        #[serde(flatten)]
        tenant: TenantKey<'a>,
    },
    StepStarted {
        #[serde(flatten)]
        tenant: TenantKey<'a>,
        statement: u32,
        of: u32,
    },
    IndexBuild {
        #[serde(flatten)]
        tenant: TenantKey<'a>,
        phase: &'a str,
        percent: Option<u8>,
        waits_for: Option<&'a str>,
    },
    StepSettled {
        #[serde(flatten)]
        tenant: TenantKey<'a>,
        note: &'a str,
    },
    Waiting {
        #[serde(flatten)]
        tenant: TenantKey<'a>,
        holder: &'a str,
    },
    DatabaseLost {
        database: &'a str,
        patience_ms: u64,
        failure: &'a Failure,
    },
    DatabaseBack {
        database: &'a str,
        after_ms: u64,
    },
    DatabaseGivenUp {
        database: &'a str,
        tenants: usize,
        failure: &'a Failure,
    },
    ConnectionsShort {
        database: &'a str,
        limit: usize,
    },
    MeasureUnseen {
        database: &'a str,
        measure: Measure,
    },
    AttemptFailed {
        #[serde(flatten)]
        tenant: TenantKey<'a>,
        attempt: AttemptNumber,
        retry_in_ms: u64,
        failure: &'a Failure,
    },
    TenantFinished {
        #[serde(flatten)]
        result: TenantRow<'a>,
        totals: Totals,
    },
    ShapesCompared {
        wave: Option<&'a str>,
        tenants: usize,
    },
    TenantDiffers {
        #[serde(flatten)]
        result: TenantRow<'a>,
        totals: Totals,
    },
    DifferenceKnown {
        #[serde(flatten)]
        tenant: TenantKey<'a>,
        note: &'a str,
    },
    DeadlineNear {
        left_ms: u64,
        tenants: usize,
        in_flight: usize,
    },
    CancelBegun {
        reason: &'static str,
        signal: Option<&'static str>,
        halted: Option<HaltRow<'a>>,
        in_flight: usize,
    },
}

fn write_event(out: &mut dyn Write, event: &RolloutEvent) -> io::Result<()> {
    let line = match event {
        RolloutEvent::AttemptStarted {
            tenant,
            attempt,
            pending,
            expected,
            ..
        } => Line::AttemptStarted {
            tenant: TenantKey::of(tenant),
            attempt: *attempt,
            pending: *pending,
            expected_ms: expected.map(milliseconds),
        },
        RolloutEvent::TenantPutOff { tenant } => {
            let tenant = TenantKey::of(tenant);
            Line::TenantPutOff { tenant }
        }
        RolloutEvent::TenantProgress { tenant, progress } => {
            progress_line(TenantKey::of(tenant), progress)
        }
        RolloutEvent::AttemptFailedWillRetry {
            tenant,
            attempt,
            failure,
            retry_in,
        } => Line::AttemptFailed {
            tenant: TenantKey::of(tenant),
            attempt: *attempt,
            retry_in_ms: milliseconds(*retry_in),
            failure,
        },
        RolloutEvent::TenantFinished { result, totals, .. } => Line::TenantFinished {
            result: TenantRow::of(result),
            totals: *totals,
        },
        RolloutEvent::WaveStarted { .. }
        | RolloutEvent::WaveSoaking { .. }
        | RolloutEvent::WaveChecking { .. }
        | RolloutEvent::ApprovalAwaited { .. }
        | RolloutEvent::WaveFinished { .. } => return write_wave(out, event),
        RolloutEvent::PaceChanged { database, change } => {
            return write_document(out, &PaceRow::of(database, *change));
        }
        RolloutEvent::RunFinished { summary } => {
            return write_document(out, &run_document(summary));
        }
        _ => {
            let line = opening_line(event).or_else(|| stop_line(event));
            let line = line.or_else(|| database_line(event));
            let line = line.or_else(|| shape_line(event));
            return line.map_or(Ok(()), |line| write_document(out, &line));
        }
    };
    write_document(out, &line)
}

fn write_wave(out: &mut dyn Write, event: &RolloutEvent) -> io::Result<()> {
    WaveEvent::of(event).map_or(Ok(()), |line| write_document(out, &line))
}

fn opening_line(event: &RolloutEvent) -> Option<Line<'_>> {
    let RolloutEvent::RunStarted {
        run,
        resumes,
        target,
        to_migrate,
        concurrency,
        pace,
        totals,
        outlook,
        deadline,
    } = event
    else {
        return None;
    };
    Some(Line::RunStarted {
        run: run.as_str(),
        resumes: resumes.as_ref().map(RunId::as_str),
        target: *target,
        to_migrate: *to_migrate,
        concurrency: *concurrency,
        auto: *pace == Pace::Auto,
        totals: *totals,
        eta_ms: Eta::new(*outlook)
            .remaining(Instant::now())
            .map(milliseconds),
        deadline_ms: deadline.map(milliseconds),
    })
}

fn stop_line(event: &RolloutEvent) -> Option<Line<'_>> {
    Some(match event {
        RolloutEvent::CancelBegun {
            reason,
            signal,
            halt,
            in_flight,
        } => Line::CancelBegun {
            reason: reason_word(*reason),
            signal: signal.map(signal_word),
            halted: halt.as_ref().map(HaltRow::of),
            in_flight: *in_flight,
        },
        RolloutEvent::DeadlineNear {
            left,
            tenants,
            in_flight,
        } => Line::DeadlineNear {
            left_ms: milliseconds(*left),
            tenants: *tenants,
            in_flight: *in_flight,
        },
        _ => return None,
    })
}

fn shape_line(event: &RolloutEvent) -> Option<Line<'_>> {
    Some(match event {
        RolloutEvent::ShapesCompared { wave, tenants } => Line::ShapesCompared {
            wave: wave.as_ref().map(|wave| wave.name.as_str()),
            tenants: *tenants,
        },
        RolloutEvent::TenantDiffers { result, totals } => Line::TenantDiffers {
            result: TenantRow::of(result),
            totals: *totals,
        },
        RolloutEvent::DifferenceKnown { tenant, note } => Line::DifferenceKnown {
            tenant: TenantKey::of(tenant),
            note,
        },
        _ => return None,
    })
}

fn database_line(event: &RolloutEvent) -> Option<Line<'_>> {
    Some(match event {
        RolloutEvent::DatabaseLost {
            database,
            failure,
            patience,
        } => Line::DatabaseLost {
            database: database.as_str(),
            patience_ms: milliseconds(*patience),
            failure,
        },
        RolloutEvent::DatabaseBack { database, after } => Line::DatabaseBack {
            database: database.as_str(),
            after_ms: milliseconds(*after),
        },
        RolloutEvent::DatabaseGivenUp {
            database,
            failure,
            tenants,
        } => Line::DatabaseGivenUp {
            database: database.as_str(),
            tenants: *tenants,
            failure,
        },
        RolloutEvent::ConnectionsShort { database, limit } => Line::ConnectionsShort {
            database: database.as_str(),
            limit: *limit,
        },
        RolloutEvent::MeasureUnseen { database, measure } => Line::MeasureUnseen {
            database: database.as_str(),
            measure: *measure,
        },
        _ => return None,
    })
}

fn progress_line<'a>(tenant: TenantKey<'a>, progress: &'a Progress) -> Line<'a> {
    match progress {
        Progress::Migration(migration) => Line::MigrationStarted { tenant, migration },
        Progress::Step { step, of } => Line::StepStarted {
            tenant,
            statement: *step,
            of: *of,
        },
        Progress::IndexBuild {
            phase,
            percent,
            waits_for,
        } => Line::IndexBuild {
            tenant,
            phase,
            percent: *percent,
            waits_for: waits_for.as_deref(),
        },
        Progress::Settled(note) => Line::StepSettled { tenant, note },
        Progress::Waiting(holder) => Line::Waiting { tenant, holder },
    }
}

fn reason_word(reason: CancelReason) -> &'static str {
    match reason {
        CancelReason::Drain => "drain",
        CancelReason::Abort => "abort",
    }
}

fn signal_word(signal: StopSignal) -> &'static str {
    match signal {
        StopSignal::Interrupt => "SIGINT",
        StopSignal::Terminate => "SIGTERM",
    }
}
