//! What a rehearsal waits for and how much of it there is at a time.

use crate::support::{
    LockGuard, Server, TestDatabase, TestFleet, assert_applied_exactly_once, assert_nothing_left,
    assert_says, tenant, tenants, wait_until,
};

/// Two tenants at V1 with V2 pending.
fn two_tenants(second: &str) -> (TestDatabase, TestFleet) {
    let db = TestDatabase::create(Server::A);
    tenants(&db, 2);
    let fleet = TestFleet::new(&db).probe_migrations(1..=1);
    fleet.json(&["migrate"], 0);
    let fleet = fleet.migration("V2__second", second);
    (db, fleet)
}

#[test]
fn somebody_who_holds_a_table_is_named_and_the_tenant_busy() {
    let (db, fleet) = two_tenants("ALTER TABLE probe ADD COLUMN a int;\n");
    let lock = db.hold_lock("LOCK TABLE tenant_0002.probe IN ACCESS SHARE MODE");
    let told = fleet.json(&["rehearse"], 4);
    assert_eq!(told["totals"]["would_succeed"], 1);
    let busy = tenant(&told, "tenant_0002");
    assert_eq!(busy["outcome"], "busy");
    assert_eq!(busy["failure"]["sqlstate"], "55P03");
    assert_eq!(busy["failure"]["class"], "transient");
    assert_says(&busy["failure"]["blocked_by"], &[&lock.pid().to_string()]);
    let run = fleet.fleet(&["rehearse"]);
    run.assert_code(4)
        .assert_stdout_has("✓ 1 of 2 tenants would reach V2 (1 busy)")
        .assert_stdout_has("- 1 tenant busy: 55P03");
    lock.release();
    fleet.json(&["rehearse"], 0);
    assert_nothing_left(&db);
}

/// A run is at work in one tenant: it is told so, and the run is not disturbed.
#[test]
fn a_tenant_that_a_run_is_at_is_busy() {
    let (db, fleet) =
        two_tenants("SELECT pg_advisory_xact_lock_shared(4711);\nINSERT INTO probe VALUES (2);\n");
    let fleet = fleet.set("execution.lock_timeout", "0");
    let gate = db.hold_lock("SELECT pg_advisory_xact_lock(4711)");
    let run = fleet.spawn(&["-o", "json", "migrate", "--tenant", "tenant_0001"]);
    wait_until("the run stands at the gate", || gate.waiters() == 1);
    let told = fleet.json(&["rehearse", "--tenant", "tenant_0001"], 4);
    let busy = tenant(&told, "tenant_0001");
    assert_eq!(busy["outcome"], "busy");
    assert_says(
        &busy["failure"]["message"],
        &["another session is migrating"],
    );
    gate.release();
    let run = run.wait();
    run.assert_code(0);
    assert_eq!(run.json()["totals"]["succeeded"], 1);
}

/// That it takes long is no failure: a run gives it more time.
#[test]
fn what_takes_longer_than_a_rehearsal_may_is_not_rehearsed() {
    let (_db, fleet) = two_tenants("CREATE TABLE a (id int);\nSELECT pg_sleep(60);\n");
    let fleet = fleet
        .migration("V3__third", "CREATE TABLE b (id int);\n")
        .set("rehearsal.statement_timeout", "200ms");
    let told = fleet.json(&["rehearse", "--tenant", "tenant_0001"], 4);
    let told = tenant(&told, "tenant_0001");
    assert_eq!(told["outcome"], "not_rehearsed");
    assert_says(
        &told["not_rehearsed"][0]["reason"],
        &["rehearsal.statement_timeout (200ms)"],
    );
    assert_eq!(
        told["not_rehearsed"][1]["reason"],
        "it comes after V2__second"
    );

    // where a run has no more time it would fail
    let fleet = fleet.set("execution.statement_timeout", "100ms");
    let told = fleet.json(&["rehearse", "--tenant", "tenant_0001"], 4);
    assert_eq!(tenant(&told, "tenant_0001")["failure"]["sqlstate"], "57014");
}

#[test]
fn there_are_never_more_connections_than_the_config_allows() {
    let db = TestDatabase::create(Server::A);
    tenants(&db, 24);
    let fleet = TestFleet::new(&db)
        .probe_migrations(1..=2)
        .migration("V3__sleep", "SELECT pg_sleep(0.02);\n")
        .set("databases.0.max_connections", 2);
    let sampler = db.sample_backends();
    let told = fleet.json(&["rehearse", "--concurrency", "8"], 0);
    let peak = sampler.stop();
    assert_eq!(told["totals"]["would_succeed"], 24);
    assert!(peak.backends <= 2, "{peak:?}");
    let fleet = fleet.set("databases.0.max_connections", 1);
    fleet.json(&["rehearse", "--concurrency", "8"], 0);
    fleet
        .fleet(&["rehearse", "--concurrency", "auto"])
        .assert_code(2);
    assert_nothing_left(&db);
}

#[test]
fn nobody_can_be_rehearsed_on_a_server_that_is_not_written() {
    let db = TestDatabase::create(Server::A);
    tenants(&db, 1);
    db.execute(&format!(
        "ALTER DATABASE {} SET default_transaction_read_only = on",
        db.name()
    ));
    let fleet = TestFleet::new(&db).probe_migrations(1..=1);
    fleet.json(&["rehearse"], 3);
}

/// Two tenants whose rehearsal stands in the middle of V2.
fn at_a_gate() -> (TestDatabase, TestFleet, LockGuard) {
    let (db, fleet) =
        two_tenants("INSERT INTO probe VALUES (2);\nSELECT pg_advisory_xact_lock_shared(4711);\n");
    let fleet = fleet
        .set("execution.lock_timeout", "0")
        .set("rehearsal.lock_timeout", "0");
    let gate = db.hold_lock("SELECT pg_advisory_xact_lock(4711)");
    (db, fleet, gate)
}

#[test]
fn a_connection_that_is_lost_is_no_failure_of_its_tenant() {
    let (db, fleet, gate) = at_a_gate();
    let rehearsal = fleet.spawn(&["-o", "json", "rehearse", "--tenant", "tenant_0001"]);
    wait_until("it stands at the gate", || gate.waiters() == 1);
    db.execute(
        "SELECT pg_terminate_backend(pid) FROM pg_stat_activity
         WHERE application_name LIKE 'fleet%' AND datname = current_database() AND wait_event_type = 'Lock'",
    );
    let run = rehearsal.wait();
    gate.release();
    run.assert_code(4);
    let told = run.json();
    let lost = tenant(&told, "tenant_0001");
    assert_eq!(lost["outcome"], "not_rehearsed");
    assert_eq!(lost["failure"]["sqlstate"], "57P01");
    assert_says(&lost["not_rehearsed"][0]["reason"], &["connection"]);
    assert_nothing_left(&db);
}

#[test]
fn a_signal_in_the_rehearsal_of_a_run_ends_it_before_it_begins() {
    let (db, fleet, gate) = at_a_gate();
    let runs = fleet.json(&["runs"], 0);
    let run = fleet.spawn(&["-o", "json", "migrate", "--rehearse"]);
    wait_until("two tenants stand at the gate", || gate.waiters() == 2);
    run.interrupt();
    let run = run.wait();
    run.assert_code(130);
    assert_eq!(run.json()["outcome"], "interrupted");
    assert_eq!(fleet.json(&["runs"], 0), runs);
    gate.release();
    assert_applied_exactly_once(
        &db,
        &["tenant_0001".to_owned(), "tenant_0002".to_owned()],
        &[1],
    );
    assert_nothing_left(&db);
}

#[test]
fn a_deadline_in_the_rehearsal_of_a_run_ends_it_before_it_begins() {
    let (db, fleet, gate) = at_a_gate();
    let late = fleet.json(&["migrate", "--rehearse", "--deadline", "3s"], 8);
    assert_eq!(late["run"], serde_json::Value::Null);
    gate.release();
    assert_nothing_left(&db);
}

#[test]
fn quiet_is_silent_where_all_is_well() {
    let (_db, fleet) = two_tenants("CREATE TABLE a (id int);\n");
    let run = fleet.fleet(&["-q", "rehearse"]);
    run.assert_code(0);
    assert!(run.stdout.is_empty() && run.stderr.is_empty(), "{run}");
}
