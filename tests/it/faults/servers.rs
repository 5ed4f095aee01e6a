//! Servers that crash, restart, stay away, start up, or have nothing left to give.

use std::process::Command;

use serde_json::json;

use super::impatient;
use crate::support::{
    PrivateServer, Server, TestDatabase, TestFleet, assert_applied_exactly_once,
    assert_nothing_left, assert_says, each_tenants, tenant, tenants, wait_until,
};

/// A private server with tenants whose second migration waits at a gate.
fn at_a_gate(
    tenant_count: usize,
    settings: &[&str],
) -> (PrivateServer, TestDatabase, Vec<String>, TestFleet) {
    let server = PrivateServer::start(settings);
    let db = TestDatabase::on(&server);
    let schemas = tenants(&db, tenant_count);
    let fleet = impatient(TestFleet::new(&db))
        .set("execution.lock_timeout", "60s")
        .probe_migrations(1..=1)
        .migration(
            "V2__gate",
            "SELECT pg_advisory_xact_lock_shared(4711);\nCREATE TABLE t2 (id int);\nINSERT INTO probe VALUES (2);\n",
        );
    (server, db, schemas, fleet)
}

/// F4: one backend that is killed takes all sessions of its server with it: one event, and the run goes on.
#[test]
fn a_killed_backend_is_one_event_and_no_tenant_fails() {
    let (_server, mut db, schemas, fleet) = at_a_gate(30, &[]);
    let gate = db.hold_lock("SELECT pg_advisory_xact_lock(4711)");
    let run = fleet.spawn(&["-o", "json", "migrate", "--no-canary"]);
    wait_until("all workers stand at the gate", || gate.waiters() == 8);
    let victim: i32 = db
        .query_one("SELECT pid FROM pg_locks WHERE NOT granted AND locktype = 'advisory' LIMIT 1");
    Command::new("kill")
        .args(["-9", &victim.to_string()])
        .status()
        .expect("kill");
    let run = run.wait();
    run.assert_code(0);
    db.reconnect();
    let document = run.json();
    for tenant in document["tenants"].as_array().expect("tenants") {
        assert!(tenant["attempts"].as_u64() <= Some(2), "{tenant}");
    }
    assert_applied_exactly_once(&db, &schemas, &[1, 2]);
    assert_nothing_left(&db);
    let open: i64 = db.query_one(
        "SELECT count(*) FROM fleet_control.runs WHERE outcome IS DISTINCT FROM 'succeeded'",
    );
    assert_eq!(open, 0);
}

/// F5, F50: a restart in mid-run is waited for; the server gets its connections back one after the other.
#[test]
fn a_restart_is_waited_for_by_tenants_and_ledger() {
    for mode in ["immediate", "fast"] {
        let (server, mut db, schemas, fleet) = at_a_gate(20, &[]);
        let gate = db.hold_lock("SELECT pg_advisory_xact_lock(4711)");
        let run = fleet.spawn(&["-o", "json", "migrate"]);
        wait_until("all workers stand at the gate", || gate.waiters() == 8);
        server.stop(mode);
        wait_until("the run has noticed", || {
            run.stderr_so_far().contains("does not answer")
        });
        server.start_again();
        let run = run.wait();
        run.assert_code(0).assert_stderr_has("answers again");
        db.reconnect();
        assert_applied_exactly_once(&db, &schemas, &[1, 2]);
        assert_nothing_left(&db);
    }
}

/// F6: a server that stays away is given up in time; the tenants of another one are all done.
#[test]
fn a_server_that_stays_down_fails_its_own_tenants_only() {
    let (server, db, _, fleet) = at_a_gate(12, &[]);
    let other = TestDatabase::create(Server::A);
    let elsewhere = tenants(&other, 30);
    let fleet = fleet
        .database("other", &other)
        .set("control", json!({ "url": other.url() }))
        .set("execution.reconnect_timeout", "1s")
        .set("databases.0.max_connections", 4);
    let gate = db.hold_lock("SELECT pg_advisory_xact_lock(4711)");
    let run = fleet.spawn(&["-o", "json", "migrate", "--no-canary"]);
    wait_until("the workers stand at the gate", || gate.waiters() == 4);
    server.stop("immediate");
    let run = run.wait();
    run.assert_code(4).assert_stderr_has("given up");
    let document = run.json();
    assert_eq!(document["totals"]["failed"], 4, "those that were at work");
    assert_eq!(
        document["totals"]["skipped"], 8,
        "those that were not begun"
    );
    assert_eq!(document["totals"]["succeeded"], 30);
    assert_applied_exactly_once(&other, &elsewhere, &[1, 2]);
    assert_says(
        &tenant(&document, "tenant_0012")["reason"],
        &["not attempted", "cannot reach"],
    );
    drop(gate);
    server.start_again();
    fleet.json(&["resume"], 0);
}

/// F7: a server that is starting up is no failure. Without `hot_standby` a standby says so for ever.
#[test]
fn a_server_that_starts_up_is_waited_for() {
    let server = PrivateServer::start(&["hot_standby = off"]);
    tenants(&TestDatabase::on(&server), 2);
    let fleet = TestFleet::without_database()
        .database_url("main", &server.url("postgres"))
        .probe_migrations(1..=1);
    let signal = server.pgdata().join("standby.signal");
    std::fs::write(&signal, "").expect("a server's folder");
    server.restart("fast");
    let run = fleet.spawn(&["-o", "json", "migrate"]);
    wait_until("fleet was told to wait", || {
        run.stderr_so_far()
            .contains("does not take connections now")
    });
    std::fs::remove_file(&signal).expect("our own file");
    server.restart("fast");
    let run = run.wait();
    run.assert_code(0);
    assert_eq!(run.json()["totals"]["succeeded"], 2);
}

/// F49: a server with fewer connections than the config allows is used with what it has.
#[test]
fn fewer_connections_than_allowed_cost_no_tenant_and_no_attempt() {
    let server = PrivateServer::start(&["max_connections = 10"]);
    let db = TestDatabase::on(&server);
    let schemas = tenants(&db, 40);
    let fleet = impatient(TestFleet::new(&db)).probe_migrations(1..=2);
    // of 10 slots 3 are for superusers, whom everybody here is: leave two for workers
    let taken: Vec<_> = (0..6).map(|_| db.connect()).collect();
    let run = fleet.fleet(&["-o", "json", "migrate"]);
    run.assert_code(0)
        .assert_stderr_has("no more connections to give");
    let document = run.json();
    assert_eq!(document["totals"]["succeeded"], 40);
    for tenant in document["tenants"].as_array().expect("tenants") {
        assert_eq!(tenant["attempts"], 1, "{tenant}");
    }
    drop(taken);
    assert_applied_exactly_once(&db, &schemas, &[1, 2]);
}

/// F53: a full disk fails the tenant that met it, and no further one is sent there.
#[test]
fn a_full_disk_stops_the_work_on_its_server() {
    let db = TestDatabase::create(Server::A);
    tenants(&db, 20);
    let fleet = impatient(TestFleet::new(&db))
        .set("execution.concurrency", 1)
        .migration(
            "V1__full",
            "DO $$ BEGIN RAISE EXCEPTION 'could not extend file: No space left on device' USING ERRCODE = '53100'; END $$;\n",
        );
    let run = fleet.fleet(&["-o", "json", "migrate"]);
    run.assert_code(4).assert_stderr_has("given up");
    let document = run.json();
    assert_eq!(document["totals"]["failed"], 1);
    assert_eq!(document["totals"]["skipped"], 19);
    let attempts: u64 = document["tenants"]
        .as_array()
        .expect("tenants")
        .iter()
        .filter_map(|tenant| tenant["attempts"].as_u64())
        .sum();
    assert_eq!(attempts, 1, "{:?}", each_tenants(&document, "attempts"));
    assert_says(
        &tenant(&document, "tenant_0020")["reason"],
        &["not attempted", "No space left"],
    );
}

/// F4: a migration that brings its server down does so a few times, not once for each tenant and attempt.
#[test]
fn a_migration_that_kills_its_server_is_stopped() {
    let server = PrivateServer::start(&[]);
    let mut db = TestDatabase::on(&server);
    tenants(&db, 30);
    let fleet = impatient(TestFleet::new(&db))
        .set("execution.concurrency", 1)
        .set("execution.retry.attempts", 50)
        .migration(
            "V1__deadly",
            "COPY (SELECT 1) TO PROGRAM 'kill -9 $PPID; cat > /dev/null';\n",
        );
    let run = fleet.fleet(&["-o", "json", "migrate", "--no-canary"]);
    run.assert_code(4).assert_stderr_has("given up");
    let document = run.json();
    assert_says(
        &tenant(&document, "tenant_0030")["reason"],
        &["not attempted", "went down"],
    );
    db.reconnect();
    let crashes = server.log().matches("was terminated by signal 9").count();
    assert!((2..=8).contains(&crashes), "{crashes} crashes");
}

/// F49: a role that may have few connections gets by with them from the first look on.
#[test]
fn a_role_with_few_connections_gets_by() {
    let db = TestDatabase::create(Server::A);
    let schemas = tenants(&db, 30);
    let role = format!("few_{}", db.name());
    db.execute(&format!(
        "CREATE ROLE {role} LOGIN CONNECTION LIMIT 3; GRANT CREATE ON DATABASE {} TO {role}",
        db.name()
    ));
    for schema in &schemas {
        db.execute(&format!("ALTER SCHEMA {schema} OWNER TO {role}"));
    }
    let url = db.url().replace("postgres@", &format!("{role}@"));
    let fleet =
        impatient(TestFleet::without_database().database_url("main", &url)).probe_migrations(1..=1);
    assert_eq!(fleet.json(&["migrate"], 0)["totals"]["succeeded"], 30);
    let fleet = fleet.probe_migrations(2..=2);
    assert_eq!(fleet.json(&["migrate"], 0)["totals"]["succeeded"], 30);
    assert_applied_exactly_once(&db, &schemas, &[1, 2]);
    for schema in &schemas {
        db.execute(&format!("DROP SCHEMA {schema} CASCADE"));
    }
    db.execute(&format!("DROP OWNED BY {role} CASCADE; DROP ROLE {role}"));
}
