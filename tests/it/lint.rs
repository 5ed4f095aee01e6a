//! `fleet lint`, and what `migrate` does with its findings.

mod formats;
mod refusing;

use serde_json::{Value, json};

use crate::support::{Server, TestDatabase, TestFleet, assert_untouched, tenants};

/// The rules of the findings with their files, as `V2__x.sql:3 rule`.
pub(crate) fn places(document: &Value) -> Vec<String> {
    let findings = document["findings"].as_array().expect("a list of findings");
    findings
        .iter()
        .map(|finding| {
            let file = finding["file"].as_str().expect("a file");
            let file = file.rsplit('/').next().unwrap_or_default();
            let rule = finding["rule"].as_str().expect("a rule");
            format!("{file}:{} {rule}", finding["line"])
        })
        .collect()
}

/// A view that every tenant would make in the same schema.
pub(crate) const LEAVES: &str =
    "CREATE TABLE a (id int);\n\nCREATE OR REPLACE VIEW public.v AS SELECT 1 AS id;\n";

fn fleet() -> (TestDatabase, TestFleet) {
    let db = TestDatabase::create(Server::A);
    tenants(&db, 2);
    let fleet = TestFleet::new(&db);
    (db, fleet)
}

/// A fleet whose database is not there.
pub(crate) fn offline() -> TestFleet {
    TestFleet::without_database().database_url("main", "postgres://nobody@127.0.0.1:1/none")
}

/// F34, F36: the faults of real sets, each found in its file before any database is touched.
#[test]
fn the_faults_of_real_sets_are_found_in_their_files() {
    let (db, fleet) = fleet();
    let fleet = fleet
        .migration(
            "V1__constraint",
            "CREATE TABLE orders (id int);\nDO $$ BEGIN\n  IF NOT EXISTS (SELECT 1 FROM pg_constraint WHERE conname = 'positive') THEN\n    ALTER TABLE orders ADD CONSTRAINT positive CHECK (id > 0);\n  END IF;\nEND $$;\n",
        )
        .migration("V2__view", LEAVES)
        .migration("V3__extension", "CREATE EXTENSION IF NOT EXISTS pgcrypto;\n")
        .migration("V4__schema", "DROP SCHEMA IF EXISTS helpers CASCADE;\n")
        .migration("V5__path", "SELECT 1;\nSET search_path TO public;\n");
    let document = fleet.json(&["lint"], 3);
    assert_eq!(
        places(&document),
        [
            "V1__constraint.sql:3 catalog-lookup",
            "V2__view.sql:3 qualified-name",
            "V3__extension.sql:1 extension",
            "V4__schema.sql:1 schema",
            "V5__path.sql:2 set-search-path",
        ]
    );
    assert_eq!(document["exit_code"], 3);
    assert_eq!(document["totals"]["denied"], 5);
    assert_untouched(&db);
}

#[test]
fn files_that_some_tenant_has_are_left_out() {
    let (_db, fleet) = fleet();
    let fleet = fleet
        .migration("V1__old", "CREATE TABLE old (id int);\n")
        .migration(
            "V2__view",
            &format!("-- fleet: allow leak one view for all\n{LEAVES}"),
        )
        .unlinted();
    fleet.json(&["migrate", "--to", "1"], 0);
    fleet.json(&["migrate", "--tenant", "tenant_0001"], 0);
    let fleet = fleet.set("lint.isolation", "deny");
    let document = fleet.json(&["lint"], 0);
    assert_eq!(
        (document["files"].clone(), document["left_out"].clone()),
        (json!(0), json!(2))
    );
    // the second tenant is still to get it, as the first one has it
    fleet.json(&["migrate"], 0);
    assert_eq!(
        places(&fleet.json(&["lint", "--all"], 3)),
        ["V2__view.sql:4 qualified-name"]
    );
    let file = fleet.json(&["lint", "migrations/V2__view.sql"], 3);
    assert_eq!(file["files"], 1);
    let fleet = fleet.set("lint.from", 3);
    fleet.json(&["lint", "--all"], 0);
}

#[test]
fn without_a_database_all_files_are_judged_and_that_is_said() {
    let fleet = offline().migration("V1__view", LEAVES);
    let run = fleet.fleet(&["-o", "json", "lint"]);
    run.assert_code(3)
        .assert_stderr_has("which files are applied is not known");
    assert_eq!(places(&run.json()), ["V1__view.sql:3 qualified-name"]);
    let quiet = fleet.fleet(&["lint", "--all"]);
    quiet.assert_code(3);
    assert_eq!(quiet.stderr, "");
}

#[test]
fn files_that_cannot_be_run_are_findings_too() {
    let fleet = offline()
        .migration("V1__psql", "SELECT 1;\n\\i other.sql\n")
        .migration(
            "V2__commit",
            "SELECT 1;\nCOMMIT;\nSELECT 2;\nDROP SCHEMA x;\n",
        )
        .migration("V3__fine", "CREATE TABLE a (id int);\n");
    fleet.write_file("migrations/V4_name.sql", "SELECT 1;\n");
    let bytes = fleet.migration_path("V5__bytes");
    std::fs::write(bytes, b"SELECT '\xff';\n").expect("a file");
    let document = fleet.json(&["lint", "--all"], 3);
    assert_eq!(
        places(&document),
        [
            "V1__psql.sql:2 refused",
            "V2__commit.sql:2 refused",
            "V2__commit.sql:4 schema",
            "V4_name.sql:null refused",
            "V5__bytes.sql:1 refused",
        ]
    );
    let run = fleet.fleet(&["lint", "--all"]);
    run.assert_stdout_has("5 denied in 4 of 5 files");
}

#[test]
fn another_folder_is_judged_with_the_rules_for_shared_tables() {
    let fleet = offline()
        .migration("V1__fine", "CREATE TABLE a (tenant_id int);\n")
        .set("lint.tenant_column", "tenant_id");
    std::fs::create_dir(fleet.folder().join("shared")).unwrap();
    fleet.write_file(
        "shared/V1__notes.sql",
        "CREATE TABLE notes (tenant_id int PRIMARY KEY);\nALTER TABLE notes ENABLE ROW LEVEL SECURITY;\n",
    );
    let document = fleet.json(&["lint", "--path", "shared"], 3);
    assert_eq!(
        places(&document),
        [
            "V1__notes.sql:1 row-security-not-forced",
            "V1__notes.sql:1 policy-missing"
        ]
    );
    fleet.fleet(&["lint", "--path", "none"]).assert_code(2);
    fleet.fleet(&["lint", "none.sql"]).assert_code(2);
}
