//! Statements whose end is not known: settled by looking at what is there.

use super::{Fleet, TENANT};
use crate::support::{assert_nothing_left, assert_says, tenant, wait_until};

/// One tenant, and the plainest of indexes to come.
fn one_index() -> Fleet {
    Fleet::with(1).migration(
        "V2__index",
        "CREATE INDEX CONCURRENTLY t1_note ON t1 (note);\n",
    )
}

/// Kills a run while a statement of its second migration stands behind a writer to `t1`.
fn killed_behind_a_writer(fleet: &Fleet) {
    let writer = fleet
        .db
        .hold_lock("INSERT INTO tenant_0001.t1 VALUES (1001)");
    let run = fleet.folder.spawn(&["migrate"]);
    wait_until("the statement waits", || writer.waiters() == 1);
    run.kill();
    run.wait().assert_code(137);
    fleet.db.end_what_the_server_cannot_notice();
    wait_until("the server has noticed", || fleet.db.fleet_backends() == 0);
    writer.release();
}

#[test]
fn an_index_that_was_cut_off_is_dropped_and_built_anew() {
    let fleet = Fleet::with(1).migration(
        "V2__index",
        "CREATE INDEX CONCURRENTLY IF NOT EXISTS t1_note ON t1 (note);\n",
    );
    killed_behind_a_writer(&fleet);
    assert_eq!(fleet.indexes(TENANT), ["t1_note!"]);
    assert!(fleet.has_notes(TENANT));

    let run = fleet.folder.json(&["resume"], 0);

    assert_eq!(fleet.indexes(TENANT), ["t1_note"]);
    assert_eq!(fleet.history(TENANT), [1, 2]);
    assert_says(
        &tenant(&run, TENANT)["notes"][0],
        &["V2__index statement 1", "left invalid", "built anew"],
    );
    assert_nothing_left(&fleet.db);
    let show = fleet.folder.json(&["show"], 0);
    assert_says(&show["failed_attempts"][0]["notes"][0], &["built anew"]);
}

#[test]
fn an_index_without_a_name_is_known_by_its_definition() {
    let fleet = Fleet::with(1).migration(
        "V2__index",
        "CREATE INDEX CONCURRENTLY ON t1 (lower(note)) WHERE id > 3;\n",
    );
    killed_behind_a_writer(&fleet);
    assert_eq!(fleet.indexes(TENANT), ["t1_lower_idx!"]);
    fleet.folder.json(&["resume"], 0);
    assert_eq!(fleet.indexes(TENANT), ["t1_lower_idx"]);
}

#[test]
fn a_statement_in_doubt_that_was_edited_goes_on_as_edited() {
    let fleet = one_index();
    killed_behind_a_writer(&fleet);
    let fleet = fleet.migration(
        "V2__index",
        "CREATE INDEX CONCURRENTLY t1_other ON t1 (lower(note));\n",
    );
    fleet.folder.json(&["resume"], 0);
    assert_eq!(fleet.indexes(TENANT), ["t1_other"]);
}

/// As if the run had died between the end of the build and the note of it: the note is taken back.
fn build_in_doubt(fleet: &Fleet, by_hand: &str) {
    killed_behind_a_writer(fleet);
    fleet
        .db
        .execute("DROP INDEX CONCURRENTLY tenant_0001.t1_note");
    fleet.db.execute(by_hand);
}

#[test]
fn an_index_that_is_there_valid_and_as_the_file_says_is_adopted() {
    let fleet = Fleet::with(1).migration(
        "V2__index",
        "CREATE UNIQUE INDEX CONCURRENTLY t1_note ON t1 USING btree (lower(note) DESC NULLS LAST, id) INCLUDE (note) WHERE id > 3;\n",
    );
    build_in_doubt(
        &fleet,
        "CREATE UNIQUE INDEX t1_note ON tenant_0001.t1 (lower(note) DESC NULLS LAST, id) INCLUDE (note) WHERE (id > 3)",
    );
    let run = fleet.folder.json(&["resume"], 0);
    assert_says(&tenant(&run, TENANT)["notes"][0], &["adopted", "t1_note"]);
    assert_eq!(fleet.history(TENANT), [1, 2]);
}

#[test]
fn an_index_that_is_there_and_something_else_is_for_a_person_to_look_at() {
    let fleet = one_index();
    build_in_doubt(
        &fleet,
        "CREATE INDEX t1_note ON tenant_0001.t1 (lower(note))",
    );
    let run = fleet.folder.json(&["resume"], 4);
    let failure = &tenant(&run, TENANT)["failure"];
    assert_says(
        &failure["message"],
        &["t1_note is there and valid", "lower(note)", "statement 1"],
    );
    assert_says(
        &failure["hint"],
        &["fleet settle done", "fleet settle again"],
    );
    fleet.db.execute("DROP INDEX tenant_0001.t1_note");
    fleet.folder.json(&["resume"], 0);
    assert_eq!(fleet.indexes(TENANT), ["t1_note"]);
}

#[test]
fn a_dropped_index_is_dropped_once() {
    let fleet = Fleet::with(1).migration("V2__drop", "DROP INDEX CONCURRENTLY t1_old;\n");
    fleet
        .db
        .execute("CREATE INDEX t1_old ON tenant_0001.t1 (note)");
    killed_behind_a_writer(&fleet);
    let run = fleet.folder.json(&["resume"], 0);
    assert_says(&tenant(&run, TENANT)["notes"][0], &["the index is"]);
    assert_eq!(fleet.indexes(TENANT), [""; 0]);
    assert_eq!(fleet.history(TENANT), [1, 2]);
}

#[test]
fn what_a_rebuild_has_left_is_dropped() {
    let fleet = Fleet::with(1).migration("V2__reindex", "REINDEX TABLE CONCURRENTLY t1;\n");
    fleet
        .db
        .execute("CREATE INDEX t1_note ON tenant_0001.t1 (note)");
    killed_behind_a_writer(&fleet);
    fleet.folder.json(&["resume"], 0);
    assert_eq!(fleet.indexes(TENANT), ["t1_note"]);
    assert_eq!(fleet.history(TENANT), [1, 2]);
}

#[test]
fn a_partition_is_detached_once() {
    let fleet = Fleet::with(1).migration(
        "V2__detach",
        "ALTER TABLE parts DETACH PARTITION part_1 CONCURRENTLY;\n",
    );
    let version: i32 = fleet
        .db
        .query_one("SELECT current_setting('server_version_num')::int");
    if version < 140_000 {
        return;
    }
    fleet.db.execute(
        "CREATE TABLE tenant_0001.parts (n int) PARTITION BY LIST (n);
         CREATE TABLE tenant_0001.part_1 PARTITION OF tenant_0001.parts FOR VALUES IN (1)",
    );
    let reader = fleet.db.hold_lock("SELECT * FROM tenant_0001.parts");
    let run = fleet.folder.spawn(&["migrate"]);
    wait_until("the statement waits", || reader.waiters() == 1);
    run.kill();
    run.wait().assert_code(137);
    fleet.db.end_what_the_server_cannot_notice();
    wait_until("the server has noticed", || fleet.db.fleet_backends() == 0);
    reader.release();

    let run = fleet.folder.json(&["resume"], 0);

    assert_says(&tenant(&run, TENANT)["notes"][0], &["the partition"]);
    let attached: i64 = fleet.db.query_one(
        "SELECT count(*) FROM pg_inherits WHERE inhrelid = 'tenant_0001.part_1'::regclass",
    );
    assert_eq!(attached, 0);
}

/// A procedure that commits as it goes: only a person can tell how far it came.
fn killed_in_a_procedure() -> Fleet {
    let fleet = Fleet::with(2).migration(
        "V2__backfill",
        "-- fleet: no-transaction\n\
         CREATE PROCEDURE backfill() LANGUAGE plpgsql AS $$ BEGIN\n\
           INSERT INTO probe VALUES (21); COMMIT;\n\
           PERFORM pg_advisory_lock_shared(4711); PERFORM pg_advisory_unlock_shared(4711);\n\
           INSERT INTO probe VALUES (22); COMMIT;\n\
         END $$;\n\
         CALL backfill();\n\
         CREATE TABLE done (id int);\n",
    );
    let gate = fleet.db.hold_lock("SELECT pg_advisory_xact_lock(4711)");
    let run = fleet.folder.spawn(&["migrate", "--tenant", TENANT]);
    wait_until("the procedure waits", || gate.waiters() == 1);
    run.kill();
    run.wait().assert_code(137);
    fleet.db.end_what_the_server_cannot_notice();
    wait_until("the server has noticed", || fleet.db.fleet_backends() == 0);
    gate.release();
    fleet
}

#[test]
fn what_only_a_person_can_tell_fails_by_name_with_two_ways_out() {
    let fleet = killed_in_a_procedure();
    let run = fleet.folder.json(&["migrate"], 4);
    let row = tenant(&run, TENANT);
    assert_says(
        &row["failure"]["message"],
        &["statement 2", "CALL backfill()", "not known"],
    );
    assert_eq!(row["failure"]["class"], "permanent");
    assert_eq!(row["failure"]["statement"], 2);
    assert_eq!(tenant(&run, "tenant_0002")["outcome"], "succeeded");

    fleet.folder.fleet(&["settle", "done"]).assert_code(2);
    let settled = fleet
        .folder
        .json(&["settle", "done", "--tenant", TENANT], 0);
    assert_eq!(settled["settled"][0]["statement"], 2);
    fleet.folder.json(&["resume"], 0);
    let ran: Vec<i64> = fleet
        .db
        .column("SELECT version FROM tenant_0001.probe ORDER BY version");
    assert_eq!(ran, [1, 21], "it went on behind the procedure");
    fleet
        .folder
        .fleet(&["settle", "done", "--tenant", TENANT])
        .assert_code(2)
        .assert_stderr_has("no selected tenant has a statement in doubt");
}

#[test]
fn a_person_may_say_that_it_is_to_run_again() {
    let fleet = killed_in_a_procedure();
    fleet
        .folder
        .fleet(&["settle", "again", "--tenant", TENANT])
        .assert_code(0)
        .assert_stdout_has("will run again");
    fleet.folder.json(&["resume"], 0);
    let ran: Vec<i64> = fleet
        .db
        .column("SELECT version FROM tenant_0001.probe ORDER BY version");
    assert_eq!(ran, [1, 21, 21, 22]);
}

#[test]
fn a_statement_in_doubt_that_was_taken_out_of_the_file_is_settled_all_the_same() {
    let fleet = one_index();
    killed_behind_a_writer(&fleet);
    let fleet = fleet.migration(
        "V2__index",
        "-- fleet: no-transaction\nCREATE TABLE instead (id int);\n",
    );
    fleet.folder.json(&["resume"], 0);
    assert_eq!(fleet.indexes(TENANT), [""; 0], "nothing invalid is left");
    assert_eq!(fleet.history(TENANT), [1, 2]);
}

#[test]
fn a_procedure_that_failed_is_told_with_its_error_and_not_tried_again() {
    let fleet = Fleet::with(1).migration(
        "V2__backfill",
        "-- fleet: no-transaction\n\
         CREATE PROCEDURE backfill() LANGUAGE plpgsql AS $$ BEGIN\n\
           INSERT INTO probe VALUES (21); COMMIT; PERFORM 1 / 0;\n\
         END $$;\n\
         CALL backfill();\n",
    );
    let run = fleet.folder.json(&["migrate"], 4);
    let row = tenant(&run, TENANT);
    assert_eq!(row["failure"]["sqlstate"], "22012");
    assert_eq!(row["attempts"], 1);
    assert_says(&row["failure"]["hint"], &["fleet settle"]);
    fleet
        .folder
        .json(&["settle", "done", "--tenant", TENANT], 0);
    fleet.folder.json(&["resume"], 0);
}

#[test]
fn a_person_cannot_say_that_an_index_is_built_that_is_not() {
    let fleet = one_index();
    killed_behind_a_writer(&fleet);
    let status = fleet.folder.json(&["status"], 0);
    assert_eq!(status["tenants"][0]["halfway"]["in_doubt"], 1);
    fleet
        .folder
        .fleet(&["settle", "done", "--tenant", TENANT])
        .assert_code(2)
        .assert_stderr_has("t1_note is invalid");
    fleet.folder.json(&["resume"], 0);
    assert_eq!(fleet.indexes(TENANT), ["t1_note"]);
}

#[test]
fn an_index_of_another_table_is_not_adopted() {
    let fleet = one_index();
    build_in_doubt(
        &fleet,
        "CREATE TABLE tenant_0001.other (note text); CREATE INDEX t1_note ON tenant_0001.other (note)",
    );
    let run = fleet.folder.json(&["resume"], 4);
    assert_says(
        &tenant(&run, TENANT)["failure"]["message"],
        &["of the table other, not of t1"],
    );
}

#[test]
fn a_statement_in_doubt_is_settled_before_one_that_was_put_in_front_of_it() {
    let fleet = killed_in_a_procedure();
    let path = fleet.folder.migration_path("V2__backfill");
    let text = std::fs::read_to_string(path).expect("the file");
    fleet.folder.write_migration(
        "V2__backfill",
        &text.replace(
            "CALL backfill",
            "CREATE TABLE before (id int);\nCALL backfill",
        ),
    );
    let run = fleet.folder.json(&["migrate"], 4);
    assert_says(
        &tenant(&run, TENANT)["failure"]["message"],
        &["CALL backfill()", "not known"],
    );
}
