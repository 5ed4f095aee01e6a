//! Who is held, read by people.

use super::super::{HoldNews, Stepwise, Verbosity, holds_set, plan, status, summary};
use super::plans::{planned, sample};
use super::statuses::{fleet, row};
use super::*;
use crate::ledger::SetHold;
use crate::plan::{Action, Held, HeldBy, Hold, HoldKind, TenantState};

fn hold(schema: &str, kind: HoldKind) -> Hold {
    Hold {
        tenant: tenant(schema),
        kind,
        reason: Some("big import\u{1b}[2J".to_owned()),
        until: None,
        set_by: "ann@ops (pid 7)".to_owned(),
        set_at: "2026-11-23T16:10:04Z".to_owned(),
    }
}

fn held(schema: &str) -> Action {
    Action::Hold(Box::new(Held {
        by: HeldBy::Somebody(hold(schema, HoldKind::Hold)),
        pending: versions(&[12]),
        besides: None,
    }))
}

#[test]
fn a_plan_counts_and_names_who_is_held() {
    let mut plan_of = sample();
    plan_of.tenants.push(planned("x", Some(11), held("x")));
    let mut pinned = planned("y", Some(10), Action::Migrate(versions(&[11])));
    pinned.holds.push(hold("y", HoldKind::Pin(11)));
    plan_of.tenants.push(pinned);
    let text = written(|out| {
        plan(
            out,
            super::plans::shown(&plan_of),
            &set(),
            PLAIN,
            Verbosity::Normal,
        )
    });
    for part in [
        "To V12: 199 of 204 tenants to migrate, 1 up to date, 3 refused, 1 held\n",
        "1 tenant: V10 → V11 (V11__orders)\n  note       pinned to V11 until released: big import\\u{1b}[2J\n",
        "- 1 tenant held until released: big import\\u{1b}[2J\n  tenants    main/x\n",
    ] {
        assert!(text.contains(part), "{part:?} is not in\n{text}");
    }
}

#[test]
fn a_status_has_holds_that_hold_nothing_back_too() {
    let mut there = row("a", Some(12), TenantState::UpToDate);
    there.holds.push(hold("a", HoldKind::Hold));
    let mut waits = row("b", Some(11), TenantState::Held);
    waits.holds.push(hold("b", HoldKind::Pin(11)));
    waits.reason = Some(waits.holds[0].to_string());
    let status_of = fleet(vec![there, waits]);
    let text = written(|out| status(out, &status_of, PLAIN, Verbosity::Normal));
    for part in [
        "1 up to date, 1 held\n",
        "- 1 tenant held until released: big import\\u{1b}[2J (nothing is pending)\n",
        "- 1 tenant pinned to V11 until released: big import\\u{1b}[2J\n",
    ] {
        assert!(text.contains(part), "{part:?} is not in\n{text}");
    }
    assert!(!text.contains("Next:"), "{text}");
}

#[test]
fn a_run_that_left_only_who_is_held_is_a_success() {
    let why = hold("b", HoldKind::Hold).to_string();
    let tenants = vec![
        result("a", Outcome::Succeeded),
        because("b", Outcome::Skipped, &why),
    ];
    let mut run = summary_of(RunOutcome::Succeeded, ExitCode::Done, tenants);
    run.totals.held = 1;
    let text = written(|out| summary(out, &run, &Stepwise::default(), PLAIN, Verbosity::Normal));
    assert!(
        text.starts_with("✓ 1 tenant at V12 in 4.2 s (1 migrated, 1 held)\n"),
        "{text}"
    );
    assert!(!text.contains("Next:"), "{text}");
}

#[test]
fn what_a_hold_replaces_and_what_a_pin_does_not_do_is_said() {
    let news = [HoldNews {
        set: SetHold {
            hold: hold("a", HoldKind::Pin(10)),
            replaces: Some(hold("a", HoldKind::Pin(11))),
        },
        version: Some(12),
    }];
    assert_eq!(
        written(|out| holds_set(out, &news, PLAIN)),
        "main/a: pinned to V10 until released: big import\\u{1b}[2J\n\
         \x20 replaces   pinned to V11 until released: big import\\u{1b}[2J (by ann@ops (pid 7))\n\
         \x20 note       it is at V12 already: nothing is rolled back, and it goes no further\n"
    );
}
