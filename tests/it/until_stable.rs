//! `migrate --until-stable`: tenants that are born while a run goes on are migrated by the same command.

use serde_json::{Value, json};

use crate::support::{
    LockGuard, Server, TestDatabase, TestFleet, assert_applied_exactly_once, assert_ledger_is_true,
    assert_nothing_left, assert_reports_truly, each_tenants, tenant, tenants, wait_until,
};

/// Two tenants at V1; the V2 of the first stands behind a lock.
fn held_up() -> (TestDatabase, Vec<String>, TestFleet, LockGuard) {
    let db = TestDatabase::create(Server::A);
    let schemas = tenants(&db, 2);
    let fleet = TestFleet::new(&db)
        .set("execution.lock_timeout", "60s")
        .probe_migrations(1..=1);
    fleet.json(&["migrate"], 0);
    let fleet = fleet.migration(
        "V2__alter",
        "ALTER TABLE t1 ADD more text;\nINSERT INTO probe VALUES (2);\n",
    );
    let lock = db.hold_lock("LOCK TABLE tenant_0001.t1");
    (db, schemas, fleet, lock)
}

fn names(document: &Value, key: &str) -> Vec<String> {
    let rows = document[key].as_array().expect("a list");
    let names = rows.iter().map(|row| row["schema"].as_str());
    names.map(|name| name.expect("a name").to_owned()).collect()
}

#[test]
fn tenants_that_are_born_in_mid_run_are_migrated() {
    let (db, mut schemas, fleet, lock) = held_up();
    let run = fleet.spawn(&["-o", "json", "migrate", "--until-stable"]);
    wait_until("the first tenant waits", || lock.waiters() == 1);
    db.execute("CREATE SCHEMA tenant_0100; CREATE SCHEMA tenant_0101");
    lock.release();
    let run = run.wait();

    run.assert_code(0)
        .assert_stderr_has("2 tenants are new since the run began");
    let document = run.json();
    assert_eq!(document["outcome"], "succeeded");
    assert_eq!(document["new"], json!([]));
    assert_eq!(document["totals"]["tenants"], 4);
    assert_eq!(document["totals"]["succeeded"], 4);
    schemas.extend(["tenant_0100".to_owned(), "tenant_0101".to_owned()]);
    assert_eq!(names(&document, "tenants"), schemas);
    assert_reports_truly(&run, &[("main", &db, &schemas)]);
    assert_applied_exactly_once(&db, &schemas, &[1, 2]);
    assert_ledger_is_true(&db, &[("main", &db, &schemas)]);
    assert_nothing_left(&db);
    // each is a run of its own, and the document names them
    let recorded = fleet.json(&["runs"], 0);
    assert_eq!(document["run"], recorded["runs"][0]["run"]);
    assert_eq!(document["rounds"][0]["run"], recorded["runs"][1]["run"]);
    assert_eq!(document["rounds"][1]["run"], recorded["runs"][0]["run"]);
    for (round, tenant_count) in [(0, 2), (1, 2)] {
        assert_eq!(document["rounds"][round]["totals"]["tenants"], tenant_count);
    }
    assert_eq!(fleet.json(&["resume"], 0)["run"], Value::Null);
}

#[test]
fn the_end_is_told_once_in_every_format() {
    for format in ["human", "ndjson"] {
        let (db, _, fleet, lock) = held_up();
        let run = fleet.spawn(&["-o", format, "migrate", "--until-stable"]);
        wait_until("the first tenant waits", || lock.waiters() == 1);
        db.execute("CREATE SCHEMA tenant_0100");
        lock.release();
        let run = run.wait();
        run.assert_code(0);
        if format == "human" {
            run.assert_stdout_has("✓ 3 tenants at V2")
                .assert_stdout_has("In 2 runs: ");
            assert_eq!(run.stdout.matches('✓').count(), 1, "{run}");
            continue;
        }
        let lines = run.ndjson();
        let started = lines.iter().filter(|line| line["event"] == "run_started");
        assert_eq!(started.count(), 2, "{run}");
        let documents = lines.iter().filter(|line| line["event"].is_null());
        assert_eq!(documents.count(), 1, "{run}");
        assert_eq!(lines.last().expect("lines")["totals"]["succeeded"], 3);
    }
}

#[test]
fn where_nobody_is_born_one_run_is_all() {
    let (db, schemas, fleet, lock) = held_up();
    lock.release();
    let document = fleet.json(&["migrate", "--until-stable"], 0);
    assert_eq!(document["rounds"].as_array().map(Vec::len), Some(1));
    assert_applied_exactly_once(&db, &schemas, &[1, 2]);
    fleet
        .fleet(&["migrate", "--until-stable", "--dry-run"])
        .assert_code(2);
}

/// A selection is about newcomers as well.
#[test]
fn newcomers_that_are_not_selected_are_nobody_s() {
    let (db, _, fleet, lock) = held_up();
    let run = fleet.spawn(&[
        "-o",
        "json",
        "migrate",
        "--until-stable",
        "--tenant",
        "tenant_0*",
    ]);
    wait_until("the first tenant waits", || lock.waiters() == 1);
    db.execute("CREATE SCHEMA tenant_0100; CREATE SCHEMA tenant_x");
    lock.release();
    let run = run.wait();
    run.assert_code(0);
    assert_eq!(
        each_tenants(&run.json(), "outcome"),
        [
            "tenant_0001 succeeded",
            "tenant_0002 succeeded",
            "tenant_0100 succeeded"
        ]
    );
}

#[test]
fn a_newcomer_that_cannot_be_migrated_is_the_last_run_s() {
    let (db, schemas, fleet, lock) = held_up();
    let run = fleet.spawn(&["-o", "json", "migrate", "--until-stable"]);
    wait_until("the first tenant waits", || lock.waiters() == 1);
    db.execute("CREATE SCHEMA tenant_0100; CREATE TABLE tenant_0100.made_by_hand ()");
    lock.release();
    let run = run.wait();
    run.assert_code(7);
    let document = run.json();
    assert_eq!(document["outcome"], "failed");
    assert_eq!(document["totals"]["succeeded"], 2);
    assert_eq!(tenant(&document, "tenant_0100")["outcome"], "skipped");
    assert_applied_exactly_once(&db, &schemas, &[1, 2]);
    let left = &fleet.json(&["runs"], 0)["runs"][0];
    assert_eq!(
        (&left["run"], &left["state"]),
        (&document["run"], &json!("failed"))
    );
    db.execute("DROP TABLE tenant_0100.made_by_hand");
    let resumed = fleet.json(&["resume"], 0);
    assert_eq!(each_tenants(&resumed, "outcome"), ["tenant_0100 succeeded"]);
}

#[test]
fn after_a_run_that_failed_newcomers_are_named() {
    let (db, _, fleet, lock) = held_up();
    db.execute("DROP TABLE tenant_0002.t1");
    let run = fleet.spawn(&["-o", "json", "migrate", "--until-stable"]);
    wait_until("the first tenant waits", || lock.waiters() == 1);
    db.execute("CREATE SCHEMA tenant_0100");
    lock.release();
    let run = run.wait();
    run.assert_code(4);
    assert_eq!(names(&run.json(), "new"), ["tenant_0100"]);
    assert_eq!(run.json()["totals"]["tenants"], 2);
}

/// Each tenant that is migrated makes another one: there is no end, and that is said.
#[test]
fn where_tenants_come_faster_than_they_are_migrated_there_is_a_bound() {
    let db = TestDatabase::create(Server::A);
    tenants(&db, 1);
    let fleet = TestFleet::new(&db).unlinted().probe_migrations(1..=1).migration(
        "V2__another",
        "-- fleet: allow leak it makes tenants\nDO $$ BEGIN EXECUTE format('CREATE SCHEMA tenant_%s', (extract(epoch FROM clock_timestamp()) * 1000000)::bigint); END $$;\nINSERT INTO probe VALUES (2);\n",
    );
    let run = fleet.fleet(&["-o", "json", "migrate", "--until-stable"]);
    run.assert_code(8);
    let document = run.json();
    assert_eq!(document["outcome"], "interrupted");
    assert_eq!(document["exit_code"], 8);
    assert_eq!(document["rounds"].as_array().map(Vec::len), Some(5));
    assert_eq!(document["totals"]["succeeded"], 5);
    assert_eq!(document["new"].as_array().map(Vec::len), Some(1));
    let again = fleet.fleet(&["migrate", "--until-stable"]);
    again
        .assert_code(8)
        .assert_stdout_has("! Not stable after ")
        .assert_stdout_has("1 tenant new since the run began: not touched")
        .assert_stdout_has("fleet migrate --until-stable");
}

/// The lease is given up between two runs, and somebody else may be faster.
#[test]
fn where_somebody_else_is_next_the_newcomers_stay_new_and_that_is_told() {
    let (db, schemas, fleet, lock) = held_up();
    let fleet = fleet.config(|yaml| yaml["control"] = json!({ "wait": "1s" }));
    let run = fleet.spawn(&["-o", "json", "migrate", "--until-stable"]);
    wait_until("the first tenant waits", || lock.waiters() == 1);
    db.execute("CREATE SCHEMA tenant_0100");
    let other = db.connect();
    let next = std::thread::spawn(move || {
        other.execute(
            "SELECT pg_advisory_lock((classid::int8 << 32) | objid::int8) FROM pg_locks l JOIN pg_stat_activity a USING (pid)
             WHERE locktype = 'advisory' AND granted AND objsubid = 1 AND application_name LIKE 'fleet ledger%'
               AND a.datname = current_database()",
        );
        other
    });
    wait_until("somebody else queues for the lease", || {
        db.query_one::<i64>(
            "SELECT count(*) FROM pg_locks WHERE locktype = 'advisory' AND NOT granted
               AND database = (SELECT oid FROM pg_database WHERE datname = current_database())",
        ) == 1
    });
    lock.release();

    let run = run.wait();

    run.assert_code(6)
        .assert_stderr_has("another run holds the lease");
    let document = run.json();
    assert_eq!(document["exit_code"], 6);
    assert_eq!(document["outcome"], "interrupted");
    assert_eq!(document["totals"]["succeeded"], 2);
    assert_eq!(names(&document, "new"), ["tenant_0100"]);
    assert!(
        document["error"]
            .as_str()
            .is_some_and(|text| text.contains("lease"))
    );
    assert_applied_exactly_once(&db, &schemas, &[1, 2]);
    drop(next.join());
    fleet.json(&["migrate", "--until-stable"], 0);
}
