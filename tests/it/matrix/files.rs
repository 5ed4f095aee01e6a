//! Files that ask for what a transaction cannot do, and files of fifty megabytes.

use crate::support::{
    Golden, Server, TestDatabase, TestFleet, assert_applied_exactly_once, assert_converged,
    assert_says, assert_untouched, tenant, tenants,
};

/// F32: DISCARD ALL would take fleet's own settings away; it is found before any tenant is touched.
#[test]
fn discard_all_in_a_file_is_found_when_planning() {
    let db = TestDatabase::create(Server::A);
    tenants(&db, 2);
    let fleet =
        TestFleet::new(&db).migration("V1__discard", "CREATE TABLE a (id int);\nDISCARD ALL;\n");
    for command in ["plan", "migrate"] {
        let run = fleet.fleet(&[command]);
        run.assert_code(3)
            .assert_stderr_has("V1__discard.sql:2")
            .assert_stderr_has("DISCARD ALL");
    }
    assert_untouched(&db);
}

/// F33: a value that is added to an enum and used at once fails with what to do, and is no obstacle when split.
#[test]
fn an_enum_value_that_is_used_at_once_is_explained() {
    let db = TestDatabase::create(Server::A);
    let schemas = tenants(&db, 2);
    let fleet = TestFleet::new(&db)
        .probe_migrations(1..=1)
        .migration(
            "V2__mood",
            "CREATE TYPE mood AS ENUM ('good');\nCREATE TABLE day (mood mood);\nINSERT INTO probe VALUES (2);\n",
        );
    fleet.json(&["migrate"], 0);
    fleet.write_migration(
        "V3__bad",
        "ALTER TYPE mood ADD VALUE 'bad';\nINSERT INTO day VALUES ('bad');\nINSERT INTO probe VALUES (3);\n",
    );

    let run = fleet.json(&["migrate"], 4);

    let failure = &tenant(&run, "tenant_0001")["failure"];
    assert_eq!(failure["sqlstate"], "55P04");
    assert_eq!(failure["class"], "permanent");
    assert_eq!(
        (&failure["statement"], &failure["line"]),
        (&2.into(), &2.into())
    );
    assert_says(
        &failure["hint"],
        &["committed before", "migration of its own"],
    );
    assert_applied_exactly_once(&db, &schemas, &[1, 2]);
    fleet.write_migration(
        "V3__bad",
        "ALTER TYPE mood ADD VALUE 'bad';\nINSERT INTO probe VALUES (3);\n",
    );
    fleet.write_migration(
        "V4__use",
        "INSERT INTO day VALUES ('bad');\nINSERT INTO probe VALUES (4);\n",
    );
    let golden = Golden::of(&fleet);
    fleet.json(&["migrate"], 0);
    assert_converged(&fleet, &db, &schemas, &golden);
}

/// F60: a file of fifty megabytes is a file like any other.
#[test]
fn a_file_of_fifty_megabytes_is_applied() {
    let db = TestDatabase::create(Server::A);
    let schemas = tenants(&db, 1);
    let filler = "-- Übergröße: one line of many that a generator has written into the file of a migration\n";
    let mut text = filler.repeat(50_000_000 / filler.len());
    text.push_str("INSERT INTO probe VALUES (2);\n");
    let fleet = TestFleet::new(&db)
        .probe_migrations(1..=1)
        .migration("V2__huge", &text);
    fleet.json(&["migrate"], 0);
    assert_applied_exactly_once(&db, &schemas, &[1, 2]);
    fleet.write_migration("V2__huge", &text.replacen("one", "two", 1));
    fleet.json(&["plan"], 7);
}

/// F60: files without a statement are refused together with everything else that is wrong.
#[test]
fn files_without_a_statement_are_refused() {
    let db = TestDatabase::create(Server::A);
    tenants(&db, 1);
    let fleet = TestFleet::new(&db)
        .migration("V1__empty", "")
        .migration("V2__blank", " \n\t\n")
        .migration("V3__comment", "-- to be written\n/* later */\n")
        .migration("V4__semicolon", ";;\n");
    let run = fleet.fleet(&["migrate"]);
    run.assert_code(3);
    for name in ["V1__empty", "V2__blank", "V3__comment", "V4__semicolon"] {
        run.assert_stderr_has(name);
    }
    assert_untouched(&db);
}
