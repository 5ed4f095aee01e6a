//! Failures that pass are tried again; each attempt is remembered with who was in the way.

use serde_json::json;

use crate::support::{
    Server, TestDatabase, TestFleet, assert_applied_exactly_once, assert_nothing_left, assert_says,
    tenant, tenants, wait_until,
};

/// F24: a lock that is released in time.
#[test]
fn a_lock_that_is_released_costs_an_attempt_and_no_tenant() {
    let (db, schemas, fleet) = busy_table("2s", 5);
    let lock = db.hold_lock("LOCK TABLE tenant_0001.t1");
    let blocker = format!("pid {} ", lock.pid());
    let run = fleet.spawn(&["-o", "json", "migrate"]);
    wait_until("the first attempt has failed", || {
        run.stderr_so_far().contains("again in")
    });
    lock.release();

    let run = run.wait();

    run.assert_code(0);
    let row = tenant(&run.json(), "tenant_0001").clone();
    assert_eq!(row["outcome"], "succeeded");
    assert_eq!(row["attempts"], 2);
    assert!(row["failure"].is_null());
    let show = fleet.json(&["show"], 0);
    let attempt = &show["failed_attempts"][0];
    assert_eq!(attempt["attempt"], 1);
    assert_eq!(attempt["failure"]["sqlstate"], "55P03");
    assert_eq!(attempt["failure"]["class"], "transient");
    assert_eq!(attempt["failure"]["migration"], "V2__alter");
    assert_says(
        &attempt["failure"]["blocked_by"],
        &[&blocker, "test harness", "LOCK TABLE tenant_0001.t1"],
    );
    assert_applied_exactly_once(&db, &schemas, &[1, 2]);
    assert_nothing_left(&db);
}

/// F24: a lock that stays, with its holder.
#[test]
fn a_lock_that_stays_fails_its_tenant_after_all_attempts_and_names_its_holder() {
    let (db, schemas, fleet) = busy_table("10ms", 3);
    let lock = db.hold_lock("LOCK TABLE tenant_0001.t1");
    let run = fleet.json(&["migrate"], 4);
    let row = tenant(&run, "tenant_0001");
    assert_eq!(row["attempts"], 3);
    assert_eq!(row["failure"]["class"], "transient");
    assert_says(
        &row["failure"]["blocked_by"],
        &[&format!("pid {} ", lock.pid())],
    );
    assert_eq!(tenant(&run, "tenant_0002")["attempts"], 1);
    assert_applied_exactly_once(&db, &schemas[1..], &[1, 2]);
    let recorded: i64 = db.query_one(
        "SELECT count(*) FROM fleet_control.attempts WHERE schema = 'tenant_0001' AND blocked_by IS NOT NULL",
    );
    assert_eq!(recorded, 3);
}

#[test]
fn a_failure_that_would_come_again_is_not_tried_again() {
    let (_db, _schemas, fleet) = busy_table("10ms", 5);
    fleet.write_migration("V2__alter", "SELECT 1/0;\n");
    let run = fleet.json(&["migrate"], 4);
    assert_eq!(tenant(&run, "tenant_0001")["attempts"], 1);
}

/// F26: a statement that runs into its time limit fails for good and leaves nothing.
#[test]
fn a_statement_that_runs_too_long_is_not_tried_again() {
    let (db, schemas, fleet) = busy_table("10ms", 5);
    let fleet = fleet.set("execution.statement_timeout", "50ms");
    fleet.write_migration(
        "V2__alter",
        "INSERT INTO probe VALUES (2);\nSELECT pg_sleep(600);\n",
    );
    let run = fleet.json(&["migrate"], 4);
    let failure = &tenant(&run, "tenant_0001")["failure"];
    assert_eq!(failure["sqlstate"], "57014");
    assert_eq!(failure["statement"], 2);
    assert_says(&failure["hint"], &["execution.statement_timeout"]);
    assert_eq!(failure["class"], "permanent");
    assert_eq!(tenant(&run, "tenant_0001")["attempts"], 1);
    assert_applied_exactly_once(&db, &schemas, &[1]);
}

#[test]
fn the_lock_of_a_tenant_keeps_a_second_applier_out() {
    let (db, schemas, fleet) = busy_table("2s", 5);
    let fleet = fleet.set("execution.lock_timeout", "60s");
    let lock = db.hold_lock("LOCK TABLE tenant_0001.t1");
    let first = fleet.spawn(&["-o", "json", "migrate"]);
    wait_until("the first applier waits", || lock.waiters() == 1);
    // as a second installation that keeps its records elsewhere
    let fleet = fleet.config(|yaml| yaml["control"] = json!({ "schema": "another_control" }));
    let second = fleet.spawn(&["-o", "json", "migrate"]);
    wait_until("the second applier was kept out", || {
        second
            .stderr_so_far()
            .contains("another session is migrating this tenant")
    });
    lock.release();
    for run in [first.wait(), second.wait()] {
        run.assert_code(0);
    }
    assert_applied_exactly_once(&db, &schemas, &[1, 2]);
}

/// Two tenants at V1 whose table V2 alters, with a short patience for locks.
fn busy_table(backoff: &str, attempts: u32) -> (TestDatabase, Vec<String>, TestFleet) {
    let db = TestDatabase::create(Server::A);
    let schemas = tenants(&db, 2);
    let retry = json!({ "attempts": attempts, "backoff": backoff, "max_backoff": "10s" });
    let fleet = TestFleet::new(&db)
        .probe_migrations(1..=1)
        .set("execution.retry", retry)
        .set("execution.lock_timeout", "50ms");
    fleet.json(&["migrate"], 0);
    let fleet = fleet.migration(
        "V2__alter",
        "ALTER TABLE t1 ADD more text;\nINSERT INTO probe VALUES (2);\n",
    );
    (db, schemas, fleet)
}

/// F26: whose time limit it was, and how long.
#[test]
fn the_value_of_the_time_limit_is_told() {
    let db = TestDatabase::create(Server::A);
    tenants(&db, 1);
    let fleet = TestFleet::new(&db)
        .set("execution.statement_timeout", "50ms")
        .migration("V1__slow", "SELECT pg_sleep(600);\n");
    let run = fleet.json(&["migrate"], 4);
    assert_says(
        &tenant(&run, "tenant_0001")["failure"]["hint"],
        &["execution.statement_timeout", "50ms"],
    );
}

#[test]
fn a_history_that_is_locked_while_planning_is_read_again() {
    let (db, schemas, fleet) = busy_table("200ms", 20);
    let lock = db.hold_lock("LOCK TABLE tenant_0001.refinery_schema_history");
    let run = fleet.spawn(&["-o", "json", "migrate"]);
    wait_until("planning has met the lock", || lock.waiters() == 1);
    wait_until("it was given up once", || lock.waiters() == 0);
    lock.release();
    run.wait().assert_code(0);
    assert_applied_exactly_once(&db, &schemas, &[1, 2]);
}
