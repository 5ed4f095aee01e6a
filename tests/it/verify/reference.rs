//! `verify --reference`: tenants beside what the set itself makes.

use super::{SHOP, differences, fleet_of};
use crate::support::{
    Server, TestDatabase, TestFleet, assert_nothing_left, assert_says, tenants, wait_until,
};

fn references(db: &TestDatabase) -> i64 {
    db.query_one("SELECT count(*) FROM pg_namespace WHERE nspname LIKE 'fleet_reference%'")
}

#[test]
fn a_difference_that_all_tenants_have_is_found() {
    let (db, schemas, fleet) = fleet_of(3);
    for schema in &schemas {
        db.execute(&format!(
            "ALTER TABLE {schema}.customers ALTER COLUMN email SET NOT NULL"
        ));
    }
    fleet.json(&["verify"], 0);
    let document = fleet.json(&["verify", "--reference"], 7);
    assert_eq!(document["versions"][0]["compared_with"], "reference");
    assert_eq!(
        differences(&document),
        [1, 2, 3].map(|n| format!("main/tenant_000{n}: different column customers.email"))
    );
    assert_eq!(references(&db), 0);
    assert_nothing_left(&db);
}

#[test]
fn each_version_has_a_reference_of_its_own_and_steps_without_a_transaction_are_run() {
    let (db, _, fleet) = fleet_of(3);
    fleet.write_migration(
        "V2__index",
        "CREATE INDEX CONCURRENTLY customers_email ON customers (email);\n",
    );
    fleet.write_migration("V3__last", "ALTER TABLE customers ADD COLUMN last text;\n");
    fleet
        .fleet(&["migrate", "--tenant", "*_0002", "--to", "2"])
        .assert_code(0);
    fleet
        .fleet(&["migrate", "--tenant", "*_0003"])
        .assert_code(0);
    let run = fleet.fleet(&["verify", "--reference"]);
    run.assert_code(0);
    run.assert_stdout_has("V1: 1 shape: 1\nV2: 1 shape: 1\nV3: 1 shape: 1\n");
    assert_eq!(references(&db), 0);
}

#[test]
fn a_set_that_does_not_apply_to_an_empty_schema_is_no_reference() {
    let db = TestDatabase::create(Server::A);
    let schema = tenants(&db, 1).remove(0);
    db.execute(&format!("CREATE TABLE {schema}.before (id int)"));
    let fleet = TestFleet::new(&db).migration("V1__shop", SHOP).migration(
        "V2__late",
        "SELECT 1;\nALTER TABLE before ADD COLUMN late int;\n",
    );
    fleet
        .fleet(&["baseline", &schema, "--at", "1", "--reason", "made by hand"])
        .assert_code(0);
    fleet.fleet(&["migrate"]).assert_code(0);
    let document = fleet.json(&["verify", "--reference"], 3);
    assert_says(
        &document["error"],
        &["there is no reference", "V2__late.sql:2", "before"],
    );
    assert_eq!(references(&db), 0);
}

#[test]
fn an_interrupted_reference_leaves_nothing() {
    let (db, _, fleet) = fleet_of(1);
    fleet.write_migration(
        "V2__slow",
        "SELECT CASE WHEN current_schema() LIKE 'fleet%' THEN pg_sleep(600) END;\n",
    );
    fleet.fleet(&["migrate"]).assert_code(0);
    let child = fleet.spawn(&["verify", "--reference"]);
    wait_until("the reference is being built", || {
        db.query_one::<i64>("SELECT count(*) FROM pg_stat_activity WHERE wait_event = 'PgSleep' AND datname = current_database()") == 1
    });
    child.interrupt();
    child.wait().assert_code(130);
    assert_eq!(references(&db), 0);
    assert_nothing_left(&db);
}

#[test]
fn what_a_killed_process_has_left_is_no_tenant_and_is_swept_away() {
    let db = TestDatabase::create(Server::A);
    db.execute("CREATE SCHEMA acme; CREATE SCHEMA fleet_reference_1_abcdef");
    let fleet = TestFleet::new(&db)
        .config(|config| {
            config["databases"][0]["tenants"] =
                serde_json::from_str(r#"{"schemas": ["*"]}"#).unwrap();
        })
        .migration("V1__shop", SHOP);
    let document = fleet.json(&["migrate"], 0);
    assert_eq!(document["totals"]["tenants"], 1);
    assert_eq!(references(&db), 1);
    fleet.json(&["verify", "--reference"], 0);
    assert_eq!(references(&db), 0);
}

#[test]
fn a_server_that_cannot_be_written_gets_no_schema() {
    let (db, _, fleet) = fleet_of(2);
    let name = db.name();
    db.execute(&format!(
        "ALTER DATABASE {name} SET default_transaction_read_only = on"
    ));
    let document = fleet.json(&["verify", "--reference"], 3);
    assert_says(
        &document["error"],
        &["there is no reference", "default_transaction_read_only"],
    );
    assert_eq!(references(&db), 0);
    fleet.json(&["verify"], 0);
}

#[test]
fn what_another_role_has_left_is_swept_away_too_where_that_is_allowed() {
    let (db, schemas, fleet) = fleet_of(1);
    let (one, other) = (format!("{}_one", db.name()), format!("{}_other", db.name()));
    db.execute(&format!(
        "CREATE ROLE {one} LOGIN; CREATE ROLE {other}; GRANT CREATE ON DATABASE {name} TO {one};
         GRANT USAGE ON SCHEMA {schema} TO {one}; GRANT SELECT ON ALL TABLES IN SCHEMA {schema} TO {one};
         CREATE SCHEMA fleet_reference_1_abcdef AUTHORIZATION {other}",
        name = db.name(),
        schema = schemas[0],
    ));
    let url = db.url();
    let host = url.split('@').next_back().unwrap();
    let restricted = fleet.with_only(&db).config(|config| {
        config["databases"][0]["url"] = format!("postgresql://{one}@{host}").into();
    });
    restricted.json(&["verify", "--reference"], 0);
    assert_eq!(references(&db), 1, "it may not drop that");
    fleet.json(&["verify", "--reference"], 0);
    assert_eq!(references(&db), 0);
    db.execute(&format!(
        "DROP OWNED BY {one}, {other}; DROP ROLE {one}, {other}"
    ));
}
