//! Acts, as they end and as they are recorded.

use super::super::acts::{ActClosing, ActSummary};
use super::super::safety::Stepwise;
use super::super::sink::Sink;
use super::super::{Reporter, Verbosity, show, show_document, write_document};
use super::ledger::detail;
use super::*;
use crate::ledger::{ActRecord, ActsOfRun, FixRecord, HistoryRow, RunDetail};
use crate::run::Act;

fn told(act: Act, outcome: RunOutcome, exit: ExitCode, tenants: Vec<TenantResult>) -> String {
    let out = Shared::default();
    let mut closing = ActClosing {
        sink: Sink::new(out.clone()),
        act,
        style: Style::plain(),
    };
    let summary = Arc::new(summary_of(outcome, exit, tenants));
    closing.report(&RolloutEvent::RunFinished { summary });
    out.text()
}

#[test]
fn each_act_ends_in_its_own_words() {
    let done = |act| {
        let tenants = vec![result("a", Outcome::Succeeded)];
        told(act, RunOutcome::Succeeded, ExitCode::Done, tenants)
    };
    assert!(done(Act::Repair).starts_with("✓ 1 tenant repaired, and at V12 ("));
    assert!(done(Act::Skip).starts_with("✓ V12 recorded as applied in 1 tenant, and not run ("));
    assert!(done(Act::Baseline).starts_with("✓ 1 tenant recorded as being at V12"));
    assert!(done(Act::AcceptDivergent).starts_with("✓ Edited files taken as they are now in 1"));
    let refused = vec![
        result("a", Outcome::Succeeded),
        because("b", Outcome::Skipped, "V12 is applied already"),
    ];
    let text = told(Act::Skip, RunOutcome::Failed, ExitCode::Divergent, refused);
    assert!(text.starts_with("✗ 1 of 2 tenants refused in "), "{text}");
    assert!(text.ends_with("(1 done)\n"), "{text}");
    let cut = vec![
        result("a", Outcome::Succeeded),
        because("b", Outcome::Skipped, "not attempted"),
    ];
    let text = told(
        Act::Repair,
        RunOutcome::Interrupted,
        ExitCode::Interrupted,
        cut,
    );
    assert!(text.ends_with(": 1 of 2 tenants done, 1 left\n"), "{text}");
}

#[test]
fn what_stays_done_in_a_tenant_that_failed_is_said() {
    let out = Shared::default();
    let mut reporter = ActSummary {
        sink: Sink::new(out.clone()),
        act: Act::Repair,
        stepwise: Stepwise::default(),
        style: Style::plain(),
        verbosity: Verbosity::Normal,
    };
    let tenant = TenantResult {
        notes: vec!["fix.sql is committed".to_owned()],
        ..failed("a", failure())
    };
    let summary = Arc::new(summary_of(
        RunOutcome::Failed,
        ExitCode::TenantsFailed,
        vec![tenant],
    ));
    reporter.report(&RolloutEvent::RunFinished { summary });
    let text = out.text();
    assert!(
        text.contains("- 1 tenant: fix.sql is committed\n"),
        "{text}"
    );
    assert!(!text.contains("fleet resume"), "{text}");
}

/// An act on a tenant with a hostile name, for a hostile reason.
fn recorded() -> RunDetail {
    let row = |name: &str, checksum: &str| HistoryRow {
        version: 3,
        name: name.to_owned(),
        checksum: checksum.to_owned(),
    };
    let mut detail = detail();
    detail.run.command = "accept-divergent".to_owned();
    detail.acts = ActsOfRun {
        reason: Some("re\u{1b}[2Json".to_owned()),
        fix: Some(FixRecord {
            name: "fix.sql".to_owned(),
            sha256: "00ff".to_owned(),
            bytes: 9,
            text: "SELECT\u{7} 1".to_owned(),
        }),
        acts: vec![ActRecord {
            at: "2026-11-23T16:10:05Z".to_owned(),
            actor: "ann@ci pid 7".to_owned(),
            act: "accept-divergent".to_owned(),
            tenant: tenant("a\u{1b}[2J"),
            versions: vec![3],
            reason: Some("re\u{1b}[2Json".to_owned()),
            was: vec![row("old", "1")],
            now: vec![row("new", "18446744073709551615")],
            outcome: Some(Outcome::Interrupted),
        }],
    };
    detail
}

#[test]
fn what_is_recorded_of_an_act_is_shown_and_moves_no_cursor() {
    let mut out = Vec::new();
    show(&mut out, &recorded(), Style::plain(), Verbosity::Normal).unwrap();
    let text = String::from_utf8(out).unwrap();
    for part in [
        "  reason     re\\u{1b}[2Json\n",
        "  fix        fix.sql (9 bytes, sha256 00ff)\n             SELECT\\u{7} 1\n",
        "\nActs:\n  2026-11-23T16:10:05Z  main/a\\u{1b}[2J accept-divergent V3: interrupted\n",
        "    V3 was old with checksum 1, now new with checksum 18446744073709551615\n",
        "fleet status",
    ] {
        assert!(text.contains(part), "{part:?} is not in {text}");
    }
    assert!(
        !text.contains("fleet resume"),
        "an act is typed again: {text}"
    );
}

#[test]
fn the_document_of_an_act_has_its_keys_and_that_of_another_run_has_not() {
    let document = |detail: &RunDetail| {
        let mut out = Vec::new();
        write_document(&mut out, &show_document(detail)).unwrap();
        serde_json::from_slice::<serde_json::Value>(&out).unwrap()
    };
    let act = document(&recorded());
    assert_eq!(act["acts"][0]["state"], "interrupted");
    assert_eq!(act["acts"][0]["was"][0]["checksum"], "1");
    assert_eq!(act["fix"]["sha256"], "00ff");
    assert!(document(&detail()).get("acts").is_none());
}
