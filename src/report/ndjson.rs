//! Every event as one line of JSON, as it happens; the last line is the run's document.

use std::io::{self, Write};

use serde::Serialize;

use super::Reporter;
use super::document::{TenantKey, TenantRow, run_document, write_document};
use super::sink::Sink;
use crate::migration::Version;
use crate::rollout::RolloutEvent;
use crate::run::{AttemptNumber, CancelReason, Failure, RunId, StopSignal, Totals};

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
        totals: Totals,
    },
    AttemptStarted {
        #[serde(flatten)]
        tenant: TenantKey<'a>,
        attempt: AttemptNumber,
        pending: usize,
    },
    MigrationStarted {
        #[serde(flatten)]
        tenant: TenantKey<'a>,
        migration: &'a str,
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
    CancelBegun {
        reason: &'static str,
        signal: Option<&'static str>,
        in_flight: usize,
    },
}

fn write_event(out: &mut dyn Write, event: &RolloutEvent) -> io::Result<()> {
    let line = match event {
        RolloutEvent::RunStarted {
            run,
            resumes,
            target,
            to_migrate,
            concurrency,
            totals,
        } => Line::RunStarted {
            run: run.as_str(),
            resumes: resumes.as_ref().map(RunId::as_str),
            target: *target,
            to_migrate: *to_migrate,
            concurrency: *concurrency,
            totals: *totals,
        },
        RolloutEvent::AttemptStarted {
            tenant,
            attempt,
            pending,
        } => Line::AttemptStarted {
            tenant: TenantKey::of(tenant),
            attempt: *attempt,
            pending: *pending,
        },
        RolloutEvent::MigrationStarted { tenant, migration } => Line::MigrationStarted {
            tenant: TenantKey::of(tenant),
            migration,
        },
        RolloutEvent::AttemptFailedWillRetry {
            tenant,
            attempt,
            failure,
            retry_in,
        } => Line::AttemptFailed {
            tenant: TenantKey::of(tenant),
            attempt: *attempt,
            retry_in_ms: u64::try_from(retry_in.as_millis()).unwrap_or(u64::MAX),
            failure,
        },
        RolloutEvent::TenantFinished { result, totals } => Line::TenantFinished {
            result: TenantRow::of(result),
            totals: *totals,
        },
        RolloutEvent::CancelBegun {
            reason,
            signal,
            in_flight,
        } => Line::CancelBegun {
            reason: reason_word(*reason),
            signal: signal.map(signal_word),
            in_flight: *in_flight,
        },
        RolloutEvent::RunFinished { summary } => {
            return write_document(out, &run_document(summary));
        }
    };
    write_document(out, &line)
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
