//! Clocks that are wrong: only the server's counts, and durations are of no clock at all.

use crate::support::{
    Child, Run, Server, TestDatabase, TestFleet, assert_applied_exactly_once, assert_says,
    each_tenants, tenants, wait_until,
};

/// A command whose process has another clock; None where the machine has no libfaketime.
fn with_clock(fleet: &TestFleet, clock: (&str, &str), arguments: &[&str]) -> Option<Child> {
    let library = std::env::var_os("FLEET_TEST_FAKETIME")?;
    let mut command = fleet.command(arguments);
    command
        .env("LD_PRELOAD", library)
        .env("DONT_FAKE_MONOTONIC", "1")
        .env("FAKETIME_NO_CACHE", "1")
        .env(clock.0, clock.1);
    Some(Child::spawn(command))
}

const TOMORROW: (&str, &str) = ("FAKETIME", "+1d");
const YESTERDAY: (&str, &str) = ("FAKETIME", "-1d");

/// Everything that the ledger says of times is close to what the server's clock says now.
#[track_caller]
fn assert_times_are_the_servers(db: &TestDatabase) {
    let off: i64 = db.query_one(
        "SELECT count(*) FROM (SELECT started_at AS at FROM fleet_control.runs
           UNION ALL SELECT heartbeat_at FROM fleet_control.runs
           UNION ALL SELECT finished_at FROM fleet_control.runs WHERE finished_at IS NOT NULL
           UNION ALL SELECT ended_at FROM fleet_control.attempts
           UNION ALL SELECT seen_at FROM fleet_control.tenants) times
         WHERE abs(extract(epoch FROM clock_timestamp() - at)) > 600",
    );
    assert_eq!(off, 0, "times of another clock");
    let slow: i64 = db.query_one(
        "SELECT count(*) FROM fleet_control.attempts WHERE duration_ms NOT BETWEEN 0 AND 60000",
    );
    assert_eq!(slow, 0, "durations of another clock");
}

/// What a history says of V2's date, which is of the clock of whoever applied it, as refinery does it: it
/// shows that the clock was wrong indeed.
fn is_dated(db: &TestDatabase, schema: &str, when: &str) -> bool {
    db.query_one(&format!(
        "SELECT applied_on::timestamptz {when} FROM {schema}.refinery_schema_history WHERE version = 2"
    ))
}

/// F16: fleets whose clocks are two days apart agree on which run came first and on how long it took.
#[test]
fn clocks_that_are_days_apart_change_nothing() {
    let db = TestDatabase::create(Server::A);
    let schemas = tenants(&db, 3);
    let fleet = TestFleet::new(&db).probe_migrations(1..=2);
    fleet.json(&["migrate", "--to", "1"], 0);
    db.execute("CREATE TABLE tenant_0002.t2 ()");
    let run = |clock, arguments: &[&str]| -> Option<Run> {
        Some(with_clock(&fleet, clock, &[&["-o", "json"], arguments].concat())?.wait())
    };

    let Some(first) = run(TOMORROW, &["migrate", "--tenant", "*2"]) else {
        return;
    };
    let second = run(YESTERDAY, &["migrate", "--tenant", "*3"]).expect("the library is there");

    first.assert_code(4);
    second.assert_code(0);
    let runs = fleet.json(&["runs"], 0);
    assert_eq!(runs["runs"][0]["run"], second.json()["run"]);
    assert_eq!(runs["runs"][1]["run"], first.json()["run"]);
    let today: String = db.query_one("SELECT to_char(now() AT TIME ZONE 'UTC', 'YYYYMM')");
    for run in [&first, &second] {
        assert_says(&run.json()["run"], &[&today]);
    }
    assert!(is_dated(
        &db,
        "tenant_0003",
        "< clock_timestamp() - interval '12 h'"
    ));
    db.execute("DROP TABLE tenant_0002.t2");
    let resumed = run(YESTERDAY, &["resume"]).expect("the library is there");
    resumed.assert_code(0);
    assert_eq!(
        each_tenants(&resumed.json(), "outcome"),
        ["tenant_0002 succeeded"]
    );
    run(TOMORROW, &["migrate"])
        .expect("the library is there")
        .assert_code(0);
    assert_applied_exactly_once(&db, &schemas, &[1, 2]);
    assert_times_are_the_servers(&db);
}

/// F16: a clock that jumps in the middle of a run changes neither durations nor the age of its lease.
#[test]
fn a_clock_that_jumps_in_mid_run_changes_nothing() {
    let db = TestDatabase::create(Server::A);
    let schemas = tenants(&db, 2);
    let fleet = TestFleet::new(&db)
        .probe_migrations(1..=1)
        .set("execution.lock_timeout", "60s")
        .set("execution.concurrency", 1);
    fleet.json(&["migrate"], 0);
    fleet.write_migration(
        "V2__alter",
        "ALTER TABLE t1 ADD more text;\nINSERT INTO probe VALUES (2);\n",
    );
    fleet.write_file("clock", "+0");
    let file = fleet.folder().join("clock");
    let clock = ("FAKETIME_TIMESTAMP_FILE", file.to_str().expect("UTF-8"));
    let lock = db.hold_lock("LOCK TABLE tenant_0001.t1");
    let Some(run) = with_clock(&fleet, clock, &["-o", "json", "migrate"]) else {
        return;
    };
    wait_until("a tenant waits", || lock.waiters() == 1);
    fleet.write_file("clock", "+1d");
    let other = with_clock(&fleet, TOMORROW, &["migrate"]).expect("the library is there");
    let other = other.wait();
    other.assert_code(6);
    assert!(!other.stderr.contains("day"), "{other}");
    lock.release();

    let run = run.wait();

    run.assert_code(0);
    assert_applied_exactly_once(&db, &schemas, &[1, 2]);
    assert!(is_dated(
        &db,
        "tenant_0002",
        "> clock_timestamp() + interval '12 h'"
    ));
    assert_times_are_the_servers(&db);
    let runs = fleet.json(&["runs"], 0);
    let took = runs["runs"][0]["duration_ms"].as_i64();
    assert!(
        took.is_some_and(|took| (0..60_000).contains(&took)),
        "{runs:#}"
    );
}
