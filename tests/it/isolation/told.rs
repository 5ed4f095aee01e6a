//! How it is said: counts first, one cause once, what was not looked at, and nothing written.

use std::time::Duration;

use crate::support::{Server, TestDatabase, TestFleet, assert_says, assert_untouched, tenants};

use super::Guarded;

#[test]
fn each_finding_is_a_line_that_a_person_can_act_on() {
    let guarded = Guarded::new(&["acme", "globex", "initech"]);
    guarded.execute("CREATE VIEW acme.v AS SELECT id FROM globex.customers");
    let run = guarded.fleet.fleet(&["verify", "--isolation"]);
    run.assert_code(7)
        .assert_stdout_has("✗ 2 of 3 tenants are not isolated: 1 finding with 1 cause")
        .assert_stdout_has("✗ main/acme → main/globex: view acme.v reads table globex.customers")
        .assert_stdout_has("DROP VIEW acme.v");

    // who is asked about decides
    for (tenant, code) in [("acme", 7), ("globex", 7), ("initech", 0)] {
        guarded
            .fleet
            .fleet(&["verify", "--isolation", "--tenant", tenant])
            .assert_code(code);
    }
}

#[test]
fn one_cause_in_many_tenants_is_one_line() {
    let names: Vec<String> = (1..=30).map(|n| format!("t{n:02}")).collect();
    let names: Vec<&str> = names.iter().map(String::as_str).collect();
    let guarded = Guarded::new(&names);
    for name in &names[1..] {
        guarded.execute(&format!(
            "GRANT USAGE ON SCHEMA {name} TO PUBLIC;
             ALTER TABLE {name}.orders ADD FOREIGN KEY (id) REFERENCES t01.orders"
        ));
    }
    let run = guarded.fleet.fleet(&["verify", "--isolation"]);
    run.assert_code(7)
        .assert_stdout_has("✗ 30 of 30 tenants are not isolated: 58 findings with 2 causes")
        .assert_stdout_has(
            "✗ everyone (PUBLIC) → 29 tenants: USAGE on the schema granted to PUBLIC",
        )
        .assert_stdout_has("✗ 29 tenants → main/t01: table constraint");
    assert!(run.stdout.lines().count() < 20, "{run}");
    let all = guarded.fleet.fleet(&["-v", "verify", "--isolation"]);
    all.assert_code(7).assert_stdout_has("main/t30");
}

#[test]
fn what_there_are_no_roles_for_is_said_and_what_everybody_may_do_is_no_finding_then() {
    let db = TestDatabase::create(Server::A);
    tenants(&db, 2);
    db.execute("GRANT USAGE ON SCHEMA tenant_0001 TO PUBLIC");
    let fleet = TestFleet::new(&db);
    let document = fleet.json(&["verify", "--isolation"], 0);
    assert_says(
        &document["not_looked_at"][0],
        &[
            "no role of the application is configured",
            "roles.applications",
        ],
    );
    assert_says(
        &document["not_looked_at"][1],
        &["2 of 2 tenants", "{schema}_owner", "roles.tenant"],
    );
    assert_untouched(&db);
    // objects are looked at all the same
    db.execute(
        "CREATE TABLE tenant_0001.t (id int);
         CREATE VIEW tenant_0002.v AS SELECT * FROM tenant_0001.t",
    );
    let document = fleet.json(&["verify", "--isolation"], 7);
    assert_eq!(document["reaches"][0]["kind"], "view");
}

#[test]
fn a_role_of_the_application_that_does_not_exist_proves_nothing() {
    let db = TestDatabase::create(Server::A);
    tenants(&db, 2);
    for role in ["no_such_role", "no_such_role_{schema}"] {
        let fleet = TestFleet::new(&db).set("roles", serde_json::json!({ "applications": [role] }));
        let document = fleet.json(&["verify", "--isolation"], 7);
        assert_eq!(document["isolated"], false);
        assert_says(&document["faults"][0], &[role, "roles.applications"]);
        fleet
            .fleet(&["verify", "--isolation"])
            .assert_code(7)
            .assert_stdout_has(role);
    }
}

#[test]
fn a_role_that_may_only_connect_sees_all_of_it() {
    let guarded = Guarded::new(&["acme", "globex"]);
    guarded.execute(
        "CREATE ROLE P_auditor LOGIN; CREATE VIEW acme.v AS SELECT id FROM globex.customers;
         GRANT SELECT ON globex.orders TO P_acme_app",
    );
    let url = guarded
        .db()
        .url()
        .replace("//postgres@", &format!("//{}_auditor@", guarded.prefix));
    let fleet = TestFleet::without_database()
        .database_url("main", &url)
        .config(|yaml| {
            yaml["databases"][0]["tenants"] = serde_json::json!({ "list": ["acme", "globex"] });
            yaml["roles"] =
                serde_json::json!({ "tenant": format!("{}_{{schema}}_app", guarded.prefix) });
        });
    let document = fleet.json(&["verify", "--isolation"], 7);
    assert_eq!(document["totals"]["reaches"], 2);
}

#[test]
fn three_hundred_tenants_take_a_moment() {
    let db = TestDatabase::create(Server::A);
    for schema in tenants(&db, 300) {
        db.execute(&format!(
            "CREATE TABLE {schema}.a (id serial PRIMARY KEY); CREATE TABLE {schema}.b (id int REFERENCES {schema}.a);
             CREATE VIEW {schema}.v AS SELECT a.id FROM {schema}.a JOIN {schema}.b USING (id);
             CREATE FUNCTION {schema}.f() RETURNS bigint LANGUAGE sql AS 'SELECT count(*) FROM {schema}.a'"
        ));
    }
    db.execute("CREATE VIEW tenant_0300.w AS SELECT id FROM tenant_0001.a");
    let run = TestFleet::new(&db).fleet(&["verify", "--isolation"]);
    run.assert_code(7)
        .assert_stdout_has("main/tenant_0300 → main/tenant_0001");
    assert!(run.elapsed < Duration::from_secs(20), "{:?}", run.elapsed);
}
