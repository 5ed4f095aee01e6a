//! Many tenants at a time, and never more connections than a database was promised.

use crate::support::{
    BackendSampler, LockGuard, Server, TestDatabase, TestFleet, assert_applied_exactly_once,
    assert_nothing_left, tenants, wait_until,
};

/// A migration that waits for a lock which the test holds.
const GATE: &str = "SELECT pg_advisory_xact_lock_shared(4711);\n";
/// Shuts the gate.
const SHUT: &str = "SELECT pg_advisory_xact_lock(4711)";

/// How many tenants have had their first migration.
fn migrated(db: &TestDatabase) -> usize {
    db.query_one(
        "SELECT count(*) FROM pg_tables WHERE tablename = 't1' AND schemaname LIKE 'tenant%'",
    )
}

#[test]
fn five_hundred_tenants_share_four_connections() {
    let db = TestDatabase::create(Server::A);
    let schemas = tenants(&db, 500);
    let fleet = TestFleet::new(&db)
        .probe_migrations(1..=2)
        .set("execution.concurrency", 8)
        .set("databases.0.max_connections", 4);

    let sampler = db.sample_backends();
    let run = fleet.json(&["migrate"], 0);
    let peak = sampler.stop();

    assert_eq!(run["totals"]["succeeded"], 500);
    assert_applied_exactly_once(&db, &schemas, &[1, 2]);
    let ceiling = 4 + 1; // the ledger has one of its own
    assert!(peak.backends <= ceiling, "{peak:?}");
    assert!(peak.backends >= 3, "not much at a time: {peak:?}");
    assert!(
        peak.sessions <= 5,
        "connections are not used again: {peak:?}"
    );
    assert_nothing_left(&db);
}

/// A connection is replaced after 500 uses, for its server process keeps what it has learnt of each tenant; the new
/// one comes when the old one has ended.
#[test]
fn connections_are_replaced_one_after_the_other() {
    let db = TestDatabase::create(Server::A);
    tenants(&db, 2300);
    let fleet = TestFleet::new(&db)
        .migration("V1__nothing", "SELECT 1;\n")
        .set("databases.0.max_connections", 2);

    let sampler = db.sample_backends();
    let run = fleet.json(&["migrate"], 0);
    let peak = sampler.stop();

    assert_eq!(run["totals"]["succeeded"], 2300);
    assert!(peak.sessions > 3, "nothing was replaced: {peak:?}");
    assert!(peak.backends <= 3, "{peak:?}");
}

#[test]
fn as_many_tenants_are_worked_on_as_there_are_connections() {
    let db = TestDatabase::create(Server::A);
    let schemas = tenants(&db, 12);
    let fleet = TestFleet::new(&db)
        .probe_migrations(1..=1)
        .migration("V2__gate", GATE)
        .set("execution.concurrency", 8)
        .set("execution.lock_timeout", "2m")
        .set("databases.0.max_connections", 3);
    let gate = db.hold_lock(SHUT);

    let child = fleet.spawn(&["migrate"]);
    wait_until("three tenants stand at the gate", || gate.waiters() == 3);
    assert_eq!(db.fleet_backends(), 4, "three workers and the ledger");
    gate.release();

    child.wait().assert_code(0);
    assert_eq!(migrated(&db), schemas.len());
}

#[test]
fn concurrency_bounds_the_fleet_where_connections_would_allow_more() {
    let db = TestDatabase::create(Server::A);
    tenants(&db, 12);
    let fleet = TestFleet::new(&db)
        .migration("V1__gate", GATE)
        .set("execution.lock_timeout", "2m")
        .set("databases.0.max_connections", 8);
    let gate = db.hold_lock(SHUT);
    let sampler = db.sample_backends();

    let child = fleet.spawn(&["migrate", "--concurrency", "2"]);
    wait_until("two tenants stand at the gate", || gate.waiters() == 2);
    gate.release();

    child.wait().assert_code(0);
    let peak = sampler.stop();
    assert!(peak.backends <= 2 + 1, "{peak:?}");
}

#[test]
fn each_database_keeps_to_its_own_ceiling() {
    let (small, large) = (
        TestDatabase::create(Server::A),
        TestDatabase::create(Server::B),
    );
    let (few, many) = (tenants(&small, 20), tenants(&large, 40));
    let fleet = TestFleet::new(&small)
        .database("large", &large)
        .probe_migrations(1..=1)
        .migration("V2__gate", GATE)
        .set("execution.concurrency", 16)
        .set("execution.lock_timeout", "2m")
        .set("databases.0.max_connections", 2)
        .set("databases.1.max_connections", 5);
    let gates = [small.hold_lock(SHUT), large.hold_lock(SHUT)];
    let samplers = [small.sample_backends(), large.sample_backends()];

    let child = fleet.spawn(&["-o", "json", "migrate", "--no-canary"]);
    wait_until("both databases are busy to their ceilings", || {
        gates.each_ref().map(LockGuard::waiters) == [2, 5]
    });
    for gate in gates {
        gate.release();
    }

    let run = child.wait();
    run.assert_code(0);
    assert_eq!(run.json()["totals"]["succeeded"], few.len() + many.len());
    let [of_small, of_large] = samplers.map(BackendSampler::stop);
    assert!(
        of_small.backends <= 2 + 1,
        "the ledger is here: {of_small:?}"
    );
    assert!(of_large.backends <= 5, "{of_large:?}");
    assert!(of_small.sessions <= 3 && of_large.sessions <= 5);
    assert_nothing_left(&small);
    assert_nothing_left(&large);
}

#[test]
fn a_slow_tenant_does_not_hold_up_the_others() {
    let db = TestDatabase::create(Server::A);
    let schemas = tenants(&db, 100);
    let slow = "DO $$ BEGIN IF current_schema() = 'tenant_0002' THEN PERFORM pg_advisory_xact_lock_shared(4711); END IF; END $$;\nCREATE TABLE t1 (id int);\n";
    let fleet = TestFleet::new(&db)
        .migration("V1__slow_for_one", slow)
        .set("execution.concurrency", 2)
        .set("execution.lock_timeout", "2m");
    let gate = db.hold_lock(SHUT);

    let child = fleet.spawn(&["migrate", "--no-canary"]);
    wait_until("all others are done", || migrated(&db) == schemas.len() - 1);
    assert_eq!(gate.waiters(), 1, "the slow one still runs");
    gate.release();

    child.wait().assert_code(0);
    assert_eq!(migrated(&db), schemas.len());
}

#[test]
fn a_slow_database_does_not_hold_up_another() {
    let (slow, quick) = (
        TestDatabase::create(Server::A),
        TestDatabase::create(Server::B),
    );
    let (held_up, free) = (tenants(&slow, 30), tenants(&quick, 30));
    let fleet = TestFleet::new(&slow)
        .database("quick", &quick)
        .migration("V1__gate", &format!("{GATE}CREATE TABLE t1 (id int);\n"))
        .set("execution.concurrency", 4)
        .set("execution.lock_timeout", "2m")
        .set("databases.0.max_connections", 2);
    let gate = slow.hold_lock(SHUT);

    let child = fleet.spawn(&["migrate", "--no-canary"]);
    wait_until("the quick database is done", || {
        migrated(&quick) == free.len()
    });
    assert_eq!(migrated(&slow), 0);
    gate.release();

    child.wait().assert_code(0);
    assert_eq!(migrated(&slow), held_up.len());
}

#[test]
fn a_tenant_that_somebody_migrates_while_fleet_looks_at_it_is_not_refused() {
    let db = TestDatabase::create(Server::A);
    let schemas = tenants(&db, 2);
    let fleet = TestFleet::new(&db)
        .probe_migrations(1..=1)
        .set("execution.lock_timeout", "2m");
    fleet
        .fleet(&["migrate", "--tenant", "tenant_0002"])
        .assert_code(0);
    // fleet has looked for histories when it looks, by means of pg_depend, for relations
    let somebody = db.connect();
    somebody.execute("BEGIN; LOCK TABLE pg_catalog.pg_depend IN ACCESS EXCLUSIVE MODE");
    let child = fleet.spawn(&["-o", "json", "plan"]);
    wait_until("fleet looks for relations", || {
        db.query_one::<i64>(
            "SELECT count(*) FROM pg_locks WHERE NOT granted AND relation = 'pg_depend'::regclass",
        ) == 1
    });
    for table in ["probe", "t1", "refinery_schema_history"] {
        somebody.execute(&format!(
            "CREATE TABLE tenant_0001.{table} AS TABLE tenant_0002.{table}"
        ));
    }
    somebody.execute("COMMIT");

    let plan = child.wait();

    plan.assert_code(0);
    assert_eq!(plan.json()["totals"]["up_to_date"], schemas.len());
}
