//! The control schema: made by anybody at any time, and not needed to know the truth.

use super::{one_of_three_fails, repair};
use crate::support::{
    Child, Server, TestDatabase, TestFleet, applied, assert_applied_exactly_once,
    assert_nothing_left, assert_says, each_tenants, tenants,
};

/// F19: many processes create the control schema at once, none of them sees an error.
#[test]
fn twelve_processes_create_the_control_schema_at_once() {
    let db = TestDatabase::create(Server::A);
    let fleet = TestFleet::new(&db);
    let racing: Vec<Child> = (0..12)
        .map(|_| fleet.spawn(&["-o", "json", "init"]))
        .collect();
    let mut created = 0;
    for process in racing {
        let process = process.wait();
        process.assert_code(0);
        created += usize::from(process.json()["action"] == "created");
    }
    assert_eq!(created, 1, "one says that it was the one");
    let versions: i64 = db.query_one("SELECT count(*) FROM fleet_control.fleet_schema_history");
    assert!(versions >= 1);
    let again = fleet.json(&["init"], 0);
    assert_says(&again["action"], &["up to date"]);
    assert_nothing_left(&db);
}

#[test]
fn of_many_runs_that_start_at_once_one_migrates_and_the_others_say_so() {
    let db = TestDatabase::create(Server::A);
    let schemas = tenants(&db, 30);
    let fleet = TestFleet::new(&db).probe_migrations(1..=3);
    let racing: Vec<Child> = (0..6)
        .map(|_| fleet.spawn(&["-o", "json", "migrate"]))
        .collect();
    let codes: Vec<i32> = racing.into_iter().map(|run| run.wait().code()).collect();
    assert!(codes.contains(&0), "{codes:?}");
    assert!(codes.iter().all(|code| [0, 6].contains(code)), "{codes:?}");
    assert_applied_exactly_once(&db, &schemas, &[1, 2, 3]);
    assert_nothing_left(&db);
}

/// F21: a control schema of a newer fleet is not touched.
#[test]
fn a_control_schema_of_a_newer_fleet_is_refused() {
    let (db, fleet) = one_of_three_fails();
    fleet.json(&["init"], 0);
    db.execute(
        "INSERT INTO fleet_control.fleet_schema_history
           SELECT 99, 'later', applied_on, checksum FROM fleet_control.fleet_schema_history LIMIT 1",
    );
    for command in [
        "migrate",
        "resume",
        "status",
        "runs",
        "show",
        "init",
        "reconcile",
    ] {
        let refused = fleet.json(&[command], 3);
        assert_says(&refused["error"], &["version 99", "newer fleet"]);
    }
    let schemas = ["tenant_0001".to_owned()];
    assert_eq!(applied(&db, &schemas)["tenant_0001"].history, [1]);
}

#[test]
fn without_the_control_schema_everything_is_still_right() {
    let (db, fleet) = one_of_three_fails();
    fleet.json(&["migrate"], 4);
    db.execute("DROP SCHEMA fleet_control CASCADE");

    let plan = fleet.json(&["plan"], 0);
    let status = fleet.json(&["status"], 0);

    assert_eq!(
        each_tenants(&plan, "action"),
        [
            "tenant_0001 up_to_date",
            "tenant_0002 migrate",
            "tenant_0003 up_to_date"
        ]
    );
    assert_eq!(
        each_tenants(&status, "state"),
        [
            "tenant_0001 up_to_date",
            "tenant_0002 pending",
            "tenant_0003 up_to_date"
        ]
    );
    assert_eq!(fleet.json(&["runs"], 0)["runs"], serde_json::json!([]));
    repair(&db);
    let run = fleet.json(&["migrate"], 0);
    assert_eq!(run["totals"]["succeeded"], 1);
    assert_eq!(run["totals"]["up_to_date"], 2);
}

#[test]
fn a_control_schema_dropped_in_the_middle_of_a_run_is_no_success() {
    let db = TestDatabase::create(Server::A);
    let schemas = tenants(&db, 3);
    let fleet = TestFleet::new(&db)
        .set("execution.concurrency", 1)
        .set("execution.lock_timeout", "60s")
        .probe_migrations(1..=1);
    fleet.json(&["migrate"], 0);
    let fleet = fleet.migration(
        "V2__alter",
        "ALTER TABLE t1 ADD more text;\nINSERT INTO probe VALUES (2);\n",
    );
    let lock = db.hold_lock("LOCK TABLE tenant_0001.t1");
    let run = fleet.spawn(&["migrate"]);
    crate::support::wait_until("the run waits for the lock", || lock.waiters() == 1);
    db.execute("DROP SCHEMA fleet_control CASCADE");
    lock.release();

    let run = run.wait();

    run.assert_code(1).assert_stderr_has("fleet reconcile");
    fleet.json(&["migrate"], 0);
    assert_applied_exactly_once(&db, &schemas, &[1, 2]);
}

/// F55: no right to make the control schema.
#[test]
fn a_fleet_role_that_may_not_create_the_control_schema_is_told() {
    let db = TestDatabase::create(Server::A);
    tenants(&db, 1);
    let role = format!("{}_app", db.name());
    db.execute(&format!("CREATE ROLE {role} LOGIN"));
    let url = db.url().replace("//postgres@", &format!("//{role}@"));
    let run = TestFleet::without_database()
        .database_url("main", &url)
        .probe_migrations(1..=1)
        .fleet(&["migrate"]);
    run.assert_code(1)
        .assert_stderr_has("control schema")
        .assert_stderr_has("permission denied");
}
