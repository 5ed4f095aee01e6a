//! `verify --fix-plan`: what it prints makes tenants equal, and destroys nothing.

use std::io::Write as _;
use std::process::{Command, Output, Stdio};

use super::{differences, fleet_of};
use crate::support::TestDatabase;

/// Runs SQL as somebody would who has read it.
pub(super) fn try_psql(db: &TestDatabase, sql: &str) -> Output {
    let mut child = Command::new("psql")
        .args(["-X", "-q", "-d", &db.url(), "-f", "-"])
        .stdin(Stdio::piped())
        .stderr(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .expect("psql");
    let mut pipe = child.stdin.take().expect("a pipe");
    // where it stops at a failure it does not read the rest
    let _ = pipe.write_all(sql.as_bytes());
    drop(pipe);
    child.wait_with_output().expect("psql ends")
}

/// Runs SQL that has to do all its work.
pub(super) fn psql(db: &TestDatabase, sql: &str) {
    let output = try_psql(db, sql);
    let stderr = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{stderr}\n{sql}");
}

#[test]
fn the_plan_makes_tenants_equal() {
    let (db, _, fleet) = fleet_of(3);
    let fleet = fleet
        .set("verify.grants", "true")
        .set("verify.comments", "true");
    db.execute(
        "SET search_path = tenant_0002;
         CREATE OR REPLACE VIEW paid AS SELECT id, name FROM customers;
         CREATE OR REPLACE FUNCTION touch() RETURNS trigger LANGUAGE plpgsql AS 'BEGIN RETURN NULL; END';
         ALTER TABLE customers DISABLE TRIGGER touch;
         ALTER TABLE customers ALTER COLUMN name DROP NOT NULL, ALTER COLUMN balance DROP DEFAULT, DROP COLUMN email;
         DROP INDEX orders_customer;
         ALTER TABLE orders DROP CONSTRAINT orders_customer_fkey, DROP CONSTRAINT orders_total_check;
         ALTER SEQUENCE tickets INCREMENT 7 CYCLE;
         ALTER TABLE orders ENABLE ROW LEVEL SECURITY;
         CREATE POLICY odd ON orders USING (false);
         CREATE VIEW odd AS SELECT 1 AS one;
         GRANT SELECT, UPDATE ON orders TO PUBLIC;
         COMMENT ON TABLE orders IS 'odd'",
    );
    db.execute(
        "SET search_path = tenant_0001; ALTER TYPE state ADD VALUE 'late' BEFORE 'void';
         SET search_path = tenant_0003; ALTER TYPE state ADD VALUE 'late' BEFORE 'void'",
    );
    assert_eq!(
        differences(&fleet.fleet(&["verify", "-o", "json"]).json()).len(),
        16
    );
    let plan = fleet.fleet(&["verify", "--fix-plan"]);
    plan.assert_code(7);
    plan.assert_stdout_has("SET search_path = \"tenant_0002\";\n");
    plan.assert_stdout_has("CREATE INDEX CONCURRENTLY orders_customer ");
    plan.assert_stdout_has("ADD VALUE 'late' BEFORE 'void';");
    psql(&db, &plan.stdout);
    let document = fleet.fleet(&["verify", "-o", "json"]).json();
    assert_eq!(differences(&document), [""; 0]);
    fleet.json(&["verify"], 0);
}

#[test]
fn an_invalid_index_is_built_anew() {
    let (db, schemas, fleet) = fleet_of(3);
    db.execute("INSERT INTO tenant_0002.customers (name) VALUES ('a'), ('a')");
    for schema in &schemas {
        let built = db.try_execute(&format!(
            "CREATE UNIQUE INDEX CONCURRENTLY customers_name ON {schema}.customers (name)"
        ));
        assert_eq!(built.is_ok(), schema != "tenant_0002");
    }
    db.execute("DELETE FROM tenant_0002.customers");
    let plan = fleet.fleet(&["verify", "--fix-plan"]);
    plan.assert_stdout_has("REINDEX INDEX CONCURRENTLY \"tenant_0002\".customers_name;\n");
    psql(&db, &plan.stdout);
    fleet.json(&["verify"], 0);
}

#[test]
fn nothing_that_holds_data_is_destroyed() {
    let (db, _, fleet) = fleet_of(3);
    db.execute(
        "SET search_path = tenant_0002; ALTER TABLE customers ADD COLUMN vip text; CREATE TABLE notes (id int);
         ALTER TABLE orders ALTER COLUMN total TYPE int; CREATE TYPE own AS ENUM ('a')",
    );
    let plan = fleet.fleet(&["verify", "--fix-plan"]);
    plan.assert_stdout_has("-- not done: what is in the column would be lost\n-- ALTER TABLE \"tenant_0002\".customers DROP COLUMN vip;\n");
    plan.assert_stdout_has(
        "-- not done: its rows would be lost\n-- DROP TABLE \"tenant_0002\".notes;\n",
    );
    plan.assert_stdout_has("-- not done: values may not fit");
    psql(&db, &plan.stdout);
    let left: i64 = db.query_one(
        "SELECT count(*) FROM pg_class WHERE relnamespace = 'tenant_0002'::regnamespace AND relname = 'notes'",
    );
    assert_eq!(left, 1);
}
