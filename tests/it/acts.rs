//! What somebody makes a history say, without anything being run: recorded with who, why and when.

use crate::stock_refinery::Stock;
use crate::support::{
    Server, TestDatabase, TestFleet, assert_nothing_left, assert_nothing_to_do, assert_says,
    each_tenants, tenant, tenants,
};

/// What a process ends with that aborts.
#[cfg(feature = "failpoints")]
const ABORTED: i32 = 134;

/// So many tenants at V1 of a set that ends there.
fn at_v1(tenant_count: usize) -> (TestDatabase, TestFleet) {
    let db = TestDatabase::create(Server::A);
    tenants(&db, tenant_count);
    let fleet = TestFleet::new(&db).probe_migrations(1..=1);
    fleet.json(&["migrate"], 0);
    (db, fleet)
}

fn history(db: &TestDatabase, schema: &str) -> Vec<i64> {
    db.column(&format!(
        "SELECT version FROM {schema}.refinery_schema_history ORDER BY version"
    ))
}

fn has_table(db: &TestDatabase, table: &str) -> bool {
    db.query_one(&format!("SELECT to_regclass('{table}') IS NOT NULL"))
}

#[test]
fn a_skipped_migration_is_recorded_and_not_run() {
    let (db, fleet) = at_v1(2);
    let fleet = fleet.probe_migrations(2..=3);
    let run = fleet.json(&["skip", "2", "tenant_0001", "--reason", "done by hand"], 0);
    assert_eq!(each_tenants(&run, "outcome"), ["tenant_0001 succeeded"]);
    assert_eq!(run["tenants"][0]["to"], 2);
    assert_eq!(run["tenants"][0]["applied"], serde_json::json!([]));
    assert_eq!(history(&db, "tenant_0001"), [1, 2]);
    assert!(!has_table(&db, "tenant_0001.t2"));

    let show = fleet.json(&["show"], 0);
    assert_eq!(show["command"], "skip");
    assert_eq!(show["reason"], "done by hand");
    assert_eq!(show["acts"][0]["act"], "skip");
    assert_eq!(show["acts"][0]["versions"], serde_json::json!([2]));
    assert_eq!(show["acts"][0]["state"], "done");
    fleet
        .fleet(&["show"])
        .assert_stdout_has("done by hand")
        .assert_stdout_has("main/tenant_0001 skip V2: done");

    fleet.json(&["migrate"], 0);
    assert_eq!(history(&db, "tenant_0001"), [1, 2, 3]);
    let again = Stock::Int4.migrate(&db, "tenant_0001", &fleet);
    assert_eq!(
        again.assert_code(0).stdout,
        "",
        "stock refinery is satisfied"
    );
    assert_nothing_left(&db);
}

#[test]
fn only_the_next_migration_can_be_skipped_and_only_with_a_reason() {
    let (db, fleet) = at_v1(1);
    let fleet = fleet.probe_migrations(2..=3);
    fleet
        .fleet(&["skip", "2", "tenant_0001"])
        .assert_code(2)
        .assert_stderr_has("--reason");
    fleet
        .fleet(&["skip", "2", "tenant_0001", "--reason", " "])
        .assert_code(2);
    let unknown = fleet.fleet(&["skip", "9", "tenant_0001", "--reason", "x"]);
    unknown
        .assert_code(2)
        .assert_stderr_has("no migration has version 9");
    let later = fleet.json(&["skip", "3", "tenant_0001", "--reason", "x"], 7);
    assert_says(
        &later["tenants"][0]["reason"],
        &["V3 does not come next", "V2 before it"],
    );
    let applied = fleet.json(&["skip", "1", "tenant_0001", "--reason", "x"], 7);
    assert_says(&applied["tenants"][0]["reason"], &["V1 is applied already"]);
    assert_eq!(history(&db, "tenant_0001"), [1]);
}

#[test]
fn a_migration_that_stands_halfway_can_be_skipped() {
    let (db, fleet) = at_v1(1);
    let fleet = fleet.migration(
        "V2__steps",
        "-- fleet: no-transaction\nCREATE TABLE half (id int);\nSELECT 1 / 0;\n",
    );
    fleet.json(&["migrate"], 4);
    assert!(has_table(&db, "tenant_0001.fleet_schema_steps"));
    fleet.json(&["skip", "2", "tenant_0001", "--reason", "x"], 0);
    assert!(!has_table(&db, "tenant_0001.fleet_schema_steps"));
    assert_nothing_to_do(&fleet);
}

#[test]
fn a_tenant_with_tables_and_no_history_gets_a_baseline() {
    let (db, fleet) = at_v1(3);
    let fleet = fleet.probe_migrations(2..=2);
    db.execute("DROP TABLE tenant_0002.refinery_schema_history");
    let plan = fleet.json(&["plan"], 7);
    assert_says(&tenant(&plan, "tenant_0002")["hint"], &["fleet baseline"]);

    let run = fleet.json(
        &[
            "baseline",
            "tenant_0002",
            "--at",
            "1",
            "--reason",
            "restored from a dump",
        ],
        0,
    );

    assert_eq!(run["tenants"][0]["to"], 1);
    assert_eq!(history(&db, "tenant_0002"), [1]);
    fleet.json(&["migrate"], 0);
    assert_eq!(history(&db, "tenant_0002"), [1, 2]);
    let again = Stock::Int4.migrate(&db, "tenant_0002", &fleet);
    assert_eq!(
        again.assert_code(0).stdout,
        "",
        "stock refinery is satisfied"
    );
    let shown = fleet.json(&["runs"], 0);
    assert_eq!(shown["runs"][1]["command"], "baseline");
}

#[test]
fn an_emptied_history_of_wide_versions_keeps_its_width() {
    let db = TestDatabase::create(Server::A);
    tenants(&db, 1);
    let fleet = TestFleet::new(&db).probe_migrations(1..=2);
    Stock::Int8
        .migrate(&db, "tenant_0001", &fleet)
        .assert_code(0);
    db.execute("DELETE FROM tenant_0001.refinery_schema_history");
    fleet.json(
        &[
            "baseline",
            "tenant_0001",
            "--at",
            "2",
            "--reason",
            "emptied",
        ],
        0,
    );
    let again = Stock::Int8.migrate(&db, "tenant_0001", &fleet);
    assert_eq!(again.assert_code(0).stdout, "");
    assert_nothing_to_do(&fleet);
}

#[test]
fn a_baseline_is_refused_where_a_history_or_nothing_is() {
    let (db, fleet) = at_v1(2);
    db.execute("DROP SCHEMA tenant_0002 CASCADE; CREATE SCHEMA tenant_0002");
    let run = fleet.json(&["baseline", "*", "--at", "1", "--reason", "x"], 7);
    assert_says(
        &tenant(&run, "tenant_0001")["reason"],
        &["it has a history", "up to V1"],
    );
    assert_says(
        &tenant(&run, "tenant_0002")["reason"],
        &["neither tables nor a history"],
    );
    let unknown = fleet.fleet(&["baseline", "*", "--at", "7", "--reason", "x"]);
    unknown
        .assert_code(2)
        .assert_stderr_has("no migration has version 7");
}

#[test]
fn an_edited_file_is_taken_as_it_is_and_the_old_row_is_kept() {
    let (db, fleet) = at_v1(2);
    let fleet = fleet.probe_migrations(2..=2);
    fleet.json(&["migrate"], 0);
    let was: String =
        db.query_one("SELECT checksum FROM tenant_0001.refinery_schema_history WHERE version = 2");
    fleet.write_migration(
        "V2__probe_2",
        "-- a comment\nCREATE TABLE t2 (id bigint);\n",
    );
    let plan = fleet.json(&["plan"], 7);
    assert_says(&plan["tenants"][0]["hint"], &["fleet accept-divergent"]);

    let run = fleet.json(&["accept-divergent", "*", "--reason", "a comment only"], 0);

    assert_eq!(run["totals"]["succeeded"], 2);
    let show = fleet.json(&["show"], 0);
    let act = &show["acts"][0];
    assert_eq!(act["act"], "accept-divergent");
    assert_eq!(act["was"][0]["checksum"], was.as_str());
    let now: String =
        db.query_one("SELECT checksum FROM tenant_0001.refinery_schema_history WHERE version = 2");
    assert_eq!(act["now"][0]["checksum"], now.as_str());
    assert_ne!(was, now);
    fleet
        .fleet(&["show"])
        .assert_stdout_has(&format!("V2 was probe_2 with checksum {was}"));
    assert_nothing_to_do(&fleet);
    let again = Stock::Int4.migrate(&db, "tenant_0001", &fleet);
    assert_eq!(
        again.assert_code(0).stdout,
        "",
        "stock refinery is satisfied"
    );
    let nothing = fleet.fleet(&["accept-divergent", "*", "--reason", "x"]);
    nothing
        .assert_code(0)
        .assert_stdout_has("Nothing to do: 2 tenants without an edited file");
}

#[test]
fn a_strange_set_is_never_accepted_and_one_version_alone_may_be() {
    let (db, fleet) = at_v1(1);
    let fleet = fleet.probe_migrations(2..=3);
    fleet.json(&["migrate"], 0);
    fleet.write_migration("V1__probe_1", "SELECT 1;\n");
    fleet.write_migration("V2__probe_2", "SELECT 2;\n");
    let run = fleet.json(
        &[
            "accept-divergent",
            "tenant_0001",
            "--version",
            "2",
            "--reason",
            "x",
        ],
        0,
    );
    assert_eq!(run["totals"]["succeeded"], 1);
    let plan = fleet.json(&["plan"], 7);
    assert_says(&plan["tenants"][0]["reason"], &["V1__probe_1"]);
    assert!(
        !plan["tenants"][0]["reason"]
            .to_string()
            .contains("V2__probe_2")
    );

    fleet.remove_migration("V3__probe_3");
    let refused = fleet.json(&["accept-divergent", "tenant_0001", "--reason", "x"], 7);
    assert_says(
        &refused["tenants"][0]["reason"],
        &["ahead of this migration set"],
    );
    assert_eq!(history(&db, "tenant_0001"), [1, 2, 3]);
}

#[cfg(feature = "failpoints")]
#[test]
fn an_act_that_was_cut_off_is_shown_as_that_and_the_history_tells() {
    for (point, is_done) in [("K2", false), ("K8", true)] {
        let (db, fleet) = at_v1(1);
        let fleet = fleet.probe_migrations(2..=2);
        let skip = ["skip", "2", "tenant_0001", "--reason", "x"];
        let mut command = fleet.command(&skip);
        command.env("FAILPOINTS", format!("{point}=return"));
        crate::support::Child::spawn(command)
            .wait()
            .assert_code(ABORTED);

        let shown = fleet.json(&["show"], 0);
        assert_eq!(shown["acts"][0]["state"], "open", "{point}");
        assert_eq!(shown["acts"][0]["reason"], "x", "{point}");
        let again = fleet.json(&skip, if is_done { 7 } else { 0 });
        if is_done {
            assert_says(&again["tenants"][0]["reason"], &["V2 is applied already"]);
        }
        assert_eq!(history(&db, "tenant_0001"), [1, 2], "{point}");
        let dead = shown["run"].as_str().expect("a name");
        let state = &fleet.json(&["show", dead], 0)["acts"][0]["state"];
        assert_ne!(state, "done", "{point}: nobody has heard of it");
        assert_nothing_left(&db);
    }
}

#[test]
fn an_act_waits_for_the_lease_like_any_run() {
    let (db, fleet) = at_v1(2);
    let fleet = fleet
        .set("execution.lock_timeout", "60s")
        .migration("V2__alter", "ALTER TABLE probe ADD COLUMN note text;\n");
    let lock = db.hold_lock("LOCK TABLE tenant_0001.probe");
    let run = fleet.spawn(&["migrate"]);
    crate::support::wait_until("it is at work", || lock.waiters() == 1);
    let skip = fleet.fleet(&["skip", "2", "tenant_0002", "--reason", "x", "--wait", "0"]);
    skip.assert_code(6).assert_stderr_has("another run");
    lock.release();
    run.wait().assert_code(0);
}

#[test]
fn a_dry_run_of_an_act_writes_nothing() {
    let (db, fleet) = at_v1(2);
    let fleet = fleet.probe_migrations(2..=2);
    let arguments = ["skip", "2", "*", "--reason", "x", "--dry-run"];
    let plan = fleet.json(&arguments, 0);
    assert_eq!(plan["act"], "skip");
    assert_eq!(plan["tenants"][0]["action"], "skip");
    fleet
        .fleet(&arguments)
        .assert_code(0)
        .assert_stdout_has("V2__probe_2 recorded as applied, and not run");
    assert_eq!(history(&db, "tenant_0001"), [1]);
    assert_eq!(
        fleet.json(&["runs"], 0)["runs"].as_array().map(Vec::len),
        Some(1)
    );
}

#[test]
fn names_and_reasons_are_taken_to_the_letter() {
    let db = TestDatabase::create(Server::A);
    let schema = "tenant_it's \"odd\" \\x";
    let quoted = crate::support::quote(schema);
    db.execute(&format!("CREATE SCHEMA {quoted}"));
    let fleet = TestFleet::new(&db).probe_migrations(1..=1);
    fleet.json(&["migrate"], 0);
    let fleet = fleet.probe_migrations(2..=3);
    let reason = "it's \"so\" \\ $1 ''";
    let file = "fi'x \\.sql";
    fleet.write_file(file, "INSERT INTO probe VALUES (0); -- it's\n");

    fleet.json(&["skip", "2", schema, "--reason", reason], 0);
    let skipped = fleet.json(&["show"], 0);
    fleet.write_migration("V1__probe_1", "SELECT 'edited';\n");
    fleet.json(&["accept-divergent", schema, "--reason", reason], 0);
    fleet.json(&["repair", schema, "--sql", file, "--reason", reason], 0);

    assert_eq!(skipped["acts"][0]["schema"], schema);
    assert_eq!(skipped["acts"][0]["reason"], reason);
    let show = fleet.json(&["show"], 0);
    assert_eq!(show["fix"]["name"], file);
    assert_eq!(show["acts"][0]["schema"], schema);
    assert_eq!(history(&db, &quoted), [1, 2, 3]);
    let noted: String = db.query_one(&format!(
        "SELECT name || '|' || reason FROM {quoted}.fleet_schema_repairs"
    ));
    assert_eq!(noted, format!("{file}|{reason}"));
    assert_nothing_to_do(&fleet);
}
