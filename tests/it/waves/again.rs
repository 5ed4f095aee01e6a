//! The same command again, after a halt, a deadline, an approval: nothing is passed by that was not looked at.

use serde_json::{Value, json};

use super::{UNIQUE, fleet_of, history};
use crate::support::{TestFleet, assert_history_is_truth, assert_says, wait_until};

/// The same command again does not pass by a check that has failed, nor by a gate that nobody has opened.
#[test]
fn migrate_again_goes_on_with_the_waves_of_a_halted_run() {
    let (db, schemas, fleet) = fleet_of(4);
    let fleet = fleet.probe_migrations(1..=2).set(
        "rollout.waves",
        json!([{ "name": "canary", "tenants": [schemas[0].clone()], "gate": "manual",
                 "check": { "database": "SELECT count(*) > 0 FROM public.well" } }]),
    );
    db.execute("CREATE TABLE public.well (id int)");
    assert_eq!(fleet.json(&["migrate"], 5)["halted"]["by"], "check");
    let again = fleet.fleet(&["-o", "json", "migrate"]);
    again.assert_code(5);
    again.assert_stderr_has("goes on with the waves of run");
    assert_eq!(again.json()["halted"]["by"], "check");
    assert_eq!(history(&db, &schemas[1]), [1]);

    db.execute("INSERT INTO public.well VALUES (1)");
    assert_eq!(fleet.json(&["migrate"], 5)["halted"]["by"], "gate");
    assert_eq!(fleet.json(&["migrate"], 5)["halted"]["by"], "gate");
    assert_eq!(history(&db, &schemas[1]), [1]);
    fleet.fleet(&["approve"]).assert_code(0);
    let run = fleet.json(&["migrate"], 0);
    assert_eq!(run["totals"]["succeeded"], 3);
    assert_history_is_truth(&db, &schemas);
}

/// The last wave too: all tenants are there, and it is not known whether they are well.
#[test]
fn a_check_of_the_last_wave_that_failed_fails_again() {
    let (_db, _schemas, fleet) = fleet_of(3);
    let fleet = fleet.probe_migrations(1..=2).set(
        "rollout.waves",
        json!([{ "name": "all", "check": { "database": "SELECT false AS well" } }]),
    );
    let halted = fleet.json(&["migrate"], 5);
    assert_eq!(halted["totals"]["succeeded"], 3);
    let again = fleet.json(&["migrate"], 5);
    assert_eq!(again["totals"]["up_to_date"], 3);
    fleet.json(&["resume", "--what-changed", "nothing"], 5);
}

/// Who has repaired something need not say that something has changed.
#[test]
fn an_act_is_a_change() {
    let (db, schemas, fleet) = fleet_of(4);
    for schema in &schemas[..2] {
        db.execute(&format!("INSERT INTO {schema}.probe VALUES (1)"));
    }
    let fleet = fleet.migration("V2__unique", UNIQUE);
    fleet.json(&["migrate", "--canary", "2"], 5);
    fleet.json(&["resume"], 5);
    fleet.write_file(
        "fix.sql",
        "DELETE FROM probe a USING probe b WHERE a.ctid > b.ctid;\n",
    );
    let repair = [
        "repair",
        &schemas[0],
        &schemas[1],
        "--sql",
        "fix.sql",
        "--reason",
        "doubled",
    ];
    fleet.json(&repair, 0);
    let resumed = fleet.json(&["resume"], 0);
    assert_eq!(resumed["totals"]["succeeded"], 2);
    let shown = fleet.json(&["show"], 0);
    assert_says(&shown["what_changed"], &["the act of run"]);
}

/// Nor does it by naming tenants of a later wave.
#[test]
fn a_selection_does_not_pass_by_a_gate() {
    let (db, schemas, fleet) = fleet_of(4);
    let fleet = fleet.probe_migrations(1..=2).set(
        "rollout.waves",
        json!([{ "name": "canary", "tenants": [schemas[0].clone()], "gate": "manual" }]),
    );
    fleet.json(&["migrate"], 5);
    let part = fleet.json(&["migrate", "--tenant", &schemas[2]], 5);
    assert_eq!(part["halted"]["by"], "gate");
    assert_eq!(history(&db, &schemas[2]), [1]);
    fleet.fleet(&["approve"]).assert_code(0);
    fleet.json(&["migrate", "--tenant", &schemas[2]], 0);
    let run = fleet.json(&["migrate"], 0);
    assert_eq!(run["totals"]["succeeded"], 2);
}

/// A gate stands though all tenants in front of it are held.
#[test]
fn a_wave_that_is_held_keeps_its_gate() {
    let (db, schemas, fleet) = fleet_of(4);
    let fleet = fleet.probe_migrations(1..=2).set(
        "rollout.waves",
        json!([{ "name": "canary", "tenants": [schemas[0].clone()], "gate": "manual" }]),
    );
    fleet
        .fleet(&["hold", &schemas[0], "--reason", "an audit"])
        .assert_code(0);
    let run = fleet.fleet(&["-o", "json", "migrate"]);
    run.assert_code(5);
    run.assert_stderr_has("all tenants of wave canary are held");
    assert_eq!(run.json()["halted"]["by"], "gate");
    assert_eq!(history(&db, &schemas[1]), [1]);
    fleet.fleet(&["approve"]).assert_code(0);
    fleet.json(&["migrate"], 0);
}

/// A tenant that failed in a wave that somebody has approved all the same does not halt the run again.
#[test]
fn an_approved_wave_is_not_judged_again() {
    let (db, schemas, fleet) = fleet_of(5);
    db.execute(&format!("INSERT INTO {}.probe VALUES (1)", schemas[0]));
    let fleet = fleet.migration("V2__unique", UNIQUE).set(
        "rollout.waves",
        json!([{ "name": "canary", "count": 3, "gate": "manual" }]),
    );
    let run = fleet.json(&["migrate"], 5);
    assert_eq!(
        (&run["totals"]["failed"], &run["totals"]["succeeded"]),
        (&json!(1), &json!(2))
    );
    fleet.fleet(&["approve"]).assert_code(0);
    let resumed = fleet.json(&["resume"], 4);
    assert_eq!(resumed["totals"]["failed"], 1);
    assert_eq!(resumed["totals"]["succeeded"], 2);
}

/// A check is bound by the deadline even after the last tenant, and leaves nothing behind when it is cut off.
#[test]
fn a_deadline_ends_a_check() {
    let (db, _schemas, fleet) = fleet_of(2);
    let with = |fleet: TestFleet, check: Value| {
        fleet.set("rollout.waves", json!([{ "name": "all", "check": check }]))
    };
    let fleet = fleet.probe_migrations(1..=2);
    let fleet = with(
        fleet,
        json!({ "tenant": "SELECT pg_sleep(600) IS NOT NULL" }),
    );
    let late = fleet.json(&["migrate", "--deadline", "2s"], 8);
    assert_eq!(late["totals"]["succeeded"], 2);
    wait_until("the server has let go of the check", || {
        db.fleet_backends() == 0
    });

    let (_db, _schemas, fleet) = fleet_of(2);
    let command = "sleep 600 & echo $! > child; wait";
    let fleet = with(fleet.probe_migrations(1..=2), json!({ "command": command }));
    fleet.json(&["migrate", "--deadline", "2s"], 8);
    let child = std::fs::read_to_string(fleet.folder().join("child")).expect("a pid");
    let process = format!("/proc/{}/cmdline", child.trim());
    wait_until("what the check has started is gone", || {
        std::fs::read(&process).map_or(true, |cmdline| cmdline.is_empty())
    });
}

#[test]
fn waves_on_the_command_line_are_checked_like_those_of_the_config() {
    let (_db, _schemas, fleet) = fleet_of(3);
    let fleet = fleet.probe_migrations(1..=2);
    for (arguments, problem) in [
        (["name=a,count=1", "name=a,count=2"], "two waves called a"),
        (
            ["name=x", "name=y"],
            "takes all tenants, and others follow it",
        ),
    ] {
        let run = fleet.fleet(&["migrate", "--wave", arguments[0], "--wave", arguments[1]]);
        run.assert_code(2);
        run.assert_stderr_has(problem);
    }
    let nothing = fleet.fleet(&["resume", "--what-changed", " "]);
    nothing.assert_code(2);
    let run = fleet.json(&["migrate", "--wave", "count=1,check=SELECT"], 5);
    assert_says(&run["halted"]["reason"], &["no column"]);
}
