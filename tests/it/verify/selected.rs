//! Whom an answer is about, and that no answer is taken for a good one that is none.

use serde_json::json;

use super::{differences, fleet_of, list};
use crate::support::{Proxy, Server, TestDatabase, TestFleet, tenants};

#[test]
fn a_selection_narrows_who_is_told_and_not_with_whom_they_are_compared() {
    let (db, _, fleet) = fleet_of(10);
    db.execute("DROP VIEW tenant_0008.paid");
    let run = fleet.fleet(&["verify", "--tenant", "tenant_0008"]);
    run.assert_code(7);
    run.assert_stdout_has("V1: 2 shapes: 9 / 1; asked for: 1 of 10\n");
    run.assert_stdout_has("1 tenant differs from the majority: main/tenant_0008\n");
    run.assert_stdout_has("1 of 1 tenant compared with 9 others differs\n");
    let document = fleet.json(
        &["verify", "--only", "main/tenant_0008", "main/tenant_0009"],
        7,
    );
    assert_eq!(
        differences(&document),
        ["main/tenant_0008: missing view paid"]
    );
    assert_eq!(
        document["totals"],
        json!({"compared": 2, "others": 8, "differing": 1, "not_compared": 0, "excluded": 0})
    );
    let version = &document["versions"][0];
    assert_eq!(
        (&version["tenants"], &version["others"]),
        (&json!(2), &json!(8))
    );
    let is_majority: Vec<&serde_json::Value> = list(version, "shapes")
        .iter()
        .map(|shape| &shape["is_majority"])
        .collect();
    assert_eq!(is_majority, [true, false]);
    let run = fleet.fleet(&["verify", "--tenant", "tenant_0009"]);
    run.assert_code(0);
    run.assert_stdout_has("1 tenant compared with 9 others: none differs\n");
}

#[test]
fn nobody_is_taken_for_right_where_there_is_no_majority() {
    let (db, _, fleet) = fleet_of(2);
    db.execute("DROP VIEW tenant_0002.paid");
    for tenant in ["tenant_0001", "tenant_0002"] {
        fleet
            .fleet(&["verify", "--tenant", tenant])
            .assert_code(7)
            .assert_stdout_has("1 version has no shape of a majority\n");
    }
}

#[test]
fn what_is_wrong_with_others_is_no_finding() {
    let (db, _, fleet) = fleet_of(4);
    db.execute(
        "CREATE SCHEMA tenant_new; CREATE SCHEMA tenant_old; CREATE TABLE tenant_old.t (id int)",
    );
    let document = fleet.json(&["verify", "--tenant", "tenant_0001"], 0);
    assert_eq!(document["totals"]["not_compared"], 0);
    let fleet = fleet.set("verify.exclude", json!(["main/tenant_0002"]));
    let document = fleet.json(&["verify", "--tenant", "tenant_0001"], 0);
    assert_eq!(document["totals"]["others"], 2);
    assert_eq!(document["totals"]["excluded"], 0);
}

#[test]
fn where_nothing_was_compared_nothing_is_equal() {
    let db = TestDatabase::create(Server::A);
    tenants(&db, 2);
    let fleet = TestFleet::new(&db).migration("V1__bad", "SELECT 1 / 0;\n");
    fleet.fleet(&["migrate"]).assert_code(4);
    let run = fleet.fleet(&["verify"]);
    run.assert_code(7);
    run.assert_stdout_has("not compared (no migration is applied): main/tenant_0001, main/tenant_0002\nnothing was compared\n");
    let document = fleet.json(&["verify"], 7);
    assert_eq!(document["outcome"], "nothing_compared");
    let fleet = fleet.set("verify.exclude", json!(["main/*"]));
    fleet.fleet(&["verify"]).assert_code(7);
}

#[test]
fn a_tenant_that_is_still_to_be_created_is_no_finding() {
    let (_db, schemas, fleet) = fleet_of(2);
    let listed: Vec<&str> = schemas
        .iter()
        .map(String::as_str)
        .chain(["tenant_later"])
        .collect();
    let fleet = fleet.config(|config| {
        config["databases"][0]["tenants"] = json!({"list": listed, "create_missing": true});
    });
    let document = fleet.json(&["verify"], 0);
    assert_eq!(document["totals"]["not_compared"], 1);
    let document = fleet.json(&["verify", "--tenant", "tenant_later"], 7);
    assert_eq!(document["outcome"], "nothing_compared");
}

#[test]
fn a_connection_that_is_lost_is_not_the_end() {
    let (db, _, fleet) = fleet_of(3);
    let proxy = Proxy::start(&db.url());
    let fleet = fleet.config(|config| {
        config["databases"][0]["url"] = proxy.url(db.name()).into();
    });
    proxy.cut_before(|message| message.text().contains("force_generic_plan"));
    let run = fleet.fleet(&["verify"]);
    run.assert_code(0);
    run.assert_stderr_has("trying again");
    assert_eq!(proxy.cuts(), 1);
}
