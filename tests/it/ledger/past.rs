//! How long tenants took: remembered for the next run.

use crate::support::{Server, TestDatabase, TestFleet, tenants, wait_until};

/// What the ledger remembers of each tenant, as `name milliseconds migrations`.
const PASTS: &str =
    "SELECT schema || ' ' || (last_duration_ms >= 200)::text || ' ' || last_migrations
    FROM fleet_control.tenants ORDER BY schema";

#[test]
fn a_tenants_last_successful_migrating_is_remembered() {
    let db = TestDatabase::create(Server::A);
    tenants(&db, 2);
    let fleet = TestFleet::new(&db).probe_migrations(1..=2).migration(
        "V3__slow",
        "SELECT pg_sleep(0.2);\nINSERT INTO probe (version) VALUES (3);\n",
    );
    fleet.json(&["migrate"], 0);
    let remembered = ["tenant_0001 true 3", "tenant_0002 true 3"];
    assert_eq!(db.column::<String>(PASTS), remembered);

    // one that fails has taken as long as a failure takes
    db.execute("CREATE TABLE tenant_0002.t4 ()");
    let fleet = fleet.probe_migrations(4..=4);
    fleet.json(&["migrate"], 4);
    let last: Vec<i64> = db.column(
        "SELECT last_migrations FROM fleet_control.tenants WHERE last_migrations IS NOT NULL ORDER BY schema",
    );
    assert_eq!(last, [1, 3]);
    fleet.json(&["reconcile"], 0);
    let kept: i64 =
        db.query_one("SELECT count(*) FROM fleet_control.tenants WHERE last_duration_ms >= 0");
    assert_eq!(kept, 2);
}

#[test]
fn what_waited_for_a_lock_in_vain_is_no_part_of_what_a_tenant_took() {
    let db = TestDatabase::create(Server::A);
    tenants(&db, 1);
    let fleet = TestFleet::new(&db)
        .probe_migrations(1..=1)
        .set("execution.lock_timeout", "1500ms")
        .config(|yaml| {
            yaml["execution"]["retry"] =
                serde_json::json!({ "attempts": 5, "backoff": "10ms", "max_backoff": "10ms" });
        });
    fleet.json(&["migrate"], 0);
    fleet.write_migration("V2__alter", "ALTER TABLE t1 ADD more text;\n");
    let lock = db.hold_lock("LOCK TABLE tenant_0001.t1");
    let run = fleet.spawn(&["migrate"]);
    wait_until("the first attempt has failed", || {
        run.stderr_so_far().contains("attempt 1 failed")
    });
    lock.release();
    run.wait().assert_code(0);
    let took: i64 = db.query_one("SELECT last_duration_ms FROM fleet_control.tenants");
    assert!(took < 1500, "{took} ms");
}

#[test]
fn a_ledger_of_an_older_fleet_remembers_what_its_attempts_tell() {
    let db = TestDatabase::create(Server::A);
    tenants(&db, 2);
    let fleet = TestFleet::new(&db)
        .probe_migrations(1..=1)
        .migration("V2__slow", "SELECT pg_sleep(0.2);\n");
    fleet.json(&["migrate"], 0);
    db.execute(
        "ALTER TABLE fleet_control.tenants DROP COLUMN last_duration_ms, DROP COLUMN last_migrations",
    );

    db.execute(&format!(
        "SET search_path = fleet_control; {}; RESET search_path",
        include_str!("../../../migrations/control/V3__durations.sql")
    ));

    let remembered = ["tenant_0001 true 2", "tenant_0002 true 2"];
    assert_eq!(db.column::<String>(PASTS), remembered);
}
