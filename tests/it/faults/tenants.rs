//! Tenants that are dropped, made or restored while a run goes on.

use super::impatient;
use crate::support::{
    LockGuard, Server, TestDatabase, TestFleet, assert_applied_exactly_once, assert_says,
    each_tenants, tenant, tenants, wait_until,
};

/// Tenants at V1; the V2 of the first stands behind a lock.
fn held_up(tenant_count: usize) -> (TestDatabase, Vec<String>, TestFleet, LockGuard) {
    let db = TestDatabase::create(Server::A);
    let schemas = tenants(&db, tenant_count);
    let fleet = impatient(TestFleet::new(&db))
        .set("execution.concurrency", 1)
        .set("execution.lock_timeout", "60s")
        .probe_migrations(1..=1);
    fleet.json(&["migrate"], 0);
    let fleet = fleet.migration(
        "V2__alter",
        "ALTER TABLE t1 ADD more text;\nINSERT INTO probe VALUES (2);\n",
    );
    let lock = db.hold_lock("LOCK TABLE tenant_0001.t1");
    (db, schemas, fleet, lock)
}

/// F38: a tenant that is dropped while it is migrated: the drop waits and wins, and the tenant is gone.
#[test]
fn a_tenant_that_is_dropped_in_the_middle_of_its_migration_is_gone() {
    let (db, _, fleet, lock) = held_up(2);
    let run = fleet.spawn(&["-o", "json", "migrate"]);
    wait_until("the first tenant waits", || lock.waiters() == 1);
    let dropping = db.connect();
    dropping.execute("BEGIN; DROP SCHEMA tenant_0002 CASCADE");
    lock.release();
    wait_until("the second waits for the one who drops it", || {
        db.query_one::<i64>("SELECT count(*) FROM pg_locks WHERE NOT granted AND relation::regclass::text LIKE 'tenant_0002.%'") == 1
    });
    dropping.execute("COMMIT");
    let run = run.wait();
    run.assert_code(0);
    assert_eq!(
        each_tenants(&run.json(), "outcome"),
        ["tenant_0001 succeeded", "tenant_0002 skipped"]
    );
    assert_says(&tenant(&run.json(), "tenant_0002")["reason"], &["gone"]);
    let made: i64 = db.query_one("SELECT count(*) FROM pg_namespace WHERE nspname = 'tenant_0002'");
    assert_eq!(made, 0);
}

/// F39: tenants that come in mid-run are named, and not touched.
#[test]
fn tenants_that_come_in_mid_run_are_named() {
    let (db, schemas, fleet, lock) = held_up(2);
    let run = fleet.spawn(&["-o", "json", "migrate"]);
    wait_until("the first tenant waits", || lock.waiters() == 1);
    db.execute("CREATE SCHEMA tenant_0100; CREATE SCHEMA tenant_0101");
    lock.release();
    let run = run.wait();
    run.assert_code(0);
    let new: Vec<String> = run.json()["new"]
        .as_array()
        .expect("a list")
        .iter()
        .map(|tenant| tenant["schema"].as_str().expect("a name").to_owned())
        .collect();
    assert_eq!(new, ["tenant_0100", "tenant_0101"]);
    assert_applied_exactly_once(&db, &schemas, &[1, 2]);
    fleet
        .fleet(&["migrate"])
        .assert_code(0)
        .assert_stdout_has("4 tenants at V2");
}

#[test]
fn a_tenant_that_is_restored_in_mid_run_is_brought_from_where_it_is_now() {
    let (db, schemas, fleet, lock) = held_up(2);
    let run = fleet.spawn(&["-o", "json", "migrate"]);
    wait_until("the first tenant waits", || lock.waiters() == 1);
    // as a restore of a backup from before its first migration
    db.execute("DROP SCHEMA tenant_0002 CASCADE; CREATE SCHEMA tenant_0002");
    lock.release();
    let run = run.wait();
    run.assert_code(0);
    assert_eq!(
        each_tenants(&run.json(), "outcome"),
        ["tenant_0001 succeeded", "tenant_0002 succeeded"]
    );
    assert_eq!(tenant(&run.json(), "tenant_0002")["attempts"], 2);
    assert_applied_exactly_once(&db, &schemas, &[1, 2]);
}

#[test]
fn a_tenant_that_is_restored_further_than_the_files_is_refused_by_name() {
    let (db, _, fleet, lock) = held_up(2);
    let run = fleet.spawn(&["-o", "json", "migrate"]);
    wait_until("the first tenant waits", || lock.waiters() == 1);
    db.execute(
        "INSERT INTO tenant_0002.refinery_schema_history VALUES (9, 'later', '2026-01-01T00:00:00Z', '1')",
    );
    lock.release();
    let run = run.wait();
    run.assert_code(7);
    assert_says(
        &tenant(&run.json(), "tenant_0002")["reason"],
        &["ahead", "V9"],
    );
}
