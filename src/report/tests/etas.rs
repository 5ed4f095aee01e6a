//! When a run will be done, by the past where there is one, and when it has to be.

use std::time::Instant;

use super::super::pace::Pace;
use super::live::totals_of;
use super::*;
use crate::rollout::Outlook;

const fn seconds(number: u64) -> Duration {
    Duration::from_secs(number)
}

const fn outlook(left: u64, longest: u64, correction: f64) -> Outlook {
    Outlook {
        left: seconds(left),
        longest: seconds(longest),
        correction,
        slots: 8,
    }
}

/// A run that has such a past.
fn begun(past: Option<Outlook>, now: Instant) -> Pace {
    let mut event = started(197, totals_of(0, 0));
    if let RolloutEvent::RunStarted { outlook, .. } = &mut event {
        *outlook = past;
    }
    Pace::begin(&event, now).expect("something to do")
}

fn start(schema: &str, expects: u64, left: Outlook) -> RolloutEvent {
    let mut event = attempt(schema, 1);
    if let RolloutEvent::AttemptStarted {
        expected, outlook, ..
    } = &mut event
    {
        *expected = Some(seconds(expects));
        *outlook = Some(left);
    }
    event
}

fn done(schema: &str, number: u64, left: Outlook) -> RolloutEvent {
    let mut event = finished(result(schema, Outcome::Succeeded), totals_of(number, 0));
    if let RolloutEvent::TenantFinished { outlook, .. } = &mut event {
        *outlook = Some(left);
    }
    event
}

fn shown(pace: &Pace, now: Instant) -> String {
    pace.forecast(now).unwrap_or_default()
}

#[test]
fn with_a_past_there_is_an_eta_before_anything_is_done() {
    let now = Instant::now();
    let pace = begun(Some(outlook(800, 30, 1.0)), now);
    assert_eq!(shown(&pace, now), "ETA 1 min 40 s");
    assert_eq!(shown(&begun(None, now), now), "");
}

#[test]
fn a_giant_takes_as_long_as_it_takes_whatever_the_workers() {
    let now = Instant::now();
    let mut pace = begun(Some(outlook(800, 300, 1.0)), now);
    assert_eq!(shown(&pace, now), "ETA 5 min");
    pace.apply(&start("giant", 300, outlook(800, 30, 1.0)), now);
    assert_eq!(shown(&pace, now), "ETA 5 min");
    // it has been at it for four minutes, and the others are done
    let later = now + seconds(240);
    pace.apply(&done("b", 196, outlook(300, 0, 1.0)), later);
    assert!(shown(&pace, later).ends_with(" tenants/min, ETA 1 min"));
    // and when it takes longer than ever nothing is promised
    assert!(!shown(&pace, later + seconds(60)).contains("ETA"));
}

#[test]
fn what_tenants_take_now_puts_the_past_right() {
    let now = Instant::now();
    let mut pace = begun(Some(outlook(800, 10, 1.0)), now);
    pace.apply(&start("a", 10, outlook(800, 10, 1.0)), now);
    let later = now + seconds(5);
    pace.apply(&done("a", 1, outlook(790, 10, 0.5)), later);
    assert!(shown(&pace, later).ends_with("ETA 50 s"));
}

#[test]
fn a_tenant_that_goes_back_is_not_in_work_any_more() {
    let now = Instant::now();
    let mut pace = begun(Some(outlook(80, 80, 1.0)), now);
    pace.apply(&start("a", 80, outlook(80, 0, 1.0)), now);
    let later = now + seconds(79);
    assert_eq!(shown(&pace, later), "ETA 1 s");
    pace.apply(&retry("a"), later);
    assert_eq!(shown(&pace, later), "ETA 10 s");
}

#[test]
fn the_opening_line_has_the_eta() {
    let mut notices = super::super::notices::Notices::new(PLAIN, super::super::Verbosity::Normal);
    let mut event = started(197, totals_of(0, 0));
    if let RolloutEvent::RunStarted { outlook: past, .. } = &mut event {
        *past = Some(outlook(800, 30, 1.0));
    }
    assert_eq!(
        notices.line(&event).unwrap(),
        "Migrating 197 of 200 tenants to V12, 8 at a time, ETA 1 min 40 s (run 20261123-161004-7f3a)"
    );
}

fn near(left: u64, tenants: usize, in_flight: usize) -> RolloutEvent {
    RolloutEvent::DeadlineNear {
        left: seconds(left),
        tenants,
        in_flight,
    }
}

#[test]
fn a_deadline_is_counted_down() {
    let now = Instant::now();
    let mut event = started(197, totals_of(0, 0));
    if let RolloutEvent::RunStarted { deadline, .. } = &mut event {
        *deadline = Some(seconds(540));
    }
    let mut pace = Pace::begin(&event, now).expect("something to do");
    pace.apply(&done("a", 98, outlook(800, 1, 1.0)), now);
    let later = now + seconds(49);
    assert_eq!(
        pace.words(later),
        "98 of 197 done (49 %), 2.0 tenants/s, ETA 1 min 40 s, deadline in 8 min 11 s"
    );
    pace.apply(&near(30, 99, 8), later);
    assert_eq!(
        pace.words(now + seconds(600)),
        "98 of 197 done (49 %), deadline reached"
    );
}

#[test]
fn nothing_more_is_started_in_words() {
    let mut notices = super::super::notices::Notices::new(PLAIN, super::super::Verbosity::Normal);
    let mut words = |left, tenants, in_flight| {
        let line = notices.line(&near(left, tenants, in_flight));
        line.unwrap()
    };
    assert_eq!(
        words(38, 212, 6),
        "! deadline in 38 s: 212 tenants would not be done by then and are not started, 6 in flight finish"
    );
    assert_eq!(
        words(120, 1, 1),
        "! deadline in 2 min: 1 tenant would not be done by then and is not started, 1 in flight finishes"
    );
    assert_eq!(
        words(0, 3, 0),
        "! deadline reached: 3 tenants are not started"
    );
}
