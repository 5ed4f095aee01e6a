//! Tenants that came to one schema in different ways are equal.

use super::SHOP;
use crate::support::{Server, TestDatabase, TestFleet, tenants};

const MORE: &str = "ALTER TABLE customers ADD COLUMN phone text, DROP COLUMN balance;\nCREATE INDEX customers_phone ON customers (phone);\n";
const LAST: &str = "ALTER TABLE orders ADD COLUMN note text DEFAULT 'none' NOT NULL;\n";

/// A body that names its own schema, as a migration with `format()` makes it, and a host that is called like a tenant.
const OWN_NAME: &str = "
    DO $$ BEGIN
      EXECUTE format('CREATE FUNCTION own() RETURNS bigint LANGUAGE plpgsql SET search_path TO %I AS
        $b$ BEGIN PERFORM ''https://api.example.com/x''; RETURN (SELECT count(*) FROM %I.customers); END $b$',
        current_schema(), current_schema());
    END $$;
    ALTER TABLE customers ADD COLUMN home text DEFAULT 'https://api.example.com/x';
    CREATE VIEW hosts AS SELECT id, 'api.example.com'::text AS host, state FROM customers;
    ";

#[test]
fn the_way_to_a_schema_makes_no_difference() {
    let db = TestDatabase::create(Server::A);
    let schemas = tenants(&db, 6);
    let fleet = TestFleet::new(&db).migration("V1__shop", SHOP);
    // step by step, the others in one go
    fleet
        .fleet(&["migrate", "--tenant", "*_0001"])
        .assert_code(0);
    fleet.write_migration("V2__more", MORE);
    fleet
        .fleet(&["migrate", "--tenant", "*_000[12]"])
        .assert_code(0);
    // failed, and again
    fleet.write_migration("V3__last", LAST);
    db.execute("CREATE SCHEMA aside");
    fleet
        .fleet(&["migrate", "--tenant", "*_0003", "--to", "2"])
        .assert_code(0);
    db.execute("ALTER TABLE tenant_0003.orders ADD COLUMN note text");
    fleet
        .fleet(&["migrate", "--tenant", "*_0003"])
        .assert_code(4);
    db.execute("ALTER TABLE tenant_0003.orders DROP COLUMN note");
    fleet.fleet(&["migrate"]).assert_code(0);
    // with rows, and whatever keeps a table tidy
    db.execute(
        "INSERT INTO tenant_0004.customers (name) SELECT 'n' || i FROM generate_series(1, 1000) i;
         INSERT INTO tenant_0004.orders (customer, total) SELECT id, 1 FROM tenant_0004.customers;
         SELECT nextval('tenant_0004.tickets');
         DELETE FROM tenant_0004.customers WHERE id > 1000",
    );
    db.execute("VACUUM FULL tenant_0004.customers");
    db.execute("ANALYZE tenant_0004.orders");
    db.execute("REINDEX TABLE tenant_0004.orders");
    db.execute("CLUSTER tenant_0004.orders USING orders_customer");
    // something by hand that is gone again
    db.execute("ALTER TABLE tenant_0005.customers ADD COLUMN x int; ALTER TABLE tenant_0005.customers DROP COLUMN x");
    db.execute("COMMENT ON SCHEMA tenant_0006 IS 'the sixth'; ALTER TABLE tenant_0006.orders OWNER TO CURRENT_USER");
    let document = fleet.json(&["verify"], 0);
    assert_eq!(document["totals"]["compared"], schemas.len());
}

#[test]
fn the_name_of_a_tenant_makes_no_difference() {
    let db = TestDatabase::create(Server::A);
    let names = [
        "acme",
        "api",
        "Upper",
        "we.ird",
        "q\"uote",
        "ap'os",
        "a$b",
        "ünï",
        "select",
        "sp ace",
        "back\\slash",
        "customers",
        "id",
        "a",
        "https",
        "state",
    ];
    for name in names {
        db.execute(&format!("CREATE SCHEMA \"{}\"", name.replace('"', "\"\"")));
    }
    db.execute(&format!("CREATE SCHEMA {}", "x".repeat(63)));
    let fleet = TestFleet::new(&db)
        .config(|config| {
            config["databases"][0]["tenants"] =
                serde_json::from_str(r#"{"schemas": ["*"]}"#).unwrap();
        })
        .set("verify.grants", "true")
        .migration("V1__shop", SHOP)
        .migration("V2__own_name", OWN_NAME);
    fleet.fleet(&["migrate"]).assert_code(0);
    let document = fleet.json(&["verify"], 0);
    assert_eq!(document["totals"]["compared"], names.len() + 1);
    assert_eq!(
        document["versions"][0]["shapes"].as_array().unwrap().len(),
        1
    );
}

#[test]
fn a_tenant_in_another_database_is_equal_too() {
    let (one, other) = (
        TestDatabase::create(Server::A),
        TestDatabase::create(Server::B),
    );
    tenants(&one, 2);
    tenants(&other, 1);
    let fleet = TestFleet::without_database()
        .database("one", &one)
        .database("other", &other)
        .migration("V1__shop", SHOP);
    fleet.fleet(&["migrate"]).assert_code(0);
    fleet
        .fleet(&["verify"])
        .assert_code(0)
        .assert_stdout_has("V1: 1 shape: 3\n");
    other.execute("DROP FUNCTION tenant_0001.total_of");
    let run = fleet.fleet(&["verify"]);
    run.assert_code(7);
    run.assert_stdout_has("other/tenant_0001\n    - missing: function total_of(bigint)");
    fleet.fleet(&["verify", "--database", "one"]).assert_code(0);
}

/// Constants whose text depends on settings.
const CONSTANTS: &str = "
    CREATE TABLE settings (id int, at timestamptz DEFAULT '2020-02-01 12:00:00+00', span interval DEFAULT '1 day 2 hours',
      bytes bytea DEFAULT '\\x00ff', part float8 DEFAULT 0.1::float8 + 0.2::float8, price money DEFAULT 12.5::numeric::money,
      day date DEFAULT '2020-02-01');
    CREATE TABLE parts (at timestamptz) PARTITION BY RANGE (at);
    CREATE TABLE part PARTITION OF parts FOR VALUES FROM ('2020-01-01 00:00:00+00') TO ('2021-01-01 00:00:00+00');
    CREATE VIEW late AS SELECT id FROM settings WHERE at > '2020-02-01 12:00:00+00'::timestamptz;
    ";

#[test]
fn the_settings_of_a_database_make_no_difference() {
    let (one, other) = (
        TestDatabase::create(Server::A),
        TestDatabase::create(Server::A),
    );
    tenants(&one, 2);
    tenants(&other, 2);
    for setting in [
        "timezone = 'Asia/Tokyo'",
        "datestyle = 'German, DMY'",
        "intervalstyle = 'iso_8601'",
        "bytea_output = 'escape'",
        "extra_float_digits = 0",
        "quote_all_identifiers = on",
    ] {
        other.execute(&format!("ALTER DATABASE {} SET {setting}", other.name()));
    }
    let fleet = TestFleet::without_database()
        .database("one", &one)
        .database("other", &other)
        .migration("V1__constants", CONSTANTS);
    fleet.fleet(&["migrate"]).assert_code(0);
    let document = fleet.json(&["verify"], 0);
    assert_eq!(document["totals"]["compared"], 4);
}

#[test]
fn the_order_in_which_options_and_columns_are_written_makes_no_difference() {
    let db = TestDatabase::create(Server::A);
    tenants(&db, 3);
    let fleet = TestFleet::new(&db).migration(
        "V1__points",
        "CREATE TABLE points (id int, p point, a int, b int);
         CREATE INDEX points_p ON points USING gist (p) WITH (buffering = on, fillfactor = 70) WHERE id > 0;
         ALTER TABLE points SET (autovacuum_enabled = off, fillfactor = 70);
         CREATE STATISTICS st (ndistinct) ON a, b FROM points;",
    );
    fleet.fleet(&["migrate"]).assert_code(0);
    let by_hand = "DROP TABLE points; CREATE TABLE points (id int, p point, b int, a int);
         CREATE INDEX points_p ON points USING gist (p) WITH (fillfactor = 70, buffering = on) WHERE id > 0;
         ALTER TABLE points SET (fillfactor = 70, autovacuum_enabled = false);
         CREATE STATISTICS st (ndistinct) ON b, a FROM points";
    db.execute(&format!("SET search_path = tenant_0002; {by_hand}"));
    fleet.json(&["verify"], 0);
    db.execute("ALTER INDEX points_p SET (fillfactor = 80)");
    let run = fleet.fleet(&["verify"]);
    run.assert_code(7);
    run.assert_stdout_has("(buffering='on', fillfactor='80') WHERE");
}
