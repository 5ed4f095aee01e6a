//! SIGKILL: the histories stay right, and the same command again is all that it takes.

use serde_json::json;

use crate::support::{
    Child, Server, TestDatabase, TestFleet, applied, assert_applied_exactly_once,
    assert_history_is_truth, assert_nothing_left, tenants, wait_until,
};

const TENANTS: usize = 120;

/// Moments to kill at, the same ones in each run of the tests (splitmix64).
struct Moments(u64);

impl Moments {
    /// Some number below `limit`.
    fn below(&mut self, limit: usize) -> usize {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut mixed = self.0;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        usize::try_from((mixed ^ (mixed >> 31)) % limit as u64).expect("below a usize")
    }
}

struct Fleet {
    db: TestDatabase,
    schemas: Vec<String>,
    folder: TestFleet,
}

impl Fleet {
    fn with(tenant_count: usize) -> Self {
        let db = TestDatabase::create(Server::A);
        let schemas = tenants(&db, tenant_count);
        let folder = TestFleet::new(&db)
            .probe_migrations(1..=3)
            .set("execution.concurrency", 4);
        Self {
            db,
            schemas,
            folder,
        }
    }

    /// Tenants with a history, which comes with their first migration.
    fn begun(&self) -> usize {
        self.db.query_one(
            "SELECT count(*) FROM pg_tables WHERE tablename = 'refinery_schema_history' AND schemaname LIKE 'tenant%'",
        )
    }

    /// Kills a command as soon as so many tenants have a history.
    fn kill_at(&self, child: Child, begun: usize) {
        wait_until("enough tenants have a history", || self.begun() >= begun);
        child.kill();
        child.wait().assert_code(137);
    }

    /// What must hold when all is done.
    fn assert_whole(&self) {
        assert_applied_exactly_once(&self.db, &self.schemas, &[1, 2, 3]);
        assert_nothing_left(&self.db);
        let open: i64 = self
            .db
            .query_one("SELECT count(*) FROM fleet_control.runs WHERE finished_at IS NULL");
        assert_eq!(open, 0, "a run is left open");
        let again = self.folder.json(&["migrate"], 0);
        assert_eq!(again["totals"]["up_to_date"], self.schemas.len());
    }
}

#[test]
fn resume_finishes_what_a_kill_cut_off() {
    for seed in [1, 2, 3, 4, 5] {
        let fleet = Fleet::with(TENANTS);
        let at = 1 + Moments(seed).below(TENANTS * 3 / 4);
        println!("seed {seed}: killed when {at} tenants have a history");

        fleet.kill_at(fleet.folder.spawn(&["migrate"]), at);
        // at once, while the server may not have noticed yet
        let run = fleet.folder.json(&["resume"], 0);

        assert_eq!(run["outcome"], "succeeded");
        fleet.assert_whole();
    }
}

#[test]
fn migrate_finishes_what_a_kill_cut_off_just_as_well() {
    let fleet = Fleet::with(TENANTS);
    fleet.kill_at(fleet.folder.spawn(&["migrate"]), 17);
    fleet.folder.fleet(&["migrate"]).assert_code(0);
    fleet.assert_whole();
}

#[test]
fn a_fleet_that_is_killed_again_and_again_gets_there() {
    let seed = 20_261_123;
    println!("seed {seed}");
    let mut moments = Moments(seed);
    let fleet = Fleet::with(2 * TENANTS);
    fleet.kill_at(
        fleet.folder.spawn(&["migrate"]),
        1 + moments.below(TENANTS / 4),
    );
    for _ in 0..4 {
        let at = fleet.begun() + 1 + moments.below(TENANTS / 4);
        fleet.kill_at(fleet.folder.spawn(&["resume"]), at);
        assert_history_is_truth(&fleet.db, &fleet.schemas);
    }
    fleet.folder.fleet(&["resume"]).assert_code(0);
    fleet.assert_whole();
}

/// Waves keep the promise: nobody is lost, nobody is done twice, and nobody of a later wave goes first.
#[test]
fn a_fleet_with_waves_that_is_killed_again_and_again_gets_there() {
    let seed = 20_261_126;
    println!("seed {seed}");
    let mut moments = Moments(seed);
    let mut fleet = Fleet::with(TENANTS);
    let is_well = json!({ "tenant": "SELECT count(*) = 3 AS all_ran FROM probe" });
    fleet.folder = fleet.folder.set(
        "rollout.waves",
        json!([
            { "name": "first", "count": 10, "check": is_well },
            { "name": "some", "count": "30%", "random": 7, "concurrency": 2 },
            { "name": "more", "count": "30%", "soak": "20ms", "check": is_well },
        ]),
    );
    fleet.kill_at(
        fleet.folder.spawn(&["migrate"]),
        1 + moments.below(TENANTS / 6),
    );
    for command in ["resume", "migrate", "resume"] {
        let at = fleet.begun() + 1 + moments.below(TENANTS / 6);
        fleet.kill_at(fleet.folder.spawn(&[command]), at);
        assert_history_is_truth(&fleet.db, &fleet.schemas);
    }
    let run = fleet.folder.json(&["resume"], 0);
    let waves = run["waves"].as_array().expect("waves");
    assert!(waves.iter().all(|wave| wave["state"] == "passed"), "{run}");
    fleet.assert_whole();
}

#[test]
fn a_kill_leaves_every_history_true() {
    let fleet = Fleet::with(TENANTS);
    fleet.kill_at(fleet.folder.spawn(&["migrate"]), 40);
    assert_nothing_left(&fleet.db);
    assert_history_is_truth(&fleet.db, &fleet.schemas);
    for (schema, tenant) in applied(&fleet.db, &fleet.schemas) {
        assert!(
            [1, 2, 3].starts_with(&tenant.history),
            "{schema}: {tenant:?}"
        );
    }
}

/// Kills a run whose two workers are in the middle of a migration that only they have begun.
fn killed_in_the_middle(statement: &str) -> Fleet {
    let fleet = Fleet::with(6);
    fleet.folder.write_migration("V2__probe_2", statement);
    let child = fleet.folder.spawn(&["migrate", "--concurrency", "2"]);
    wait_until("two tenants are in their second migration", || {
        fleet.db.query_one::<i64>(
            "SELECT count(*) FROM pg_stat_activity WHERE state = 'active' AND wait_event = 'PgSleep' AND datname = current_database()",
        ) == 2
    });
    child.kill();
    child.wait().assert_code(137);
    fleet
}

#[test]
fn status_and_runs_say_that_a_killed_run_was_cut_off() {
    let fleet = killed_in_the_middle("SELECT pg_sleep(600);\n");
    fleet.db.end_what_the_server_cannot_notice();
    wait_until("the server has noticed", || fleet.db.fleet_backends() == 0);

    let status = fleet.folder.json(&["status"], 0);
    assert_eq!(status["totals"]["in_progress"], 0);
    assert_eq!(status["totals"]["failed"], 0);
    assert_eq!(status["tenants"][0]["state"], "interrupted");
    assert_eq!(status["tenants"][0]["version"], 1);
    fleet
        .folder
        .fleet(&["status"])
        .assert_stdout_has("interrupted")
        .assert_stdout_has("fleet resume");

    let runs = fleet.folder.json(&["runs"], 0);
    assert_eq!(runs["runs"][0]["state"], "abandoned");
}

#[test]
fn the_next_run_closes_a_killed_one_as_interrupted() {
    let fleet = Fleet::with(TENANTS);
    fleet.kill_at(fleet.folder.spawn(&["migrate"]), 17);
    let resumed = fleet.folder.json(&["resume"], 0);

    let runs = fleet.folder.json(&["runs"], 0);
    assert_eq!(runs["runs"][0]["run"], resumed["run"]);
    assert_eq!(runs["runs"][0]["state"], "succeeded");
    assert_eq!(runs["runs"][0]["resumes"], runs["runs"][1]["run"]);
    assert_eq!(runs["runs"][1]["state"], "interrupted");
}

#[test]
fn a_statement_that_outlives_its_fleet_does_not_fail_the_next_run() {
    let fleet = killed_in_the_middle("SELECT pg_sleep(600);\n");
    fleet.db.end_what_the_server_cannot_notice();
    // the dead run's statements still run and hold their tenants' locks
    fleet
        .folder
        .write_migration("V2__probe_2", "INSERT INTO probe (version) VALUES (2);\n");
    fleet.folder.fleet(&["migrate"]).assert_code(0);
    fleet.assert_whole();
}

#[test]
fn a_ledger_write_that_outlives_its_fleet_does_not_hold_up_the_next_run() {
    let fleet = Fleet::with(TENANTS);
    fleet.folder.fleet(&["init"]).assert_code(0);
    let lock = fleet
        .db
        .hold_lock("LOCK TABLE fleet_control.run_tenants IN EXCLUSIVE MODE");
    let child = fleet.folder.spawn(&["migrate"]);
    wait_until("the ledger waits", || lock.waiters() == 1);
    child.kill();
    child.wait().assert_code(137);
    fleet.db.end_what_the_server_cannot_notice();

    // the dead run's session holds the lease until its server notices
    let next = fleet.folder.spawn(&["migrate"]);
    wait_until("the next run has the lease and waits in its turn", || {
        let name = format!("fleet ledger {} %", next.pid());
        fleet.db.query_one::<i64>(&format!(
            "SELECT count(*) FROM pg_stat_activity WHERE application_name LIKE '{name}' AND wait_event_type = 'Lock'"
        )) == 1
    });
    lock.release();

    next.wait().assert_code(0);
    fleet.assert_whole();
}
