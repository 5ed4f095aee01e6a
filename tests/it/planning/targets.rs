//! How far a run goes: `--to`, `--dry-run`, and files that may come late.

use serde_json::json;

use crate::support::{
    Server, TestDatabase, TestFleet, assert_applied_exactly_once, assert_says, assert_untouched,
    tenant, tenants, wait_until,
};

#[test]
fn to_stops_at_its_version() {
    let (db, schemas, fleet) = three_migrations();
    let plan = fleet.json(&["plan", "--to", "2"], 0);
    assert_eq!(plan["target"], 2);
    assert_eq!(plan["head"], 3);
    let pending = &tenant(&plan, "tenant_0001")["pending"];
    assert_eq!(*pending, json!(["V1__probe_1", "V2__probe_2"]));
    let run = fleet.json(&["migrate", "--to", "2"], 0);
    assert_eq!(run["target"], 2);
    assert_applied_exactly_once(&db, &schemas, &[1, 2]);
}

#[test]
fn to_below_a_tenants_version_leaves_it_where_it_is() {
    let (db, schemas, fleet) = three_migrations();
    fleet.json(&["migrate"], 0);
    let run = fleet.json(&["migrate", "--to", "1"], 0);
    assert_eq!(run["totals"]["up_to_date"], 2);
    assert_applied_exactly_once(&db, &schemas, &[1, 2, 3]);
}

#[test]
fn an_unknown_version_is_refused_with_those_that_there_are() {
    let (db, _schemas, fleet) = three_migrations();
    for command in ["plan", "migrate"] {
        let run = fleet.fleet(&[command, "--to", "7"]);
        run.assert_code(2)
            .assert_stderr_has("no migration has version 7")
            .assert_stderr_has("from 1 to 3");
    }
    assert_untouched(&db);
}

#[test]
fn a_dry_run_is_the_plan_and_touches_nothing() {
    let (db, _schemas, fleet) = three_migrations();
    let dry = fleet.json(&["migrate", "--dry-run", "--to", "2"], 0);
    assert_eq!(dry, fleet.json(&["plan", "--to", "2"], 0));
    assert_untouched(&db);
}

#[test]
fn a_file_that_may_come_late_is_applied_late() {
    let (db, schemas, fleet) = three_migrations();
    fleet.json(&["migrate"], 0);
    fleet.remove_migration("V3__probe_3");
    fleet.json(&["plan"], 7);
    let fleet = fleet.probe_migrations(3..=5);
    fleet.json(&["migrate", "--to", "5"], 0);
    fleet.write_migration("V10__ten", "INSERT INTO probe VALUES (10);\n");
    fleet.json(&["migrate"], 0);
    fleet.write_migration("U7__late", "INSERT INTO probe VALUES (7);\n");

    let plan = fleet.json(&["plan"], 0);

    assert_eq!(tenant(&plan, "tenant_0001")["pending"], json!(["U7__late"]));
    let run = fleet.json(&["migrate"], 0);
    assert_eq!(tenant(&run, "tenant_0001")["from"], 10);
    assert_eq!(tenant(&run, "tenant_0001")["to"], 10);
    assert_applied_exactly_once(&db, &schemas, &[1, 2, 3, 4, 5, 7, 10]);
    assert_eq!(fleet.json(&["migrate"], 0)["totals"]["up_to_date"], 2);
}

/// F44: a file below what is applied.
#[test]
fn a_file_that_comes_late_without_permission_is_refused() {
    let (db, schemas, fleet) = three_migrations();
    fleet.remove_migration("V2__probe_2");
    fleet.json(&["migrate"], 0);
    let fleet = fleet.probe_migrations(2..=2);
    fleet.json(&["migrate"], 7);
    assert_applied_exactly_once(&db, &schemas, &[1, 3]);
}

#[test]
fn a_finished_tenant_is_never_touched_again() {
    let (db, schemas, fleet) = three_migrations();
    fleet.json(&["migrate"], 0);
    let rows = "SELECT string_agg(xmin::text, ',' ORDER BY version) FROM tenant_0001.refinery_schema_history";
    let before: String = db.query_one(rows);
    let run = fleet.json(&["migrate"], 0);
    assert_eq!(run["totals"]["up_to_date"], 2);
    assert_eq!(run["outcome"], "succeeded");
    assert_eq!(db.query_one::<String>(rows), before);
    assert_applied_exactly_once(&db, &schemas, &[1, 2, 3]);
}

/// F44: a version that is there twice, and a name with a hyphen, which refinery skips.
#[test]
fn a_set_that_cannot_be_read_is_refused_with_every_reason() {
    let (db, _schemas, fleet) = three_migrations();
    fleet.write_migration("V3__again", "SELECT 1;\n");
    fleet.write_migration("V4-with-hyphen", "SELECT 1;\n");
    for command in ["plan", "migrate"] {
        let run = fleet.fleet(&[command]);
        run.assert_code(3)
            .assert_stderr_has("V3__again")
            .assert_stderr_has("V4-with-hyphen");
    }
    assert_untouched(&db);
}

/// F46: files that change during the run.
#[test]
fn a_set_is_read_once_though_its_files_change_during_the_run() {
    let (db, schemas, fleet) = three_migrations();
    let fleet = fleet
        .set("execution.concurrency", 1)
        .set("execution.lock_timeout", "60s");
    fleet.json(&["migrate", "--to", "2"], 0);
    fleet.write_migration(
        "V3__probe_3",
        "ALTER TABLE t1 ADD more text;\nINSERT INTO probe VALUES (3);\n",
    );
    let lock = db.hold_lock("LOCK TABLE tenant_0001.t1");
    let run = fleet.spawn(&["migrate"]);
    wait_until("the first tenant waits", || lock.waiters() == 1);
    fleet.write_migration("V3__probe_3", "nonsense");
    lock.release();
    run.wait().assert_code(0);
    assert_applied_exactly_once(&db, &schemas, &[1, 2, 3]);
}

/// F43: line ends that a checkout has converted.
#[test]
fn converted_line_ends_are_an_edit_and_the_hint_says_so() {
    let (_db, _schemas, fleet) = three_migrations();
    fleet.json(&["migrate"], 0);
    let path = fleet.migration_path("V2__probe_2");
    let text = std::fs::read_to_string(path).expect("the file");
    fleet.write_migration("V2__probe_2", &text.replace('\n', "\r\n"));
    let plan = fleet.json(&["plan"], 7);
    assert_says(&tenant(&plan, "tenant_0001")["reason"], &["V2__probe_2"]);
    assert_says(&tenant(&plan, "tenant_0001")["hint"], &["line ends"]);
}

fn three_migrations() -> (TestDatabase, Vec<String>, TestFleet) {
    let db = TestDatabase::create(Server::A);
    let schemas = tenants(&db, 2);
    let fleet = TestFleet::new(&db).probe_migrations(1..=3);
    (db, schemas, fleet)
}
