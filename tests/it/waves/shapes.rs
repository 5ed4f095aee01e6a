//! "Every file exited with 0" is no evidence that tenants are equal: those of a wave are compared when they are done.

use serde_json::{Value, json};

use super::{attempted, fleet_of, history, run_of, waves};
use crate::support::{
    Child, TestDatabase, TestFleet, assert_history_is_truth, assert_reports_truly, assert_says,
    tenant, wait_until,
};

/// What a process ends with that aborts.
const ABORTED: i32 = 134;

/// Looks for a constraint in all schemas, and finds that of the first tenant. It exits with 0 everywhere.
const UNSCOPED: &str = "
CREATE TABLE orders (id int, total int);
DO $$ BEGIN
  IF NOT EXISTS (SELECT FROM pg_constraint WHERE conname = 'orders_check') THEN
    ALTER TABLE orders ADD CONSTRAINT orders_check CHECK (total >= 0);
  END IF;
END $$;
INSERT INTO probe (version) VALUES (2);
";

/// Tenants at version 1, and the file that makes them unequal.
fn unequal(count: usize) -> (TestDatabase, Vec<String>, TestFleet) {
    let (db, schemas, fleet) = fleet_of(count);
    let fleet = fleet.migration("V2__orders", UNSCOPED).unlinted();
    // without a past tenants go by their names
    db.execute("DROP SCHEMA fleet_control CASCADE");
    (db, schemas, fleet.set("execution.concurrency", 1))
}

fn mend(db: &TestDatabase, schemas: &[String]) {
    for schema in schemas {
        db.execute(&format!(
            "ALTER TABLE {schema}.orders ADD CONSTRAINT orders_check CHECK (total >= 0)"
        ));
    }
}

fn failure<'a>(document: &'a Value, schema: &str) -> &'a Value {
    &tenant(document, schema)["failure"]
}

/// A run that dies at a point.
fn dies_at(fleet: &TestFleet, point: &str, arguments: &[&str]) {
    let mut command = fleet.command(arguments);
    command.env("FAILPOINTS", format!("{point}=return"));
    let run = Child::spawn(command).wait();
    assert_eq!(run.code(), ABORTED, "{run}");
}

fn events<'a>(lines: &'a [Value], event: &str) -> Vec<&'a Value> {
    lines.iter().filter(|line| line["event"] == event).collect()
}

/// F36: a look-up in the catalogue that sees another tenant is found on the second of thirty.
#[test]
fn a_canary_of_two_shapes_halts_the_run_before_anybody_else_is_touched() {
    let (db, schemas, fleet) = unequal(30);
    let halted = fleet.fleet(&["-o", "json", "migrate"]);
    halted.assert_code(5);
    halted.assert_stderr_has("its shape differs from that of the others");
    let run = halted.json();
    assert_eq!(run["halted"]["by"], "shapes");
    assert_says(
        &run["halted"]["reason"],
        &["the shapes of wave canary", &schemas[0], &schemas[1]],
    );
    assert_eq!(attempted(&run), 2);
    assert_eq!(run["totals"]["failed"], 2);
    assert_eq!(run["totals"]["succeeded"], 0);
    assert_eq!(waves(&run), ["canary halted", "rest pending"]);
    let lacks = failure(&run, &schemas[1]);
    assert_says(
        &lacks["message"],
        &["constraint orders_check on orders is missing"],
    );
    assert_says(&lacks["detail"], &["CHECK"]);
    assert_eq!(lacks["migration"], "V2__orders");
    assert_eq!(lacks["class"], "permanent");
    assert_eq!(tenant(&run, &schemas[1])["to"], 2);
    assert_eq!(history(&db, &schemas[2]), [1]);
    assert_reports_truly(&halted, &[("main", &db, &schemas)]);

    let shown = fleet.json(&["show"], 0);
    assert_eq!(shown["totals"]["failed"], 2);
    assert_eq!(shown["halted"]["by"], "shapes");
    let failures = fleet.fleet(&["failures"]);
    failures.assert_code(0);
    failures.assert_stdout_has("constraint orders_check on orders is missing");
    failures
        .assert_stdout_has("note       the migration is applied; it is the shape that differs\n");
    failures.assert_stdout_has("fleet verify ");
    assert!(!failures.stdout.contains("got past it"), "{failures}");
    assert!(
        !failures.stdout.contains("have V2__orders applied"),
        "{failures}"
    );
    let status = fleet.json(&["status", "--tenant", &schemas[1]], 0);
    let status = tenant(&status, &schemas[1]);
    assert_eq!(status["state"], "failed");
    assert_says(&status["last_failure"]["message"], &["orders_check"]);
}

/// What migrate would do then: nobody else is a canary, and those that were are not done with.
#[test]
fn a_plan_goes_on_with_the_waves_of_a_halted_run() {
    let (_db, schemas, fleet) = unequal(30);
    let run = fleet.json(&["migrate"], 5);
    for plan in [&["plan"][..], &["migrate", "--dry-run"]] {
        let mut arguments = vec!["-o", "json"];
        arguments.extend(plan);
        let planned = fleet.fleet(&arguments);
        planned.assert_code(0);
        planned.assert_stderr_has("goes on with the waves of run");
        planned.assert_stderr_has("compares the shapes again first");
        let planned = planned.json();
        assert_eq!(planned["goes_on_with"], run["run"]);
        let waves: Vec<(&Value, &Value)> = planned["waves"]
            .as_array()
            .unwrap()
            .iter()
            .map(|wave| (&wave["name"], &wave["tenants"]))
            .collect();
        assert_eq!(
            waves,
            [(&json!("canary"), &json!(0)), (&json!("rest"), &json!(28))]
        );
        let odd = tenant(&planned, &schemas[1]);
        assert_eq!(odd["action"], "up_to_date");
        assert_says(&odd["reason"], &["its shape differs"]);
    }
}

/// Nothing but a look at the tenants tells whether they are mended: it is had before anybody else is touched.
#[test]
fn what_is_not_mended_halts_again_and_what_is_goes_on() {
    let (db, schemas, fleet) = unequal(30);
    let halted = fleet.json(&["migrate"], 5);
    for again in [["resume"], ["migrate"]] {
        let run = fleet.json(&again, 5);
        assert_eq!(run["halted"]["by"], "shapes");
        assert_eq!(attempted(&run), 0);
        assert_says(
            &failure(&run, &schemas[1])["message"],
            &["orders_check on orders is missing"],
        );
    }
    assert_eq!(history(&db, &schemas[2]), [1]);
    mend(&db, &schemas[1..2]);
    let resumed = fleet.fleet(&["-o", "json", "resume"]);
    resumed.assert_code(0);
    let run = resumed.json();
    assert_eq!(run["totals"]["succeeded"], 28);
    assert_eq!(run["totals"]["up_to_date"], 2);
    assert_eq!(waves(&run), ["canary passed", "rest passed"]);
    let first = halted["run"].as_str().unwrap();
    let failures = fleet.json(&["failures", first], 0);
    for cause in failures["failures"].as_array().unwrap() {
        assert_eq!(cause["mended"], cause["tenants"]);
        assert_eq!(cause["passed"], Value::Null);
    }
    assert_reports_truly(&resumed, &[("main", &db, &schemas)]);
    assert_history_is_truth(&db, &schemas);
}

#[test]
fn each_wave_is_compared_with_those_before_it_where_that_is_asked() {
    let (db, schemas, fleet) = unequal(5);
    let fleet = fleet.set("verify.after", "every").set(
        "rollout.waves",
        json!([{ "name": "one", "count": 1 }, { "name": "two", "count": 2 }]),
    );
    let run = fleet.json(&["migrate"], 5);
    // there is nobody to compare the first with; then the others are the majority
    assert_eq!(waves(&run), ["one passed", "two halted", "rest pending"]);
    assert_says(
        &failure(&run, &schemas[0])["message"],
        &["constraint orders_check on orders is additional"],
    );
    assert_eq!(run["totals"]["failed"], 1);
    assert_eq!(history(&db, &schemas[3]), [1]);

    fleet.json(&["resume"], 5);
    mend(&db, &schemas[1..3]);
    // those that follow lack it again
    let resumed = fleet.json(&["resume"], 4);
    assert_eq!(waves(&resumed), ["one passed", "two passed", "rest halted"]);
    assert_eq!(resumed["totals"]["failed"], 2);
    mend(&db, &schemas[3..]);
    fleet.json(&["resume"], 0);
    assert_history_is_truth(&db, &schemas);
}

/// What is left are tenants that are at their target and unlike the others: nobody calls them up to date unseen.
#[test]
fn a_run_without_waves_is_compared_at_its_end_and_again() {
    let (db, schemas, fleet) = unequal(4);
    let fleet = fleet.set("verify.after", "every");
    let failed = fleet.fleet(&["-o", "json", "migrate"]);
    failed.assert_code(4);
    let run = failed.json();
    assert_eq!(run["halted"], Value::Null);
    assert_eq!(run["totals"]["failed"], 1);
    assert_says(
        &failure(&run, &schemas[0])["message"],
        &["orders_check on orders is additional"],
    );
    for again in [["resume"], ["migrate"], ["resume"]] {
        let run = fleet.json(&again, 4);
        assert_eq!(run["totals"]["failed"], 1);
        assert_eq!(run["totals"]["succeeded"], 0);
    }
    db.execute(&format!(
        "ALTER TABLE {}.orders DROP CONSTRAINT orders_check",
        schemas[0]
    ));
    let resumed = fleet.json(&["resume"], 0);
    assert_eq!(resumed["totals"]["failed"], 0);
    fleet.json(&["migrate"], 0);
    let last = fleet.fleet(&["resume"]);
    last.assert_code(0);
}

/// The table has a column that nobody's file has made.
#[test]
fn what_somebody_has_made_by_hand_before_is_told_and_halts_only_where_that_is_asked() {
    let (db, schemas, fleet) = fleet_of(30);
    db.execute(&format!("ALTER TABLE {}.t1 ADD COLUMN own int", schemas[1]));
    let fleet = fleet.probe_migrations(1..=2);
    let run = fleet.fleet(&["-o", "json", "migrate"]);
    run.assert_code(0);
    run.assert_stderr_has(
        "differs from the others, as before the run: column t1.own is additional",
    );
    let run = run.json();
    assert_says(
        &tenant(&run, &schemas[1])["notes"][0],
        &["column t1.own is additional"],
    );
    assert_eq!(run["totals"]["succeeded"], 30);

    let fleet = fleet.probe_migrations(1..=3).set("verify.drift", "fail");
    let run = fleet.json(&["migrate"], 5);
    assert_eq!(run["halted"]["by"], "shapes");
    assert_eq!(history(&db, &schemas[2]), [1, 2]);
    let fleet = fleet.set("verify.exclude", json!([schemas[1]]));
    let run = fleet.json(&["resume"], 0);
    assert_eq!(waves(&run), ["canary passed", "rest passed"]);
}

/// It is remembered from run to run: who was migrated by an earlier one cannot be seen as he was before.
#[test]
fn what_was_there_before_is_no_failure_of_a_run_that_carries_on() {
    let (db, schemas, fleet) = fleet_of(4);
    db.execute(&format!("ALTER TABLE {}.t1 ADD COLUMN own int", schemas[1]));
    let fleet = fleet
        .probe_migrations(1..=2)
        .set("rollout.waves", json!([{ "name": "canary", "count": 2 }]));
    dies_at(&fleet, "V1", &["migrate"]);
    let run = fleet.json(&["resume"], 0);
    assert_says(
        &tenant(&run, &schemas[1])["notes"][0],
        &["as before the run: column t1.own is additional"],
    );
    assert_eq!(waves(&run), ["canary passed", "rest passed"]);
}

/// F1: a death between the last tenant of a wave and the comparison, and one before that is written down.
#[test]
fn a_wave_that_was_not_compared_is_before_the_next_one_is_touched() {
    for point in ["V1", "V2"] {
        for again in [["resume"], ["migrate"]] {
            let (db, schemas, fleet) = unequal(4);
            let fleet = fleet.set("rollout.waves", json!([{ "name": "canary", "count": 2 }]));
            dies_at(&fleet, point, &["migrate"]);
            let run = fleet.json(&again, 5);
            assert_eq!(run["halted"]["by"], "shapes");
            assert_eq!(attempted(&run), 0);
            assert_eq!(run["totals"]["failed"], 2, "{point} {again:?}");
            assert_eq!(history(&db, &schemas[2]), [1]);
        }
    }
}

#[test]
fn a_run_without_waves_that_died_at_its_end_is_compared_by_the_next() {
    for again in [["resume"], ["migrate"]] {
        let (_db, _schemas, fleet) = unequal(4);
        let fleet = fleet.set("verify.after", "every");
        dies_at(&fleet, "V1", &["migrate"]);
        let run = fleet.json(&again, 4);
        assert_eq!(run["totals"]["failed"], 1);
    }
}

/// A canary of one has nobody to be compared with, unless somebody is there already.
#[test]
fn a_canary_of_one_is_compared_with_those_that_are_there() {
    let (db, schemas, fleet) = unequal(4);
    let run = fleet.json(&["migrate", "--tenant", &schemas[3]], 0);
    assert_eq!(run["totals"]["succeeded"], 1);
    let run = fleet.json(&["migrate", "--canary", "1"], 5);
    assert_eq!(attempted(&run), 1);
    assert_says(
        &failure(&run, &schemas[0])["message"],
        &["orders_check on orders is missing"],
    );
    assert_eq!(tenant(&run, &schemas[3])["outcome"], "up_to_date");
    assert_eq!(history(&db, &schemas[1]), [1]);
}

/// An honest set is not disturbed: no halt, no word, one comparison.
#[test]
fn equal_tenants_are_compared_in_silence() {
    let (db, schemas, fleet) = fleet_of(30);
    let fleet = fleet.probe_migrations(1..=4);
    let run = fleet.fleet(&["-o", "ndjson", "migrate"]);
    run.assert_code(0);
    let lines = run.ndjson();
    let compared = events(&lines, "shapes_compared");
    assert_eq!(compared.len(), 1);
    assert_eq!(compared[0]["wave"], "canary");
    assert_eq!(compared[0]["tenants"], 2);
    assert!(events(&lines, "tenant_differs").is_empty());
    assert!(events(&lines, "difference_known").is_empty());
    assert_history_is_truth(&db, &schemas);
}

/// The line of a tenant that differs comes behind the one by which it was done, and the end says the same.
#[test]
fn events_tell_of_a_tenant_that_was_done_and_is_not() {
    let (_db, schemas, fleet) = unequal(30);
    let run = fleet.fleet(&["-o", "ndjson", "migrate"]);
    run.assert_code(5);
    let lines = run.ndjson();
    let of = |event: &str| {
        lines
            .iter()
            .position(|line| line["event"] == event && line["schema"] == schemas[1].as_str())
    };
    assert!(of("tenant_finished").expect("done") < of("tenant_differs").expect("and not"));
    let differs = &lines[of("tenant_differs").expect("and not")];
    assert_eq!(differs["outcome"], "failed");
    let document = lines.last().expect("the document");
    assert_eq!(tenant(document, &schemas[1])["outcome"], "failed");
    assert_eq!(document["exit_code"], 5);
}

/// The end of a run as somebody reads it.
#[test]
fn the_end_says_what_differs_and_what_to_do() {
    let (_db, _schemas, fleet) = unequal(30);
    let run = fleet.fleet(&["migrate"]);
    run.assert_code(5);
    run.assert_stdout_has("constraint orders_check on orders is missing");
    run.assert_stdout_has("fleet verify");
    assert!(!run.stdout.contains("was rolled back"), "{run}");
    let run_of_it = run_of(&fleet.json(&["show"], 0));
    run.assert_stdout_has(&format!("fleet resume {run_of_it}"));
}

/// Whoever stops a run while tenants are compared has a run that goes on there.
#[test]
fn a_signal_ends_a_comparison() {
    let (db, _schemas, fleet) = unequal(4);
    let fleet = fleet
        .migration("V3__view", "CREATE VIEW seen AS SELECT id FROM orders;\n")
        .set("verify.after", "every")
        .set("execution.retry.attempts", 1000)
        .set("execution.retry.backoff", "1s");
    dies_at(&fleet, "V1", &["migrate"]);
    let lock = db.hold_lock("LOCK TABLE tenant_0001.orders IN ACCESS EXCLUSIVE MODE");
    let child = fleet.spawn(&["-o", "ndjson", "resume"]);
    wait_until("tenants are compared", || {
        child.stdout_so_far().contains("shapes_compared")
    });
    child.interrupt();
    child.wait().assert_code(130);
    lock.release();
    fleet.fleet(&["resume"]).assert_code(4);
}
