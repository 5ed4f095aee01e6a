//! `fleet watch`: a run that another process executes, seen from beside.

use serde_json::{Value, json};

use crate::support::{
    Child, LockGuard, Proxy, Server, Terminal, TestDatabase, TestFleet,
    assert_applied_exactly_once, assert_says, tenants, wait_until,
};

/// A run whose two workers stand at a gate in V2, until it opens.
struct Gated {
    db: TestDatabase,
    schemas: Vec<String>,
    fleet: TestFleet,
    gate: LockGuard,
    run: Child,
}

impl Gated {
    fn new(schemas: usize) -> Self {
        Self::with(schemas, 2, |_, fleet| fleet)
    }

    /// So many tenants stand at the gate: of a first wave one goes alone.
    fn with(
        schemas: usize,
        standing: i64,
        change: impl FnOnce(&TestDatabase, TestFleet) -> TestFleet,
    ) -> Self {
        let db = TestDatabase::create(Server::A);
        let schemas = tenants(&db, schemas);
        let fleet = TestFleet::new(&db)
            .probe_migrations(1..=1)
            .migration(
                "V2__gate",
                "INSERT INTO probe (version) VALUES (2);\nSELECT pg_advisory_xact_lock_shared(4711);\n",
            )
            .set("execution.concurrency", 2)
            .set("execution.lock_timeout", "10m");
        let fleet = change(&db, fleet);
        let gate = db.hold_lock("SELECT pg_advisory_xact_lock(4711)");
        let run = fleet.spawn(&["migrate"]);
        wait_until("tenants stand at the gate", || gate.waiters() == standing);
        Self {
            db,
            schemas,
            fleet,
            gate,
            run,
        }
    }

    fn watch(&self, arguments: &[&str]) -> Child {
        let watch = self.fleet.spawn(arguments);
        wait_until("it follows the run", || {
            watch.stderr_so_far().contains("Following run ")
        });
        watch
    }
}

#[test]
fn it_follows_a_run_to_its_end_and_ends_as_it_did() {
    let gated = Gated::new(6);
    let watch = gated.watch(&["watch"]);
    wait_until("it has looked once", || {
        watch.stderr_so_far().contains("0 of 6 tenants done")
    });
    gated.gate.release();

    let run = gated.run.wait();
    let seen = watch.wait();

    run.assert_code(0);
    seen.assert_code(0)
        .assert_stderr_has("0 of 6 tenants done (0 %)")
        .assert_stdout_has(": succeeded")
        .assert_stdout_has("6: 6 migrated");
    assert_applied_exactly_once(&gated.db, &gated.schemas, &[1, 2]);
}

#[test]
fn scripts_hear_of_each_tenant_and_of_the_end() {
    let gated = Gated::new(4);
    gated.db.execute("CREATE TABLE tenant_0003.probe ()");
    let watch = gated.watch(&["-o", "ndjson", "watch"]);
    wait_until("it knows who is worked on", || {
        watch.stdout_so_far().contains("attempt_started")
    });
    gated.gate.release();
    gated.run.wait().assert_code(4);

    let seen = watch.wait();

    seen.assert_code(4);
    let lines = seen.ndjson();
    assert_eq!(lines[0]["event"], "watch_started");
    assert_eq!(lines[0]["totals"]["tenants"], 4);
    let finished = |schema: &str| -> Value {
        let of = |line: &&Value| line["event"] == "tenant_finished" && line["schema"] == schema;
        lines.iter().find(of).expect("it has finished").clone()
    };
    let done = finished("tenant_0001");
    assert_eq!(
        (&done["outcome"], &done["from"], &done["to"]),
        (&json!("succeeded"), &Value::Null, &json!(2))
    );
    let failed = finished("tenant_0003");
    assert_eq!(failed["outcome"], "failed");
    assert_eq!(failed["failure"]["sqlstate"], "42P07");
    let document = lines.last().expect("a document");
    assert_eq!(document["state"], "failed");
    assert_eq!(document["exit_code"], 4);
    assert_eq!(document["totals"]["succeeded"], 3);
}

#[test]
fn what_has_failed_before_is_told_at_the_beginning() {
    let gated = Gated::with(3, 2, |db, fleet| {
        fleet.json(&["migrate", "--to", "1"], 0);
        db.execute("ALTER TABLE tenant_0001.probe ADD CHECK (version < 2)");
        fleet
    });
    let watch = gated.watch(&["watch"]);
    wait_until("it tells who has failed", || {
        watch
            .stderr_so_far()
            .contains("✗ main/tenant_0001 failed at V2__gate")
    });
    gated.gate.release();
    gated.run.wait().assert_code(4);
    watch
        .wait()
        .assert_code(4)
        .assert_stdout_has("✗ 1 tenant at V2__gate.sql")
        .assert_stdout_has("fleet resume ");
}

#[test]
fn ctrl_c_ends_the_watching_and_not_the_run() {
    let gated = Gated::new(3);
    let watch = gated.watch(&["watch"]);
    watch.interrupt();

    let seen = watch.wait();

    seen.assert_code(130)
        .assert_stderr_has("watching has ended, run ")
        .assert_stderr_has("goes on");
    assert_eq!(seen.stdout, "");
    let watch = gated.watch(&["-o", "json", "watch"]);
    watch.terminate();
    let seen = watch.wait();
    seen.assert_code(143);
    assert_eq!(seen.json()["outcome"], "interrupted");
    let runs = gated.fleet.json(&["runs"], 0);
    assert_eq!(runs["runs"][0]["state"], "running");
    gated.gate.release();
    gated.run.wait().assert_code(0);
}

#[test]
fn a_run_whose_process_has_died_is_said_to_be_dead() {
    let gated = Gated::with(3, 2, |_, fleet| {
        fleet.set("control", json!({ "lease": "1s" }))
    });
    let watch = gated.watch(&["watch"]);
    gated.run.kill();
    gated.db.end_what_the_server_cannot_notice();

    let seen = watch.wait();

    seen.assert_code(1)
        .assert_stdout_has(": abandoned")
        .assert_stderr_has("has died; fleet resume ");
    gated.gate.release();
    let again = gated.fleet.fleet(&["watch"]);
    again.assert_code(1).assert_stderr_has("has died");
    // closed by the next run, it is still one that died
    let runs = gated.fleet.json(&["runs"], 0);
    let name = runs["runs"][0]["run"].as_str().expect("a name").to_owned();
    gated.fleet.json(&["resume"], 0);
    gated
        .fleet
        .fleet(&["watch", &name])
        .assert_code(1)
        .assert_stderr_has("has died");
}

#[test]
fn a_run_that_is_silent_is_said_to_be_so() {
    let gated = Gated::with(3, 2, |_, fleet| {
        fleet.set("control", json!({ "lease": "1s" }))
    });
    let watch = gated.watch(&["watch"]);
    gated.run.pause();
    wait_until("it misses the run", || {
        watch
            .stderr_so_far()
            .contains("! the run was not heard of for")
    });
    gated.run.unpause();
    gated.gate.release();
    gated.run.wait().assert_code(0);
    watch.wait().assert_code(0);
}

#[test]
fn without_a_run_under_way_there_is_nothing_to_watch() {
    let db = TestDatabase::create(Server::A);
    tenants(&db, 2);
    let fleet = TestFleet::new(&db).probe_migrations(1..=1);
    let never = fleet.json(&["watch"], 2);
    assert_says(&never["error"], &["no control schema"]);
    fleet.json(&["migrate"], 0);
    db.execute("CREATE TABLE tenant_0002.t2 ()");
    let fleet = fleet.probe_migrations(2..=2);
    let failed = fleet.json(&["migrate"], 4);
    let none = fleet.json(&["watch"], 2);
    assert_says(&none["error"], &["no run is under way"]);
    // one that has ended is shown, and ends the same way
    let name = failed["run"].as_str().expect("a name");
    let shown = fleet.json(&["watch", name], 4);
    assert_eq!(shown, fleet.json(&["show", name], 0));
}

#[test]
fn a_control_database_that_is_away_for_a_moment_is_asked_again() {
    let gated = Gated::new(3);
    let proxy = Proxy::start(&gated.db.url());
    let beside = gated
        .fleet
        .with_only(&gated.db)
        .set("databases.0.url", proxy.url(gated.db.name()));
    let watch = beside.spawn(&["watch"]);
    wait_until("it follows the run", || {
        watch.stderr_so_far().contains("Following run ")
    });
    proxy.refuse(true);
    proxy.cut_all();
    wait_until("it asks again", || {
        watch.stderr_so_far().contains("; asking again for")
    });
    proxy.refuse(false);
    wait_until("it is there again", || {
        watch
            .stderr_so_far()
            .contains("the control database answers again after")
    });
    gated.gate.release();
    gated.run.wait().assert_code(0);
    watch.wait().assert_code(0);
}

#[test]
fn a_terminal_shows_a_bar_and_who_is_worked_on() {
    let gated = Gated::new(6);
    let mut terminal = Terminal::start(&gated.fleet, &["watch"], "xterm-256color", 100);
    wait_until("the run is on the screen", || {
        terminal.shows(&["░", "0/6", "0 %"])
    });
    for tenant in ["main/tenant_0001", "main/tenant_0002"] {
        wait_until("the tenant is on the screen", || terminal.shows(&[tenant]));
    }
    terminal.press(b"\x03");
    let (code, lines, _) = terminal.end();
    assert_eq!(code, 130);
    let text = lines.join("\n");
    assert!(text.contains("watching has ended"), "{text}");
    assert!(!text.contains(['█', '▌', '░']), "a bar is left: {text}");

    let terminal = Terminal::start(&gated.fleet, &["watch"], "xterm-256color", 100);
    wait_until("the run is on the screen", || terminal.shows(&["░", "0/6"]));
    gated.gate.release();
    gated.run.wait().assert_code(0);
    let (code, lines, _) = terminal.end();
    assert_eq!(code, 0);
    let text = lines.join("\n");
    assert!(
        text.contains(": succeeded") && !text.contains(['█', '▌', '░']),
        "{text}"
    );
}

/// Who watches sees where the waves are, and what a gate waits for.
#[test]
fn waves_are_followed() {
    let gated = Gated::with(4, 1, |_, fleet| {
        fleet.set(
            "rollout.waves",
            json!([{ "name": "first", "count": 2 }, { "name": "rest" }]),
        )
    });
    let lines = gated.watch(&["watch"]);
    let events = gated.watch(&["-o", "ndjson", "watch"]);
    wait_until("the first wave is told", || {
        lines.stderr_so_far().contains("wave first: 2 tenants")
    });
    gated.gate.release();
    gated.run.wait().assert_code(0);
    lines
        .wait()
        .assert_code(0)
        .assert_stderr_has("✓ wave first has passed")
        .assert_stderr_has("wave rest");
    let events = events.wait();
    events.assert_code(0);
    let changed: Vec<String> = events
        .ndjson()
        .iter()
        .filter(|line| line["event"] == "wave_changed")
        .map(|line| format!("{} {}", line["name"], line["state"]))
        .collect();
    assert!(
        changed.contains(&"\"rest\" \"passed\"".to_owned()),
        "{changed:?}"
    );
}

#[test]
fn a_gate_that_waits_is_on_the_bar() {
    let db = TestDatabase::create(Server::A);
    tenants(&db, 3);
    let fleet = TestFleet::new(&db).probe_migrations(1..=1).set(
        "rollout.waves",
        json!([{ "name": "canary", "count": 1, "gate": "manual" }]),
    );
    let run = Terminal::start(&fleet, &["migrate"], "xterm-256color", 120);
    wait_until("the run waits", || run.shows(&["canary awaits approval"]));
    let watch = Terminal::start(&fleet, &["watch"], "xterm-256color", 120);
    wait_until("the bar says it", || {
        watch.shows(&["░", "1/3", "wave canary awaits approval"])
    });
    fleet.fleet(&["approve"]).assert_code(0);
    assert_eq!(run.end().0, 0);
    let (code, lines, _) = watch.end();
    assert_eq!(code, 0, "{lines:#?}");
    assert!(
        lines
            .join("\n")
            .contains("wave canary has passed, approved by"),
        "{lines:#?}"
    );
}
