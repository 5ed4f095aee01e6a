//! Files that fleet cannot run as they are, or has to run with care.

use crate::support::{
    Server, TestDatabase, TestFleet, assert_applied_exactly_once, assert_nothing_left,
    assert_public_is_empty, assert_says, assert_untouched, each_tenants, tenant, tenants,
};

/// F32: a COMMIT in the middle, found when planning.
#[test]
fn a_commit_in_a_file_is_refused_before_anything_is_touched() {
    assert_refused_at(
        "CREATE TABLE a (id int);\n\nCOMMIT;\nCREATE TABLE b (id int);\n",
        "V2__bad.sql:3",
        &["COMMIT in a migration", "split the file"],
    );
}

#[test]
fn a_rollback_in_a_file_is_refused_before_anything_is_touched() {
    assert_refused_at(
        "CREATE TABLE a (id int);\nROLLBACK;\n",
        "V2__bad.sql:2",
        &["ROLLBACK in a migration"],
    );
}

#[test]
fn a_begin_that_does_not_span_the_file_is_refused() {
    assert_refused_at(
        "BEGIN;\nCREATE TABLE a (id int);\nCOMMIT;\nCREATE TABLE b (id int);\n",
        "V2__bad.sql:1",
        &["BEGIN in a migration"],
    );
}

/// F60: psql's own commands.
#[test]
fn a_meta_command_of_psql_is_refused() {
    assert_refused_at(
        "CREATE TABLE a (id int);\n\\set x 1\n\\i other.sql\n",
        "V2__bad.sql:2",
        &["psql"],
    );
}

#[test]
fn copy_from_stdin_is_refused() {
    assert_refused_at(
        "CREATE TABLE a (id int);\nCOPY a FROM STDIN;\n1\n\\.\n",
        "V2__bad.sql:2",
        &["COPY", "INSERT"],
    );
}

#[test]
fn every_finding_of_every_file_is_told_at_once() {
    let db = TestDatabase::create(Server::A);
    tenants(&db, 1);
    let fleet = TestFleet::new(&db)
        .migration("V1__one", "COMMIT;\nSELECT 1;\nROLLBACK;\n")
        .migration("V2__two", "");
    let run = fleet.fleet(&["plan"]);
    run.assert_code(3)
        .assert_stderr_has("V1__one.sql:1")
        .assert_stderr_has("V1__one.sql:3")
        .assert_stderr_has("V2__two.sql");
}

/// F32: BEGIN and COMMIT around the whole file, as other tools write them.
#[test]
fn begin_and_commit_around_a_whole_file_are_taken_off() {
    let db = TestDatabase::create(Server::A);
    let schemas = tenants(&db, 2);
    let fleet = TestFleet::new(&db).probe_migrations(1..=1).migration(
        "V2__wrapped",
        "-- as another tool wrote it\nBEGIN;\nCREATE TABLE wrapped (id int);\nINSERT INTO probe VALUES (2);\nCOMMIT;\n",
    );
    fleet.json(&["migrate"], 0);
    assert_applied_exactly_once(&db, &schemas, &[1, 2]);
}

#[test]
fn a_wrapped_file_that_fails_leaves_nothing_behind() {
    let db = TestDatabase::create(Server::A);
    let schemas = tenants(&db, 2);
    let fleet = TestFleet::new(&db).probe_migrations(1..=1).migration(
        "V2__wrapped",
        "BEGIN;\nINSERT INTO probe VALUES (2);\nSELECT 1/0;\nCOMMIT;\n",
    );
    let run = fleet.json(&["migrate"], 4);
    assert_eq!(tenant(&run, "tenant_0001")["failure"]["line"], 3);
    assert_applied_exactly_once(&db, &schemas, &[1]);
}

#[test]
fn a_procedure_that_commits_cannot_end_the_transaction() {
    let db = TestDatabase::create(Server::A);
    let schemas = tenants(&db, 2);
    let fleet = TestFleet::new(&db)
        .migration(
            "V1__procedure",
            "CREATE TABLE probe (version bigint);\nINSERT INTO probe VALUES (1);\n\
             CREATE PROCEDURE commits() LANGUAGE plpgsql AS $$ BEGIN INSERT INTO probe VALUES (99); COMMIT; END $$;\n",
        )
        .migration("V2__call", "INSERT INTO probe VALUES (2);\nCALL commits();\n");

    let run = fleet.json(&["migrate"], 4);

    let failure = &tenant(&run, "tenant_0001")["failure"];
    assert_eq!(failure["migration"], "V2__call");
    assert_eq!(failure["statement"], 2);
    assert_eq!(failure["sqlstate"], "2D000");
    assert_says(
        &failure["hint"],
        &["nothing that the file calls may COMMIT"],
    );
    assert_applied_exactly_once(&db, &schemas, &[1]);
    assert_nothing_left(&db);
}

#[test]
fn a_do_block_that_commits_cannot_end_the_transaction() {
    let db = TestDatabase::create(Server::A);
    let schemas = tenants(&db, 2);
    let fleet = TestFleet::new(&db)
        .unlinted()
        .probe_migrations(1..=1)
        .migration(
            "V2__do",
            "DO $$ BEGIN INSERT INTO probe VALUES (2); COMMIT; END $$;\n",
        );
    let run = fleet.json(&["migrate"], 4);
    assert_eq!(run["failures"][0]["sqlstate"], "2D000");
    assert_applied_exactly_once(&db, &schemas, &[1]);
}

#[test]
fn a_file_that_drops_its_own_schema_is_rolled_back() {
    let db = TestDatabase::create(Server::A);
    let schemas = tenants(&db, 3);
    let fleet = TestFleet::new(&db).unlinted().probe_migrations(1..=1).migration(
        "V2__drop",
        "INSERT INTO probe VALUES (2);\n\
         DO $$ BEGIN IF current_schema() = 'tenant_0002' THEN DROP SCHEMA tenant_0002 CASCADE; END IF; END $$;\n",
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
    let failure = &tenant(&run, "tenant_0002")["failure"];
    assert_eq!(failure["migration"], "V2__drop");
    assert_says(&failure["message"], &["while recording the migration"]);
    assert_says(&failure["hint"], &["drop its own schema"]);
    assert_applied_exactly_once(&db, &schemas[1..2], &[1]);
    assert_public_is_empty(&db);
}

#[test]
fn a_file_may_end_in_a_comment_without_a_newline() {
    let db = TestDatabase::create(Server::A);
    let schemas = tenants(&db, 1);
    let fleet = TestFleet::new(&db)
        .probe_migrations(1..=1)
        .migration("V2__comment", "INSERT INTO probe VALUES (2); -- done")
        .migration("V3__no_semicolon", "INSERT INTO probe VALUES (3)")
        .migration("V4__block", "INSERT INTO probe VALUES (4) /* done */");
    fleet.json(&["migrate"], 0);
    assert_applied_exactly_once(&db, &schemas, &[1, 2, 3, 4]);
}

/// F60: a byte order mark and line ends of Windows.
#[test]
fn a_byte_order_mark_and_windows_line_ends_are_no_problem() {
    let db = TestDatabase::create(Server::A);
    let schemas = tenants(&db, 1);
    let fleet = TestFleet::new(&db).probe_migrations(1..=1).migration(
        "V2__windows",
        "\u{feff}-- made on Windows\r\nINSERT INTO probe\r\nVALUES (2);\r\n",
    );
    fleet.json(&["migrate"], 0);
    assert_applied_exactly_once(&db, &schemas, &[1, 2]);
    fleet.json(&["plan"], 0);
}

#[test]
fn a_file_that_cannot_run_in_a_transaction_is_refused_before_anything_is_touched() {
    let db = TestDatabase::create(Server::A);
    tenants(&db, 1);
    let fleet = TestFleet::new(&db).migration(
        "V1__mixed",
        "CREATE TABLE a (id int);\nCREATE INDEX CONCURRENTLY ON a (id);\n",
    );
    let run = fleet.fleet(&["migrate"]);
    run.assert_code(3)
        .assert_stderr_has("V1__mixed.sql:2")
        .assert_stderr_has("-- fleet: no-transaction");
    assert_untouched(&db);
}

/// F60: bytes that are not UTF-8, and NUL.
#[test]
fn a_file_that_is_no_text_is_refused() {
    for bytes in [&b"SELECT 1;\n\xff\xfe"[..], b"SELECT 1;\nSELECT '\0';\n"] {
        let db = TestDatabase::create(Server::A);
        tenants(&db, 1);
        let fleet = TestFleet::new(&db).probe_migrations(1..=1);
        std::fs::write(fleet.migration_path("V2__bytes"), bytes).expect("a file");
        let run = fleet.fleet(&["migrate"]);
        run.assert_code(3).assert_stderr_has("V2__bytes.sql:2");
        assert_untouched(&db);
    }
}

/// `plan` and `migrate` both refuse the set, name the place, and touch nothing.
#[track_caller]
fn assert_refused_at(file: &str, place: &str, says: &[&str]) {
    let db = TestDatabase::create(Server::A);
    tenants(&db, 2);
    let fleet = TestFleet::new(&db)
        .probe_migrations(1..=1)
        .migration("V2__bad", file);
    for command in ["plan", "migrate"] {
        let run = fleet.fleet(&[command]);
        run.assert_code(3).assert_stderr_has(place);
        for part in says {
            run.assert_stderr_has(part);
        }
    }
    assert_untouched(&db);
}
