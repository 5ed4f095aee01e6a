//! Locks: who waits how long, who gives way, and a server that has no room for more of them.

use crate::support::{
    Golden, PrivateServer, Server, TestDatabase, TestFleet, assert_applied_exactly_once,
    assert_converged, assert_says, tenant, tenants, wait_until,
};

/// F25: who reads a table stands behind fleet's waiting ALTER for no longer than the lock timeout.
#[test]
fn readers_do_not_stand_behind_a_waiting_migration() {
    let db = TestDatabase::create(Server::A);
    let schemas = tenants(&db, 1);
    let fleet = TestFleet::new(&db)
        .probe_migrations(1..=1)
        .set("execution.lock_timeout", "300ms")
        .set(
            "execution.retry",
            serde_json::json!({ "attempts": 1000, "backoff": "10ms", "max_backoff": "10ms" }),
        );
    fleet.json(&["migrate"], 0);
    let fleet = fleet.migration(
        "V2__alter",
        "ALTER TABLE t1 ADD more text;\nINSERT INTO probe VALUES (2);\n",
    );
    let slow_reader = db.hold_lock("SELECT * FROM tenant_0001.t1");
    let run = fleet.spawn(&["-o", "json", "migrate"]);

    for _ in 0..3 {
        wait_until("the ALTER waits", || slow_reader.waiters() == 1);
        // without the timeout this would return when the slow reader has gone, which is never
        let reader = db.connect();
        reader.execute("SET statement_timeout = '20s'; SELECT * FROM tenant_0001.t1");
    }
    slow_reader.release();

    let run = run.wait();
    run.assert_code(0);
    let attempts = tenant(&run.json(), "tenant_0001")["attempts"].as_i64();
    assert!(attempts.is_some_and(|attempts| attempts > 1), "{run}");
    assert_applied_exactly_once(&db, &schemas, &[1, 2]);
}

/// F27: in a deadlock fleet's migration gives way, is rolled back as a whole and tried again.
#[test]
fn a_deadlock_costs_an_attempt_and_no_tenant() {
    let db = TestDatabase::create(Server::A);
    let schemas = tenants(&db, 2);
    let fleet = TestFleet::new(&db)
        .probe_migrations(1..=2)
        .set("execution.lock_timeout", "60s");
    fleet.json(&["migrate"], 0);
    let fleet = fleet.migration(
        "V3__both",
        "INSERT INTO probe VALUES (3);\nALTER TABLE t1 ADD more text;\n\
         SELECT pg_advisory_xact_lock_shared(4711);\nALTER TABLE t2 ADD more text;\n",
    );
    let golden = Golden::of(&fleet);
    let gate = db.hold_lock("SELECT pg_advisory_xact_lock(4711)");
    let application = db.connect();
    // so that fleet, and never the application, finds the deadlock
    application.execute("SET deadlock_timeout = '1h'; BEGIN; LOCK TABLE tenant_0001.t2");
    let pid = application.pid();
    let run = fleet.spawn(&["-o", "json", "migrate"]);
    wait_until("both tenants stand at the gate", || gate.waiters() == 2);

    std::thread::scope(|scope| {
        let crossing = scope.spawn(|| application.try_execute("LOCK TABLE tenant_0001.t1; COMMIT"));
        wait_until("the application waits for fleet", || {
            db.query_one::<i64>(&format!(
                "SELECT count(*) FROM pg_locks WHERE NOT granted AND pid = {pid}"
            )) == 1
        });
        gate.release();
        crossing
            .join()
            .expect("no panic")
            .expect("it gets its turn");
    });

    let run = run.wait();
    run.assert_code(0);
    assert_eq!(tenant(&run.json(), "tenant_0001")["attempts"], 2);
    assert_eq!(tenant(&run.json(), "tenant_0002")["attempts"], 1);
    let attempt = &fleet.json(&["show"], 0)["failed_attempts"][0]["failure"];
    assert_eq!(attempt["sqlstate"], "40P01");
    assert_eq!(attempt["class"], "transient");
    assert_converged(&fleet, &db, &schemas, &golden);
}

/// F27: a serialization failure is tried again as well.
#[test]
fn a_serialization_failure_costs_an_attempt_and_no_tenant() {
    let db = TestDatabase::create(Server::A);
    let schemas = tenants(&db, 1);
    // of all that a transaction does, only a sequence remembers an attempt that was rolled back
    db.execute("CREATE SCHEMA shared; CREATE SEQUENCE shared.tries");
    let fleet = TestFleet::new(&db).unlinted().probe_migrations(1..=1).migration(
        "V2__unlucky",
        "-- fleet: allow leak it counts the attempts\nINSERT INTO probe VALUES (2);\n\
         DO $$ BEGIN IF nextval('shared.tries') < 3 THEN RAISE 'could not serialize' USING ERRCODE = '40001'; END IF; END $$;\n",
    );
    let run = fleet.json(&["migrate"], 0);
    assert_eq!(tenant(&run, "tenant_0001")["attempts"], 3);
    assert_applied_exactly_once(&db, &schemas, &[1, 2]);
}

/// F51: a migration that needs more locks than the server has room for fails for good, names the setting, and
/// leaves nothing; one transaction is never about more than one tenant.
#[test]
fn more_locks_than_the_server_has_room_for_fail_their_tenant_alone() {
    let server = PrivateServer::start(&["max_locks_per_transaction = 10", "max_connections = 10"]);
    let session = server.connect();
    session
        .execute("CREATE SCHEMA tenant_0001; CREATE SCHEMA tenant_0002; CREATE SCHEMA tenant_0003");
    let fleet = TestFleet::without_database()
        .database_url("main", &server.url("postgres"))
        .set("databases.0.max_connections", 3)
        .migration(
            "V1__greedy",
            "DO $$ BEGIN IF current_schema() = 'tenant_0002' THEN FOR n IN 1..3000 LOOP\n\
               EXECUTE format('CREATE TABLE t%s (id int)', n);\n\
             END LOOP; END IF; END $$;\n",
        );
    let run = fleet.json(&["migrate"], 4);
    let failed = tenant(&run, "tenant_0002");
    assert_eq!(failed["failure"]["sqlstate"], "53200");
    assert_eq!(failed["failure"]["class"], "permanent");
    assert_eq!(failed["attempts"], 1);
    assert_says(&failed["failure"]["hint"], &["max_locks_per_transaction"]);
    assert_eq!(run["totals"]["succeeded"], 2);
    let left: i64 =
        session.query_one("SELECT count(*) FROM pg_tables WHERE schemaname = 'tenant_0002'");
    assert_eq!(left, 0);
}
