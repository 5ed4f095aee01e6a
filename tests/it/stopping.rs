//! SIGINT and SIGTERM: the first drains, the second cancels, and either can be resumed.

mod connecting;

use crate::support::{
    Child, LockGuard, Server, TestDatabase, TestFleet, applied, assert_applied_exactly_once,
    assert_history_is_truth, assert_nothing_left, tenants, wait_until,
};

/// Twelve tenants, of which four at a time stand in their second migration until the gate opens.
struct Gated {
    db: TestDatabase,
    schemas: Vec<String>,
    fleet: TestFleet,
    gate: LockGuard,
}

impl Gated {
    fn new(tenant_count: usize) -> Self {
        let db = TestDatabase::create(Server::A);
        let schemas = tenants(&db, tenant_count);
        let fleet = TestFleet::new(&db)
            .probe_migrations(1..=1)
            .migration(
                "V2__gate",
                "CREATE TABLE before_the_gate (id int);\nSELECT pg_advisory_xact_lock_shared(4711);\nINSERT INTO probe (version) VALUES (2);\n",
            )
            .set("execution.concurrency", 4)
            .set("execution.lock_timeout", "10m");
        let gate = db.hold_lock("SELECT pg_advisory_xact_lock(4711)");
        Self {
            db,
            schemas,
            fleet,
            gate,
        }
    }

    /// A run whose four workers stand at the gate.
    fn at_the_gate(&self, arguments: &[&str]) -> Child {
        let child = self.fleet.spawn(arguments);
        wait_until("four tenants stand at the gate", || {
            self.gate.waiters() == 4
        });
        child
    }

    /// How many statements of fleet's run on the server.
    fn running(&self) -> i64 {
        self.db.query_one(
            "SELECT count(*) FROM pg_stat_activity WHERE datname = current_database() AND application_name LIKE 'fleet%' AND state <> 'idle'",
        )
    }

    fn open(self) -> (TestDatabase, Vec<String>, TestFleet) {
        self.gate.release();
        (self.db, self.schemas, self.fleet)
    }
}

/// Waits until the command has said that it drains.
fn wait_for_drain(child: &Child) {
    wait_until("the drain is announced", || {
        child
            .stderr_so_far()
            .contains("draining: 4 tenants in flight")
    });
}

/// F2: the first signal starts no tenant more and lets those in flight finish.
#[test]
fn sigint_lets_tenants_in_flight_finish_and_starts_no_other() {
    let gated = Gated::new(12);
    let child = gated.at_the_gate(&["-o", "json", "migrate"]);
    child.interrupt();
    wait_for_drain(&child);
    let (db, schemas, _) = gated.open();

    let run = child.wait();

    run.assert_code(130);
    let document = run.json();
    assert_eq!(document["outcome"], "interrupted");
    assert_eq!(document["exit_code"], 130);
    assert_eq!(document["totals"]["succeeded"], 4);
    assert_eq!(document["totals"]["skipped"], 8);
    assert_eq!(document["totals"]["interrupted"], 0);
    let done = applied(&db, &schemas)
        .into_values()
        .filter(|tenant| tenant.history == [1, 2])
        .count();
    assert_eq!(done, 4);
    assert_history_is_truth(&db, &schemas);
    assert_nothing_left(&db);
}

#[test]
fn the_summary_says_how_many_are_left_and_how_to_carry_on() {
    let gated = Gated::new(12);
    let child = gated.at_the_gate(&["migrate"]);
    child.interrupt();
    wait_for_drain(&child);
    let (_db, _, fleet) = gated.open();

    let run = child.wait();

    run.assert_code(130)
        .assert_stdout_has("4 of 12 tenants done, 8 left");
    let runs = fleet.json(&["runs"], 0);
    let id = runs["runs"][0]["run"].as_str().expect("a name");
    run.assert_stdout_has(&format!("fleet resume {id}"));
    assert_eq!(runs["runs"][0]["state"], "interrupted");
}

#[test]
fn sigterm_drains_as_well_and_exits_with_143() {
    let gated = Gated::new(12);
    let child = gated.at_the_gate(&["-o", "json", "migrate"]);
    child.terminate();
    wait_for_drain(&child);
    let (db, _, _) = gated.open();

    let run = child.wait();

    run.assert_code(143);
    assert_eq!(run.json()["totals"]["succeeded"], 4);
    assert_nothing_left(&db);
}

#[test]
fn resume_carries_on_a_drained_run() {
    let gated = Gated::new(12);
    let child = gated.at_the_gate(&["migrate"]);
    child.interrupt();
    wait_for_drain(&child);
    let (db, schemas, fleet) = gated.open();
    child.wait().assert_code(130);

    let resumed = fleet.json(&["resume"], 0);

    assert_eq!(resumed["totals"]["tenants"], 8);
    assert_eq!(resumed["totals"]["succeeded"], 8);
    assert_applied_exactly_once(&db, &schemas, &[1, 2]);
}

/// F2: the second signal cancels on the server, and nobody stays in a state of running.
#[test]
fn a_second_signal_cancels_the_statements_on_the_server() {
    let gated = Gated::new(12);
    let child = gated.at_the_gate(&["-o", "json", "migrate"]);
    child.interrupt();
    wait_for_drain(&child);
    child.interrupt();

    // the gate is still shut: only cancelling ends this
    let run = child.wait();

    run.assert_code(130);
    assert_eq!(gated.running(), 0);
    let document = run.json();
    assert_eq!(document["totals"]["interrupted"], 4);
    assert_eq!(document["totals"]["skipped"], 8);
    assert_eq!(document["totals"]["failed"], 0);
    assert_nothing_left_but_the_gate(&gated);
}

#[test]
fn a_cancelled_tenant_keeps_what_was_committed_and_nothing_else() {
    let gated = Gated::new(12);
    let child = gated.at_the_gate(&["migrate"]);
    child.interrupt();
    wait_for_drain(&child);
    child.interrupt();
    child.wait().assert_code(130);

    let half: i64 = gated
        .db
        .query_one("SELECT count(*) FROM pg_tables WHERE tablename = 'before_the_gate'");
    assert_eq!(half, 0, "a cancelled migration left something");
    let first_only = applied(&gated.db, &gated.schemas)
        .into_values()
        .filter(|tenant| tenant.history == [1] && tenant.probe == [1])
        .count();
    assert_eq!(first_only, 4);
}

/// F2: the ledger calls it interrupted, and a resume finishes it.
#[test]
fn status_calls_cancelled_tenants_interrupted_and_resume_finishes_them() {
    let gated = Gated::new(12);
    let child = gated.at_the_gate(&["migrate"]);
    child.terminate();
    wait_until("the drain is announced", || {
        child.stderr_so_far().contains("draining")
    });
    child.interrupt();
    child.wait().assert_code(143);
    let status = gated.fleet.json(&["status"], 0);
    assert_eq!(status["totals"]["interrupted"], 4);
    assert_eq!(status["totals"]["pending"], 8);
    let (db, schemas, fleet) = gated.open();

    let resumed = fleet.json(&["resume"], 0);

    assert_eq!(resumed["totals"]["succeeded"], 12);
    assert_applied_exactly_once(&db, &schemas, &[1, 2]);
    assert_nothing_left(&db);
}

#[test]
fn a_drain_that_leaves_nothing_to_do_is_a_success() {
    let gated = Gated::new(4);
    let child = gated.at_the_gate(&["-o", "json", "migrate"]);
    child.interrupt();
    wait_for_drain(&child);
    let (db, schemas, _) = gated.open();

    let run = child.wait();

    run.assert_code(0);
    assert_eq!(run.json()["outcome"], "succeeded");
    assert_applied_exactly_once(&db, &schemas, &[1, 2]);
}

#[test]
fn a_stop_does_not_wait_for_a_retry_that_is_far_away() {
    let db = TestDatabase::create(Server::A);
    tenants(&db, 1);
    db.execute("CREATE TABLE public.busy (id int)");
    let fleet = TestFleet::new(&db)
        .unlinted()
        .migration(
            "V1__busy",
            "-- fleet: allow leak somebody holds it\nALTER TABLE public.busy ADD COLUMN IF NOT EXISTS note text;\n",
        )
        .set("execution.lock_timeout", "50ms")
        .config(|yaml| {
            yaml["execution"]["retry"] =
                serde_json::json!({ "attempts": 3, "backoff": "10m", "max_backoff": "10m" });
        });
    let lock = db.hold_lock("LOCK TABLE public.busy IN ACCESS EXCLUSIVE MODE");
    let child = fleet.spawn(&["-o", "json", "migrate"]);
    wait_until("the first attempt has failed", || {
        child.stderr_so_far().contains("attempt 1 failed")
    });
    child.interrupt();

    let run = child.wait();

    run.assert_code(130);
    assert_eq!(run.json()["tenants"][0]["outcome"], "interrupted");
    lock.release();
    fleet.fleet(&["resume"]).assert_code(0);
}

/// Only the test's own lock remains.
fn assert_nothing_left_but_the_gate(gated: &Gated) {
    wait_until("fleet's backends are gone", || {
        gated.db.fleet_backends() == 0
    });
    let locks: i64 = gated.db.query_one(
        "SELECT count(*) FROM pg_locks WHERE locktype = 'advisory' AND database = (SELECT oid FROM pg_database WHERE datname = current_database())",
    );
    assert_eq!(locks, 1);
}
