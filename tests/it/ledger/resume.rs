//! `resume` takes exactly what a run has left.

use serde_json::json;

use super::{one_of_three_fails, repair};
use crate::support::{TestFleet, assert_says, each_tenants, wait_until};

#[test]
fn a_resume_takes_what_failed_and_what_was_not_attempted() {
    let (db, fleet) = one_of_three_fails();
    let fleet = fleet.set("rollout.max_failures", 1);
    let halted = fleet.json(&["migrate"], 5);
    assert_eq!(halted["outcome"], "halted");
    assert_eq!(
        each_tenants(&halted, "outcome"),
        [
            "tenant_0001 succeeded",
            "tenant_0002 failed",
            "tenant_0003 skipped"
        ]
    );
    assert_says(&halted["tenants"][2]["reason"], &["max_failures"]);
    repair(&db);

    let resumed = fleet.json(&["resume"], 0);

    assert_eq!(
        each_tenants(&resumed, "outcome"),
        ["tenant_0002 succeeded", "tenant_0003 succeeded"]
    );
    let runs = fleet.json(&["runs"], 0);
    assert_eq!(runs["runs"][0]["resumes"], halted["run"]);
    assert_eq!(runs["runs"][0]["command"], "resume");
}

#[test]
fn a_percentage_of_failures_halts_too() {
    let (_db, fleet) = one_of_three_fails();
    let fleet = fleet.set("rollout.max_failures", "30%");
    assert_eq!(fleet.json(&["migrate"], 5)["totals"]["skipped"], 1);
    let fleet = fleet.set("rollout.max_failures", "80%");
    assert_eq!(fleet.json(&["resume"], 4)["totals"]["succeeded"], 1);
}

#[test]
fn a_second_resume_has_nothing_to_do() {
    let (db, fleet) = one_of_three_fails();
    fleet.json(&["migrate"], 4);
    repair(&db);
    fleet.json(&["resume"], 0);
    assert_nothing_to_resume(&fleet);
}

#[test]
fn there_is_nothing_to_resume_before_the_first_run() {
    let (_db, fleet) = one_of_three_fails();
    assert_nothing_to_resume(&fleet);
}

#[test]
fn a_whole_migrate_that_succeeds_leaves_nothing_to_resume() {
    let (db, fleet) = one_of_three_fails();
    fleet.json(&["migrate"], 4);
    repair(&db);
    fleet.json(&["migrate"], 0);
    assert_nothing_to_resume(&fleet);
}

#[test]
fn a_migrate_of_a_part_does_not_take_the_rest_of_an_earlier_run_away() {
    let (db, fleet) = one_of_three_fails();
    fleet.json(&["migrate"], 4);
    fleet.json(&["migrate", "--tenant", "tenant_0001"], 0);
    repair(&db);
    let resumed = fleet.json(&["resume"], 0);
    assert_eq!(each_tenants(&resumed, "outcome"), ["tenant_0002 succeeded"]);
}

#[test]
fn a_resume_that_fails_again_can_be_resumed() {
    let (db, fleet) = one_of_three_fails();
    fleet.json(&["migrate"], 4);
    let again = fleet.json(&["resume"], 4);
    repair(&db);
    fleet.json(&["resume"], 0);
    let newest = &fleet.json(&["runs"], 0)["runs"][0];
    assert_eq!(newest["resumes"], again["run"]);
}

#[test]
fn a_run_is_resumed_by_the_beginning_of_its_name() {
    let (db, fleet) = one_of_three_fails();
    let first = fleet.json(&["migrate", "--tenant", "tenant_0002"], 4);
    fleet.json(&["migrate", "--tenant", "tenant_0003"], 0);
    repair(&db);
    let name = first["run"].as_str().expect("a name");
    let resumed = fleet.json(&["resume", &name[..name.len() - 1]], 0);
    assert_eq!(each_tenants(&resumed, "outcome"), ["tenant_0002 succeeded"]);
}

/// F46: a resume with other files says so and keeps its target.
#[test]
fn a_resume_keeps_the_target_of_its_run() {
    let (db, fleet) = one_of_three_fails();
    fleet.json(&["migrate", "--to", "2"], 4);
    repair(&db);
    fleet.write_migration("V3__later", "SELECT 3;\n");
    let run = fleet.fleet(&["-o", "json", "resume"]);
    run.assert_code(0)
        .assert_stderr_has("the migration set has changed");
    assert_eq!(run.json()["target"], 2);
    let head: i64 = db.query_one("SELECT max(version) FROM tenant_0002.refinery_schema_history");
    assert_eq!(head, 2);
}

#[test]
fn a_tenant_that_is_gone_is_not_resumed_and_that_is_said() {
    let (db, fleet) = one_of_three_fails();
    fleet.json(&["migrate"], 4);
    db.execute("DROP SCHEMA tenant_0002 CASCADE");
    let run = fleet.fleet(&["-o", "json", "resume"]);
    run.assert_code(2).assert_stderr_has("main/tenant_0002");
    assert_eq!(run.json()["totals"]["tenants"], 0);
}

#[test]
fn a_tenant_that_the_config_does_not_find_now_is_not_forgotten() {
    let (db, fleet) = one_of_three_fails();
    fleet.json(&["migrate"], 4);
    repair(&db);
    let fleet = fleet.set("databases.0.name", "renamed");
    fleet.fleet(&["resume"]).assert_code(2);
    let fleet = fleet.set("databases.0.name", "main");
    assert_eq!(fleet.json(&["resume"], 0)["totals"]["succeeded"], 1);
}

#[test]
fn a_run_whose_process_died_is_resumed_where_it_stood() {
    let (db, fleet) = one_of_three_fails();
    repair(&db);
    let fleet = fleet.set("execution.lock_timeout", "60s");
    let lock = db.hold_lock("LOCK TABLE tenant_0002.probe");
    let run = fleet.spawn(&["migrate"]);
    wait_until("it waits in the second tenant", || lock.waiters() == 1);
    run.kill();
    run.wait();
    lock.release();
    wait_until("its backends are gone", || db.fleet_backends() == 0);

    let resumed = fleet.json(&["resume"], 0);

    let outcomes = each_tenants(&resumed, "outcome");
    assert!(
        outcomes.contains(&"tenant_0003 succeeded".to_owned()),
        "{outcomes:?}"
    );
    for schema in ["tenant_0001", "tenant_0002", "tenant_0003"] {
        let rows: i64 = db.query_one(&format!(
            "SELECT count(*) FROM {schema}.refinery_schema_history"
        ));
        assert_eq!(rows, 2, "{schema}");
    }
}

#[track_caller]
fn assert_nothing_to_resume(fleet: &TestFleet) {
    let run = fleet.fleet(&["-o", "json", "resume"]);
    run.assert_code(0).assert_stderr_has("nothing to resume");
    assert_eq!(
        run.json(),
        json!({
            "run": null, "outcome": "succeeded", "exit_code": 0, "target": null,
            "totals": { "tenants": 0, "succeeded": 0, "up_to_date": 0, "failed": 0, "interrupted": 0, "skipped": 0, "held": 0 },
            "tenants": [], "failures": [], "new": [], "throttled": [],
        })
    );
}
