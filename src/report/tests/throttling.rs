//! How many tenants at a time, and why: what is said of it.

use std::time::Instant;

use super::super::board::Board;
use super::super::lines::Lines;
use super::super::ndjson::Ndjson;
use super::super::sink::Sink;
use super::super::{Reporter, Stepwise, Verbosity, show, summary};
use super::live::totals_of;
use super::*;
use crate::ledger::{RunDetail, RunEventRecord};
use crate::rollout::Pace;
use crate::run::{Measure, PaceChange, PaceReason, ThrottleReason, Throttled};

fn lag(seconds: u64) -> ThrottleReason {
    ThrottleReason {
        measure: Measure::ReplicaLagMs,
        value: seconds * 1_000,
        limit: 30_000,
        behind_fleet: 0,
    }
}

fn lock_waits(value: u64, behind_fleet: u64) -> ThrottleReason {
    ThrottleReason {
        measure: Measure::LockWaits,
        value,
        limit: 10,
        behind_fleet,
    }
}

fn throttled(tenants: usize, reason: ThrottleReason) -> PaceChange {
    PaceChange::Throttled { tenants, reason }
}

fn released() -> PaceChange {
    PaceChange::Released {
        after: Duration::from_secs(80),
    }
}

fn found(tenants: usize, reason: PaceReason) -> PaceChange {
    PaceChange::Found { tenants, reason }
}

fn changed(database: &str, change: PaceChange) -> RolloutEvent {
    RolloutEvent::PaceChanged {
        database: DatabaseName::new(database),
        change,
    }
}

/// A lag that comes and goes.
fn episode() -> [PaceChange; 6] {
    [
        throttled(4, lag(31)),
        throttled(2, lag(40)),
        throttled(0, lag(45)),
        throttled(0, lag(44)),
        throttled(1, lag(3)),
        released(),
    ]
}

#[test]
fn a_log_has_the_begin_the_pause_and_the_end() {
    let shared = Shared::default();
    let mut lines = Lines::new(Sink::new(shared.clone()), PLAIN, Verbosity::Normal);
    let now = Instant::now();
    for change in episode() {
        lines.report_at(&changed("main", change), now);
    }
    lines.report_at(&changed("main", throttled(0, lock_waits(12, 9))), now);
    lines.report_at(&changed("main", found(4, PaceReason::NoGain)), now);
    let measure = Measure::ActiveSessions;
    let database = DatabaseName::new("main");
    lines.report_at(&RolloutEvent::MeasureUnseen { database, measure }, now);
    assert_eq!(
        shared.text(),
        "\
! database main is throttled to 4 tenants at a time: replica lag 31 s (limit 30 s)
! database main is paused, nothing new is started there: replica lag 45 s (limit 30 s)
✓ database main is not throttled any more, after 1 min 20 s
! database main is paused, nothing new is started there: 12 sessions wait for locks, 9 of them for fleet (limit 10)
- database main: this role cannot see what sessions of other roles do, so throttle.active_sessions counts only what it sees (GRANT pg_monitor lets it; 0 turns the limit off)
"
    );
}

#[test]
fn a_slow_log_says_why_nothing_happens() {
    let shared = Shared::default();
    let mut lines = Lines::new(Sink::new(shared.clone()), PLAIN, Verbosity::Normal);
    let begin = Instant::now();
    lines.report_at(&started(197, totals_of(0, 0)), begin);
    for second in 1..=11 {
        let event = changed("main", throttled(0, lag(45)));
        lines.report_at(&event, begin + Duration::from_secs(second));
    }
    let text = shared.text();
    assert!(
        text.ends_with("\n0 of 197 done (0 %), paused: replica lag 45 s (limit 30 s)\n"),
        "{text}"
    );
    assert_eq!(text.lines().count(), 3);
}

/// The first line of the bar after these events.
fn bar(events: &[RolloutEvent]) -> String {
    let mut board = Board::new(PLAIN);
    let now = Instant::now();
    board.apply(&started(197, totals_of(0, 0)), now);
    for event in events {
        board.apply(event, now);
    }
    board.text(now, 24, 120, 0)
}

#[test]
fn the_bar_says_how_many_at_a_time_and_why() {
    let main = |change| changed("main", change);
    let other = |change| changed("other", change);
    assert_eq!(
        bar(&[main(found(6, PaceReason::Trial))]),
        " 0/197 0 %  6 at a time"
    );
    let both = [
        main(found(6, PaceReason::NoGain)),
        other(found(2, PaceReason::Start)),
    ];
    assert_eq!(bar(&both), " 0/197 0 %  8 at a time");
    let texts: Vec<String> = episode().map(|change| bar(&[main(change)])).into();
    assert_eq!(
        texts,
        [
            " 0/197 0 %  throttled to 4: replica lag 31 s (limit 30 s)",
            " 0/197 0 %  throttled to 2: replica lag 40 s (limit 30 s)",
            " 0/197 0 %  paused: replica lag 45 s (limit 30 s)",
            " 0/197 0 %  paused: replica lag 44 s (limit 30 s)",
            " 0/197 0 %  easing, 1 at a time: replica lag 3.0 s (limit 30 s)",
            " 0/197 0 %",
        ]
    );
    let two = [
        main(throttled(2, lag(45))),
        other(throttled(0, lock_waits(12, 0))),
    ];
    assert_eq!(
        bar(&two),
        " 0/197 0 %  other paused: 12 lock waits (limit 10), and 1 more database"
    );
}

#[test]
fn the_summary_says_for_how_long() {
    let mut run = summary_of(RunOutcome::Succeeded, ExitCode::Done, Vec::new());
    let of = |database: &str, worst, seconds| Throttled {
        database: DatabaseName::new(database),
        worst,
        lasted: Duration::from_secs(seconds),
    };
    run.throttled = vec![of("main", lag(45), 80)];
    let shown = |run: &RunSummary| {
        written(|out| summary(out, run, &Stepwise::default(), PLAIN, Verbosity::Normal))
    };
    assert_eq!(
        shown(&run).lines().nth(1),
        Some("Throttled for 1 min 20 s: replica lag up to 45 s (limit 30 s)")
    );
    run.throttled.push(of("other", lock_waits(12, 3), 5));
    assert_eq!(
        shown(&run).lines().nth(1),
        Some(
            "Throttled for 1 min 20 s in main: replica lag up to 45 s (limit 30 s); for 5.0 s in other: up to 12 sessions waiting for locks (limit 10)"
        )
    );
}

#[test]
fn events_are_lines_of_json() {
    let shared = Shared::default();
    let mut ndjson = Ndjson::new(Sink::new(shared.clone()));
    for change in [
        throttled(4, lag(31)),
        released(),
        found(4, PaceReason::NoGain),
    ] {
        ndjson.report(&changed("main", change));
    }
    assert_eq!(
        shared.text(),
        [
            r#"{"event":"throttled","database":"main","tenants":4,"reason":{"measure":"replica_lag_ms","value":31000,"limit":30000,"behind_fleet":0}}"#,
            "\n",
            r#"{"event":"throttle_released","database":"main","after_ms":80000}"#,
            "\n",
            r#"{"event":"concurrency_changed","database":"main","tenants":4,"reason":"no_gain"}"#,
            "\n",
        ]
        .concat()
    );
}

#[test]
fn a_run_that_is_shown_has_its_changes_and_not_too_many() {
    let event = |change| RunEventRecord {
        at: "2026-11-23T16:10:05Z".to_owned(),
        database: DatabaseName::new("main"),
        change,
    };
    let mut detail: RunDetail = super::ledger::detail();
    detail.events = [throttled(0, lag(45)), throttled(1, lag(3)), released()]
        .map(event)
        .into();
    let shown = |detail: &RunDetail| written(|out| show(out, detail, PLAIN, Verbosity::Normal));
    assert!(shown(&detail).contains(
        "
Tenants at a time:
  2026-11-23T16:10:05Z  database main is paused, nothing new is started there: replica lag 45 s (limit 30 s)
  2026-11-23T16:10:05Z  database main goes on with 1 tenant at a time: replica lag 3.0 s (limit 30 s)
  2026-11-23T16:10:05Z  database main is not throttled any more, after 1 min 20 s
"
    ));
    detail.events = vec![event(found(4, PaceReason::NoGain)); 12];
    let text = shown(&detail);
    assert!(text.contains("\n  … and 2 more changes: -v\n"), "{text}");
}

#[test]
fn a_run_that_finds_its_number_out_begins_so() {
    let shared = Shared::default();
    let mut lines = Lines::new(Sink::new(shared.clone()), PLAIN, Verbosity::Verbose);
    let now = Instant::now();
    let mut event = started(197, totals_of(0, 0));
    if let RolloutEvent::RunStarted { pace, .. } = &mut event {
        *pace = Pace::Auto;
    }
    lines.report_at(&event, now);
    lines.report_at(&changed("main", found(2, PaceReason::Start)), now);
    assert_eq!(
        shared.text(),
        format!(
            "Migrating 197 of 200 tenants to V12, up to 8 at a time (run {RUN})\n- database main: 2 tenants at a time (to begin with)\n"
        )
    );
}
