//! What a migration finds around it is what the config says, whatever the server was told.

use serde_json::json;

use crate::support::{
    Server, TestDatabase, TestFleet, assert_applied_exactly_once, assert_says, assert_untouched,
    each_tenants, tenant, tenants, wait_until,
};

#[test]
fn a_migration_sees_its_tenant_its_limits_and_who_runs_it() {
    let db = TestDatabase::create(Server::A);
    db.execute("CREATE SCHEMA \"Ten'ant\"; CREATE SCHEMA shared");
    let fleet = TestFleet::new(&db)
        .set("databases.0.tenants", json!({ "list": ["Ten'ant"] }))
        .set("databases.0.search_path", json!(["shared"]))
        .set("execution.lock_timeout", "7s")
        .set("execution.statement_timeout", "90s")
        .migration(
            "V1__look",
            "CREATE TABLE seen AS SELECT current_schema() AS schema, current_setting('search_path') AS path,\n\
               current_setting('lock_timeout') AS lock, current_setting('statement_timeout') AS statement,\n\
               current_setting('application_name') LIKE 'fleet %' AS ours;\n",
        );
    fleet.json(&["migrate"], 0);
    let seen = db.rows("SELECT * FROM \"Ten'ant\".seen");
    let seen: Vec<&str> = seen[0].iter().flatten().map(String::as_str).collect();
    assert_eq!(
        seen,
        ["Ten'ant", "\"Ten'ant\", \"shared\"", "7s", "90s", "t"]
    );
}

/// F65: settings of the database that would end a migration, or change its meaning, do not count.
#[test]
fn settings_of_the_database_do_not_change_what_a_migration_means() {
    let db = TestDatabase::create(Server::A);
    let schemas = tenants(&db, 3);
    for setting in [
        "search_path = public",
        "lock_timeout = '1ms'",
        "statement_timeout = '1ms'",
        "idle_in_transaction_session_timeout = '1ms'",
        "default_transaction_isolation = serializable",
        "default_transaction_deferrable = on",
        "row_security = on",
        "standard_conforming_strings = off",
        "client_min_messages = debug5",
        "quote_all_identifiers = on",
        "DateStyle = 'German'",
        "application_name = 'somebody else'",
    ] {
        db.execute(&format!("ALTER DATABASE {} SET {setting}", db.name()));
    }
    // of PostgreSQL 14 and 17
    for setting in ["idle_session_timeout", "transaction_timeout"] {
        let is_known = format!("SELECT current_setting('{setting}', true) IS NOT NULL");
        if db.query_one(&is_known) {
            db.execute(&format!(
                "ALTER DATABASE {} SET {setting} = '1s'",
                db.name()
            ));
        }
    }
    let fleet = TestFleet::new(&db)
        .set("databases.0.max_connections", 1)
        .probe_migrations(1..=2)
        .migration(
            "V3__look",
            "CREATE TABLE seen AS SELECT 'back\\slash' AS text, current_setting('transaction_isolation') AS isolation,\n\
               coalesce(current_setting('transaction_timeout', true), '0') AS timeout;\n\
             INSERT INTO probe VALUES (3);\n",
        );
    fleet.json(&["migrate"], 0);
    fleet.json(&["status"], 0);
    fleet.json(&["reconcile"], 0);
    assert_applied_exactly_once(&db, &schemas, &[1, 2, 3]);
    let seen: String =
        db.query_one("SELECT text || ' ' || isolation || ' ' || timeout FROM tenant_0002.seen");
    assert_eq!(seen, "back\\slash read committed 0");
}

/// F9: where transactions are read only, nothing is tried.
#[test]
fn a_database_that_may_only_be_read_is_refused() {
    let db = TestDatabase::create(Server::A);
    tenants(&db, 1);
    db.execute(&format!(
        "ALTER DATABASE {} SET default_transaction_read_only = on",
        db.name()
    ));
    let fleet = TestFleet::new(&db).probe_migrations(1..=1);
    let run = fleet.fleet(&["migrate"]);
    run.assert_code(3).assert_stderr_has("read_only");
    assert_untouched(&db);
}

#[test]
fn a_file_may_give_itself_more_time() {
    let db = TestDatabase::create(Server::A);
    // PostgreSQL 12 has one limit for all of a message, which no statement in it can move
    if db.query_one("SELECT current_setting('server_version_num')::int < 130000") {
        return;
    }
    let schemas = tenants(&db, 1);
    let fleet = TestFleet::new(&db).probe_migrations(1..=1);
    fleet.json(&["migrate"], 0);
    let fleet = fleet
        .set("execution.statement_timeout", "50ms")
        .migration(
            "V2__long",
            "SET LOCAL statement_timeout = '1min';\nSELECT pg_sleep(0.2);\nINSERT INTO probe VALUES (2);\n",
        );
    fleet.json(&["migrate"], 0);
    assert_applied_exactly_once(&db, &schemas, &[1, 2]);
}

#[test]
fn a_function_with_a_search_path_of_its_own_is_no_escape() {
    let db = TestDatabase::create(Server::A);
    let schemas = tenants(&db, 2);
    let fleet = TestFleet::new(&db).probe_migrations(1..=1).migration(
        "V2__function",
        "CREATE FUNCTION careful() RETURNS int LANGUAGE sql SET search_path = '' AS 'SELECT 2';\n\
         INSERT INTO probe VALUES (careful());\n",
    );
    fleet.json(&["migrate"], 0);
    assert_applied_exactly_once(&db, &schemas, &[1, 2]);
}

#[test]
fn a_savepoint_is_no_escape() {
    let db = TestDatabase::create(Server::A);
    let schemas = tenants(&db, 1);
    let fleet = TestFleet::new(&db).probe_migrations(1..=1).migration(
        "V2__savepoint",
        "SAVEPOINT here;\nINSERT INTO probe VALUES (99);\nROLLBACK TO SAVEPOINT here;\nRELEASE here;\n\
         INSERT INTO probe VALUES (2);\n",
    );
    fleet.json(&["migrate"], 0);
    assert_applied_exactly_once(&db, &schemas, &[1, 2]);
}

#[test]
fn an_escape_in_a_transaction_for_the_whole_tenant_takes_all_of_it_back() {
    let db = TestDatabase::create(Server::A);
    let schemas = tenants(&db, 2);
    let fleet = TestFleet::new(&db)
        .unlinted()
        .set("execution.transaction", "tenant")
        .probe_migrations(1..=1)
        .migration("V2__escape", "SET search_path = public;\n")
        .migration("V3__lands", "CREATE TABLE somewhere (id int);\n");
    let run = fleet.json(&["migrate"], 4);
    assert_eq!(run["failures"][0]["migration"], "V2__escape");
    assert_applied_exactly_once(&db, &schemas, &[]);
    crate::support::assert_public_is_empty(&db);
}

/// F37: a tenant that is dropped before its turn is gone, not failed.
#[test]
fn a_tenant_that_is_dropped_before_its_turn_is_gone_and_not_made_again() {
    let db = TestDatabase::create(Server::A);
    tenants(&db, 3);
    let fleet = TestFleet::new(&db)
        .set("execution.concurrency", 1)
        .set("execution.lock_timeout", "60s")
        .probe_migrations(1..=1);
    fleet.json(&["migrate"], 0);
    let fleet = fleet.migration("V2__alter", "ALTER TABLE t1 ADD more text;\n");
    let lock = db.hold_lock("LOCK TABLE tenant_0001.t1");
    let run = fleet.spawn(&["-o", "json", "migrate"]);
    wait_until("the first tenant waits", || lock.waiters() == 1);
    db.execute("DROP SCHEMA tenant_0002 CASCADE");
    lock.release();

    let run = run.wait();

    run.assert_code(0);
    let run = run.json();
    assert_eq!(
        each_tenants(&run, "outcome"),
        [
            "tenant_0001 succeeded",
            "tenant_0002 skipped",
            "tenant_0003 succeeded"
        ]
    );
    assert_says(&tenant(&run, "tenant_0002")["reason"], &["gone"]);
    let made: i64 = db.query_one("SELECT count(*) FROM pg_namespace WHERE nspname = 'tenant_0002'");
    assert_eq!(made, 0);
    assert_eq!(fleet.json(&["migrate"], 0)["totals"]["tenants"], 2);
}
