//! Reporters of a run while it goes on: lines, and streams that break.

use std::time::Instant;

use super::super::document::write_document;
use super::super::ending::{Closing, Document, Summary};
use super::super::lines::Lines;
use super::super::ndjson::Ndjson;
use super::super::sink::Sink;
use super::super::{Reporter, Reporters, Stepwise, Verbosity, run_document, summary};
use super::*;
use crate::run::{CancelReason, StopSignal};

pub(super) fn totals_of(succeeded: u64, failed: u64) -> Totals {
    Totals {
        tenants: 200,
        succeeded,
        up_to_date: 3,
        failed,
        ..Totals::default()
    }
}

pub(super) fn cancel(reason: CancelReason, signal: Option<StopSignal>) -> RolloutEvent {
    RolloutEvent::CancelBegun {
        reason,
        signal,
        halt: None,
        in_flight: 8,
    }
}

pub(super) fn some_end() -> RolloutEvent {
    let tenants = vec![failed("acme", failure())];
    ended(summary_of(
        RunOutcome::Failed,
        ExitCode::TenantsFailed,
        tenants,
    ))
}

/// Everything that can happen, once.
fn every_event() -> Vec<RolloutEvent> {
    vec![
        started(197, totals_of(0, 0)),
        attempt("acme", 1),
        migration_of("acme"),
        retry("acme"),
        attempt("acme", 2),
        finished(failed("acme", failure()), totals_of(0, 1)),
        finished(result("b", Outcome::Succeeded), totals_of(1, 1)),
        cancel(CancelReason::Drain, Some(StopSignal::Interrupt)),
        cancel(CancelReason::Abort, Some(StopSignal::Terminate)),
        finished(
            because("c", Outcome::Interrupted, "canceled on request"),
            totals_of(1, 1),
        ),
        some_end(),
    ]
}

#[test]
fn a_log_has_what_is_out_of_the_ordinary() {
    let shared = Shared::default();
    let mut lines = Lines::new(Sink::new(shared.clone()), PLAIN, Verbosity::Normal);
    let now = Instant::now();
    for event in every_event() {
        lines.report_at(&event, now);
    }
    assert_eq!(
        shared.text(),
        "\
Migrating 197 of 200 tenants to V12, 8 at a time (run 20261123-161004-7f3a)
↻ main/acme: attempt 1 failed at V11__orders line 2: 55P03 canceling statement due to lock timeout (blocked by pid 4711, psql, idle in transaction for 2 h); again in 200 ms
✗ main/acme failed at V12__unique_email line 4: 23505 could not create unique index \"users_email_key\"
draining: 8 tenants in flight; press Ctrl-C again to cancel their statements
stopping: cancelling the statements of 8 tenants
! main/c interrupted: canceled on request
"
    );
}

#[test]
fn a_log_of_many_tenants_is_short() {
    let shared = Shared::default();
    let mut lines = Lines::new(Sink::new(shared.clone()), PLAIN, Verbosity::Normal);
    let begin = Instant::now();
    lines.report_at(&started(197, totals_of(0, 0)), begin);
    for n in 1..=197_u32 {
        let event = finished(result("a", Outcome::Succeeded), totals_of(n.into(), 0));
        lines.report_at(&event, begin + Duration::from_millis(50) * n);
    }
    let text = shared.text();
    assert_eq!(text.lines().count(), 10);
    assert!(text.contains("\n20 of 197 done (10 %), 20 tenants/s, ETA 9 s\n"));
}

#[test]
fn a_slow_log_speaks_every_ten_seconds_when_an_event_comes_by() {
    let shared = Shared::default();
    let mut lines = Lines::new(Sink::new(shared.clone()), PLAIN, Verbosity::Verbose);
    let begin = Instant::now();
    lines.report_at(&started(197, totals_of(0, 0)), begin);
    let event = finished(result("a", Outcome::Succeeded), totals_of(1, 0));
    lines.report_at(&event, begin + Duration::from_secs(9));
    lines.report_at(&attempt("b", 1), begin + Duration::from_secs(11));
    let text = shared.text();
    assert!(text.ends_with(
        "\n✓ main/a V11 → V12 in 12 ms\n1 of 197 done (0 %), 5.5 tenants/min, ETA 35 min 56 s\n"
    ));
}

#[test]
fn a_thousand_failures_are_listed_a_hundred_times() {
    let shared = Shared::default();
    let mut lines = Lines::new(Sink::new(shared.clone()), PLAIN, Verbosity::Normal);
    for _ in 0..1_000 {
        lines.report(&finished(failed("acme", failure()), totals_of(0, 1)));
    }
    let text = shared.text();
    assert_eq!(text.lines().count(), 101);
    assert!(text.ends_with("are only counted here; the end has them by cause\n"));
}

#[test]
fn broken_streams_change_nothing() {
    let mut reporters = Reporters::default();
    reporters.push(Lines::new(Sink::new(Broken), PLAIN, Verbosity::Verbose));
    reporters.push(Ndjson::new(Sink::new(Broken)));
    reporters.push(Document(Sink::new(Broken)));
    reporters.push(Closing {
        sink: Sink::new(Broken),
        style: PLAIN,
    });
    reporters.push(Summary {
        sink: Sink::new(Broken),
        stepwise: Stepwise::default(),
        style: PLAIN,
        verbosity: Verbosity::Quiet,
    });
    for event in every_event() {
        reporters.report(&event);
    }
    let RolloutEvent::RunFinished { summary: run } = some_end() else {
        unreachable!()
    };
    let stepwise = Stepwise::default();
    assert!(summary(&mut Broken, &run, &stepwise, PLAIN, Verbosity::Normal).is_err());
    assert!(write_document(&mut Broken, &run_document(&run)).is_err());
}

#[test]
fn quiet_says_nothing_where_all_is_well() {
    let run = |outcome, exit| ended(summary_of(outcome, exit, Vec::new()));
    let shared = Shared::default();
    let mut quiet = Summary {
        sink: Sink::new(shared.clone()),
        stepwise: Stepwise::default(),
        style: PLAIN,
        verbosity: Verbosity::Quiet,
    };
    quiet.report(&run(RunOutcome::Succeeded, ExitCode::Done));
    assert_eq!(shared.text(), "");
    quiet.report(&run(RunOutcome::Interrupted, ExitCode::Terminated));
    assert!(
        shared
            .text()
            .starts_with("! Terminated after 4.2 s: 0 of 0 tenants done, 0 left\n")
    );
}
