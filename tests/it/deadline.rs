//! `--deadline`: nothing is started that would not be done in time, and the next run carries on.

use std::net::TcpListener;
use std::time::{Duration, Instant};

use crate::support::{
    PrivateServer, Server, TestDatabase, TestFleet, assert_applied_exactly_once,
    assert_ledger_is_true, assert_nothing_left, assert_reports_truly, assert_says,
    assert_untouched, each_tenants, tenants, wait_until,
};

/// Tenants whose second migration takes `seconds`, one at a time.
fn slow(tenant_count: usize, seconds: f32) -> (TestDatabase, Vec<String>, TestFleet) {
    let db = TestDatabase::create(Server::A);
    let schemas = tenants(&db, tenant_count);
    let fleet = TestFleet::new(&db)
        .probe_migrations(1..=1)
        .migration(
            "V2__sleep",
            &format!("SELECT pg_sleep({seconds});\nINSERT INTO probe (version) VALUES (2);\n"),
        )
        .set("execution.concurrency", 1);
    fleet.fleet(&["migrate", "--to", "1"]).assert_code(0);
    (db, schemas, fleet)
}

#[test]
fn work_remains_and_the_next_run_carries_on() {
    let (db, schemas, fleet) = slow(5, 1.0);

    let run = fleet.fleet(&["-o", "json", "migrate", "--deadline", "3900ms"]);

    run.assert_code(8)
        .assert_stderr_has("deadline in ")
        .assert_stderr_has("would not be done by then and");
    assert!(run.elapsed < Duration::from_millis(3900), "{run}");
    let document = run.json();
    assert_eq!(document["outcome"], "interrupted");
    assert_eq!(document["exit_code"], 8);
    assert_eq!(document["totals"]["interrupted"], 0);
    let (done, left) = (
        document["totals"]["succeeded"].as_u64().expect("a number"),
        document["totals"]["skipped"].as_u64().expect("a number"),
    );
    assert!((1..=3).contains(&done), "{run}");
    assert_eq!(done + left, 5);
    assert_says(&document["tenants"][4]["reason"], &["before the deadline"]);
    assert_reports_truly(&run, &[("main", &db, &schemas)]);
    let recorded = fleet.json(&["runs"], 0);
    assert_eq!(recorded["runs"][0]["state"], "interrupted");
    assert_eq!(recorded["runs"][0]["exit_code"], 8);

    let resumed = fleet.json(&["resume"], 0);

    assert_eq!(resumed["totals"]["tenants"], left);
    assert_eq!(resumed["totals"]["succeeded"], left);
    assert_applied_exactly_once(&db, &schemas, &[1, 2]);
    assert_ledger_is_true(&db, &[("main", &db, &schemas)]);
    assert_nothing_left(&db);
}

#[test]
fn the_same_command_again_and_again_does_it_all() {
    let (db, schemas, fleet) = slow(5, 0.7);
    let mut codes = Vec::new();
    while codes.last() != Some(&0) {
        assert!(codes.len() < 6, "no end: {codes:?}");
        let run = fleet.fleet(&["migrate", "--deadline", "2s"]);
        codes.push(run.code());
    }
    let (last, before) = codes.split_last().expect("some runs");
    assert_eq!(*last, 0);
    assert!(!before.is_empty() && before.iter().all(|code| *code == 8));
    assert_applied_exactly_once(&db, &schemas, &[1, 2]);
}

#[test]
fn the_summary_says_what_is_left_and_what_to_do_next() {
    let (_db, _, fleet) = slow(3, 3.0);
    let run = fleet.fleet(&["migrate", "--deadline", "4s"]);
    run.assert_code(8)
        .assert_stdout_has("Deadline reached after ")
        .assert_stdout_has("1 of 3 tenants done, 2 left")
        .assert_stdout_has(
            "2 tenants skipped: not attempted: it would not have been done before the deadline",
        )
        .assert_stdout_has("fleet resume ");
}

#[test]
fn what_is_done_in_time_is_a_success() {
    let (db, schemas, fleet) = slow(2, 0.1);
    let run = fleet.fleet(&["migrate", "--deadline", "9m"]);
    run.assert_code(0).assert_stderr_has(", deadline in ");
    assert!(!run.stderr.contains("not started"), "{run}");
    assert_applied_exactly_once(&db, &schemas, &[1, 2]);
}

#[test]
fn shorter_tenants_are_started_where_a_giant_has_no_time_left() {
    let (db, _, fleet) = slow(3, 0.0);
    db.execute(
        "UPDATE fleet_control.tenants SET last_migrations = 1, last_duration_ms =
           CASE schema WHEN 'tenant_0002' THEN 360000000 ELSE 250 END",
    );
    // a hundred hours stay hours when the others are quicker this time

    let run = fleet.json(&["migrate", "--deadline", "5m"], 8);

    assert_eq!(
        each_tenants(&run, "outcome"),
        [
            "tenant_0001 succeeded",
            "tenant_0002 skipped",
            "tenant_0003 succeeded"
        ]
    );
    assert_says(
        &run["tenants"][1]["reason"],
        &["longer than all the time up to the deadline"],
    );
    // another run with that deadline gets no further, which 8 would promise
    let again = fleet.fleet(&["resume", "--deadline", "5m"]);
    again
        .assert_code(4)
        .assert_stdout_has("1 of 1 tenant skipped")
        .assert_stdout_has("give it a run without one")
        .assert_stdout_has("fleet resume ");
    fleet.json(&["resume"], 0);
}

/// 8 promises that another run is all it takes.
#[test]
fn a_failure_counts_more_than_the_deadline() {
    let (db, _, fleet) = slow(4, 1.0);
    db.execute("ALTER TABLE tenant_0001.probe ADD CHECK (version < 2)");
    let run = fleet.json(&["migrate", "--deadline", "3s"], 4);
    assert_eq!(run["outcome"], "failed");
    assert_eq!(run["totals"]["failed"], 1);
    assert_ne!(run["totals"]["skipped"], 0);
    db.execute("ALTER TABLE tenant_0001.probe DROP CONSTRAINT probe_version_check");
    let resumed = fleet.json(&["resume"], 0);
    assert_ne!(resumed["totals"]["succeeded"], 0);
}

#[test]
fn a_deadline_that_passes_while_planning_leaves_a_run_to_resume() {
    let (db, schemas, fleet) = slow(3, 0.0);
    let fleet = fleet.set("execution.lock_timeout", "10m");
    let lock =
        db.hold_lock("LOCK TABLE tenant_0002.refinery_schema_history IN ACCESS EXCLUSIVE MODE");
    let started = Instant::now();
    let child = fleet.spawn(&["-o", "json", "migrate", "--deadline", "3s"]);
    wait_until("planning waits for a history", || lock.waiters() == 1);
    wait_until("the deadline has passed", || {
        started.elapsed() > Duration::from_millis(3200)
    });
    lock.release();

    let run = child.wait();

    run.assert_code(8);
    assert_eq!(run.json()["totals"]["skipped"], 3);
    let resumed = fleet.json(&["resume"], 0);
    assert_eq!(resumed["totals"]["succeeded"], 3);
    assert_applied_exactly_once(&db, &schemas, &[1, 2]);
}

#[test]
fn waiting_for_another_run_ends_at_the_deadline() {
    let (db, _, fleet) = slow(2, 0.0);
    fleet.write_migration(
        "V2__sleep",
        "SELECT pg_advisory_xact_lock_shared(4711);\nINSERT INTO probe (version) VALUES (2);\n",
    );
    let gate = db.hold_lock("SELECT pg_advisory_xact_lock(4711)");
    let first = fleet.spawn(&["migrate"]);
    wait_until("the first run is at the gate", || gate.waiters() == 1);

    let second = fleet.fleet(&["-o", "json", "migrate", "--wait", "10m", "--deadline", "1s"]);

    second
        .assert_code(8)
        .assert_stderr_has("waiting for run ")
        .assert_stderr_has("type the same command again");
    assert!(second.elapsed < Duration::from_secs(5), "{second}");
    let document = second.json();
    assert_eq!(document["outcome"], "interrupted");
    assert_eq!(document["exit_code"], 8);
    assert_eq!(document["run"], serde_json::Value::Null);
    gate.release();
    first.wait().assert_code(0);
}

#[test]
fn a_server_that_says_nothing_is_not_waited_for_beyond_the_deadline() {
    let silent = TcpListener::bind("127.0.0.1:0").expect("a free port");
    let address = silent.local_addr().expect("an address");
    let fleet = TestFleet::without_database()
        .database_url(
            "silent",
            &format!("postgresql://postgres@{address}/postgres"),
        )
        .probe_migrations(1..=1);
    let run = fleet.fleet(&["migrate", "--deadline", "1s"]);
    run.assert_code(8);
    assert!(run.elapsed < Duration::from_secs(5), "{run}");
}

#[test]
fn nobody_waits_for_a_database_that_went_away_beyond_the_deadline() {
    let control = TestDatabase::create(Server::A);
    let server = PrivateServer::start(&[]);
    let session = server.connect();
    for n in 1..=3 {
        session.execute(&format!("CREATE SCHEMA tenant_000{n}"));
    }
    let fleet = TestFleet::without_database()
        .database_url("main", &server.url("postgres"))
        .config(|yaml| yaml["control"] = serde_json::json!({ "url": control.url() }))
        .migration("V1__sleep", "SELECT pg_sleep(600);\n")
        .set("execution.concurrency", 1);
    let run = fleet.spawn(&["-o", "json", "migrate", "--deadline", "4s"]);
    wait_until("a tenant is at work", || {
        session
            .query_one::<i64>("SELECT count(*) FROM pg_stat_activity WHERE wait_event = 'PgSleep'")
            == 1
    });
    server.stop("immediate");

    let run = run.wait();

    run.assert_code(8);
    assert!(run.elapsed < Duration::from_secs(10), "{run}");
    assert_eq!(
        each_tenants(&run.json(), "outcome"),
        [
            "tenant_0001 interrupted",
            "tenant_0002 skipped",
            "tenant_0003 skipped"
        ]
    );
    let runs = fleet.json(&["runs"], 0);
    assert_eq!(runs["runs"][0]["exit_code"], 8);
}

#[test]
fn nonsense_is_a_usage_error() {
    let db = TestDatabase::create(Server::A);
    tenants(&db, 1);
    let fleet = TestFleet::new(&db).probe_migrations(1..=1);
    for nonsense in ["0", "0s", "9", "soon", "-9m", "", "1000000y"] {
        let argument = format!("--deadline={nonsense}");
        for command in ["migrate", "resume"] {
            fleet
                .fleet(&[command, &argument])
                .assert_code(2)
                .assert_stderr_has("such as 9m or 90s");
        }
    }
    assert_untouched(&db);
}

#[test]
fn events_tell_of_the_deadline() {
    let (_db, _, fleet) = slow(3, 3.0);
    let run = fleet.fleet(&["-o", "ndjson", "migrate", "--deadline", "4s"]);
    run.assert_code(8);
    let lines = run.ndjson();
    let begun = lines[0]["deadline_ms"].as_u64().expect("a number");
    assert!((1..4000).contains(&begun), "{run}");
    let near = lines.iter().find(|line| line["event"] == "deadline_near");
    let near = near.expect("the event");
    assert_eq!(near["tenants"], 2);
    assert!(near["left_ms"].as_u64().is_some_and(|left| left < 4000));
}

#[test]
fn nobody_waits_for_the_control_database_beyond_the_deadline() {
    let db = TestDatabase::create(Server::A);
    let schemas = tenants(&db, 2);
    let control = PrivateServer::start(&[]);
    let fleet = TestFleet::new(&db)
        .config(|yaml| {
            yaml["control"] =
                serde_json::json!({ "url": control.url("postgres"), "lease": "2s" });
        })
        .migration(
            "V1__gate",
            "SELECT pg_advisory_xact_lock_shared(4711);\nCREATE TABLE probe (version bigint NOT NULL);\nINSERT INTO probe VALUES (1);\n",
        )
        .set("execution.lock_timeout", "10m");
    let gate = db.hold_lock("SELECT pg_advisory_xact_lock(4711)");
    let run = fleet.spawn(&["migrate", "--deadline", "4s"]);
    wait_until("both tenants stand at the gate", || gate.waiters() == 2);
    control.stop("immediate");
    gate.release();

    let run = run.wait();

    // done and not recorded, as in every run that loses its ledger
    run.assert_code(1).assert_stderr_has("fleet reconcile");
    assert!(run.elapsed < Duration::from_secs(12), "{run}");
    control.start_again();
    fleet.fleet(&["migrate"]).assert_code(0);
    assert_applied_exactly_once(&db, &schemas, &[1]);
}
