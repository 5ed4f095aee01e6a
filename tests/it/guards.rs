//! A migration file cannot leave its tenant: every way out is found, and rolled back with the file.

mod files;
mod leaks;
mod places;
mod settings;

use serde_json::Value;

use crate::support::{
    Server, TestDatabase, TestFleet, applied, assert_applied_exactly_once, assert_nothing_left,
    assert_public_is_empty, assert_says, each_tenants, tenant, tenants,
};

#[test]
fn set_search_path_is_rolled_back() {
    let failure = refused_in_one_tenant("SET search_path TO public");
    assert_says(&failure["message"], &["search_path", "rolled back"]);
    assert_says(
        &failure["hint"],
        &["take SET search_path", "out of the file"],
    );
}

#[test]
fn set_session_search_path_is_rolled_back() {
    let failure = refused_in_one_tenant("SET SESSION search_path = tenant_0001, public");
    assert_says(&failure["message"], &["search_path"]);
}

#[test]
fn set_local_search_path_is_rolled_back() {
    let failure = refused_in_one_tenant("SET LOCAL search_path TO public");
    assert_says(&failure["message"], &["search_path"]);
}

#[test]
fn set_schema_is_rolled_back() {
    let failure = refused_in_one_tenant("SET SCHEMA 'public'");
    assert_says(&failure["message"], &["search_path"]);
}

#[test]
fn reset_search_path_is_rolled_back() {
    let failure = refused_in_one_tenant("RESET search_path; SET search_path = public");
    assert_says(&failure["message"], &["search_path"]);
}

#[test]
fn reset_all_is_rolled_back_and_not_taken_for_a_commit() {
    let failure = refused_in_one_tenant("RESET ALL; SET search_path = public");
    assert_says(&failure["message"], &["reset"]);
    assert_says(&failure["hint"], &["RESET ALL"]);
}

#[test]
fn a_search_path_set_by_a_function_for_the_transaction_is_rolled_back() {
    let failure =
        refused_in_one_tenant("SELECT pg_catalog.set_config('search_path', 'public', true)");
    assert_says(&failure["hint"], &["set_config"]);
}

#[test]
fn a_search_path_set_by_a_function_for_the_session_is_rolled_back() {
    let failure =
        refused_in_one_tenant("SELECT pg_catalog.set_config('search_path', 'public', false)");
    assert_says(&failure["hint"], &["set_config"]);
}

#[test]
fn a_file_that_touches_fleets_own_pin_is_rolled_back() {
    let failure =
        refused_in_one_tenant("SET LOCAL fleet.pin = 'mine'; SET LOCAL search_path = public");
    assert_says(&failure["message"], &["reset"]);
}

/// F32: a file that changes its role.
#[test]
fn a_role_that_may_not_write_the_history_is_named_as_the_reason() {
    let failure = refused_in_one_tenant("SET ROLE pg_monitor");
    assert_says(&failure["message"], &["permission denied"]);
    assert_says(&failure["hint"], &["change the role"]);
    assert_eq!(failure["sqlstate"], "42501");
}

#[test]
fn a_read_only_transaction_is_named_as_the_reason() {
    let failure = refused_in_one_tenant("SET TRANSACTION READ ONLY");
    assert_says(&failure["message"], &["read-only"]);
    assert_says(&failure["hint"], &["read-only"]);
    assert_eq!(failure["sqlstate"], "25006");
}

/// F32: whatever moves the search path or resets the settings.
#[test]
fn plain_statements_are_refused_in_every_tenant_as_well() {
    for statement in [
        "SET search_path TO public",
        "SET LOCAL search_path TO public",
        "RESET search_path",
        "RESET ALL",
        "SELECT set_config('search_path', 'public', false)",
        "SET LOCAL fleet.pin = '0'",
    ] {
        let db = TestDatabase::create(Server::A);
        let schemas = tenants(&db, 2);
        let fleet = TestFleet::new(&db)
            .unlinted()
            .probe_migrations(1..=1)
            .migration("V2__escape", &format!("{statement};\nSELECT 1;\n"));
        let run = fleet.json(&["migrate"], 4);
        assert_eq!(run["totals"]["failed"], 2, "{statement}: {run:#}");
        assert_eq!(run["failures"][0]["migration"], "V2__escape");
        assert_applied_exactly_once(&db, &schemas, &[1]);
        assert_public_is_empty(&db);
    }
}

#[test]
fn unqualified_names_never_land_in_public() {
    let db = TestDatabase::create(Server::A);
    let schemas = tenants(&db, 2);
    db.execute("CREATE TABLE public.settings (id int); CREATE FUNCTION public.f() RETURNS int LANGUAGE sql AS 'SELECT 1'");
    let fleet = TestFleet::new(&db)
        .probe_migrations(1..=1)
        .migration("V2__uses_public", "INSERT INTO settings VALUES (1);\n");

    let run = fleet.json(&["migrate"], 4);

    assert_eq!(run["failures"][0]["sqlstate"], "42P01");
    assert_eq!(
        db.query_one::<i64>("SELECT count(*) FROM public.settings"),
        0
    );
    assert_applied_exactly_once(&db, &schemas, &[1]);
}

#[test]
fn shared_schemas_of_the_config_are_found_behind_the_tenants_own() {
    let db = TestDatabase::create(Server::A);
    let schemas = tenants(&db, 2);
    db.execute(
        "CREATE SCHEMA extensions;
         CREATE FUNCTION extensions.shout(text) RETURNS text LANGUAGE sql IMMUTABLE AS 'SELECT upper($1)'",
    );
    let fleet = TestFleet::new(&db)
        .set("databases.0.search_path", serde_json::json!(["extensions"]))
        .probe_migrations(1..=1)
        .migration(
            "V2__uses_extension",
            "CREATE TABLE loud (word text DEFAULT shout('hey'));\nINSERT INTO loud DEFAULT VALUES;\nINSERT INTO probe VALUES (2);\n",
        );

    fleet.json(&["migrate"], 0);

    assert_applied_exactly_once(&db, &schemas, &[1, 2]);
    for schema in &schemas {
        let word: String = db.query_one(&format!("SELECT word FROM {schema}.loud"));
        assert_eq!(word, "HEY");
    }
    let shared: i64 = db
        .query_one("SELECT count(*) FROM pg_class WHERE relnamespace = 'extensions'::regnamespace");
    assert_eq!(shared, 0);
}

/// Three tenants; in the second one the file does this and then makes a table that it does not
/// qualify. It must fail there, leave nothing, and be as good as ever for the others.
#[track_caller]
fn refused_in_one_tenant(statement: &str) -> Value {
    let db = TestDatabase::create(Server::A);
    let schemas = tenants(&db, 3);
    let fleet = TestFleet::new(&db)
        .unlinted()
        .probe_migrations(1..=1)
        .migration(
            "V2__escape",
            &format!(
                "INSERT INTO probe VALUES (2);\n\
             DO $do$ BEGIN\n\
               IF current_schema() = 'tenant_0002' THEN\n\
                 EXECUTE $sql$ {statement} $sql$;\n\
               END IF;\n\
             END $do$;\n"
            ),
        );

    let run = fleet.json(&["migrate"], 4);

    assert_eq!(
        each_tenants(&run, "outcome"),
        [
            "tenant_0001 succeeded",
            "tenant_0002 failed",
            "tenant_0003 succeeded"
        ]
    );
    let refused = tenant(&run, "tenant_0002");
    assert_eq!(refused["to"], 1);
    assert_eq!(refused["failure"]["migration"], "V2__escape");
    assert_eq!(refused["failure"]["class"], "permanent");
    assert_eq!(applied(&db, &schemas)["tenant_0002"].probe, [1]);
    assert_eq!(applied(&db, &schemas)["tenant_0002"].history, [1]);
    let fine = [schemas[0].clone(), schemas[2].clone()];
    assert_applied_exactly_once(&db, &fine, &[1, 2]);
    assert_public_is_empty(&db);
    assert_nothing_left(&db);
    refused["failure"].clone()
}
