//! Tenants that took longest last time are started first.

use serde_json::Value;

use crate::support::{Run, Server, TestDatabase, TestFleet, assert_applied_exactly_once, tenants};

/// The schemas in the order in which they were started.
fn started(run: &Run) -> Vec<String> {
    let lines = run.ndjson();
    let begun = lines
        .iter()
        .filter(|line| line["event"] == "attempt_started");
    begun.map(schema).collect()
}

fn schema(line: &Value) -> String {
    line["schema"].as_str().expect("a name").to_owned()
}

/// A ledger that remembers so many milliseconds for one migration of each of these tenants.
fn remember(db: &TestDatabase, pasts: &[(&str, u32)]) {
    for (schema, ms) in pasts {
        db.execute(&format!(
            "UPDATE fleet_control.tenants SET last_duration_ms = {ms}, last_migrations = 1 WHERE schema = '{schema}'"
        ));
    }
}

#[test]
fn what_took_longest_last_time_is_started_first() {
    let db = TestDatabase::create(Server::A);
    let schemas = tenants(&db, 12);
    let fleet = TestFleet::new(&db).probe_migrations(1..=1).migration(
        "V2__sleep",
        "SELECT pg_sleep(CASE current_schema() WHEN 'tenant_0007' THEN 1.2 WHEN 'tenant_0011' THEN 0.6 ELSE 0 END);
         INSERT INTO probe (version) VALUES (2);\n",
    );
    let first = fleet.fleet(&["-o", "ndjson", "migrate", "--concurrency", "3"]);
    first.assert_code(0);
    assert_eq!(started(&first)[..3], schemas[..3], "nothing was known");

    let fleet = fleet.probe_migrations(3..=3);
    let second = fleet.fleet(&["-o", "ndjson", "migrate", "--concurrency", "1"]);

    second.assert_code(0);
    let order = started(&second);
    assert_eq!(order[..2], ["tenant_0007", "tenant_0011"]);
    assert_eq!(order.len(), 12);
    assert_applied_exactly_once(&db, &schemas, &[1, 2, 3]);
}

#[test]
fn a_tenant_that_is_new_comes_between_the_long_and_the_short_ones() {
    let db = TestDatabase::create(Server::A);
    tenants(&db, 5);
    let fleet = TestFleet::new(&db).probe_migrations(1..=1);
    fleet.fleet(&["migrate"]).assert_code(0);
    db.execute("CREATE SCHEMA tenant_0000");
    remember(
        &db,
        &[
            ("tenant_0001", 400),
            ("tenant_0002", 600),
            ("tenant_0003", 800),
            ("tenant_0004", 5000),
            ("tenant_0005", 9000),
        ],
    );
    let fleet = fleet.probe_migrations(2..=2);

    let run = fleet.fleet(&["-o", "ndjson", "migrate", "--concurrency", "1"]);

    run.assert_code(0);
    // two migrations are pending for the new one, each like the median one
    let order = [
        "tenant_0005",
        "tenant_0004",
        "tenant_0000",
        "tenant_0003",
        "tenant_0002",
        "tenant_0001",
    ];
    assert_eq!(started(&run), order);
}

#[test]
fn a_retry_lets_everybody_else_go_first() {
    let db = TestDatabase::create(Server::A);
    tenants(&db, 3);
    let fleet = TestFleet::new(&db)
        .probe_migrations(1..=1)
        .set("execution.lock_timeout", "100ms")
        .config(|yaml| {
            yaml["execution"]["retry"] =
                serde_json::json!({ "attempts": 50, "backoff": "20ms", "max_backoff": "100ms" });
        });
    fleet.fleet(&["migrate"]).assert_code(0);
    remember(
        &db,
        &[
            ("tenant_0001", 300),
            ("tenant_0002", 9000),
            ("tenant_0003", 400),
        ],
    );
    fleet.write_migration("V2__alter", "ALTER TABLE t1 ADD more text;\n");
    let lock = db.hold_lock("LOCK TABLE tenant_0002.t1");
    let run = fleet.spawn(&["-o", "ndjson", "migrate", "--concurrency", "1"]);
    crate::support::wait_until("the others are done", || {
        run.stdout_so_far().matches("tenant_finished").count() == 2
    });
    lock.release();

    let run = run.wait();

    run.assert_code(0);
    let order = started(&run);
    assert_eq!(order[..3], ["tenant_0002", "tenant_0003", "tenant_0001"]);
}

#[test]
fn with_a_past_there_is_an_eta_before_anything_is_done() {
    let db = TestDatabase::create(Server::A);
    tenants(&db, 4);
    let fleet = TestFleet::new(&db).probe_migrations(1..=1);
    fleet.fleet(&["migrate"]).assert_code(0);
    remember(
        &db,
        &[
            ("tenant_0001", 60_000),
            ("tenant_0002", 30_000),
            ("tenant_0003", 30_000),
        ],
    );
    db.execute(
        "UPDATE fleet_control.tenants SET last_duration_ms = NULL WHERE schema = 'tenant_0004'",
    );
    let fleet = fleet.migration(
        "V2__wait_at_the_gate",
        "SELECT pg_advisory_xact_lock_shared(4711);\n",
    );
    let gate = db.hold_lock("SELECT pg_advisory_xact_lock(4711)");
    let run = fleet.spawn(&["-o", "ndjson", "migrate", "--concurrency", "2"]);
    crate::support::wait_until("two tenants stand at the gate", || gate.waiters() == 2);
    gate.release();

    let run = run.wait();

    // 60 s and three times 30 s, by two
    run.assert_code(0)
        .assert_stderr_has("Migrating 4 of 4 tenants to V2, 2 at a time, ETA 1 min 15 s (run ");
    let lines = run.ndjson();
    assert_eq!(lines[0]["eta_ms"], 75_000);
    assert_eq!(lines[1]["expected_ms"], 60_000);
}
