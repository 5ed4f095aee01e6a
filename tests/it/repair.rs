//! Roll forward: SQL that puts a tenant right, and what is pending after it, in one transaction.

mod faults;
mod seen;

use serde_json::Value;

use crate::support::{
    Server, TestDatabase, TestFleet, assert_nothing_left, assert_nothing_to_do, assert_says,
    each_tenants, shape, tenant, tenants,
};

/// Takes the rows away that stand twice. Run twice it would show in `runs`.
const FIX: &str = "-- the import of May has doubled them\n\
    DELETE FROM probe a USING probe b WHERE a.version = b.version AND a.ctid > b.ctid;\n\
    CREATE TABLE IF NOT EXISTS fixed (at timestamptz DEFAULT now());\n\
    INSERT INTO fixed DEFAULT VALUES;\n";

/// So many tenants at V1, some of which hold a row twice, and a V2 that such tenants fail at.
fn with_bad_rows(tenant_count: usize, bad: &[&str]) -> (TestDatabase, TestFleet) {
    let db = TestDatabase::create(Server::A);
    tenants(&db, tenant_count);
    let fleet = TestFleet::new(&db)
        .set("execution.concurrency", 4)
        .probe_migrations(1..=1);
    fleet.json(&["migrate"], 0);
    for schema in bad {
        db.execute(&format!("INSERT INTO {schema}.probe VALUES (1)"));
    }
    let fleet = fleet.migration("V2__unique", "CREATE UNIQUE INDEX ON probe (version);\n");
    fleet.write_file("fix.sql", FIX);
    (db, fleet)
}

fn head(db: &TestDatabase, schema: &str) -> i64 {
    db.query_one(&format!(
        "SELECT max(version) FROM {schema}.refinery_schema_history"
    ))
}

fn fixed(db: &TestDatabase, schema: &str) -> i64 {
    db.query_one(&format!("SELECT count(*) FROM {schema}.fixed"))
}

fn has_table(db: &TestDatabase, table: &str) -> bool {
    db.query_one(&format!("SELECT to_regclass('{table}') IS NOT NULL"))
}

#[test]
fn tenants_with_bad_rows_are_repaired_and_nothing_is_left_to_resume() {
    let bad = [
        "tenant_0007",
        "tenant_0119",
        "tenant_0233",
        "tenant_0348",
        "tenant_0500",
    ];
    let (db, fleet) = with_bad_rows(500, &bad);
    let run = fleet.json(&["migrate"], 4);
    assert_eq!(run["totals"]["succeeded"], 495);
    assert_eq!(
        run["failures"].as_array().map(Vec::len),
        Some(1),
        "one cause"
    );
    let named: Vec<String> = bad.iter().map(|schema| format!("main/{schema}")).collect();
    assert_eq!(run["failures"][0]["tenants"], Value::from(named));

    let arguments = [
        &["repair", "--sql", "fix.sql", "--reason", "doubled rows"][..],
        &bad,
    ]
    .concat();
    let repaired = fleet.json(&arguments, 0);

    assert_eq!(repaired["totals"]["succeeded"], 5);
    assert_eq!(repaired["tenants"][0]["applied"][0], "V2__unique");
    for schema in bad {
        assert_eq!((head(&db, schema), fixed(&db, schema)), (2, 1), "{schema}");
    }
    let resumed = fleet.json(&["resume"], 0);
    assert_eq!(
        resumed["totals"]["up_to_date"], 5,
        "nothing is attempted again"
    );
    fleet
        .fleet(&["resume"])
        .assert_code(0)
        .assert_stdout_has("Nothing to resume");
    assert_nothing_to_do(&fleet);
    assert_nothing_left(&db);
}

#[test]
fn a_repair_is_shown_with_who_why_when_and_the_sql() {
    let (db, fleet) = with_bad_rows(3, &["tenant_0002"]);
    fleet.json(&["migrate"], 4);
    let run = fleet.json(
        &[
            "repair",
            "tenant_0002",
            "--sql",
            "fix.sql",
            "--reason",
            "ticket 42",
        ],
        0,
    );

    let show = fleet.json(&["show"], 0);
    assert_eq!(show["run"], run["run"]);
    assert_eq!(show["command"], "repair");
    assert_eq!(show["reason"], "ticket 42");
    assert_eq!(show["fix"]["name"], "fix.sql");
    assert_eq!(show["fix"]["text"], FIX);
    let act = &show["acts"][0];
    assert_eq!(act["schema"], "tenant_0002");
    assert_eq!(act["state"], "done");
    assert_eq!(act["versions"][0], 2);
    assert_eq!(act["actor"], show["started_by"]);
    assert!(act["at"].is_string());
    fleet
        .fleet(&["show"])
        .assert_code(0)
        .assert_stdout_has("ticket 42")
        .assert_stdout_has("the import of May")
        .assert_stdout_has("main/tenant_0002 repair V2: done");
    fleet.fleet(&["runs"]).assert_stdout_has("repair");
    let noted: String = db.query_one(
        "SELECT name || ' ' || reason || ' ' || run FROM tenant_0002.fleet_schema_repairs",
    );
    assert_eq!(
        noted,
        format!("fix.sql ticket 42 {}", run["run"].as_str().unwrap())
    );
    let status = fleet.json(&["status"], 0);
    assert_eq!(tenant(&status, "tenant_0002")["state"], "up_to_date");
}

#[test]
fn a_fix_that_fails_takes_everything_back_and_names_its_place() {
    let (db, fleet) = with_bad_rows(2, &["tenant_0002"]);
    fleet.write_file(
        "wrong.sql",
        "CREATE TABLE made (id int);\n\nDELETE FROM no_such_table;\n",
    );
    let run = fleet.json(&["repair", "tenant_0002", "--sql", "wrong.sql"], 4);
    let failure = &run["tenants"][0]["failure"];
    assert_eq!(failure["migration"], "wrong.sql");
    assert_eq!(failure["line"], 3);
    assert_eq!(failure["statement"], 2);
    assert_eq!(failure["sqlstate"], "42P01");
    assert!(!has_table(&db, "tenant_0002.made"));
    assert!(!has_table(&db, "tenant_0002.fleet_schema_repairs"));
    assert_eq!(head(&db, "tenant_0002"), 1);
    fleet
        .fleet(&["repair", "tenant_0002", "--sql", "wrong.sql"])
        .assert_code(4)
        .assert_stdout_has("at wrong.sql:3: 42P01");
    assert_eq!(fleet.json(&["show"], 0)["acts"][0]["state"], "failed");
}

#[test]
fn a_migration_that_fails_behind_the_fix_takes_the_fix_back_too() {
    let (db, fleet) = with_bad_rows(1, &["tenant_0001"]);
    fleet.write_file("fix.sql", "CREATE TABLE made (id int);\n");
    let run = fleet.json(&["repair", "tenant_0001", "--sql", "fix.sql"], 4);
    assert_eq!(run["tenants"][0]["failure"]["migration"], "V2__unique");
    assert_eq!(run["tenants"][0]["failure"]["sqlstate"], "23505");
    assert!(!has_table(&db, "tenant_0001.made"), "rolled back with V2");
}

#[test]
fn what_is_pending_goes_in_one_transaction_with_the_fix_up_to_the_first_that_takes_none() {
    let (db, fleet) = with_bad_rows(1, &["tenant_0001"]);
    let fleet = fleet
        .migration(
            "V3__three",
            "CREATE TABLE three AS SELECT txid_current() AS xid;\n",
        )
        .migration(
            "V4__index",
            "CREATE INDEX CONCURRENTLY t1_note ON t1 (note);\n",
        )
        .migration(
            "V5__five",
            "CREATE TABLE five AS SELECT txid_current() AS xid;\n",
        );
    fleet.write_file(
        "fix.sql",
        &format!("{FIX}CREATE TABLE fix_xid AS SELECT txid_current() AS xid;\n"),
    );
    let run = fleet.json(&["repair", "tenant_0001", "--sql", "fix.sql"], 0);
    assert_eq!(run["tenants"][0]["to"], 5);
    let together: bool = db.query_one(
        "SELECT (SELECT xid FROM tenant_0001.fix_xid) = (SELECT xid FROM tenant_0001.three)
            AND (SELECT xid FROM tenant_0001.fix_xid) < (SELECT xid FROM tenant_0001.five)",
    );
    assert!(together);
    assert_nothing_to_do(&fleet);
}

#[test]
fn a_tenant_that_is_in_the_middle_of_its_steps_is_repaired_and_goes_on_there() {
    let (db, fleet) = with_bad_rows(1, &["tenant_0001"]);
    fleet.remove_migration("V2__unique");
    let fleet = fleet.migration(
        "V2__steps",
        "-- fleet: no-transaction\nCREATE TABLE half (id int);\n\
         CREATE UNIQUE INDEX CONCURRENTLY probe_version ON probe (version);\n",
    );
    fleet.json(&["migrate"], 4);
    let run = fleet.json(&["repair", "tenant_0001", "--sql", "fix.sql"], 0);
    assert_eq!(run["tenants"][0]["applied"][0], "V2__steps");
    assert_says(&run["tenants"][0]["notes"][0], &["fix.sql is committed"]);
    assert_eq!(fixed(&db, "tenant_0001"), 1);
    assert_nothing_to_do(&fleet);
}

#[test]
fn a_fix_that_stays_though_a_later_step_fails_is_said_to_stay() {
    let (db, fleet) = with_bad_rows(1, &["tenant_0001"]);
    fleet.write_migration(
        "V2__unique",
        "-- fleet: no-transaction\nCREATE TABLE half (id int);\nSELECT 1 / 0;\n",
    );
    let repair = ["repair", "tenant_0001", "--sql", "fix.sql"];
    fleet
        .fleet(&repair)
        .assert_code(4)
        .assert_stdout_has("fix.sql is committed, whatever follows");
    fleet.write_migration(
        "V2__unique",
        "-- fleet: no-transaction\nCREATE TABLE half (id int);\nSELECT 1;\n",
    );
    fleet.json(&repair, 0);
    let state = (head(&db, "tenant_0001"), fixed(&db, "tenant_0001"));
    assert_eq!(state, (2, 1));
}

#[test]
fn the_same_command_again_does_not_run_the_fix_twice() {
    let (db, fleet) = with_bad_rows(2, &["tenant_0002"]);
    let repair = ["repair", "tenant_*", "--sql", "fix.sql"];
    assert_eq!(fleet.json(&repair, 0)["totals"]["succeeded"], 2);
    let again = fleet.json(&repair, 0);
    assert_eq!(again["totals"]["up_to_date"], 2);
    assert_says(
        &again["tenants"][0]["reason"],
        &["fix.sql was run here before", "--again"],
    );
    assert_eq!(fixed(&db, "tenant_0002"), 1);
    fleet
        .fleet(&repair)
        .assert_code(0)
        .assert_stdout_has("was run here before");

    let meant = fleet.json(&["repair", "tenant_0002", "--sql", "fix.sql", "--again"], 0);
    assert_eq!(meant["totals"]["succeeded"], 1);
    assert_eq!(fixed(&db, "tenant_0002"), 2);
}

#[test]
fn only_the_fix_is_run_where_nothing_is_to_follow() {
    let (db, fleet) = with_bad_rows(2, &["tenant_0002"]);
    fleet.write_migration("V1__probe_1", "SELECT 'edited';\n");
    let refused = fleet.json(&["repair", "tenant_0002", "--sql", "fix.sql"], 7);
    assert_eq!(refused["totals"]["skipped"], 1);
    assert!(!has_table(&db, "tenant_0002.fixed"));

    let run = fleet.json(
        &["repair", "tenant_0002", "--sql", "fix.sql", "--no-migrate"],
        0,
    );

    assert_eq!(run["totals"]["succeeded"], 1);
    assert_eq!(
        (head(&db, "tenant_0002"), fixed(&db, "tenant_0002")),
        (1, 1)
    );
}

#[test]
fn a_fix_that_is_not_all_or_nothing_is_refused_with_its_place() {
    let (db, fleet) = with_bad_rows(1, &[]);
    for (text, place) in [
        (
            "SELECT 1;\nBEGIN;\nSELECT 2;\n",
            "fix.sql:2:1: BEGIN in a migration",
        ),
        ("\n\\copy probe from x\n", "fix.sql:2:1"),
        (
            "-- fleet: no-transaction\nVACUUM probe;\n",
            "fix.sql:2:1: a repair runs in one transaction",
        ),
        (
            "CREATE INDEX CONCURRENTLY ON probe (version);\n",
            "fix.sql:1:1: a repair runs in one",
        ),
        ("-- nothing\n", "holds no statement"),
    ] {
        fleet.write_file("fix.sql", text);
        let run = fleet.fleet(&["repair", "tenant_0001", "--sql", "fix.sql"]);
        run.assert_code(3).assert_stderr_has(place);
    }
    let missing = fleet.fleet(&["repair", "tenant_0001", "--sql", "gone.sql"]);
    missing.assert_code(3).assert_stderr_has("gone.sql");
    assert_eq!(
        fleet.json(&["runs"], 0)["runs"].as_array().map(Vec::len),
        Some(1)
    );
    assert_nothing_left(&db);
}

#[test]
fn a_fix_keeps_within_the_guards_of_a_migration() {
    let (db, fleet) = with_bad_rows(1, &[]);
    for (text, message) in [
        ("SET search_path = public;\n", "search_path"),
        (
            "DELETE FROM refinery_schema_history;\n",
            "writes to the history table itself",
        ),
        (
            "SELECT set_config('fleet.pin', '', false);\n",
            "reset the settings",
        ),
    ] {
        fleet.write_file("fix.sql", text);
        let run = fleet.json(
            &["repair", "tenant_0001", "--sql", "fix.sql", "--no-migrate"],
            4,
        );
        assert_says(&run["tenants"][0]["failure"]["message"], &[message]);
        assert_eq!(run["tenants"][0]["failure"]["migration"], "fix.sql");
    }
    assert_eq!(head(&db, "tenant_0001"), 1);
    assert!(!has_table(&db, "tenant_0001.fleet_schema_repairs"));
}

#[test]
fn tenants_are_named_or_selected_and_a_typo_is_an_error() {
    let (_db, fleet) = with_bad_rows(3, &[]);
    fleet
        .fleet(&["repair", "--sql", "fix.sql"])
        .assert_code(2)
        .assert_stderr_has("name the tenants");
    fleet
        .fleet(&["repair", "tenant_0001", "tenant_9999", "--sql", "fix.sql"])
        .assert_code(2)
        .assert_stderr_has("tenant_9999");
    let run = fleet.json(
        &[
            "repair",
            "main/tenant_0001",
            "--tenant",
            "tenant_0003",
            "--sql",
            "fix.sql",
        ],
        0,
    );
    assert_eq!(
        each_tenants(&run, "outcome"),
        ["tenant_0001 succeeded", "tenant_0003 succeeded"]
    );
}

#[test]
fn a_repaired_tenant_has_the_shape_of_all_others() {
    let (db, fleet) = with_bad_rows(2, &["tenant_0002"]);
    fleet.write_file("fix.sql", "DELETE FROM probe;\n");
    fleet.json(&["migrate"], 4);
    fleet.json(&["repair", "tenant_0002", "--sql", "fix.sql"], 0);
    assert_eq!(shape(&db, "tenant_0001"), shape(&db, "tenant_0002"));
}

#[test]
fn a_dry_run_says_what_would_be_done_and_writes_nothing() {
    let (db, fleet) = with_bad_rows(2, &["tenant_0002"]);
    fleet.json(&["migrate"], 4);
    db.execute("DROP SCHEMA fleet_control CASCADE");
    let plan = fleet.json(&["repair", "tenant_*", "--sql", "fix.sql", "--dry-run"], 0);
    assert_eq!(plan["act"], "repair");
    assert_eq!(plan["fix"]["name"], "fix.sql");
    assert_eq!(
        tenant(&plan, "tenant_0001")["migrations"],
        Value::from(Vec::<String>::new())
    );
    assert_eq!(tenant(&plan, "tenant_0002")["migrations"][0], "V2__unique");
    fleet
        .fleet(&["repair", "tenant_*", "--sql", "fix.sql", "--dry-run"])
        .assert_code(0)
        .assert_stdout_has("the fix, then V2__unique");
    assert!(!has_table(&db, "fleet_control.runs"));
    assert!(!has_table(&db, "tenant_0002.fixed"));

    fleet.json(&["repair", "tenant_0002", "--sql", "fix.sql"], 0);
    let plan = fleet.json(&["repair", "tenant_*", "--sql", "fix.sql", "--dry-run"], 0);
    let before = tenant(&plan, "tenant_0002");
    assert_eq!(before["action"], "up_to_date");
    assert_says(&before["reason"], &["fix.sql was run here before"]);
    assert_eq!(tenant(&plan, "tenant_0001")["action"], "repair");
}

#[test]
fn a_repair_is_not_resumed_but_typed_again() {
    let (_db, fleet) = with_bad_rows(2, &["tenant_0002"]);
    let migrated = fleet.json(&["migrate"], 4);
    fleet.write_file("fix.sql", "SELECT 1 / 0;\n");
    let failed = fleet.json(&["repair", "tenant_0002", "--sql", "fix.sql"], 4);
    let name = failed["run"].as_str().expect("a name");
    fleet
        .fleet(&["resume", name])
        .assert_code(2)
        .assert_stderr_has("type the command again");
    fleet.write_file("fix.sql", FIX);
    fleet.json(&["repair", "tenant_0002", "--sql", "fix.sql"], 0);
    let resumed = fleet.json(&["resume"], 0);
    assert_eq!(
        fleet.json(&["runs"], 0)["runs"][0]["resumes"],
        migrated["run"]
    );
    assert_eq!(resumed["totals"]["up_to_date"], 1);
}
