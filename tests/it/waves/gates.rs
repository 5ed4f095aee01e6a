//! Killed, stopped, asked and approved at a gate: nobody of the next wave is touched before it is open.

use serde_json::json;

use super::{BAD_SQL, fleet_of, gated, history, waves};
use crate::support::{Terminal, TestDatabase, assert_history_is_truth, wait_until};

fn is_in_state(db: &TestDatabase, state: &str) -> bool {
    let sql = format!("SELECT count(*) FROM fleet_control.run_waves WHERE state = '{state}'");
    db.query_one::<i64>(&sql) == 1
}

/// On a terminal the run waits; another process approves, and it goes on by itself.
#[test]
fn at_a_terminal_a_run_waits_for_its_approval() {
    let (db, schemas, fleet) = gated(4);
    let terminal = Terminal::start(&fleet, &["migrate"], "xterm-256color", 120);
    wait_until("the run says that it waits", || {
        terminal.shows(&["wave canary awaits approval", "fleet approve"])
    });
    assert_eq!(history(&db, &schemas[1]), [1]);
    let approved = fleet.fleet(&["approve"]);
    approved.assert_code(0);
    approved.assert_stdout_has("the next one begins");
    let (code, lines, _) = terminal.end();
    assert_eq!(code, 0, "{lines:#?}");
    assert!(
        lines.iter().any(|line| line.contains("approved by")),
        "{lines:#?}"
    );
    assert_history_is_truth(&db, &schemas);
}

/// Ctrl-C at the gate leaves the run; it can be approved afterwards all the same.
#[test]
fn a_run_that_was_left_at_its_gate_can_be_approved_and_resumed() {
    let (db, schemas, fleet) = gated(4);
    let mut terminal = Terminal::start(&fleet, &["migrate"], "xterm-256color", 120);
    wait_until("the run waits", || terminal.shows(&["awaits approval"]));
    terminal.press(b"\x03");
    assert_eq!(terminal.end().0, 130);
    assert_eq!(history(&db, &schemas[1]), [1]);
    fleet.fleet(&["resume"]).assert_code(5);
    fleet.fleet(&["approve"]).assert_code(0);
    let resumed = fleet.json(&["resume"], 0);
    assert_eq!(waves(&resumed), ["canary passed", "rest passed"]);
}

/// Killed in the middle of a check: it is made again, and what it says counts.
#[test]
fn a_run_killed_at_a_check_is_checked_again() {
    let (db, schemas, fleet) = fleet_of(4);
    let fleet = fleet.probe_migrations(1..=2).set(
        "rollout.waves",
        json!([{ "name": "canary", "count": 1, "check": { "tenant": "SELECT pg_sleep(600) IS NOT NULL" }}]),
    );
    let child = fleet.spawn(&["migrate"]);
    wait_until("the check runs", || is_in_state(&db, "checking"));
    child.kill();
    child.wait();
    let with_check = |sql: &str| {
        db.execute(&format!(
            "UPDATE fleet_control.run_waves SET terms = jsonb_set(terms, '{{check}}', '{{\"tenants\": \"{sql}\", \"timeout_ms\": 60000}}') WHERE wave = 1"
        ));
    };
    with_check("SELECT false AS well");
    let halted = fleet.json(&["resume"], 5);
    assert_eq!(halted["halted"]["by"], "check");
    assert_eq!(history(&db, &schemas[1]), [1]);
    with_check("SELECT true");
    fleet.json(&["resume", "--what-changed", "the check"], 0);
    assert_history_is_truth(&db, &schemas);
}

/// Whoever resumes a halted run at a terminal is asked what has changed, and the answer is kept.
#[test]
fn at_a_terminal_it_is_asked_what_has_changed() {
    let (_db, _schemas, fleet) = fleet_of(25);
    let fleet = fleet.migration("V2__bad", BAD_SQL);
    fleet.json(&["migrate"], 5);
    let mut terminal = Terminal::start(&fleet, &["resume"], "xterm-256color", 120);
    wait_until("the question is asked", || {
        terminal.shows(&["What has changed since?"])
    });
    terminal.press(b"a lot\r");
    assert_eq!(terminal.end().0, 5);
    assert_eq!(fleet.json(&["show"], 0)["what_changed"], "a lot");
}
