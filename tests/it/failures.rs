//! `fleet failures`: causes with the statement, and their tenants as a selection for other commands.

mod tenants_of;

use serde_json::{Value, json};

use crate::support::{Server, TestDatabase, TestFleet, assert_says, tenants, wait_until};

const BAD_INDEX: &str = "-- an index for the log-in\n\nCREATE TABLE seen (id int);\n\nCREATE UNIQUE INDEX one_each\n  ON probe (verzion)\n  WHERE version > 0;\n";

/// Five tenants at V1. In V2 two lack the table, and the others fail for a typo.
fn two_causes() -> (TestDatabase, TestFleet) {
    let db = TestDatabase::create(Server::A);
    tenants(&db, 5);
    let fleet = TestFleet::new(&db).probe_migrations(1..=1);
    fleet.json(&["migrate"], 0);
    db.execute("DROP TABLE tenant_0002.probe; DROP TABLE tenant_0004.probe");
    (db, fleet.migration("V2__one_each", BAD_INDEX))
}

/// Three tenants at V1; V2 will fail in the second, which holds a row twice.
fn one_of_three_fails() -> (TestDatabase, TestFleet) {
    let db = TestDatabase::create(Server::A);
    tenants(&db, 3);
    let fleet = TestFleet::new(&db).probe_migrations(1..=1);
    fleet.json(&["migrate"], 0);
    db.execute("INSERT INTO tenant_0002.probe VALUES (1)");
    let unique = "CREATE UNIQUE INDEX ON probe (version);\n";
    (db, fleet.migration("V2__unique", unique))
}

#[test]
fn each_cause_has_its_statement_with_a_caret_its_facts_and_its_tenants() {
    let (_db, fleet) = two_causes();
    fleet.json(&["migrate"], 4);

    let seen = fleet.fleet(&["failures"]);

    seen.assert_code(0)
        .assert_stdout_has("5 of 5 tenants failed, with 2 causes")
        .assert_stdout_has("✗ 3 tenants at V2__one_each.sql:5: 42703")
        .assert_stdout_has("  cause      42703@V2.2")
        .assert_stdout_has("    5 │ CREATE UNIQUE INDEX one_each\n")
        .assert_stdout_has("main/tenant_0001, main/tenant_0003, main/tenant_0005")
        .assert_stdout_has("✗ 2 tenants at V2__one_each.sql")
        .assert_stdout_has("  cause      42P01@V2.2")
        .assert_stdout_has("  helps      where other tenants got past it")
        .assert_stdout_has("--tenants-of 42703@V2.2  the tenants of one cause: … | fleet repair ");
}

#[test]
fn the_caret_stands_where_postgresql_points() {
    let db = TestDatabase::create(Server::A);
    tenants(&db, 1);
    let fleet = TestFleet::new(&db).migration(
        "V1__typo",
        "CREATE TABLE a (id int);\nINSERT INTO a\n\tSELECT 'é', idd\n\tFROM a;\n",
    );
    fleet.json(&["migrate"], 4);

    let seen = fleet.fleet(&["failures"]);

    let pad = " ".repeat(13);
    seen.assert_code(0).assert_stdout_has(&format!(
        "{pad}  2 │ INSERT INTO a\n{pad}> 3 │     SELECT 'é', idd\n{pad}    │                 ^\n{pad}  4 │     FROM a;\n"
    ));
    let document = fleet.json(&["failures"], 0);
    assert_eq!(document["failures"][0]["line"], 3);
    assert_eq!(document["failures"][0]["column"], 14);
}

#[test]
fn a_step_without_a_transaction_has_its_caret_too() {
    let db = TestDatabase::create(Server::A);
    tenants(&db, 1);
    let fleet = TestFleet::new(&db)
        .probe_migrations(1..=1)
        .migration(
            "V2__index",
            "CREATE INDEX CONCURRENTLY a ON probe (version);\n  CREATE INDEX CONCURRENTLY b\n  ON probe (versiom);\n",
        )
        .migration("V3__typo", "-- fleet: no-transaction\nSELECT 1; SELECT nowhere;\n");
    fleet.json(&["migrate"], 4);
    // no position for the name of an indexed column
    let first = &fleet.json(&["failures"], 0)["failures"][0];
    assert_eq!(first["cause"], "42703@V2.2");
    assert_eq!(first["excerpt"][0]["line"], 2);

    fleet.write_migration(
        "V2__index",
        "CREATE INDEX CONCURRENTLY a ON probe (version);\nCREATE INDEX CONCURRENTLY b ON probe (version);\n",
    );
    fleet.json(&["migrate"], 4);
    let second = &fleet.json(&["failures"], 0)["failures"][0];
    assert_eq!(second["cause"], "42703@V3.2");
    assert_eq!(
        (&second["line"], &second["column"]),
        (&json!(2), &json!(18))
    );
}

#[test]
fn the_document_has_every_cause() {
    let (_db, fleet) = one_of_three_fails();
    let run = fleet.json(&["migrate"], 4);

    let document = fleet.json(&["failures"], 0);

    assert_eq!(document["run"], run["run"]);
    assert_eq!(document["state"], "failed");
    assert_eq!(document["totals"], run["totals"]);
    let helps = document["failures"][0]["helps"].clone();
    assert_says(&helps, &["HAVING count(*) > 1"]);
    assert_eq!(
        document["failures"],
        json!([{
            "cause": "23505@V2.1", "count": 1, "migration": "V2__unique", "statement": 1, "line": 1, "column": null,
            "sqlstate": "23505", "class": "permanent",
            "message": "could not create unique index \"probe_version_idx\"",
            "detail": "Key (version)=(1) is duplicated.", "hint": null, "context": null, "blocked_by": null,
            "helps": helps,
            "excerpt": [{ "line": 1, "text": "CREATE UNIQUE INDEX ON probe (version);" }],
            "excerpt_missing": null, "unsettled": 0, "passed": 2, "tenants": ["main/tenant_0002"], "mended": [],
        }])
    );
}

#[test]
fn a_file_that_has_changed_since_is_not_shown() {
    let (_db, fleet) = one_of_three_fails();
    fleet.json(&["migrate"], 4);
    let fleet = fleet.migration("V3__more", "CREATE TABLE more ();\n");
    let added = &fleet.json(&["failures"], 0)["failures"][0];
    assert!(
        added["excerpt"].is_array(),
        "files that were added are no change: {added}"
    );

    fleet.write_migration(
        "V2__unique",
        "-- edited\nCREATE UNIQUE INDEX ON probe (version);\n",
    );
    let edited = &fleet.json(&["failures"], 0)["failures"][0];
    assert!(edited["excerpt"].is_null());
    assert_says(&edited["excerpt_missing"], &["are not those of this run"]);

    fleet.remove_migration("V2__unique");
    let removed = &fleet.json(&["failures"], 0)["failures"][0];
    assert_says(&removed["excerpt_missing"], &["not among the migrations"]);

    fleet.write_migration("V2__unique", "SELECT 1; COMMIT; SELECT 2;\n");
    let seen = fleet.fleet(&["failures"]);
    seen.assert_code(0)
        .assert_stdout_has("statement  1, which is not shown: the migration files cannot be read");
}

#[test]
fn the_last_run_with_failures_is_meant_and_who_got_past_it_is_said() {
    let (db, fleet) = one_of_three_fails();
    let failed = fleet.json(&["migrate"], 4);
    db.execute(
        "DELETE FROM tenant_0002.probe WHERE ctid <> (SELECT min(ctid) FROM tenant_0002.probe)",
    );
    fleet.json(&["resume"], 0);

    let document = fleet.json(&["failures"], 0);

    assert_eq!(document["run"], failed["run"]);
    assert_eq!(
        document["failures"][0]["mended"],
        json!(["main/tenant_0002"])
    );
    let seen = fleet.fleet(&["failures"]);
    seen.assert_code(0)
        .assert_stdout_has("  note       2 tenants of this run have V2__unique applied; 1 of these has got past it since");
    assert!(!seen.stdout.contains("Next:"), "{seen}");
}

#[test]
fn who_was_stopped_before_another_attempt_has_a_cause_too() {
    let db = TestDatabase::create(Server::A);
    tenants(&db, 1);
    db.execute("CREATE TABLE public.busy (id int)");
    let fleet = TestFleet::new(&db)
        .unlinted()
        .migration(
            "V1__busy",
            "ALTER TABLE public.busy ADD COLUMN IF NOT EXISTS note text;\n",
        )
        .set("execution.lock_timeout", "50ms")
        .set(
            "execution.retry",
            json!({ "attempts": 3, "backoff": "10m", "max_backoff": "10m" }),
        );
    let lock = db.hold_lock("LOCK TABLE public.busy IN ACCESS EXCLUSIVE MODE");
    let child = fleet.spawn(&["migrate"]);
    wait_until("the first attempt has failed", || {
        child.stderr_so_far().contains("attempt 1 failed")
    });
    let running = fleet.json(&["failures"], 0);
    assert_eq!(running["state"], "running");
    child.interrupt();
    child.wait().assert_code(130);

    let document = fleet.json(&["failures"], 0);

    let cause = &document["failures"][0];
    assert_eq!(cause["cause"], "55P03@V1.1");
    assert_eq!(cause["unsettled"], 1);
    lock.release();
}

#[test]
fn what_has_no_sqlstate_has_a_name_as_well() {
    let db = TestDatabase::create(Server::A);
    tenants(&db, 1);
    let fleet = TestFleet::new(&db)
        .config(|yaml| {
            yaml["databases"][0]["tenants"] = json!({ "list": ["tenant_0001", "nobody"] });
        })
        .probe_migrations(1..=1);
    fleet.json(&["migrate"], 4);

    let document = fleet.json(&["failures"], 0);

    let cause = &document["failures"][0];
    let name = cause["cause"].as_str().expect("a name");
    assert!(name.starts_with("message-"), "{name}");
    assert_eq!(cause["tenants"], json!(["main/nobody"]));
    assert_eq!(cause["excerpt"], Value::Null);
    fleet
        .fleet(&["failures", "--tenants-of", name])
        .assert_code(0)
        .assert_stdout_has("main/nobody\n");
}

#[test]
fn where_nothing_failed_it_says_so() {
    let db = TestDatabase::create(Server::A);
    tenants(&db, 1);
    let fleet = TestFleet::new(&db).probe_migrations(1..=1);
    let never = fleet.json(&["failures"], 2);
    assert_says(&never["error"], &["no control schema"]);
    let run = fleet.json(&["migrate"], 0);

    assert_eq!(
        fleet.json(&["failures"], 0),
        json!({ "run": null, "failures": [] })
    );
    let name = run["run"].as_str().expect("a name");
    fleet
        .fleet(&["failures", name])
        .assert_code(0)
        .assert_stdout_has("no tenant has failed");
    let refused = fleet.json(&["failures", "--tenants-of", "23505@V2.1"], 2);
    assert_says(
        &refused["error"],
        &["23505@V2.1", "no recorded run has failures"],
    );
}

#[test]
fn an_older_control_schema_is_read_as_it_is() {
    let (db, fleet) = one_of_three_fails();
    fleet.json(&["migrate"], 4);
    db.execute(
        "ALTER TABLE fleet_control.attempts DROP COLUMN line_column;
         ALTER TABLE fleet_control.runs DROP COLUMN reason;
         DROP TABLE fleet_control.acts, fleet_control.fixes;
         DELETE FROM fleet_control.fleet_schema_history WHERE version >= 7",
    );
    let document = fleet.json(&["failures"], 0);
    assert_eq!(document["failures"][0]["column"], Value::Null);
}
