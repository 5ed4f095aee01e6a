//! What the process exits with.

use super::one_of_two_will_fail;
use serde_json::json;

use crate::support::{
    Server, TestDatabase, TestFleet, assert_applied_exactly_once, assert_says, assert_untouched,
    tenants, wait_until,
};

#[test]
fn code_0_everything_asked_for_is_done() {
    let (_db, fleet) = one_of_two_will_fail();
    fleet.fleet(&["migrate", "--to", "1"]).assert_code(0);
    fleet.fleet(&["migrate", "--tenant", "*1"]).assert_code(0);
}

#[test]
fn code_2_a_command_line_that_makes_no_sense() {
    let (_db, fleet) = one_of_two_will_fail();
    for wrong in [
        &["migrate", "--to", "soon"][..],
        &["migrate", "--concurrency", "0"],
        &["migrate", "--label", "plan"],
        &["migrate", "--tenant", "[a"],
        &["show", "no-such-run"],
        &["resume", "no-such-run"],
        &["fly"],
        &[],
        &["-q", "-v", "plan"],
    ] {
        fleet.fleet(wrong).assert_code(2);
    }
}

#[test]
fn code_3_a_config_that_is_refused() {
    let db = TestDatabase::create(Server::A);
    tenants(&db, 1);
    let fleet = TestFleet::new(&db)
        .probe_migrations(1..=1)
        .set("execution.lock_timout", "3s");
    let run = fleet.fleet(&["migrate"]);
    run.assert_code(3)
        .assert_stderr_has("fleet.yaml:")
        .assert_stderr_has("lock_timout")
        .assert_stderr_has("lock_timeout");
    assert_untouched(&db);
}

#[test]
fn code_3_a_config_that_is_not_there() {
    let fleet = TestFleet::without_database();
    let run = fleet.fleet(&["-c", "elsewhere.yaml", "plan"]);
    run.assert_code(3).assert_stderr_has("elsewhere.yaml");
}

#[test]
fn code_4_some_tenants_failed() {
    let (_db, fleet) = one_of_two_will_fail();
    let run = fleet.fleet(&["migrate"]);
    run.assert_code(4)
        .assert_stderr_has("main/tenant_0002")
        .assert_stderr_has("V2__unique")
        .assert_stderr_has("23505");
}

#[test]
fn code_6_another_run_holds_the_lease() {
    let db = TestDatabase::create(Server::A);
    let schemas = tenants(&db, 1);
    let fleet = TestFleet::new(&db)
        .probe_migrations(1..=1)
        .migration(
            "V2__alter",
            "ALTER TABLE t1 ADD more text;\nINSERT INTO probe VALUES (2);\n",
        )
        .config(|yaml| yaml["control"] = json!({ "wait": "1s" }))
        .set("execution.lock_timeout", "60s");
    fleet.json(&["migrate", "--to", "1"], 0);
    let lock = db.hold_lock("LOCK TABLE tenant_0001.t1");
    let first = fleet.spawn(&["-o", "json", "migrate"]);
    wait_until("the first run waits for the lock", || lock.waiters() == 1);

    for command in ["migrate", "resume", "reconcile"] {
        let refused = fleet.json(&[command], 6);
        assert_says(
            &refused["error"],
            &["another run holds the lease", "migrate, started by"],
        );
    }
    fleet.fleet(&["plan"]).assert_code(0);
    let status = fleet.json(&["status"], 0);
    assert_eq!(status["tenants"][0]["state"], "in_progress");
    assert_eq!(fleet.json(&["runs"], 0)["runs"][0]["state"], "running");

    lock.release();
    let first = first.wait();
    first.assert_code(0);
    assert_applied_exactly_once(&db, &schemas, &[1, 2]);
    assert_eq!(
        fleet.json(&["runs"], 0)["runs"].as_array().map(Vec::len),
        Some(2)
    );
}

#[test]
fn the_lease_ends_with_its_process() {
    let db = TestDatabase::create(Server::A);
    let schemas = tenants(&db, 1);
    let fleet = TestFleet::new(&db)
        .probe_migrations(1..=1)
        .migration(
            "V2__alter",
            "ALTER TABLE t1 ADD more text;\nINSERT INTO probe VALUES (2);\n",
        )
        .set("execution.lock_timeout", "60s");
    fleet.json(&["migrate", "--to", "1"], 0);
    let lock = db.hold_lock("LOCK TABLE tenant_0001.t1");
    let first = fleet.spawn(&["migrate"]);
    wait_until("the first run waits for the lock", || lock.waiters() == 1);
    first.kill();
    first.wait().assert_code(137);
    assert_eq!(fleet.json(&["runs"], 0)["runs"][0]["state"], "abandoned");
    lock.release();

    fleet.json(&["migrate"], 0);

    assert_applied_exactly_once(&db, &schemas, &[1, 2]);
    assert_eq!(fleet.json(&["runs"], 0)["runs"][1]["state"], "interrupted");
}

#[test]
fn code_7_divergent_tenants() {
    let (db, fleet) = one_of_two_will_fail();
    db.execute("UPDATE tenant_0002.refinery_schema_history SET checksum = '1'");
    let plan = fleet.fleet(&["plan"]);
    plan.assert_code(7);
    let run = fleet.fleet(&["migrate"]);
    run.assert_code(7).assert_stdout_has("main/tenant_0002");
    fleet.fleet(&["status"]).assert_code(7);
}
