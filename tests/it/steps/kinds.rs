//! What may stand in a file without a transaction, and how each kind of statement is run.

use super::{Fleet, TENANT};
use crate::support::{
    Server, TestDatabase, TestFleet, assert_applied_exactly_once, assert_says, tenant, tenants,
};

/// F31: one statement a message, cut where the server cuts.
#[test]
fn statements_of_every_kind_run_one_by_one() {
    let fleet = Fleet::with(2).migration(
        "V2__many",
        r"-- fleet: no-transaction
CREATE TYPE mood AS ENUM ('sad');
ALTER TYPE mood ADD VALUE 'it''s; fine';
SET maintenance_work_mem = '8MB';
CREATE TABLE moods (mood mood, plain text DEFAULT E'a\'; b', /* ; /* nested; */ */ n int);
INSERT INTO moods (mood, n) VALUES ('it''s; fine', 1);
DO $body$ BEGIN INSERT INTO moods (mood, n) VALUES ('sad', 2); END; $body$;
CREATE FUNCTION twice(n int) RETURNS int LANGUAGE sql AS $$ SELECT 2 * n; $$;
CREATE INDEX CONCURRENTLY moods_n ON moods (twice(n)) WHERE n > 0;
VACUUM (ANALYZE) moods;
INSERT INTO probe (version) VALUES (2)
",
    );
    // an index needs an immutable function; this one is not, which the next line mends
    fleet.folder.write_migration(
        "V2__many",
        &std::fs::read_to_string(fleet.folder.migration_path("V2__many"))
            .expect("the file")
            .replace("LANGUAGE sql AS", "LANGUAGE sql IMMUTABLE AS"),
    );
    fleet.folder.json(&["migrate"], 0);
    assert_applied_exactly_once(&fleet.db, &fleet.schemas, &[1, 2]);
    for schema in &fleet.schemas {
        let rows: i64 = fleet
            .db
            .query_one(&format!("SELECT count(*) FROM {schema}.moods"));
        assert_eq!(rows, 2);
    }
}

#[test]
fn a_routine_with_an_atomic_body_is_one_statement() {
    let fleet = Fleet::with(1).migration(
        "V2__atomic",
        "-- fleet: no-transaction\nCREATE FUNCTION pair() RETURNS int LANGUAGE sql BEGIN ATOMIC SELECT 1; SELECT 2; END;\nVACUUM t1;\n",
    );
    let version: i32 = fleet
        .db
        .query_one("SELECT current_setting('server_version_num')::int");
    if version >= 140_000 {
        fleet.folder.json(&["migrate"], 0);
        assert_eq!(fleet.history(TENANT), [1, 2]);
    }
}

#[test]
fn a_failing_statement_is_named_with_its_line_and_what_came_before_it_stays() {
    let fleet = Fleet::with(1).migration(
        "V2__fails",
        "-- fleet: no-transaction\nCREATE TABLE kept (id int);\n\nVACUUM kept;\nINSERT INTO kept\n  SELECT 1/0;\nCREATE TABLE later (id int);\n",
    );
    let run = fleet.folder.json(&["migrate"], 4);
    let failure = &tenant(&run, TENANT)["failure"];
    assert_eq!(failure["migration"], "V2__fails");
    assert_eq!(failure["statement"], 3);
    assert_eq!(failure["line"], 5);
    let plan = fleet.folder.json(&["plan"], 0);
    assert_eq!(plan["tenants"][0]["halfway"]["version"], 2);
    assert_eq!(plan["tenants"][0]["halfway"]["statements_done"], 2);
    let status = fleet.folder.json(&["status"], 0);
    assert_eq!(status["tenants"][0]["halfway"]["statements_done"], 2);
    fleet
        .folder
        .fleet(&["status", "--tenant", TENANT])
        .assert_code(0)
        .assert_stdout_has("in the middle of V2: 2 statements done");

    // the rest may be mended: it was not run yet
    fleet.folder.write_migration(
        "V2__fails",
        "-- fleet: no-transaction\nCREATE TABLE kept (id int);\n\nVACUUM kept;\nINSERT INTO kept\n  SELECT 1;\nCREATE TABLE later (id int);\n",
    );
    fleet.folder.json(&["resume"], 0);
    let rows: i64 = fleet.db.query_one("SELECT count(*) FROM tenant_0001.kept");
    assert_eq!(rows, 1);
    assert_eq!(fleet.history(TENANT), [1, 2]);
    assert!(!fleet.has_notes(TENANT));
}

#[test]
fn an_edit_of_what_is_done_is_refused() {
    let fleet = Fleet::with(2).migration(
        "V2__fails",
        "-- fleet: no-transaction\nCREATE TABLE kept (id int);\nVACUUM kept;\nSELECT 1/0;\n",
    );
    fleet.folder.json(&["migrate"], 4);
    fleet.folder.write_migration(
        "V2__fails",
        "-- fleet: no-transaction\nCREATE TABLE kept (id bigint);\nVACUUM kept;\nSELECT 1;\n",
    );
    let plan = fleet.folder.json(&["plan"], 7);
    assert_says(
        &plan["tenants"][0]["reason"],
        &["in the middle of V2", "statement 1", "edited"],
    );
    fleet.folder.json(&["migrate"], 7);
    fleet.folder.remove_migration("V2__fails");
    let plan = fleet.folder.json(&["plan"], 7);
    assert_says(&plan["tenants"][0]["reason"], &["there is no such file"]);
}

#[test]
fn a_setting_of_the_file_holds_for_the_rest_of_it_and_for_nobody_else() {
    let fleet = Fleet::with(3)
        .set("execution.concurrency", 1)
        .migration(
            "V2__settings",
            "-- fleet: no-transaction\nSET statement_timeout = '77s';\nCREATE TABLE seen AS SELECT current_setting('statement_timeout') AS timeout;\nVACUUM t1;\n",
        )
        .migration(
            "V3__after",
            "CREATE TABLE after_it AS SELECT current_setting('statement_timeout') AS timeout;\n",
        );
    fleet.folder.json(&["migrate"], 0);
    for schema in &fleet.schemas {
        let seen: String = fleet
            .db
            .query_one(&format!("SELECT timeout FROM {schema}.seen"));
        assert_eq!(seen, "77s");
        let after: String = fleet
            .db
            .query_one(&format!("SELECT timeout FROM {schema}.after_it"));
        assert_eq!(after, "15min");
    }
}

#[test]
fn a_file_that_leaves_its_tenant_is_stopped_before_its_next_statement() {
    let fleet = Fleet::with(1).set("lint.isolation", "off").migration(
        "V2__escape",
        "-- fleet: no-transaction\nSET search_path = public;\nCREATE TABLE outside (id int);\nVACUUM;\n",
    );
    let run = fleet.folder.json(&["migrate"], 4);
    assert_says(
        &tenant(&run, TENANT)["failure"]["message"],
        &["search_path"],
    );
    crate::support::assert_public_is_empty(&fleet.db);
}

#[test]
fn all_in_one_transaction_is_divided_by_what_cannot_be_in_one() {
    let db = TestDatabase::create(Server::A);
    let schemas = tenants(&db, 3);
    let fleet = TestFleet::new(&db)
        .set("execution.transaction", "tenant")
        .probe_migrations(1..=2)
        .migration(
            "V3__index",
            "CREATE INDEX CONCURRENTLY t2_note ON t2 (note);\n",
        )
        .migration("V4__probe_4", "INSERT INTO probe (version) VALUES (4);\n")
        .migration("V5__bad", "SELECT 1/0;\n");
    let run = fleet.json(&["migrate"], 4);
    assert_eq!(tenant(&run, "tenant_0001")["to"], 3);
    fleet.remove_migration("V5__bad");
    fleet.json(&["migrate"], 0);
    for schema in &schemas {
        let ran: Vec<i64> = db.column(&format!("SELECT version FROM {schema}.probe ORDER BY 1"));
        assert_eq!(ran, [1, 2, 4]);
    }
}

#[test]
fn the_first_migration_of_a_tenant_may_be_one_of_these() {
    let db = TestDatabase::create(Server::A);
    tenants(&db, 2);
    let fleet = TestFleet::new(&db).migration(
        "V1__first",
        "-- fleet: no-transaction\nCREATE TABLE made (id int);\nVACUUM made;\nSELECT 1/0;\n",
    );
    fleet.json(&["migrate"], 4);
    // an empty history beside tables is not taken for a lost one here
    fleet.write_migration(
        "V1__first",
        "-- fleet: no-transaction\nCREATE TABLE made (id int);\nVACUUM made;\n",
    );
    let run = fleet.json(&["migrate"], 0);
    assert_eq!(run["totals"]["succeeded"], 2);
}

#[test]
fn a_first_migration_whose_first_statement_fails_can_be_mended() {
    let db = TestDatabase::create(Server::A);
    tenants(&db, 1);
    let fleet = TestFleet::new(&db).migration(
        "V1__first",
        "-- fleet: no-transaction\nSELECT 1/0;\nVACUUM;\n",
    );
    fleet.json(&["migrate"], 4);
    assert_eq!(fleet.json(&["plan"], 0)["totals"]["migrate"], 1);
    fleet.write_migration(
        "V1__first",
        "-- fleet: no-transaction\nSELECT 1;\nVACUUM;\n",
    );
    fleet.json(&["migrate"], 0);
}

#[test]
fn an_index_with_a_name_that_the_server_cuts_is_built() {
    let long = "i".repeat(80);
    let fleet = Fleet::with(1).migration(
        "V2__index",
        &format!("CREATE INDEX CONCURRENTLY {long} ON t1 (note);\n"),
    );
    fleet.folder.json(&["migrate"], 0);
    assert_eq!(fleet.indexes(TENANT), [&long[..63]]);
}
