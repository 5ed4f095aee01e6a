//! `fleet verify`: which tenants are equal, in what the others differ, and that nobody is accused who is equal.

mod equal;
mod fixes;
mod kinds;
mod meanwhile;
mod own_name;
mod plans;
mod reference;
mod selected;

use serde_json::Value;

use crate::support::{Server, TestDatabase, TestFleet, assert_says, tenants};

/// A list of a document.
fn list<'a>(value: &'a Value, key: &str) -> &'a [Value] {
    value[key].as_array().expect("a list")
}

/// All differences of the tenants that are not as they ought to be: `tenant: change kind name`.
fn differences(document: &Value) -> Vec<String> {
    let text = |value: &Value| value.as_str().expect("a text").to_owned();
    let shapes = list(document, "versions")
        .iter()
        .flat_map(|version| list(version, "shapes"));
    let mut found = Vec::new();
    for shape in shapes {
        for difference in list(shape, "differences") {
            let what = ["change", "kind", "name"]
                .map(|key| text(&difference[key]))
                .join(" ");
            let tenants = list(shape, "tenants").iter();
            found.extend(tenants.map(|tenant| format!("{}: {what}", text(tenant))));
        }
    }
    found.sort();
    found
}

/// Tenants with a table, an enum, a view and a function, at V1.
fn fleet_of(number: usize) -> (TestDatabase, Vec<String>, TestFleet) {
    let db = TestDatabase::create(Server::A);
    let schemas = tenants(&db, number);
    let fleet = TestFleet::new(&db).migration("V1__shop", SHOP);
    fleet.fleet(&["migrate"]).assert_code(0);
    (db, schemas, fleet)
}

const SHOP: &str = "
    CREATE TYPE state AS ENUM ('new', 'paid', 'void');
    CREATE TABLE customers (id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY, email text, name text NOT NULL,
      state state NOT NULL DEFAULT 'new', balance numeric(12, 2) DEFAULT 0);
    CREATE TABLE orders (id serial PRIMARY KEY, customer bigint REFERENCES customers (id), total numeric CHECK (total > 0));
    CREATE INDEX orders_customer ON orders (customer);
    CREATE VIEW paid AS SELECT id, name FROM customers WHERE state = 'paid';
    CREATE FUNCTION total_of(customer bigint) RETURNS numeric LANGUAGE sql STABLE
      AS $$SELECT sum(total) FROM orders o WHERE o.customer = total_of.customer$$;
    CREATE FUNCTION touch() RETURNS trigger LANGUAGE plpgsql AS $$BEGIN NEW.name := trim(NEW.name); RETURN NEW; END$$;
    CREATE TRIGGER touch BEFORE UPDATE ON customers FOR EACH ROW EXECUTE FUNCTION touch();
    CREATE SEQUENCE tickets;
    ";

#[test]
fn tenants_of_one_set_have_one_shape() {
    let (_db, _, fleet) = fleet_of(5);
    let run = fleet.fleet(&["verify"]);
    run.assert_code(0);
    run.assert_stdout_has("V1: 1 shape: 5\n");
    run.assert_stdout_has("5 tenants compared: those of a version are equal\n");
    let document = fleet.json(&["verify"], 0);
    assert_eq!(document["outcome"], "equal");
    assert_eq!(document["totals"]["compared"], 5);
    fleet.fleet(&["verify", "-q"]).assert_code(0);
}

#[test]
fn a_column_made_by_hand_in_one_of_300_tenants_is_found() {
    let (db, _, fleet) = fleet_of(300);
    db.execute("ALTER TABLE tenant_0217.customers ADD COLUMN vip boolean NOT NULL DEFAULT false");
    let document = fleet.json(&["verify"], 7);
    assert_eq!(
        differences(&document),
        ["main/tenant_0217: additional column customers.vip"]
    );
    let run = fleet.fleet(&["verify"]);
    run.assert_stdout_has("V1: 2 shapes: 299 / 1\n");
    run.assert_stdout_has("1 tenant differs from the majority: main/tenant_0217\n");
    run.assert_stdout_has("+ additional: column customers.vip  boolean default false not null\n");
    db.execute("ALTER TABLE tenant_0217.customers DROP COLUMN vip");
    fleet.json(&["verify"], 0);
}

/// F36: a look-up in the catalogue that sees another tenant, exits with 0 everywhere, and does its work once.
#[test]
fn a_do_block_that_finds_the_first_tenant_s_constraint_is_found() {
    let (_db, _, fleet) = fleet_of(3);
    // what comes first would refuse the file
    let fleet = fleet.set("lint.isolation", "off");
    fleet.write_migration(
        "V2__positive",
        "DO $$ BEGIN
           IF NOT EXISTS (SELECT FROM pg_constraint WHERE conname = 'positive_balance') THEN
             ALTER TABLE customers ADD CONSTRAINT positive_balance CHECK (balance >= 0);
           END IF;
         END $$;\n",
    );
    fleet
        .fleet(&["migrate", "--concurrency", "1", "--tenant", "*1"])
        .assert_code(0);
    fleet.fleet(&["migrate"]).assert_code(0);
    let document = fleet.json(&["verify"], 7);
    assert_eq!(
        differences(&document),
        ["main/tenant_0001: additional constraint positive_balance"]
    );
    fleet.fleet(&["verify"]).assert_stdout_has(
        "constraint positive_balance on customers  CHECK (balance >= 0::numeric)",
    );
}

#[test]
fn an_enum_in_another_order_is_shown_with_both_orders() {
    let (db, _, fleet) = fleet_of(3);
    db.execute(
        "ALTER TYPE tenant_0002.state ADD VALUE 'late' AFTER 'new';
         ",
    );
    db.execute("ALTER TYPE tenant_0001.state ADD VALUE 'late'");
    db.execute("ALTER TYPE tenant_0003.state ADD VALUE 'late'");
    let run = fleet.fleet(&["verify"]);
    run.assert_code(7);
    run.assert_stdout_has(
        "  1 tenant differs from the majority: main/tenant_0002\n    ~ different: enum state\n        \
         expected: ('new', 'paid', 'void', 'late')\n        found:    ('new', 'late', 'paid', 'void')\n",
    );
}

#[test]
fn what_differs_can_be_seen_in_line_ends_and_mappings() {
    let (db, schemas, fleet) = fleet_of(3);
    for schema in &schemas {
        db.execute(&format!(
            "CREATE TEXT SEARCH CONFIGURATION {schema}.tsc (COPY = pg_catalog.english)"
        ));
    }
    db.execute(
        "SET search_path = tenant_0002; ALTER TEXT SEARCH CONFIGURATION tsc ALTER MAPPING FOR numword WITH english_stem",
    );
    for (schema, end) in [
        ("tenant_0001", ""),
        ("tenant_0002", "\r"),
        ("tenant_0003", ""),
    ] {
        db.execute(&format!(
            "CREATE FUNCTION {schema}.one() RETURNS int LANGUAGE plpgsql AS $$BEGIN{end}\n  RETURN 1;{end}\nEND$$"
        ));
    }
    let run = fleet.fleet(&["verify"]);
    run.assert_code(7);
    run.assert_stdout_has("found:    (the same text, lines end with CR LF");
    run.assert_stdout_has(
        "expected: for numword with simple\n        found:    for numword with english_stem\n",
    );
}

#[test]
fn an_invalid_index_is_a_finding_also_where_all_tenants_have_it() {
    let (db, schemas, fleet) = fleet_of(2);
    for schema in &schemas {
        db.execute(&format!(
            "INSERT INTO {schema}.customers (name) VALUES ('a'), ('a')"
        ));
        let built = db.try_execute(&format!(
            "CREATE UNIQUE INDEX CONCURRENTLY customers_name ON {schema}.customers (name)"
        ));
        assert!(built.is_err(), "the names are not unique");
    }
    let document = fleet.json(&["verify"], 7);
    assert_eq!(differences(&document), [""; 0]);
    let invalid = &document["versions"][0]["invalid_indexes"][0];
    assert_eq!(invalid["index"], "index customers_name on customers");
    assert_eq!(invalid["tenants"].as_array().unwrap().len(), 2);
    let run = fleet.fleet(&["verify"]);
    run.assert_stdout_has("index customers_name on customers is INVALID in 2 tenants: main/tenant_0001, main/tenant_0002");
    run.assert_stdout_has("2 tenants compared: none differs, but 1 index is invalid\n");
}

#[test]
fn tenants_are_compared_within_their_version() {
    let (_db, _, fleet) = fleet_of(4);
    fleet.write_migration("V2__more", "ALTER TABLE customers ADD COLUMN more text;\n");
    fleet.fleet(&["migrate", "--tenant", "*1"]).assert_code(0);
    let run = fleet.fleet(&["verify"]);
    run.assert_code(0);
    run.assert_stdout_has("V1: 1 shape: 3\nV2: 1 shape: 1\n");
}

#[test]
fn without_a_majority_the_largest_group_is_the_measure_and_that_is_said() {
    let (db, _, fleet) = fleet_of(4);
    db.execute("CREATE TABLE tenant_0003.own (id int)");
    db.execute("CREATE TABLE tenant_0004.other (id int)");
    let run = fleet.fleet(&["verify"]);
    run.assert_code(7);
    run.assert_stdout_has("V1: 3 shapes: 2 / 1 / 1\n");
    run.assert_stdout_has(
        "no shape has a majority; compared with that of main/tenant_0001 (2 tenants)",
    );
    let document = fleet.json(&["verify"], 7);
    assert_eq!(document["versions"][0]["compared_with"], "largest");
    assert_eq!(document["versions"][0]["shapes"][0]["is_majority"], false);
}

#[test]
fn who_cannot_be_compared_is_named_with_the_reason() {
    let (db, _, fleet) = fleet_of(2);
    db.execute(
        "CREATE SCHEMA tenant_new; CREATE SCHEMA tenant_old; CREATE TABLE tenant_old.t (id int)",
    );
    let document = fleet.json(&["verify"], 7);
    let reasons: Vec<(&str, bool)> = document["not_compared"]
        .as_array()
        .unwrap()
        .iter()
        .map(|row| {
            (
                row["reason"].as_str().unwrap(),
                row["is_finding"].as_bool().unwrap(),
            )
        })
        .collect();
    assert_eq!(
        reasons,
        [
            ("no migration is applied", true),
            ("it has tables and no history", true)
        ]
    );
    fleet
        .fleet(&["verify"])
        .assert_stdout_has("2 tenants compared: none differs, but 2 tenants could not be compared");
    db.execute("DROP SCHEMA tenant_old CASCADE; DROP SCHEMA tenant_new");
    fleet.json(&["verify"], 0);
}

#[test]
fn a_tenant_that_may_differ_is_left_out() {
    let (db, _, fleet) = fleet_of(3);
    db.execute("DROP VIEW tenant_0003.paid");
    fleet.json(&["verify"], 7);
    let fleet = fleet.config(|config| {
        config["verify"] = serde_json::from_str(r#"{"exclude": ["main/tenant_0003"]}"#).unwrap();
    });
    let document = fleet.json(&["verify"], 0);
    assert_eq!(document["excluded"][0], "main/tenant_0003");
    assert_eq!(document["totals"]["compared"], 2);
}

#[test]
fn a_table_that_somebody_has_locked_holds_up_nobody_else() {
    let (db, _, fleet) = fleet_of(40);
    let lock = db.hold_lock("LOCK TABLE tenant_0007.customers IN ACCESS EXCLUSIVE MODE");
    let document = fleet.json(&["verify"], 7);
    assert_eq!(document["totals"]["compared"], 39);
    let apart = &document["not_compared"][0];
    assert_eq!(apart["schema"], "tenant_0007");
    assert_says(&apart["reason"], &["cannot be read", "lock timeout"]);
    lock.release();
    fleet.json(&["verify"], 0);
}
