//! What else may be there: another fleet's ledger, an application's own history, a file that
//! writes its own row, a database that is down.

use crate::support::{
    Server, TestDatabase, TestFleet, assert_applied_exactly_once, assert_says, tenant, tenants,
};

#[test]
fn what_somebody_else_has_applied_is_not_claimed() {
    let db = TestDatabase::create(Server::A);
    let schemas = tenants(&db, 1);
    let fleet = TestFleet::new(&db)
        .set("execution.lock_timeout", "60s")
        .set("execution.retry.backoff", "10ms")
        .set("execution.retry.attempts", 200)
        .probe_migrations(1..=1);
    fleet.json(&["migrate"], 0);
    let fleet = fleet.probe_migrations(2..=2);
    let lock = db.hold_lock("LOCK TABLE tenant_0001.probe");
    let first = fleet.spawn(&["-o", "json", "migrate"]);
    crate::support::wait_until("the first waits", || lock.waiters() == 1);
    let neighbour = fleet.set("control.schema", "other_control");
    let second = neighbour.spawn(&["-o", "json", "migrate"]);
    crate::support::wait_until("the second was turned away", || {
        second.stderr_so_far().contains("another session")
    });
    lock.release();
    let (first, second) = (first.wait(), second.wait());
    first.assert_code(0);
    second.assert_code(0);
    let outcomes = [first, second].map(|run| tenant(&run.json(), "tenant_0001")["outcome"].clone());
    assert_eq!(outcomes, ["succeeded", "up_to_date"]);
    assert_applied_exactly_once(&db, &schemas, &[1, 2]);
}

#[test]
fn the_control_schema_may_be_one_in_which_an_application_uses_refinery() {
    let db = TestDatabase::create(Server::A);
    tenants(&db, 1);
    db.execute(
        "CREATE SCHEMA app; CREATE TABLE app.refinery_schema_history
           (version int4 PRIMARY KEY, name varchar(255), applied_on varchar(255), checksum varchar(255));
         INSERT INTO app.refinery_schema_history VALUES (7, 'own', '2026-01-01T00:00:00Z', '1')",
    );
    let fleet = TestFleet::new(&db)
        .set("control.schema", "app")
        .probe_migrations(1..=1);
    fleet.json(&["migrate"], 0);
    assert_eq!(fleet.json(&["show"], 0)["totals"]["succeeded"], 1);
}

#[test]
fn a_file_that_writes_its_own_history_row_is_named_at_once() {
    let db = TestDatabase::create(Server::A);
    tenants(&db, 1);
    let fleet = TestFleet::new(&db).probe_migrations(1..=1);
    fleet.json(&["migrate"], 0);
    let fleet = fleet.migration("V2__own", "DELETE FROM refinery_schema_history;\n");
    let run = fleet.json(&["migrate"], 4);
    let row = tenant(&run, "tenant_0001");
    assert_eq!(row["attempts"], 1);
    assert_says(&row["failure"]["message"], &["writes to the history table"]);
}

#[test]
fn an_error_in_a_function_carries_its_context() {
    let db = TestDatabase::create(Server::A);
    tenants(&db, 1);
    let fleet = TestFleet::new(&db).migration(
        "V1__deep",
        "CREATE FUNCTION deep() RETURNS void LANGUAGE plpgsql AS $$ BEGIN PERFORM 1 / 0; END $$;
         SELECT deep();\n",
    );
    let run = fleet.json(&["migrate"], 4);
    let failure = &tenant(&run, "tenant_0001")["failure"];
    assert_says(&failure["context"], &["deep()"]);
    fleet
        .fleet(&["show"])
        .assert_code(0)
        .assert_stdout_has("deep()");
}

#[test]
fn a_database_that_is_down_is_not_in_the_way_of_another() {
    let db = TestDatabase::create(Server::A);
    let schemas = tenants(&db, 1);
    let fleet = TestFleet::new(&db)
        .database_url("down", "postgresql://postgres@127.0.0.1:1/postgres")
        .probe_migrations(1..=1);
    fleet.fleet(&["migrate"]).assert_code(1);
    fleet.json(&["migrate", "--database", "main"], 0);
    fleet.json(&["status", "--database", "main"], 0);
    fleet.json(&["runs"], 0);
    fleet.json(&["show"], 0);
    assert_applied_exactly_once(&db, &schemas, &[1]);
}

#[test]
fn a_proposed_command_is_about_the_same_config_and_tenants() {
    let db = TestDatabase::create(Server::A);
    tenants(&db, 2);
    let fleet = TestFleet::new(&db).probe_migrations(1..=1);
    let text = std::fs::read_to_string(fleet.folder().join("fleet.yaml")).expect("the config");
    fleet.write_file("prod.yaml", &text);
    fleet
        .fleet(&["-c", "prod.yaml", "plan", "--tenant", "*1"])
        .assert_code(0)
        .assert_stdout_has("fleet -c prod.yaml migrate --tenant '*1'");
}

/// A session of the ledger's that is cut off is opened again, and what was to be written is written once.
#[test]
fn a_ledger_that_is_cut_off_in_mid_run_comes_back() {
    let db = TestDatabase::create(Server::A);
    let schemas = tenants(&db, 2);
    let fleet = TestFleet::new(&db)
        .set("execution.lock_timeout", "60s")
        .set("execution.concurrency", 1)
        .probe_migrations(1..=1);
    fleet.json(&["migrate"], 0);
    let fleet = fleet.probe_migrations(2..=2);
    let lock = db.hold_lock("LOCK TABLE tenant_0001.probe");
    let run = fleet.spawn(&["-o", "json", "migrate"]);
    crate::support::wait_until("the first waits", || lock.waiters() == 1);
    db.execute(
        "SELECT pg_terminate_backend(pid) FROM pg_stat_activity
         WHERE application_name LIKE 'fleet ledger%' AND datname = current_database()",
    );
    lock.release();
    let run = run.wait();
    run.assert_code(0);
    assert_eq!(run.json()["totals"]["succeeded"], 2);
    let attempts: i64 = db.query_one("SELECT count(*) FROM fleet_control.attempts");
    assert_eq!(attempts, 4, "two tenants in two runs");
    assert_applied_exactly_once(&db, &schemas, &[1, 2]);
}
