//! Servers that have to bear more than the limits of `throttle:`, and a number of tenants at a time that is
//! found out.

use serde_json::Value;

use crate::support::{
    Child, LockGuard, PrivateServer, Run, Server, Session, Terminal, TestDatabase, TestFleet,
    assert_applied_exactly_once, assert_nothing_left, tenants, wait_until,
};

/// A migration that waits for a lock which the test holds.
const GATE: &str = "SELECT pg_advisory_xact_lock_shared(4711);\n";

/// Sessions that wait for the lock of one that is held, until they are dropped.
struct Queue {
    _sessions: Vec<std::thread::JoinHandle<()>>,
}

/// An application's sessions that queue for a table; `LockGuard::release` lets them go on.
fn queue_of(db: &TestDatabase, length: usize) -> (LockGuard, Queue) {
    db.execute("CREATE TABLE public.app (id int)");
    let held = db.hold_lock("LOCK TABLE public.app IN ACCESS EXCLUSIVE MODE");
    let sessions = (0..length).map(|_| {
        let session = db.connect();
        std::thread::spawn(move || {
            // ends with its server at the latest
            let _ = session.try_execute("SELECT count(*) FROM public.app");
        })
    });
    let queue = Queue {
        _sessions: sessions.collect(),
    };
    wait_until("they queue", || {
        held.waiters() == i64::try_from(length).expect("a few")
    });
    (held, queue)
}

/// How many tenants have had their first migration.
fn migrated(db: &TestDatabase) -> usize {
    db.query_one(
        "SELECT count(*) FROM pg_tables WHERE tablename = 't1' AND schemaname LIKE 'tenant%'",
    )
}

fn events<'a>(lines: &'a [Value], event: &str) -> Vec<&'a Value> {
    lines.iter().filter(|line| line["event"] == event).collect()
}

/// Waits until a run in progress has said something.
fn wait_for(child: &Child, text: &str) {
    wait_until(text, || child.stderr_so_far().contains(text));
}

#[test]
fn a_run_waits_while_sessions_queue_for_locks_and_goes_on_after_that() {
    let db = TestDatabase::create(Server::A);
    let schemas = tenants(&db, 30);
    let fleet = TestFleet::new(&db)
        .probe_migrations(1..=2)
        .set("throttle.lock_waits", 3);
    let (held, _queue) = queue_of(&db, 4);

    let child = fleet.spawn(&["migrate"]);
    wait_for(
        &child,
        "! database main is paused, nothing new is started there: 4 sessions wait for locks (limit 3)",
    );
    assert_eq!(migrated(&db), 0, "nothing was started");
    // a look in progress, from another terminal
    wait_until("it is recorded", || {
        db.query_one::<i64>(
            "SELECT count(*) FROM fleet_control.run_events WHERE kind = 'throttled' AND tenants = 0",
        ) == 1
    });
    held.release();

    let run = child.wait();
    run.assert_code(0)
        .assert_stderr_has("✓ database main is not throttled any more, after ")
        .assert_stdout_has("Throttled for ")
        .assert_stdout_has(": up to 4 sessions waiting for locks (limit 3)");
    assert_eq!(
        run.stderr.matches("! database main is ").count(),
        1,
        "{run}"
    );
    assert_applied_exactly_once(&db, &schemas, &[1, 2]);
    fleet
        .fleet(&["show"])
        .assert_stdout_has("Tenants at a time:")
        .assert_stdout_has("Z  database main is paused, nothing new is started there: 4 sessions")
        .assert_stdout_has("Z  database main is not throttled any more, after ");
    let show = fleet.json(&["show"], 0);
    let events = show["events"].as_array().expect("a list");
    let first = &events[0];
    assert_eq!(first["event"], "throttled");
    assert_eq!(first["tenants"], 0);
    assert_eq!(first["reason"]["measure"], "lock_waits");
    assert_eq!(first["reason"]["value"], 4);
    assert_eq!(first["reason"]["limit"], 3);
    let last = events.last().expect("some");
    assert_eq!(last["event"], "throttle_released");
}

#[test]
fn what_is_in_work_goes_on_and_less_and_less_is_started() {
    let db = TestDatabase::create(Server::A);
    tenants(&db, 8);
    let fleet = TestFleet::new(&db)
        .migration("V1__gate", GATE)
        .set("execution.concurrency", 4)
        .set("execution.lock_timeout", "2m")
        .set("throttle.lock_waits", 3);
    let gate = db.hold_lock("SELECT pg_advisory_xact_lock(4711)");

    let child = fleet.spawn(&["-o", "ndjson", "migrate"]);
    wait_until("four tenants stand at the gate", || gate.waiters() == 4);
    let (held, _queue) = queue_of(&db, 5);
    wait_for(&child, "! database main is paused");
    assert_eq!(gate.waiters(), 4, "they are left alone");
    gate.release();
    wait_until("they are done", || {
        child.stdout_so_far().matches("tenant_finished").count() == 4
    });
    held.release();

    let run = child.wait();
    run.assert_code(0);
    let lines = run.ndjson();
    let throttled = events(&lines, "throttled");
    let falling: Vec<u64> = throttled
        .iter()
        .map(|line| line["tenants"].as_u64().expect("a number"))
        .take(3)
        .collect();
    assert_eq!(falling, [2, 1, 0]);
    let place = |event: &str| lines.iter().position(|line| line["event"] == event);
    assert!(place("throttle_released") > place("throttled"), "{run}");
    let document = lines.last().expect("a document");
    assert_eq!(document["totals"]["succeeded"], 8);
    let sum_up = &document["throttled"][0];
    assert_eq!(sum_up["database"], "main");
    assert_eq!(sum_up["worst"]["measure"], "lock_waits");
    assert_eq!(sum_up["worst"]["value"], 5);
    assert!(sum_up["duration_ms"].as_u64() > Some(0));
}

#[test]
fn the_bar_says_that_a_run_is_paused_and_a_signal_ends_it() {
    let db = TestDatabase::create(Server::A);
    tenants(&db, 6);
    let fleet = TestFleet::new(&db)
        .probe_migrations(1..=1)
        .set("throttle.lock_waits", 1);
    let (held, _queue) = queue_of(&db, 2);
    let mut terminal = Terminal::start(&fleet, &["migrate"], "xterm-256color", 100);
    wait_until("the bar says it", || {
        terminal.shows(&["0/6", "paused: 2 lock waits (limit 1)"])
    });

    terminal.press(b"\x03");

    let (code, lines, _) = terminal.end();
    assert_eq!(code, 130);
    let text = lines.join("\n");
    assert!(text.contains("0 of 6 tenants done, 6 left"), "{text}");
    assert_eq!(migrated(&db), 0);
    held.release();
    assert_nothing_left(&db);
    let resumed = fleet.json(&["resume"], 0);
    assert_eq!(resumed["totals"]["succeeded"], 6);
}

#[test]
fn active_sessions_of_the_application_hold_a_run_up() {
    let server = PrivateServer::start(&["max_connections = 23"]);
    let db = TestDatabase::on(&server);
    tenants(&db, 5);
    // a quarter of the 20 slots that ordinary roles have
    let fleet = TestFleet::new(&db)
        .probe_migrations(1..=1)
        .set("databases.0.max_connections", 2)
        .set("throttle.active_sessions", "25%");
    let busy: Vec<_> = (0..6)
        .map(|_| {
            let session = db.connect();
            let pid = session.pid();
            let work = std::thread::spawn(move || {
                let _ = session.try_execute("SELECT pg_sleep(600)");
            });
            (pid, work)
        })
        .collect();
    wait_until("they are at work", || {
        db.query_one::<i64>(
            "SELECT count(*) FROM pg_stat_activity WHERE state = 'active' AND query LIKE '%pg_sleep(600)%' AND pid <> pg_backend_pid()",
        ) == 6
    });

    let child = fleet.spawn(&["migrate"]);
    wait_for(
        &child,
        "! database main is paused, nothing new is started there: 6 active sessions (limit 5)",
    );
    for (pid, _) in &busy {
        db.query_one::<bool>(&format!("SELECT pg_terminate_backend({pid})"));
    }

    child.wait().assert_code(0);
    assert_eq!(migrated(&db), 5);
}

#[test]
fn a_replica_that_falls_behind_holds_a_run_up() {
    let server = PrivateServer::start(&["wal_level = replica", "max_wal_senders = 4"]);
    let standby = server.standby(&["hot_standby = on", "wal_receiver_status_interval = 1s"]);
    let replica = standby.connect();
    let db = TestDatabase::on(&server);
    tenants(&db, 20);
    let fleet = TestFleet::new(&db)
        .probe_migrations(1..=1)
        .set("throttle.replica_lag", "1s");
    wait_until("it streams", || {
        db.query_one::<i64>("SELECT count(*) FROM pg_stat_replication WHERE state = 'streaming'")
            == 1
    });
    // a standby that has nothing to replay is not behind
    fleet
        .fleet(&["migrate", "--tenant", "tenant_0001"])
        .assert_code(0);

    replica.rows("SELECT pg_wal_replay_pause()");
    db.execute("CREATE TABLE public.more AS SELECT generate_series(1, 1000) AS id");
    wait_until("it is behind", || {
        db.query_one::<bool>(
            "SELECT coalesce(max(replay_lag), '0') > '1s' FROM pg_stat_replication",
        )
    });
    let child = fleet.spawn(&["migrate"]);
    wait_for(
        &child,
        "! database main is paused, nothing new is started there: replica lag ",
    );
    assert_eq!(migrated(&db), 1);
    // one that lags on purpose is nobody's concern
    let name: String = db.query_one("SELECT application_name FROM pg_stat_replication");
    let ignoring = fleet.with_only(&db).config(|yaml| {
        yaml["throttle"]["ignored_replicas"] = serde_json::json!([name, "it's"]);
        yaml["control"]["schema"] = "elsewhere".into();
    });
    ignoring
        .fleet(&["migrate", "--tenant", "tenant_0002"])
        .assert_code(0);
    assert_eq!(migrated(&db), 2);
    replica.rows("SELECT pg_wal_replay_resume()");

    let run = child.wait();
    run.assert_code(0)
        .assert_stdout_has(": replica lag up to ")
        .assert_stdout_has(" (limit 1.0 s)");
    assert_eq!(migrated(&db), 20);
}

/// A role of its own for fleet that sees nothing of other roles' sessions.
fn plain_role(db: &TestDatabase, name: &str) -> String {
    db.execute(&format!(
        "CREATE ROLE {name} LOGIN; GRANT CREATE ON DATABASE {} TO {name}",
        db.name()
    ));
    for schema in
        db.column::<String>("SELECT nspname FROM pg_namespace WHERE nspname LIKE 'tenant%'")
    {
        db.execute(&format!("ALTER SCHEMA {schema} OWNER TO {name}"));
    }
    db.url().replacen("postgres@", &format!("{name}@"), 1)
}

#[test]
fn a_role_that_may_not_see_other_sessions_is_told_and_not_held_up() {
    let server = PrivateServer::start(&[]);
    let db = TestDatabase::on(&server);
    tenants(&db, 6);
    let url = plain_role(&db, "deployer");
    let fleet = TestFleet::without_database()
        .database_url("main", &url)
        .probe_migrations(1..=1)
        .set("throttle.active_sessions", 1)
        .set("throttle.lock_waits", 3);

    let run = fleet.fleet(&["migrate"]);
    run.assert_code(0).assert_stderr_has(
        "- database main: this role cannot see what sessions of other roles do, so throttle.active_sessions counts only what it sees",
    );
    assert_eq!(
        run.stderr.matches("this role cannot see").count(),
        1,
        "{run}"
    );
    assert_eq!(migrated(&db), 6);

    // who waits for a lock, everybody may see
    let fleet = fleet.probe_migrations(2..=2);
    let (held, _queue) = queue_of(&db, 4);
    let child = fleet.spawn(&["migrate"]);
    wait_for(&child, "4 sessions wait for locks (limit 3)");
    held.release();
    child.wait().assert_code(0);
}

/// What `concurrency: auto` came to, in order.
fn numbers(run: &Run) -> Vec<(u64, String)> {
    events(&run.ndjson(), "concurrency_changed")
        .iter()
        .map(|line| {
            let tenants = line["tenants"].as_u64().expect("a number");
            (tenants, line["reason"].as_str().expect("a word").to_owned())
        })
        .collect()
}

#[test]
fn auto_begins_low_and_finds_more_within_max_connections() {
    let db = TestDatabase::create(Server::A);
    let schemas = tenants(&db, 300);
    let fleet = TestFleet::new(&db)
        .migration("V1__slow", "SELECT pg_sleep(0.01);\n")
        .set("execution.concurrency", "auto")
        .set("databases.0.max_connections", 6);

    let sampler = db.sample_backends();
    let run = fleet.fleet(&["-o", "ndjson", "migrate"]);
    let peak = sampler.stop();

    run.assert_code(0)
        .assert_stderr_has("Migrating 300 of 300 tenants to V1, up to 6 at a time");
    let lines = run.ndjson();
    assert_eq!(lines[0]["auto"], true);
    assert_eq!(lines[0]["concurrency"], 6);
    let document = lines.last().expect("a document");
    assert_eq!(document["totals"]["succeeded"], schemas.len());
    let numbers = numbers(&run);
    assert_eq!(numbers[0], (2, "start".to_owned()));
    assert_eq!(numbers[1], (4, "trial".to_owned()));
    let most = numbers.iter().map(|(tenants, _)| *tenants).max();
    assert_eq!(most, Some(6), "{numbers:?}");
    // the ledger has one of its own
    assert!(peak.backends <= 6 + 1, "{peak:?}");
    // the number that it came to is on record with its reason
    let show = fleet.json(&["show"], 0);
    let found = &show["events"][0];
    assert_eq!(found["event"], "concurrency_changed", "{show}");
    assert!(found["reason"].is_string());
}

#[test]
fn auto_leaves_the_application_its_share_of_the_connections() {
    let server = PrivateServer::start(&["max_connections = 23"]);
    let db = TestDatabase::on(&server);
    tenants(&db, 120);
    let fleet = TestFleet::new(&db)
        .migration("V1__slow", "SELECT pg_sleep(0.01);\n")
        .set("execution.concurrency", "auto")
        .set("databases.0.max_connections", 16)
        .set("throttle.active_sessions", 0);
    // 20 slots, one of them for the session of the test, 11 for the application's, one for the ledger
    let _application: Vec<Session> = (0..11).map(|_| db.connect()).collect();
    let sampler = db.sample_backends();

    let run = fleet.fleet(&["-o", "ndjson", "migrate"]);

    run.assert_code(0);
    // and one for the sampler: six are left, of which three are the application's
    let peak = sampler.stop();
    let most = numbers(&run).iter().map(|(tenants, _)| *tenants).max();
    assert_eq!(most, Some(3), "{run}");
    assert!(peak.backends <= 3 + 1, "{peak:?}");
}

#[test]
fn auto_may_be_typed() {
    let db = TestDatabase::create(Server::A);
    tenants(&db, 3);
    let fleet = TestFleet::new(&db).probe_migrations(1..=1);
    let run = fleet.fleet(&["-o", "ndjson", "migrate", "--concurrency", "auto"]);
    run.assert_code(0);
    assert_eq!(numbers(&run)[0], (2, "start".to_owned()));
    fleet
        .fleet(&["migrate", "--concurrency", "some"])
        .assert_code(2)
        .assert_stderr_has("a number from 1 to 1000, or auto");
}

#[test]
fn claims_are_few_while_a_run_is_throttled() {
    let db = TestDatabase::create(Server::A);
    tenants(&db, 40);
    let fleet = TestFleet::new(&db)
        .migration("V1__gate", GATE)
        .set("execution.concurrency", 2)
        .set("execution.lock_timeout", "2m")
        .set("throttle.lock_waits", 3);
    let (held, _queue) = queue_of(&db, 4);
    let child = fleet.spawn(&["migrate", "--no-canary"]);
    wait_for(&child, "! database main is paused");
    let claims = || -> i64 {
        db.query_one("SELECT count(*) FROM fleet_control.run_tenants WHERE state = 'claimed'")
    };
    wait_until("what is claimed beside the first look is", || claims() > 0);
    assert_eq!(claims(), 4, "for two at a time");
    child.terminate();
    child.wait().assert_code(143);
    held.release();
    assert_eq!(claims(), 0);
}
