//! Tenants that change while they are looked at: a version and a shape of different moments accuse nobody.

use super::{SHOP, differences, fleet_of, list};
use crate::support::{Message, Proxy, Session, TestDatabase, TestFleet, assert_says, wait_until};

/// What a migration does and notes, as fleet and refinery do it: in one transaction.
fn migrate(schema: &str, version: i64) -> String {
    format!(
        "ALTER TABLE {schema}.customers ADD COLUMN c{version} text;
         INSERT INTO {schema}.refinery_schema_history (version, name, applied_on, checksum)
           SELECT {version}, 'more', applied_on, checksum FROM {schema}.refinery_schema_history ORDER BY version LIMIT 1"
    )
}

/// Verifies while a transaction is open that changes a tenant, and commits when its shape waits for that.
fn verify_across(
    db: &TestDatabase,
    fleet: &TestFleet,
    opening: &str,
    ending: &str,
) -> serde_json::Value {
    let session = db.connect();
    let pid = session.pid();
    session.execute(&format!("BEGIN; {opening}"));
    let child = fleet.spawn(&["--output", "json", "verify"]);
    let waiting = format!(
        "SELECT count(*) FROM pg_locks WHERE NOT granted AND {pid} = ANY (pg_blocking_pids(pid))"
    );
    wait_until("the shape waits for the migration", || {
        db.query_one::<i64>(&waiting) > 0
    });
    session.execute(&format!("{ending}; COMMIT"));
    let run = child.wait();
    run.assert_code(0);
    run.json()
}

fn versions(document: &serde_json::Value) -> Vec<(i64, u64)> {
    let versions = list(document, "versions").iter();
    versions
        .map(|row| {
            let number = |key: &str| row[key].as_u64().expect("a number");
            (
                row["version"].as_i64().expect("a number"),
                number("tenants"),
            )
        })
        .collect()
}

#[test]
fn a_tenant_that_is_migrated_meanwhile_is_compared_at_its_new_version() {
    let (db, _, fleet) = fleet_of(5);
    let migration = migrate("tenant_0003", 2);
    let (effect, note) = migration.split_once(';').unwrap();
    let document = verify_across(&db, &fleet, effect, note);
    assert_eq!(versions(&document), [(1, 4), (2, 1)]);
}

#[test]
fn a_tenant_that_is_made_anew_meanwhile_is_read_anew() {
    let (db, _, fleet) = fleet_of(5);
    let lock = "LOCK TABLE tenant_0003.customers IN ACCESS EXCLUSIVE MODE";
    // the same name and the same history, and not the schema that was begun to be read
    let anew = format!(
        "DROP SCHEMA tenant_0003 CASCADE; CREATE SCHEMA tenant_0003; SET LOCAL search_path TO tenant_0003;
         CREATE TABLE refinery_schema_history (LIKE tenant_0001.refinery_schema_history INCLUDING ALL);
         INSERT INTO refinery_schema_history SELECT * FROM tenant_0001.refinery_schema_history; {SHOP}"
    );
    let document = verify_across(&db, &fleet, lock, &anew);
    assert_eq!(versions(&document), [(1, 5)]);
}

#[test]
fn who_is_migrated_again_and_again_is_named_and_not_accused() {
    let (db, schemas, fleet) = fleet_of(4);
    let proxy = Proxy::start(&db.url());
    let fleet = fleet.config(|config| {
        config["databases"][0]["url"] = proxy.url(db.name()).into();
    });
    let session = Session::connect(&db.url());
    let mut version = 1;
    // whenever shapes are read the first tenant takes one step more
    let mut step = move |message: &Message| {
        if message.text().contains("force_generic_plan") {
            version += 1;
            session.execute(&format!("BEGIN; {}; COMMIT", migrate(&schemas[0], version)));
        }
        false
    };
    proxy.cut_before(move |message| step(message));
    let document = fleet.json(&["verify"], 7);
    assert_eq!(differences(&document), [""; 0]);
    assert_eq!(versions(&document), [(1, 3)]);
    let apart = list(&document, "not_compared");
    assert_eq!(apart.len(), 1);
    assert_eq!(apart[0]["schema"], "tenant_0001");
    assert_eq!(apart[0]["is_finding"], true);
    assert_says(&apart[0]["reason"], &["while it was looked at", "again"]);
}
