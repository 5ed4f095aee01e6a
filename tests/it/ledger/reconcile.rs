//! The ledger is rebuilt from the histories, and a disagreement is told.

use serde_json::json;

use super::one_of_three_fails;
use crate::support::{Server, TestDatabase, TestFleet, tenants};

#[test]
fn a_tenant_that_was_restored_to_an_older_state_is_reported_once() {
    let (db, fleet) = two_versions();
    db.execute("DELETE FROM tenant_0002.refinery_schema_history WHERE version = 2");
    let found = fleet.json(&["reconcile"], 0);
    assert_eq!(
        found,
        json!({
            "tenants": 3,
            "disagreements": [{ "database": "main", "schema": "tenant_0002", "ledger": 2, "history": 1, "gone": false }],
            "unreadable": [],
        })
    );
    let again = fleet.json(&["reconcile"], 0);
    assert_eq!(again["disagreements"], json!([]));
}

#[test]
fn a_tenant_that_is_gone_is_reported_once() {
    let (db, fleet) = two_versions();
    db.execute("DROP SCHEMA tenant_0003 CASCADE");
    let found = fleet.json(&["reconcile"], 0);
    assert_eq!(found["tenants"], 2);
    assert_eq!(
        found["disagreements"],
        json!([{ "database": "main", "schema": "tenant_0003", "ledger": 2, "history": null, "gone": true }])
    );
    let again = fleet.json(&["reconcile"], 0);
    assert_eq!(again["disagreements"], json!([]));
}

#[test]
fn tenants_that_were_not_selected_are_not_taken_for_gone() {
    let (_db, fleet) = two_versions();
    let found = fleet.json(&["reconcile", "--tenant", "tenant_0001"], 0);
    assert_eq!(found["tenants"], 1);
    assert_eq!(found["disagreements"], json!([]));
}

#[test]
fn a_history_that_cannot_be_read_is_not_taken_for_gone() {
    let (db, fleet) = two_versions();
    db.execute("UPDATE tenant_0002.refinery_schema_history SET checksum = 'x' WHERE version = 2");
    for _ in 0..2 {
        let found = fleet.json(&["reconcile"], 4);
        assert_eq!(found["disagreements"], json!([]));
        assert_eq!(found["unreadable"][0]["schema"], "tenant_0002");
    }
    db.execute("UPDATE tenant_0002.refinery_schema_history SET checksum = (SELECT checksum FROM tenant_0001.refinery_schema_history WHERE version = 2) WHERE version = 2");
    let known: i64 = db.query_one(
        "SELECT count(*) FROM fleet_control.tenants WHERE schema = 'tenant_0002' AND version = 2",
    );
    assert_eq!(known, 1, "the ledger still knows it");
}

#[test]
fn a_dropped_ledger_is_rebuilt() {
    let (db, fleet) = two_versions();
    let known = "SELECT string_agg(schema || ' ' || version, ', ' ORDER BY schema) FROM fleet_control.tenants";
    let before: String = db.query_one(known);
    db.execute("DROP SCHEMA fleet_control CASCADE");
    let found = fleet.json(&["reconcile"], 0);
    assert_eq!(found["tenants"], 3);
    assert_eq!(db.query_one::<String>(known), before);
}

#[test]
fn a_tenant_that_was_restored_is_migrated_again_though_the_ledger_says_otherwise() {
    let (db, fleet) = two_versions();
    db.execute("DELETE FROM tenant_0002.refinery_schema_history WHERE version = 2; DROP TABLE tenant_0002.t2");
    let run = fleet.json(&["migrate"], 0);
    assert_eq!(run["totals"]["succeeded"], 1);
    assert_eq!(fleet.json(&["reconcile"], 0)["disagreements"], json!([]));
}

#[test]
fn people_are_told_in_words() {
    let (db, fleet) = two_versions();
    db.execute("DELETE FROM tenant_0002.refinery_schema_history; DROP SCHEMA tenant_0003 CASCADE");
    let run = fleet.fleet(&["reconcile"]);
    run.assert_code(0)
        .assert_stdout_has("main/tenant_0002: the ledger said V2, the history says no version")
        .assert_stdout_has(
            "main/tenant_0003: the ledger said V2, the config finds no such tenant any more",
        );
}

#[test]
fn after_a_failed_run_ledger_and_histories_agree() {
    let (_db, fleet) = one_of_three_fails();
    fleet.json(&["migrate"], 4);
    assert_eq!(fleet.json(&["reconcile"], 0)["disagreements"], json!([]));
}

/// Three tenants at V2 of two migrations.
fn two_versions() -> (TestDatabase, TestFleet) {
    let db = TestDatabase::create(Server::A);
    tenants(&db, 3);
    let fleet = TestFleet::new(&db).probe_migrations(1..=2);
    fleet.json(&["migrate"], 0);
    (db, fleet)
}
