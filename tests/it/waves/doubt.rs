//! A tenant whose shape was found to be unlike that of the others stays in doubt until somebody has looked again:
//! whatever is asked for in between, and however a run ends.

use serde_json::{Value, json};

use super::{attempted, fleet_of, history, waves};
use crate::support::{Child, TestDatabase, TestFleet, assert_says, tenant, wait_until};

/// A migration that leaves something out in one tenant, and exits with 0 everywhere.
fn but_in(schema: &str, statement: &str) -> String {
    format!(
        "DO $$ BEGIN IF current_schema() <> '{schema}' THEN {statement}; END IF; END $$;\n\
         INSERT INTO probe (version) VALUES (2);\n"
    )
}

const CHECK: &str = "ALTER TABLE probe ADD CONSTRAINT positive CHECK (version > 0)";

/// Tenants at version 1, a canary of two, and a file that leaves out the second.
fn doubtful(count: usize) -> (TestDatabase, Vec<String>, TestFleet) {
    let (db, schemas, fleet) = fleet_of(count);
    let canary = json!([{ "name": "canary", "tenants": [&schemas[0], &schemas[1]] }]);
    let fleet = fleet
        .migration("V2__check", &but_in(&schemas[1], CHECK))
        .unlinted()
        .set("rollout.waves", canary);
    (db, schemas, fleet)
}

fn mend(db: &TestDatabase, schema: &str) {
    db.execute(&format!(
        "ALTER TABLE {schema}.probe ADD CONSTRAINT positive CHECK (version > 0)"
    ));
}

fn state(fleet: &TestFleet, schema: &str) -> Value {
    let status = fleet.fleet(&["-o", "json", "status"]).json();
    tenant(&status, schema)["state"].clone()
}

fn message<'a>(document: &'a Value, schema: &str) -> &'a Value {
    &tenant(document, schema)["failure"]["message"]
}

#[test]
fn a_tenant_that_differs_is_not_done_for_being_asked_for_alone() {
    let (db, schemas, fleet) = doubtful(5);
    fleet.json(&["migrate", "--no-canary", "--tenant", &schemas[4]], 0);
    fleet.json(&["migrate"], 5);
    for again in ["migrate", "resume"] {
        let run = fleet.json(&[again, "--tenant", &schemas[1]], 4);
        assert_says(
            message(&run, &schemas[1]),
            &["constraint positive on probe is missing"],
        );
        assert_eq!(state(&fleet, &schemas[1]), "failed");
    }
    mend(&db, &schemas[1]);
    fleet.json(&["migrate", "--tenant", &schemas[1]], 0);
    assert_eq!(state(&fleet, &schemas[1]), "up_to_date");
}

#[test]
fn a_canary_that_differs_is_not_passed_by_with_a_selection() {
    let (db, schemas, fleet) = doubtful(5);
    fleet.json(&["migrate"], 5);
    for again in ["migrate", "resume"] {
        let run = fleet.json(&[again, "--tenant", &schemas[3]], 5);
        assert_eq!(run["halted"]["by"], "shapes");
        assert_says(&run["halted"]["reason"], &["canary", &schemas[1]]);
        assert_eq!(waves(&run), ["canary halted", "rest pending"]);
        assert_eq!(attempted(&run), 0);
        assert_eq!(history(&db, &schemas[3]), [1]);
    }
    mend(&db, &schemas[1]);
    let run = fleet.json(&["migrate", "--tenant", &schemas[3]], 0);
    assert_eq!(run["totals"]["succeeded"], 1);
}

/// The likeliest command of whoever has halted a canary that was asked for by hand.
#[test]
fn a_canary_of_the_command_line_is_not_passed_by_without_it() {
    let (db, schemas, fleet) = doubtful(7);
    let fleet = fleet.set("rollout.waves", json!([]));
    fleet.json(&["migrate", "--canary", "4"], 5);
    for again in [&["migrate", "--tenant", &schemas[5]][..], &["migrate"]] {
        let run = fleet.json(again, 5);
        assert_eq!(run["halted"]["by"], "shapes");
        assert_eq!(attempted(&run), 0);
        assert_eq!(history(&db, &schemas[5]), [1]);
    }
    mend(&db, &schemas[1]);
    fleet.json(&["migrate", "--tenant", &schemas[5]], 0);
}

/// A newer version has nobody to be compared with, which mends nothing.
#[test]
fn a_newer_file_clears_nobody() {
    let (db, schemas, fleet) = doubtful(5);
    let fleet = fleet.set("rollout.waves", json!([]));
    fleet.json(&["migrate", "--canary", "3"], 5);
    let fleet = fleet.migration("V3__more", "ALTER TABLE probe ADD COLUMN more int;\n");
    let run = fleet.json(&["migrate", "--tenant", &schemas[1]], 4);
    assert_says(message(&run, &schemas[1]), &["nobody is at its version"]);
    assert_eq!(state(&fleet, &schemas[1]), "failed");
    mend(&db, &schemas[1]);
    fleet.json(
        &[
            "migrate",
            "--no-canary",
            "--tenant",
            &schemas[0],
            "--tenant",
            &schemas[2],
        ],
        0,
    );
    fleet.json(&["migrate", "--tenant", &schemas[1]], 0);
    assert_eq!(state(&fleet, &schemas[1]), "up_to_date");
}

/// Whoever has failed in a tie has a voice all the same, or the next ones would fail as well.
#[test]
fn a_wrong_tenant_that_came_first_does_not_make_all_others_wrong() {
    let (_db, schemas, fleet) = doubtful(6);
    let fleet = fleet
        .set("rollout.waves", json!([]))
        .set("verify.after", "every");
    fleet.json(&["migrate", "--tenant", &schemas[1]], 0);
    // of two nobody is right
    fleet.json(&["migrate", "--tenant", &schemas[2]], 4);
    fleet.json(&["migrate", "--tenant", &schemas[3]], 0);
    fleet.json(&["migrate", "--tenant", &schemas[2]], 0);
}

/// The first run died, and its canary was never compared; the next one has other waves.
#[test]
fn a_canary_that_nobody_has_compared_is_looked_at_whatever_the_waves_are() {
    let (db, schemas, fleet) = doubtful(5);
    let mut command = fleet.command(&["migrate"]);
    command.env("FAILPOINTS", "V1=return");
    Child::spawn(command).wait();
    let canary = json!([{ "name": "first", "tenants": [&schemas[2]] }]);
    let fleet = fleet.set("rollout.waves", canary);
    let run = fleet.json(&["migrate"], 5);
    assert_eq!(run["halted"]["by"], "shapes");
    assert_says(
        message(&run, &schemas[1]),
        &["constraint positive on probe is missing"],
    );
    assert_eq!(history(&db, &schemas[3]), [1]);
}

/// A backend whose fleet was killed may bring its migration to its end after the next run has read the histories.
#[test]
fn what_a_dead_run_commits_late_is_not_taken_for_older_than_the_run() {
    let (db, schemas, fleet) = doubtful(5);
    fleet.json(&["migrate", "--no-canary", "--tenant", &schemas[4]], 0);
    let [orphaned, like] = [&schemas[0], &schemas[4]];
    let orphan = db.connect();
    orphan.execute(&format!(
        "BEGIN; SET LOCAL search_path = {orphaned}; {CHECK}; INSERT INTO probe (version) VALUES (2); \
         INSERT INTO refinery_schema_history SELECT * FROM {like}.refinery_schema_history WHERE version = 2"
    ));
    let run = Child::spawn(fleet.command(&["-o", "json", "migrate"]));
    wait_until("somebody waits for the orphan", || {
        db.query_one::<bool>("SELECT EXISTS (SELECT FROM pg_locks WHERE NOT granted)")
    });
    orphan.execute("COMMIT");
    let run = run.wait();
    run.assert_code(5);
    let document = run.json();
    assert_eq!(document["halted"]["by"], "shapes");
    assert_says(
        message(&document, &schemas[1]),
        &["constraint positive on probe is missing"],
    );
    assert_eq!(document["totals"]["failed"], 1);
}

#[test]
fn a_difference_from_before_does_not_hide_what_the_run_has_left_out_of_the_same_thing() {
    let (db, schemas, fleet) = fleet_of(4);
    db.execute(&format!(
        "ALTER TABLE {}.probe ALTER COLUMN version DROP NOT NULL",
        schemas[1]
    ));
    let retype = "ALTER TABLE probe ALTER COLUMN version TYPE numeric";
    let fleet = fleet
        .migration("V2__retype", &but_in(&schemas[1], retype))
        .unlinted()
        .set(
            "rollout.waves",
            json!([{ "name": "canary", "tenants": [&schemas[0], &schemas[1]] }]),
        );
    let run = fleet.json(&["migrate"], 5);
    assert_eq!(run["totals"]["failed"], 2, "{run:#}");
    let run = fleet.json(&["migrate"], 5);
    assert_says(
        message(&run, &schemas[1]),
        &["column probe.version is different"],
    );
}

/// Nobody who was asked for decides alone what is right.
#[test]
fn tenants_that_are_not_asked_for_say_who_of_those_that_are_is_right() {
    let (_db, schemas, fleet) = doubtful(7);
    let fleet = fleet
        .set("rollout.waves", json!([]))
        .set("verify.after", "every");
    let only = |wanted: &[usize], code: i32| {
        let mut command = vec!["migrate"];
        for index in wanted {
            command.extend(["--tenant", &schemas[*index]]);
        }
        fleet.json(&command, code)
    };
    only(&[0, 2, 3], 0);
    let run = only(&[1], 4);
    assert_says(
        message(&run, &schemas[1]),
        &["constraint positive on probe is missing"],
    );
    let run = only(&[1, 4], 4);
    assert_eq!(run["totals"]["failed"], 1);
    assert_eq!(run["totals"]["succeeded"], 1);
    only(&[5], 0);
}

#[test]
fn a_repair_forgives_nothing_and_one_that_mends_is_believed() {
    let (_db, schemas, fleet) = doubtful(5);
    fleet.json(&["migrate", "--no-canary", "--tenant", &schemas[4]], 0);
    fleet.json(&["migrate"], 5);
    fleet.write_file("nothing.sql", "SELECT 1;\n");
    fleet.write_file("mends.sql", &format!("{CHECK};\n"));
    for (how, code, left) in [
        (&["nothing.sql"][..], 4, "failed"),
        (&["nothing.sql", "--no-migrate"], 4, "failed"),
        (&["mends.sql"], 0, "up_to_date"),
    ] {
        let mut command = vec![
            "repair",
            &schemas[1],
            "--reason",
            "unlike",
            "--again",
            "--sql",
        ];
        command.extend(how);
        fleet.json(&command, code);
        assert_eq!(state(&fleet, &schemas[1]), left, "{how:?}");
    }
}

#[test]
fn what_was_made_by_hand_stays_old_when_its_table_is_renamed() {
    let (db, schemas, fleet) = fleet_of(4);
    db.execute(&format!(
        "ALTER TABLE {}.probe ADD COLUMN hand text",
        schemas[1]
    ));
    let fleet = fleet
        .migration(
            "V2__rename",
            "ALTER TABLE t1 RENAME TO first;\nALTER TABLE probe ADD COLUMN more int;\nINSERT INTO probe (version) VALUES (2);\n",
        )
        .migration("V3__rename", "ALTER TABLE probe RENAME TO probes;\n")
        .set("rollout.waves", json!([{ "name": "canary", "count": 2 }]));
    let run = fleet.json(&["migrate"], 0);
    assert_says(
        &tenant(&run, &schemas[1])["notes"][0],
        &["as before the run: column probes.hand is additional"],
    );
}

/// Of two in a canary one has something of its own: the rest of the fleet says which.
#[test]
fn of_two_that_differ_from_before_the_rest_of_the_fleet_says_which() {
    let (db, schemas, fleet) = fleet_of(6);
    db.execute(&format!(
        "ALTER TABLE {}.probe ADD COLUMN hand text",
        schemas[0]
    ));
    let fleet = fleet
        .probe_migrations(1..=2)
        .set(
            "rollout.waves",
            json!([{ "name": "canary", "tenants": [&schemas[0], &schemas[1]] }]),
        )
        .set("verify.drift", "fail");
    let run = fleet.json(&["migrate"], 5);
    assert_eq!(run["totals"]["failed"], 1);
    assert_says(
        message(&run, &schemas[0]),
        &["column probe.hand is additional"],
    );
    assert_eq!(tenant(&run, &schemas[1])["outcome"], "succeeded");
}
