//! What commits together, and what the history table of a new tenant looks like.

use serde_json::json;

use crate::support::{
    Server, TestDatabase, TestFleet, applied, assert_applied_exactly_once, each_tenants, tenant,
    tenants,
};

#[test]
fn with_a_transaction_for_each_migration_a_tenant_keeps_what_was_applied() {
    let (db, schemas, fleet) = third_fails();
    let run = fleet.json(&["migrate"], 4);
    let row = tenant(&run, "tenant_0001");
    assert_eq!(row["from"], json!(null));
    assert_eq!(row["to"], 2);
    assert_eq!(row["applied"], json!(["V1__probe_1", "V2__probe_2"]));
    assert_applied_exactly_once(&db, &schemas, &[1, 2]);
}

#[test]
fn with_a_transaction_for_each_tenant_it_is_all_or_nothing() {
    let (db, schemas, fleet) = third_fails();
    let fleet = fleet.set("execution.transaction", "tenant");
    let run = fleet.json(&["migrate"], 4);
    let row = tenant(&run, "tenant_0001");
    assert_eq!(row["to"], json!(null));
    assert_eq!(row["applied"], json!([]));
    assert_eq!(row["failure"]["migration"], "V3__bad");
    assert_eq!(row["failure"]["line"], 2);
    let left: i64 = db.query_one("SELECT count(*) FROM pg_tables WHERE schemaname LIKE 'tenant%'");
    assert_eq!(left, 0);

    fleet.write_migration("V3__bad", "INSERT INTO probe VALUES (3);\n");
    fleet.json(&["resume"], 0);

    assert_applied_exactly_once(&db, &schemas, &[1, 2, 3]);
    for schema in &schemas {
        let transactions: i64 = db.query_one(&format!(
            "SELECT count(DISTINCT xmin::text) FROM {schema}.refinery_schema_history"
        ));
        assert_eq!(transactions, 1);
    }
}

#[test]
fn with_a_transaction_for_each_tenant_one_bad_tenant_stops_nobody() {
    let db = TestDatabase::create(Server::A);
    let schemas = tenants(&db, 3);
    let fleet = TestFleet::new(&db)
        .set("execution.transaction", "tenant")
        .probe_migrations(1..=1);
    fleet.json(&["migrate"], 0);
    db.execute("CREATE TABLE tenant_0002.t3 ()");
    let fleet = fleet.probe_migrations(2..=3);
    let run = fleet.json(&["migrate"], 4);
    assert_eq!(
        each_tenants(&run, "to"),
        ["tenant_0001 3", "tenant_0002 1", "tenant_0003 3"]
    );
    assert_eq!(applied(&db, &schemas)["tenant_0002"].probe, [1]);
}

#[test]
fn a_new_history_is_as_a_stock_refinery_makes_it() {
    let (db, fleet) = one_migrated("int4");
    fleet.json(&["migrate"], 0);
    assert_eq!(column_type(&db, "tenant_0002"), "integer");
    let columns: String = db.query_one(
        "SELECT string_agg(column_name || ' ' || data_type || coalesce(character_maximum_length::text, ''), ', '
           ORDER BY ordinal_position)
         FROM information_schema.columns WHERE table_schema = 'tenant_0002' AND table_name = 'refinery_schema_history'",
    );
    assert_eq!(
        columns,
        "version integer, name character varying255, applied_on character varying255, checksum character varying255"
    );
}

#[test]
fn a_new_history_is_as_wide_as_those_of_the_other_tenants() {
    let (db, fleet) = one_migrated("int8");
    fleet.json(&["migrate"], 0);
    assert_eq!(column_type(&db, "tenant_0001"), "bigint");
    assert_eq!(column_type(&db, "tenant_0002"), "bigint");
}

#[test]
fn a_new_history_is_narrow_where_nobody_has_one() {
    let db = TestDatabase::create(Server::A);
    tenants(&db, 1);
    let fleet = TestFleet::new(&db).probe_migrations(1..=1);
    fleet.json(&["migrate"], 0);
    assert_eq!(column_type(&db, "tenant_0001"), "integer");
}

#[test]
fn a_new_history_is_wide_where_a_version_is_a_timestamp() {
    let db = TestDatabase::create(Server::A);
    tenants(&db, 1);
    let fleet = TestFleet::new(&db).migration("V20261123101500__timestamp", "SELECT 1;\n");
    let run = fleet.json(&["migrate"], 0);
    assert_eq!(column_type(&db, "tenant_0001"), "bigint");
    assert_eq!(run["tenants"][0]["to"], 20_261_123_101_500_i64);
    assert_eq!(fleet.json(&["plan"], 0)["totals"]["up_to_date"], 1);
}

#[test]
fn a_new_history_is_as_the_config_says() {
    let db = TestDatabase::create(Server::A);
    tenants(&db, 1);
    let fleet = TestFleet::new(&db)
        .set("migrations.history_version", "int8")
        .probe_migrations(1..=1);
    fleet.json(&["migrate"], 0);
    assert_eq!(column_type(&db, "tenant_0001"), "bigint");
}

/// Two tenants, the first migrated with a history of this width, the second new.
fn one_migrated(width: &str) -> (TestDatabase, TestFleet) {
    let db = TestDatabase::create(Server::A);
    tenants(&db, 2);
    let fleet = TestFleet::new(&db)
        .set("migrations.history_version", width)
        .probe_migrations(1..=1);
    fleet.json(&["migrate", "--tenant", "tenant_0001"], 0);
    (db, fleet.set("migrations.history_version", "auto"))
}

/// Two new tenants and three migrations, of which the last fails.
fn third_fails() -> (TestDatabase, Vec<String>, TestFleet) {
    let db = TestDatabase::create(Server::A);
    let schemas = tenants(&db, 2);
    let fleet = TestFleet::new(&db)
        .probe_migrations(1..=2)
        .migration("V3__bad", "INSERT INTO probe VALUES (3);\nSELECT 1/0;\n");
    (db, schemas, fleet)
}

fn column_type(db: &TestDatabase, schema: &str) -> String {
    db.query_one(&format!(
        "SELECT format_type(atttypid, NULL) FROM pg_attribute
         WHERE attrelid = '{schema}.refinery_schema_history'::regclass AND attname = 'version'"
    ))
}
