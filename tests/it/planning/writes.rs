//! Commands that only look write nothing, anywhere.

use crate::support::{
    Server, TestDatabase, TestFleet, assert_nothing_left, assert_untouched, tenants,
};

#[test]
fn commands_that_look_write_nothing_to_an_untouched_database() {
    let db = TestDatabase::create(Server::A);
    tenants(&db, 3);
    let fleet = TestFleet::new(&db).probe_migrations(1..=2);
    let before = fingerprint(&db);
    for command in ["plan", "status", "tenants", "runs"] {
        fleet.fleet(&[command]).assert_code(0);
    }
    // there is nothing to compare yet
    fleet.fleet(&["verify"]).assert_code(7);
    fleet.fleet(&["show"]);
    assert_eq!(fingerprint(&db), before);
    assert_untouched(&db);
    assert_nothing_left(&db);
}

#[test]
fn commands_that_look_write_nothing_to_a_fleet_with_failures() {
    let db = TestDatabase::create(Server::A);
    tenants(&db, 3);
    let fleet = TestFleet::new(&db)
        .probe_migrations(1..=1)
        .migration("V2__bad", "SELECT 1/0;\n");
    fleet.json(&["migrate"], 4);
    let before = fingerprint(&db);
    for command in ["plan", "status", "tenants", "runs", "show", "verify"] {
        fleet.fleet(&[command]).assert_code(0);
    }
    fleet.fleet(&["migrate", "--dry-run"]).assert_code(0);
    assert_eq!(fingerprint(&db), before);
}

/// All rows of fleet, of the tenants and of the catalogue: where each lies and which transaction wrote it.
fn fingerprint(db: &TestDatabase) -> Vec<String> {
    let tables: Vec<String> = db.column(
        "SELECT format('%I.%I', nspname, relname) FROM pg_class c JOIN pg_namespace n ON n.oid = relnamespace
         WHERE relkind = 'r' AND (nspname LIKE 'tenant%' OR nspname = 'fleet_control'
           OR relname IN ('pg_class', 'pg_namespace', 'pg_proc', 'pg_type', 'pg_attribute'))
         ORDER BY 1",
    );
    tables
        .iter()
        .map(|table| {
            let rows: String = db.query_one(&format!(
                "SELECT count(*) || ' ' || coalesce(md5(string_agg(xmin::text || ctid::text, ',' ORDER BY ctid)), '') FROM {table}"
            ));
            format!("{table} {rows}")
        })
        .collect()
}
