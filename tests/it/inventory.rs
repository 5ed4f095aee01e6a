//! Which tenants there are: patterns, registry queries, lists, and names that nobody would choose.

mod names;
mod servers;

use serde_json::{Value, json};

use crate::support::{
    Server, TestDatabase, TestFleet, applied, assert_applied_exactly_once, assert_untouched,
    each_tenants, tenant, tenants,
};

#[test]
fn patterns_take_schemas_that_match_and_leave_excluded_ones() {
    let db = TestDatabase::create(Server::A);
    schemas(&db, &["acme", "app_1", "app_2", "app_old", "other"]);
    let fleet = TestFleet::new(&db).set(
        "databases.0.tenants",
        json!({ "schemas": ["app_?", "app_o*", "acme"], "exclude": ["*_old"] }),
    );
    assert_eq!(
        names(&fleet.json(&["tenants"], 0)),
        ["acme", "app_1", "app_2"]
    );
}

#[test]
fn a_pattern_for_everything_spares_public_and_what_is_not_a_tenants() {
    let db = TestDatabase::create(Server::A);
    let schemas = tenants(&db, 2);
    db.execute("CREATE SCHEMA extensions");
    let fleet = TestFleet::new(&db)
        .set("databases.0.tenants.schemas", json!(["*"]))
        .set("databases.0.search_path", json!(["extensions"]))
        .probe_migrations(1..=1);
    fleet.json(&["migrate"], 0);
    assert_eq!(names(&fleet.json(&["tenants"], 0)), schemas);
}

#[test]
fn public_is_a_tenant_where_it_is_written_out() {
    let db = TestDatabase::create(Server::A);
    let fleet = TestFleet::new(&db).set("databases.0.tenants.schemas", json!(["public"]));
    assert_eq!(names(&fleet.json(&["tenants"], 0)), ["public"]);
}

#[test]
fn a_registry_query_gives_tenants_with_labels() {
    let (_db, fleet) = registry();
    let found = fleet.json(&["tenants"], 0);
    assert_eq!(names(&found), ["acme", "globex", "initech"]);
    let acme = tenant(&found, "acme");
    assert_eq!(acme["labels"], json!({ "plan": "gold", "seats": "7" }));
    assert_eq!(acme["exists"], true);
    assert_eq!(
        tenant(&found, "initech")["labels"],
        json!({ "plan": "free" })
    );
}

#[test]
fn labels_select_the_tenants_that_have_all_of_them() {
    let (db, fleet) = registry();
    let run = fleet.json(
        &["migrate", "--label", "plan=gold", "--label", "seats=7"],
        0,
    );
    assert_eq!(names(&run), ["acme"]);
    assert_applied_exactly_once(&db, &["acme".to_owned()], &[1]);
    assert_applied_exactly_once(&db, &["globex".to_owned(), "initech".to_owned()], &[]);
}

#[test]
fn a_label_that_nobody_has_is_an_error() {
    let (db, fleet) = registry();
    let run = fleet.fleet(&["migrate", "--label", "plan=golden"]);
    run.assert_code(2).assert_stderr_has("--label plan=golden");
    assert!(
        applied(&db, &["acme".to_owned()])["acme"]
            .history
            .is_empty()
    );
}

#[test]
fn a_selection_matches_nothing_only_with_an_error() {
    let db = TestDatabase::create(Server::A);
    let schemas = tenants(&db, 2);
    let fleet = TestFleet::new(&db).probe_migrations(1..=1);
    for command in ["plan", "migrate", "status", "tenants"] {
        let run = fleet.fleet(&[command, "--tenant", "tenant_9*"]);
        run.assert_code(2)
            .assert_stderr_has("--tenant tenant_9*")
            .assert_stderr_has("the config finds 2");
    }
    assert_applied_exactly_once(&db, &schemas, &[]);
}

#[test]
fn tenants_are_selected_by_pattern_with_or_without_their_database() {
    let db = TestDatabase::create(Server::A);
    tenants(&db, 3);
    let fleet = TestFleet::new(&db).probe_migrations(1..=1);
    let run = fleet.json(
        &["migrate", "--tenant", "main/tenant_0001", "--tenant", "*3"],
        0,
    );
    assert_eq!(names(&run), ["tenant_0001", "tenant_0003"]);
}

#[test]
fn an_unknown_database_is_refused_with_those_that_there_are() {
    let db = TestDatabase::create(Server::A);
    tenants(&db, 1);
    let fleet = TestFleet::new(&db).probe_migrations(1..=1);
    let run = fleet.fleet(&["migrate", "--database", "mian"]);
    run.assert_code(2)
        .assert_stderr_has("mian")
        .assert_stderr_has("main");
    assert!(
        applied(&db, &["tenant_0001".to_owned()])["tenant_0001"]
            .history
            .is_empty()
    );
}

#[test]
fn patterns_that_match_no_schema_are_refused() {
    let db = TestDatabase::create(Server::A);
    schemas(&db, &["acme"]);
    let fleet = TestFleet::new(&db).probe_migrations(1..=1);
    for command in ["plan", "migrate", "status", "tenants"] {
        let run = fleet.fleet(&[command]);
        run.assert_code(3)
            .assert_stderr_has("no schema matches tenant_*");
    }
    let tables: i64 = db.query_one("SELECT count(*) FROM pg_tables WHERE schemaname = 'acme'");
    assert_eq!(tables, 0);
}

#[test]
fn an_empty_registry_is_a_fault_unless_the_config_expects_it() {
    let db = TestDatabase::create(Server::A);
    let fleet = TestFleet::new(&db)
        .set(
            "databases.0.tenants",
            json!({ "query": "SELECT ''::text AS schema WHERE false" }),
        )
        .probe_migrations(1..=1);
    fleet
        .fleet(&["migrate"])
        .assert_code(3)
        .assert_stderr_has("the registry query gave none")
        .assert_stderr_has("allow_empty");
    let fleet = fleet.set("databases.0.tenants.allow_empty", true);
    assert_eq!(fleet.json(&["migrate"], 0)["totals"]["tenants"], 0);
}

#[test]
fn one_typo_among_several_patterns_is_one_too_many() {
    let db = TestDatabase::create(Server::A);
    tenants(&db, 2);
    let fleet = TestFleet::new(&db).probe_migrations(1..=1);
    fleet
        .fleet(&["migrate", "--tenant", "tenant_0001", "--tenant", "typo*"])
        .assert_code(2)
        .assert_stderr_has("typo*");
    assert_untouched(&db);
}

#[test]
fn a_shared_schema_that_does_not_exist_is_refused() {
    let db = TestDatabase::create(Server::A);
    tenants(&db, 1);
    let fleet = TestFleet::new(&db)
        .set("databases.0.search_path", json!(["nope"]))
        .probe_migrations(1..=1);
    fleet
        .fleet(&["migrate"])
        .assert_code(3)
        .assert_stderr_has("search_path names nope");
    assert_untouched(&db);
}

/// F42: a tenant without a schema.
#[test]
fn a_listed_tenant_without_a_schema_fails_and_the_others_go_on() {
    let db = TestDatabase::create(Server::A);
    schemas(&db, &["acme"]);
    let fleet = listing(&db, &json!(["acme", "globex"]));
    let run = fleet.json(&["migrate"], 4);
    assert_eq!(
        each_tenants(&run, "outcome"),
        ["acme succeeded", "globex failed"]
    );
    let failure = &tenant(&run, "globex")["failure"];
    assert_eq!(failure["message"], "the schema does not exist");
    assert!(
        failure["hint"]
            .as_str()
            .is_some_and(|hint| hint.contains("create_missing"))
    );
    assert_eq!(schema_count(&db, "globex"), 0);
}

#[test]
fn a_listed_tenant_without_a_schema_is_created_where_the_config_asks_for_it() {
    let db = TestDatabase::create(Server::A);
    schemas(&db, &["acme"]);
    let fleet =
        listing(&db, &json!(["acme", "Glob \"ex"])).set("databases.0.tenants.create_missing", true);
    let plan = fleet.json(&["plan"], 0);
    assert_eq!(tenant(&plan, "Glob \"ex")["create"], true);
    assert_eq!(tenant(&plan, "acme")["create"], false);
    assert_eq!(schema_count(&db, "Glob \"ex"), 0, "plan creates nothing");

    fleet.json(&["migrate"], 0);

    let both = ["acme".to_owned(), "Glob \"ex".to_owned()];
    assert_applied_exactly_once(&db, &both, &[1]);
    assert_eq!(fleet.json(&["migrate"], 0)["totals"]["up_to_date"], 2);
}

#[test]
fn a_schema_that_could_not_be_migrated_is_not_left_behind() {
    let db = TestDatabase::create(Server::A);
    let fleet = TestFleet::new(&db)
        .set(
            "databases.0.tenants",
            json!({ "list": ["acme"], "create_missing": true }),
        )
        .migration("V1__bad", "SELECT 1/0;\n");
    fleet.json(&["migrate"], 4);
    assert_eq!(schema_count(&db, "acme"), 0);
}

#[test]
fn a_registry_query_that_writes_is_refused() {
    let db = TestDatabase::create(Server::A);
    let fleet = TestFleet::new(&db).set(
        "databases.0.tenants",
        json!({ "query": "CREATE TABLE public.mine AS SELECT 'acme' AS schema" }),
    );
    let run = fleet.fleet(&["tenants"]);
    run.assert_code(3).assert_stderr_has("tenants.query");
    assert_untouched(&db);
}

#[test]
fn a_registry_query_that_fails_says_where() {
    let db = TestDatabase::create(Server::A);
    let fleet = TestFleet::new(&db).set(
        "databases.0.tenants",
        json!({ "query": "SELECT name AS schema\nFROM tenants" }),
    );
    let run = fleet.fleet(&["tenants"]);
    run.assert_code(3)
        .assert_stderr_has("42P01")
        .assert_stderr_has("line 2, column 6");
}

#[test]
fn a_registry_query_without_a_schema_column_is_refused() {
    let db = TestDatabase::create(Server::A);
    let fleet = TestFleet::new(&db).set(
        "databases.0.tenants",
        json!({ "query": "SELECT 'acme' AS tenant" }),
    );
    let run = fleet.fleet(&["tenants"]);
    run.assert_code(3).assert_stderr_has("one column `schema`");
}

/// A registry of three tenants with labels, and their schemas.
fn registry() -> (TestDatabase, TestFleet) {
    let db = TestDatabase::create(Server::A);
    schemas(&db, &["acme", "globex", "initech", "closed"]);
    db.execute(
        "CREATE TABLE public.tenants (name text, plan text, seats int, active bool);
         INSERT INTO public.tenants VALUES ('acme', 'gold', 7, true), ('globex', 'gold', 9, true),
           ('initech', 'free', NULL, true), ('closed', 'gold', 7, false)",
    );
    let fleet = TestFleet::new(&db)
        .set(
            "databases.0.tenants",
            json!({ "query": "SELECT name AS schema, plan, seats FROM public.tenants WHERE active" }),
        )
        .probe_migrations(1..=1);
    (db, fleet)
}

/// One probe migration for the tenants of a list.
fn listing(db: &TestDatabase, names: &Value) -> TestFleet {
    TestFleet::new(db)
        .set("databases.0.tenants", json!({ "list": names }))
        .probe_migrations(1..=1)
}

fn schemas(db: &TestDatabase, names: &[&str]) {
    for name in names {
        db.execute(&format!("CREATE SCHEMA {}", crate::support::quote(name)));
    }
}

fn schema_count(db: &TestDatabase, name: &str) -> i64 {
    db.query_one(&format!(
        "SELECT count(*) FROM pg_namespace WHERE nspname = '{name}'"
    ))
}

fn names(document: &Value) -> Vec<&str> {
    let rows = document["tenants"].as_array().expect("tenants");
    rows.iter()
        .filter_map(|row| row["schema"].as_str())
        .collect()
}
