//! Several pending migrations in one transaction do what they do in transactions of their own.

use crate::support::{
    Server, TestDatabase, TestFleet, assert_says, assert_untouched, tenant, tenants,
};

const FAMILY: &str = "CREATE TABLE parents (id int PRIMARY KEY);
CREATE TABLE children (id int, parent int REFERENCES parents DEFERRABLE INITIALLY DEFERRED);";

fn one_tenant() -> (TestDatabase, TestFleet) {
    let db = TestDatabase::create(Server::A);
    tenants(&db, 1);
    let fleet = TestFleet::new(&db).unlinted();
    (db, fleet)
}

/// The rehearsal says what the run then does.
#[track_caller]
fn assert_right(fleet: &TestFleet, code: i32) -> serde_json::Value {
    let told = fleet.json(&["rehearse"], code);
    let run = fleet.json(&["migrate"], code);
    assert_eq!(told["failures"], run["failures"]);
    told
}

#[test]
fn later_migrations_see_what_earlier_ones_did() {
    let (db, fleet) = one_tenant();
    let fleet = fleet.probe_migrations(1..=5);
    let told = fleet.json(&["rehearse"], 0);
    assert_untouched(&db);
    let migrations = told["tenants"][0]["migrations"].as_array().expect("a list");
    assert_eq!(migrations.len(), 5);
    assert_right(&fleet, 0);
}

/// What only COMMIT would find.
#[test]
fn a_deferred_constraint_that_is_violated_is_found() {
    let (_db, fleet) = one_tenant();
    let fleet = fleet
        .migration("V1__family", FAMILY)
        .migration("V2__orphan", "INSERT INTO children VALUES (1, 99);\n");
    let told = assert_right(&fleet, 4);
    let failure = &tenant(&told, "tenant_0001")["failure"];
    assert_eq!(failure["migration"], "V2__orphan");
    assert_eq!(failure["sqlstate"], "23503");
    assert_says(&failure["message"], &["at COMMIT"]);
}

#[test]
fn it_is_found_where_another_migration_follows_too() {
    let (_db, fleet) = one_tenant();
    let fleet = fleet
        .migration("V1__family", FAMILY)
        .migration("V2__orphan", "INSERT INTO children VALUES (1, 99);\n")
        .migration("V3__parent", "INSERT INTO parents VALUES (99);\n");
    let told = assert_right(&fleet, 4);
    let failure = &tenant(&told, "tenant_0001")["failure"];
    assert_eq!(failure["migration"], "V2__orphan");
    assert_says(&failure["message"], &["at COMMIT"]);
}

/// What COMMIT has checked is not in the way of the next migration, and what it deferred is deferred again.
#[test]
fn constraints_are_deferred_again_in_the_next_migration() {
    let (_db, fleet) = one_tenant();
    let fleet = fleet
        .migration("V1__family", FAMILY)
        .migration(
            "V2__child_first",
            "INSERT INTO children VALUES (1, 1);\nINSERT INTO parents VALUES (1);\n",
        )
        .migration("V3__alter", "ALTER TABLE children ADD COLUMN name text;\n")
        .migration(
            "V4__child_first_again",
            "INSERT INTO children VALUES (2, 2);\nINSERT INTO parents VALUES (2);\n
             CREATE TABLE pets (child int, owner int REFERENCES parents DEFERRABLE INITIALLY DEFERRED);",
        )
        .migration(
            "V5__pets",
            "INSERT INTO pets VALUES (1, 3);\nINSERT INTO parents VALUES (3);\n",
        );
    assert_right(&fleet, 0);
}

/// A new value of an enum counts once it is committed: that is no fault of the files.
#[test]
fn what_needs_a_commit_is_not_rehearsed() {
    let (_db, fleet) = one_tenant();
    let fleet = fleet.migration(
        "V1__mood",
        "CREATE TYPE mood AS ENUM ('sad');\nCREATE TABLE people (mood mood);\n",
    );
    fleet.json(&["migrate"], 0);
    let fleet = fleet
        .migration("V2__calm", "ALTER TYPE mood ADD VALUE 'calm';\n")
        .migration("V3__use", "INSERT INTO people VALUES ('calm');\n")
        .migration("V4__after", "CREATE TABLE after (id int);\n");
    let told = assert_right(&fleet, 0);
    let told = tenant(&told, "tenant_0001");
    assert_eq!(told["outcome"], "would_succeed");
    assert_eq!(told["migrations"].as_array().map(Vec::len), Some(1));
    assert_says(&told["not_rehearsed"][0]["reason"], &["committed"]);
    assert_eq!(told["not_rehearsed"][1]["reason"], "it comes after V3__use");
}

#[test]
fn an_enum_value_that_one_file_adds_and_uses_fails_as_it_would() {
    let (_db, fleet) = one_tenant();
    let fleet = fleet.migration(
        "V1__mood",
        "CREATE TYPE mood AS ENUM ('sad');\nCREATE TABLE people (mood mood);\n",
    );
    fleet.json(&["migrate"], 0);
    let fleet = fleet.migration(
        "V2__calm",
        "ALTER TYPE mood\n  ADD  VALUE 'calm';\nINSERT INTO people VALUES ('calm');\n",
    );
    let told = assert_right(&fleet, 4);
    assert_eq!(told["failures"][0]["sqlstate"], "55P04");
}

/// Settings, roles, temporary tables and prepared statements of one file are not there for the next.
#[test]
fn what_a_file_leaves_on_its_session_is_not_there_for_the_next() {
    let (_db, fleet) = one_tenant();
    let fleet = fleet
        .migration(
            "V1__leaves",
            "CREATE TEMP TABLE scratch (id int);\nSET myapp.tenant = 'x';\nPREPARE p AS SELECT 1;\n
             SELECT pg_advisory_lock(99);\nSET ROLE pg_monitor;\nRESET ROLE;\n",
        )
        .migration(
            "V2__looks",
            "CREATE TABLE found AS SELECT coalesce(current_setting('myapp.tenant', true), '') AS tenant,
               to_regclass('pg_temp.scratch') IS NULL AS is_clean, current_setting('lock_timeout') AS lock;
             PREPARE p AS SELECT 2;
             DO $$ BEGIN
               ASSERT (SELECT tenant = '' AND is_clean FROM found), 'something was left';
             END $$;",
        );
    assert_right(&fleet, 0);
}

#[test]
fn guards_refuse_as_in_a_run() {
    for (number, sql) in [
        "SET LOCAL search_path TO public",
        "SELECT pg_catalog.set_config('search_path', 'public', false)",
        "RESET ALL",
        "INSERT INTO refinery_schema_history VALUES (9, 'x', 'x', '1')",
    ]
    .into_iter()
    .enumerate()
    {
        let (_db, fleet) = one_tenant();
        let fleet = fleet.probe_migrations(1..=1).migration(
            "V2__moves",
            &format!(
                "-- fleet: allow leak it is the guard that is asked here\n{sql};\nCREATE TABLE a{number} (id int);\n"
            ),
        );
        let told = assert_right(&fleet, 4);
        assert_eq!(told["failures"][0]["migration"], "V2__moves", "{told:#}");
    }
}

#[test]
fn all_pending_of_a_tenant_in_one_transaction_are_rehearsed_so() {
    let (_db, fleet) = one_tenant();
    // in one transaction an orphan of V2 gets its parent in time
    let fleet = fleet
        .set("execution.transaction", "tenant")
        .migration("V1__family", FAMILY)
        .migration("V2__orphan", "INSERT INTO children VALUES (1, 99);\n")
        .migration("V3__parent", "INSERT INTO parents VALUES (99);\n");
    assert_right(&fleet, 0);
}

#[test]
fn a_place_is_found_behind_many_statements() {
    let (_db, fleet) = one_tenant();
    let rows: Vec<String> = (0..450)
        .map(|number| {
            let end = if number % 7 == 0 { "\n" } else { " " };
            format!("/* {number} */ INSERT INTO rows VALUES ({number});{end}")
        })
        .collect();
    let sql = format!(
        "-- é first\nCREATE TABLE rows (id int UNIQUE);\n{}\n\nINSERT INTO rows VALUES (3);\nSELECT nothing FROM rows;\n",
        rows.concat()
    );
    let fleet = fleet.migration("V1__many", &sql);
    let place = |document: &serde_json::Value| {
        let failure = &tenant(document, "tenant_0001")["failure"];
        (failure["statement"].clone(), failure["line"].clone())
    };
    let told = fleet.json(&["rehearse"], 4);
    let run = fleet.json(&["migrate"], 4);
    assert_eq!(place(&told), place(&run));
    assert_eq!(place(&told).0, 452);
    fleet.write_migration(
        "V1__many",
        &sql.replace("VALUES (3);\nSELECT", "VALUES (999);\nSELECT"),
    );
    let told = fleet.json(&["rehearse"], 4);
    let run = fleet.json(&["migrate"], 4);
    assert_eq!(place(&told), place(&run));
    assert_eq!(place(&told).0, 453);
}
