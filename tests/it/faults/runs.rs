//! Several runs at once, runs that are paused, and runs that lose their ledger.

use serde_json::json;

use super::impatient;
use crate::support::{
    Child, Golden, PrivateServer, Server, TestDatabase, TestFleet, assert_applied_exactly_once,
    assert_converged, assert_nothing_left, assert_says, tenant, tenants, wait_until,
};

/// F13: many runs of one fleet at once: each migration is applied once, and every one of them ends well.
#[test]
fn many_runs_at_once_all_end_well() {
    let db = TestDatabase::create(Server::A);
    let schemas = tenants(&db, 60);
    let fleet = impatient(TestFleet::new(&db))
        .set("control.wait", "2m")
        .probe_migrations(1..=3);
    let golden = Golden::of(&fleet);
    let racing: Vec<Child> = (0..4)
        .map(|_| fleet.spawn(&["-o", "json", "migrate"]))
        .collect();
    let mut migrated = 0;
    for run in racing {
        let run = run.wait();
        run.assert_code(0);
        migrated += run.json()["totals"]["succeeded"]
            .as_u64()
            .expect("a number");
    }
    assert_eq!(migrated, 60, "each tenant by one of them");
    assert_converged(&fleet, &db, &schemas, &golden);
}

/// Two tenants at V1 whose V2 stands behind a lock, with leases of a second.
fn held_up() -> (TestDatabase, Vec<String>, TestFleet) {
    let db = TestDatabase::create(Server::A);
    let schemas = tenants(&db, 2);
    let fleet = impatient(TestFleet::new(&db))
        .set("control.lease", "1s")
        .set("control.wait", "1m")
        .set("execution.concurrency", 1)
        .set("execution.lock_timeout", "60s")
        .probe_migrations(1..=1);
    fleet.json(&["migrate"], 0);
    let fleet = fleet.migration(
        "V2__alter",
        "ALTER TABLE t1 ADD more text;\nINSERT INTO probe VALUES (2);\n",
    );
    (db, schemas, fleet)
}

#[test]
fn the_second_run_says_for_whom_it_waits() {
    let (db, schemas, fleet) = held_up();
    let lock = db.hold_lock("LOCK TABLE tenant_0001.t1");
    let first = fleet.spawn(&["-o", "json", "migrate"]);
    wait_until("the first run waits", || lock.waiters() == 1);
    let second = fleet.spawn(&["-o", "json", "migrate"]);
    wait_until("the second says for whom it waits", || {
        let said = second.stderr_so_far();
        said.contains("waiting for run ") && said.contains("started by")
    });
    lock.release();
    let (first, second) = (first.wait(), second.wait());
    first.assert_code(0);
    second.assert_code(0);
    assert_eq!(second.json()["totals"]["up_to_date"], 2);
    assert_applied_exactly_once(&db, &schemas, &[1, 2]);
}

#[test]
fn a_run_that_does_not_want_to_wait_says_who_holds_the_lease() {
    let (db, _, fleet) = held_up();
    let lock = db.hold_lock("LOCK TABLE tenant_0001.t1");
    let first = fleet.spawn(&["-o", "json", "migrate"]);
    wait_until("the first run waits", || lock.waiters() == 1);
    let refused = fleet.json(&["migrate", "--wait", "0"], 6);
    assert_says(&refused["error"], &["another run holds the lease", "run "]);
    lock.release();
    first.wait().assert_code(0);
}

/// F15: a process that is paused for longer than its lease is taken over, and writes nothing false when it
/// wakes up.
#[test]
fn a_paused_run_is_taken_over_and_wakes_up_harmless() {
    let (db, schemas, fleet) = held_up();
    let golden = Golden::of(&fleet);
    let lock = db.hold_lock("LOCK TABLE tenant_0001.t1");
    let paused = fleet.spawn(&["-o", "json", "migrate"]);
    wait_until("the first run waits", || lock.waiters() == 1);
    paused.pause();
    let second = fleet.spawn(&["-o", "json", "migrate"]);
    wait_until("the second has taken over", || {
        second.stderr_so_far().contains("taking over")
    });
    lock.release();
    let second = second.wait();
    second.assert_code(0);
    paused.unpause();
    let woken = paused.wait();
    woken.assert_code(1).assert_stderr_has("lease");
    let by_first: i64 =
        db.query_one("SELECT count(*) FROM fleet_control.runs WHERE outcome = 'interrupted'");
    assert_eq!(
        by_first, 1,
        "the taken-over run stays closed as interrupted"
    );
    assert_converged(&fleet, &db, &schemas, &golden);
}

/// F15: the same in the middle of steps, where the paused session holds its tenant's lock and does nothing.
#[test]
fn a_paused_run_between_two_steps_gives_its_tenant_up() {
    let (db, schemas, fleet) = held_up();
    fleet.write_migration(
        "V2__alter",
        "-- fleet: no-transaction\nSELECT pg_advisory_xact_lock_shared(4711);\nVACUUM t1;\nINSERT INTO probe VALUES (2);\n",
    );
    let gate = db.hold_lock("SELECT pg_advisory_xact_lock(4711)");
    let paused = fleet.spawn(&["-o", "json", "migrate"]);
    wait_until("the first run stands at the gate", || gate.waiters() == 1);
    paused.pause();
    gate.release();
    // its first statement ends on the server; nobody reads the answer
    wait_until("its session does nothing", || {
        db.query_one::<i64>(
            "SELECT count(*) FROM pg_locks l JOIN pg_stat_activity a USING (pid) \
             WHERE l.locktype = 'advisory' AND a.state = 'idle' AND a.application_name LIKE 'fleet %' \
               AND a.application_name NOT LIKE 'fleet ledger%' AND a.datname = current_database()",
        ) == 1
    });
    let second = fleet.fleet(&["-o", "json", "migrate"]);
    second.assert_code(0);
    assert_applied_exactly_once(&db, &schemas, &[1, 2]);
    paused.unpause();
    assert!([1, 4].contains(&paused.wait().code()));
    assert_applied_exactly_once(&db, &schemas, &[1, 2]);
    assert_nothing_left(&db);
}

/// F64: a statement that runs for many heartbeats is no dead run.
#[test]
fn a_long_statement_is_not_taken_over() {
    let (db, schemas, fleet) = held_up();
    let lock = db.hold_lock("LOCK TABLE tenant_0001.t1");
    let first = fleet.spawn(&["-o", "json", "migrate"]);
    wait_until("the first run waits", || lock.waiters() == 1);
    let beats = || -> f64 {
        db.query_one(
            "SELECT extract(epoch FROM max(heartbeat_at) - min(started_at))::float8 FROM fleet_control.runs WHERE finished_at IS NULL",
        )
    };
    wait_until("three leases have passed", || beats() > 3.0);
    let refused = fleet.json(&["migrate", "--wait", "1s"], 6);
    assert_says(&refused["error"], &["another run holds the lease"]);
    assert_eq!(
        fleet.json(&["status"], 0)["tenants"][0]["state"],
        "in_progress"
    );
    lock.release();
    first.wait().assert_code(0);
    assert_applied_exactly_once(&db, &schemas, &[1, 2]);
}

/// F18: a control database that is lost for good: what is in flight finishes, the rest is not begun, and the
/// next run finds out from the histories.
#[test]
fn a_control_database_that_is_lost_stops_the_run_and_loses_nothing() {
    let control = PrivateServer::start(&[]);
    let db = TestDatabase::create(Server::A);
    let schemas = tenants(&db, 200);
    let fleet = impatient(TestFleet::new(&db))
        .set("control", json!({ "url": control.url("postgres") }))
        .set("execution.concurrency", 2)
        .set("execution.lock_timeout", "60s")
        .set("execution.reconnect_timeout", "1s")
        .probe_migrations(1..=1)
        .migration(
            "V2__gate",
            "SELECT pg_advisory_xact_lock_shared(4711);\nINSERT INTO probe VALUES (2);\n",
        );
    let golden = Golden::of(&fleet);
    let gate = db.hold_lock("SELECT pg_advisory_xact_lock(4711)");
    let run = fleet.spawn(&["-o", "json", "migrate", "--no-canary"]);
    wait_until("two tenants stand at the gate", || gate.waiters() == 2);
    control.stop("immediate");
    gate.release();
    let run = run.wait();
    run.assert_code(1).assert_stderr_has("fleet reconcile");
    let document = run.json();
    assert_eq!(document["exit_code"], 1);
    assert_eq!(tenant(&document, "tenant_0001")["outcome"], "succeeded");
    assert!(
        document["totals"]["skipped"].as_u64() > Some(0),
        "{document}"
    );
    control.start_again();
    fleet.json(&["migrate"], 0);
    assert_applied_exactly_once(&db, &schemas, &golden.versions);
    assert_eq!(fleet.json(&["reconcile"], 0)["disagreements"], json!([]));
}

/// F3: a statement that outlives its killed fleet is noticed and waited for; the next run does not run it beside.
#[test]
fn a_killed_run_s_statement_is_waited_for() {
    let (db, schemas, fleet) = held_up();
    let lock = db.hold_lock("LOCK TABLE tenant_0001.t1");
    let killed = fleet.spawn(&["-o", "json", "migrate"]);
    wait_until("the first run waits", || lock.waiters() == 1);
    killed.kill();
    killed.wait().assert_code(137);
    let next = fleet.spawn(&["-o", "json", "resume"]);
    lock.release();
    next.wait().assert_code(0);
    assert_applied_exactly_once(&db, &schemas, &[1, 2]);
    assert_nothing_left(&db);
}
