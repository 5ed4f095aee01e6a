//! A failure names the file, the statement and the line, whatever stands in front of it.

use serde_json::Value;

use crate::support::{Server, TestDatabase, TestFleet, applied, assert_says, tenant, tenants};

#[test]
fn the_line_is_right_behind_multibyte_text() {
    let failure = failure_of(
        "-- Übergrößenträger 🦀 日本語\n\
         CREATE TABLE \"straße\" (名前 text DEFAULT '🦀🦀🦀');\n\
         \n\
         INSERT INTO \"straße\" (missing) VALUES ('ß');\n",
    );
    assert_eq!(failure["sqlstate"], "42703");
    assert_eq!(failure["statement"], 2);
    assert_eq!(failure["line"], 4);
}

#[test]
fn a_syntax_error_is_found_where_it_is() {
    let failure = failure_of("SELECT 1;\n-- é\nSELECT 2;\nCREATE TABEL x (id int);\n");
    assert_eq!(failure["sqlstate"], "42601");
    assert_eq!(failure["statement"], 3);
    assert_eq!(failure["line"], 4);
}

#[test]
fn an_error_without_a_position_is_placed_at_its_statement() {
    let failure = failure_of(
        "CREATE TABLE u (id int);\nINSERT INTO u VALUES (1), (1);\n\nCREATE UNIQUE INDEX u_id\n  ON u (id);\n",
    );
    assert_eq!(failure["sqlstate"], "23505");
    assert_eq!(failure["statement"], 3);
    assert_eq!(failure["line"], 4);
    assert_says(&failure["detail"], &["(id)=(1)"]);
}

#[test]
fn an_error_inside_of_a_do_block_is_placed_at_its_line() {
    let failure = failure_of(
        "SELECT 1;\nDO $$\nBEGIN\n  PERFORM 1;\n  RAISE EXCEPTION 'no luck' USING HINT = 'try again', ERRCODE = 'P0042';\nEND $$;\n",
    );
    assert_eq!(failure["sqlstate"], "P0042");
    assert_eq!(failure["message"], "no luck");
    assert_eq!(failure["hint"], "try again");
    assert_eq!(failure["line"], 5);
}

#[test]
fn a_deferred_constraint_that_fails_at_commit_names_the_file() {
    let failure = failure_of(
        "CREATE TABLE parent (id int PRIMARY KEY);\n\
         CREATE TABLE child (parent int REFERENCES parent DEFERRABLE INITIALLY DEFERRED);\n\
         INSERT INTO child VALUES (7);\n",
    );
    assert_eq!(failure["migration"], "V2__bad");
    assert_eq!(failure["sqlstate"], "23503");
    assert_says(&failure["message"], &["at COMMIT", "child_parent_fkey"]);
    assert_says(&failure["detail"], &["(parent)=(7)"]);
}

/// F59: an error of five megabytes.
#[test]
fn a_message_of_megabytes_is_cut() {
    let failure = failure_of("DO $$ BEGIN RAISE EXCEPTION '%', repeat('x', 5000000); END $$;\n");
    let length = failure["message"].as_str().map(str::len);
    assert!(
        length.is_some_and(|length| (1000..20_000).contains(&length)),
        "{length:?}"
    );
}

/// What is said of a file that fails as V2 in the only tenant, where it must leave nothing.
#[track_caller]
fn failure_of(file: &str) -> Value {
    let db = TestDatabase::create(Server::A);
    let schemas = tenants(&db, 1);
    let fleet = TestFleet::new(&db)
        .probe_migrations(1..=1)
        .migration("V2__bad", file);
    let run = fleet.json(&["migrate"], 4);
    let failed = tenant(&run, "tenant_0001");
    assert_eq!(failed["failure"]["migration"], "V2__bad");
    assert_eq!(failed["attempts"], 1);
    assert_eq!(applied(&db, &schemas)["tenant_0001"].history, [1]);
    let tables: i64 =
        db.query_one("SELECT count(*) FROM pg_tables WHERE schemaname = 'tenant_0001'");
    assert_eq!(tables, 3, "probe, t1 and the history");
    failed["failure"].clone()
}
