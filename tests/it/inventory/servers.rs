//! Several databases: on two servers, or one that is reached in two ways.

use crate::support::{
    Server, TestDatabase, TestFleet, assert_applied_exactly_once, assert_nothing_left,
    assert_untouched, tenants,
};

/// F40: the same names on two servers are two tenants each.
#[test]
fn two_servers_are_migrated_in_one_run_and_one_bad_tenant_each_stops_nobody() {
    let (a, b) = (
        TestDatabase::create(Server::A),
        TestDatabase::create(Server::B),
    );
    let schemas = tenants(&a, 5);
    tenants(&b, 5);
    let fleet = TestFleet::new(&a)
        .database("second", &b)
        .probe_migrations(1..=2);
    fleet.json(&["migrate", "--to", "1"], 0);
    a.execute("CREATE TABLE tenant_0002.t2 ()");
    b.execute("CREATE TABLE tenant_0004.t2 ()");

    let run = fleet.json(&["migrate"], 4);

    assert_eq!(run["totals"]["succeeded"], 8);
    assert_eq!(run["totals"]["failed"], 2);
    assert_eq!(run["failures"][0]["sqlstate"], "42P07");
    assert_eq!(
        run["failures"][0]["tenants"],
        serde_json::json!(["main/tenant_0002", "second/tenant_0004"])
    );
    for (db, bad) in [(&a, 1), (&b, 3)] {
        let (failed, fine): (Vec<_>, Vec<_>) = schemas
            .iter()
            .enumerate()
            .partition(|(index, _)| *index == bad);
        let names = |chosen: Vec<(usize, &String)>| -> Vec<String> {
            chosen.into_iter().map(|(_, name)| name.clone()).collect()
        };
        assert_applied_exactly_once(db, &names(failed), &[1]);
        assert_applied_exactly_once(db, &names(fine), &[1, 2]);
        assert_nothing_left(db);
    }
}

#[test]
fn a_database_is_selected_by_its_name() {
    let (a, b) = (
        TestDatabase::create(Server::A),
        TestDatabase::create(Server::B),
    );
    let schemas = tenants(&a, 2);
    tenants(&b, 2);
    let fleet = TestFleet::new(&a)
        .database("second", &b)
        .probe_migrations(1..=1);
    let run = fleet.json(&["migrate", "--database", "second"], 0);
    assert_eq!(run["totals"]["tenants"], 2);
    assert_applied_exactly_once(&a, &schemas, &[]);
    assert_applied_exactly_once(&b, &schemas, &[1]);
}

#[test]
fn the_control_schema_lies_in_the_first_database_and_nowhere_else() {
    let (a, b) = (
        TestDatabase::create(Server::A),
        TestDatabase::create(Server::B),
    );
    tenants(&a, 1);
    tenants(&b, 1);
    let fleet = TestFleet::new(&a)
        .database("second", &b)
        .probe_migrations(1..=1);
    fleet.json(&["migrate"], 0);
    let count = "SELECT count(*) FROM pg_namespace WHERE nspname = 'fleet_control'";
    assert_eq!(a.query_one::<i64>(count), 1);
    assert_eq!(b.query_one::<i64>(count), 0);
}

#[test]
fn the_control_schema_lies_where_the_config_says() {
    let (a, b) = (
        TestDatabase::create(Server::A),
        TestDatabase::create(Server::B),
    );
    tenants(&a, 1);
    let fleet = TestFleet::new(&a)
        .config(|yaml| {
            yaml["control"] = serde_json::json!({ "url": b.url(), "schema": "Fleet's own" });
        })
        .probe_migrations(1..=1);
    fleet.json(&["migrate"], 0);
    assert_eq!(
        b.query_one::<i64>("SELECT count(*) FROM \"Fleet's own\".runs"),
        1
    );
    let schemas: i64 = a.query_one("SELECT count(*) FROM pg_namespace WHERE nspname LIKE '%leet%'");
    assert_eq!(schemas, 0);
}

/// F40: one server under two names.
#[test]
fn one_tenant_reached_by_two_urls_of_one_server_is_refused() {
    let db = TestDatabase::create(Server::A);
    tenants(&db, 2);
    let other_way = db.url().replace("@127.0.0.1:", "@localhost:");
    assert_ne!(other_way, db.url());
    let fleet = TestFleet::new(&db)
        .database_url("again", &other_way)
        .probe_migrations(1..=1);
    let run = fleet.fleet(&["plan"]);
    run.assert_code(3)
        .assert_stderr_has("tenants tenant_0001, tenant_0002")
        .assert_stderr_has("`main` and `again`")
        .assert_stderr_has("the same database");
    fleet.fleet(&["migrate"]).assert_code(3);
    let histories: i64 =
        db.query_one("SELECT count(*) FROM pg_tables WHERE schemaname LIKE 'tenant%'");
    assert_eq!(histories, 0);
}

#[test]
fn one_database_under_two_names_is_fine_where_their_tenants_differ() {
    let db = TestDatabase::create(Server::A);
    let schemas = tenants(&db, 2);
    let fleet = TestFleet::new(&db)
        .database("again", &db)
        .set("databases.0.tenants.schemas", serde_json::json!(["*1"]))
        .set("databases.1.tenants.schemas", serde_json::json!(["*2"]))
        .probe_migrations(1..=1);
    fleet.json(&["migrate"], 0);
    assert_applied_exactly_once(&db, &schemas, &[1]);
}

#[test]
fn a_server_that_is_not_there_stops_the_run_before_anything_is_touched() {
    let db = TestDatabase::create(Server::A);
    tenants(&db, 1);
    let fleet = TestFleet::new(&db)
        .database_url("gone", "postgresql://postgres@127.0.0.1:1/postgres")
        .probe_migrations(1..=1);
    let run = fleet.fleet(&["migrate"]);
    run.assert_code(1).assert_stderr_has("127.0.0.1:1");
    assert_untouched(&db);
}

#[test]
fn a_database_that_does_not_exist_is_refused() {
    let db = TestDatabase::create(Server::A);
    tenants(&db, 1);
    let fleet = TestFleet::new(&db)
        .database_url("typo", &Server::A.database_url("no_such_database"))
        .probe_migrations(1..=1);
    let run = fleet.fleet(&["migrate"]);
    run.assert_code(3).assert_stderr_has("no_such_database");
    assert_untouched(&db);
}
