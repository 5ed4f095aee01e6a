//! The process dies at every step of its protocol, at every time that it passes there, one after the other
//! until a run gets through without dying; each time the next command carries on, and nothing is lost or
//! doubled. `SQLite`'s way: <https://www.sqlite.org/testing.html#anomaly_testing>.

use super::impatient;
use crate::support::{
    Golden, Server, TestDatabase, TestFleet, assert_applied_exactly_once, assert_invariants,
    assert_ledger_is_true, assert_nothing_to_do, tenants,
};

const TENANTS: usize = 8;
/// What a process ends with that aborts.
const ABORTED: i32 = 134;

struct Fleet {
    db: TestDatabase,
    schemas: Vec<String>,
    folder: TestFleet,
    golden: Golden,
}

impl Fleet {
    /// Both kinds of migrations, and of steps those with a note around and those with a note inside.
    fn new() -> Self {
        let db = TestDatabase::create(Server::A);
        let schemas = tenants(&db, TENANTS);
        let folder = impatient(TestFleet::new(&db))
            .set("execution.concurrency", 2)
            .set("databases.0.max_index_builds", 2)
            .set("execution.retry.attempts", 50)
            .probe_migrations(1..=1)
            .migration(
                "V2__steps",
                "-- fleet: no-transaction\nCREATE INDEX CONCURRENTLY t1_note ON t1 (note);\n\
                 INSERT INTO probe (version) VALUES (2);\nVACUUM t1;\n",
            )
            .probe_migrations(3..=3);
        let golden = Golden::of(&folder);
        Self {
            db,
            schemas,
            folder,
            golden,
        }
    }

    fn begin_anew(&self) {
        let anew: Vec<String> = self
            .schemas
            .iter()
            .map(|schema| format!("DROP SCHEMA {schema} CASCADE; CREATE SCHEMA {schema}"))
            .collect();
        self.db.execute(&anew.join(";"));
        self.db
            .execute("DROP SCHEMA IF EXISTS fleet_control CASCADE");
    }

    /// Dies when a point is passed for the n-th time. False where the run ends before.
    fn dies_at(&self, point: &str, n: usize) -> bool {
        let armed = match n {
            1 => format!("{point}=return"),
            _ => format!("{point}={}*off->return", n - 1),
        };
        let mut command = self.folder.command(&["migrate"]);
        command.env("FAILPOINTS", armed);
        let run = crate::support::Child::spawn(command).wait();
        assert!(
            [0, ABORTED].contains(&run.code()),
            "{point}, time {n}\n{run}"
        );
        run.code() == ABORTED
    }

    fn carries_on(&self, point: &str, n: usize) {
        // whichever command somebody types; before the first run there is nothing to resume
        if n.is_multiple_of(2) {
            self.folder.fleet(&["resume"]).assert_code(0);
        }
        let run = self.folder.fleet(&["migrate"]);
        assert_eq!(run.code(), 0, "{point}, time {n}\n{run}");
        assert_applied_exactly_once(&self.db, &self.schemas, &self.golden.versions);
        assert_invariants(&self.db, &self.schemas, &self.golden);
        assert_ledger_is_true(&self.db, &[("main", &self.db, &self.schemas)]);
        let open: i64 = self
            .db
            .query_one("SELECT count(*) FROM fleet_control.runs WHERE finished_at IS NULL");
        assert_eq!(open, 0, "{point}, time {n}: a run is left open");
    }
}

/// Crashes at a point as often as a run passes it, and at least so often.
#[expect(clippy::print_stdout, reason = "scripts/soak counts the crashes")]
fn every_time(point: &str, at_least: usize) {
    let fleet = Fleet::new();
    let mut crashes = 0;
    while fleet.dies_at(point, crashes + 1) {
        crashes += 1;
        fleet.carries_on(point, crashes);
        fleet.begin_anew();
    }
    assert_nothing_to_do(&fleet.folder);
    println!("{point}: {crashes} crashes, nothing lost and nothing doubled");
    assert!(
        crashes >= at_least,
        "{point} was passed {crashes} times only"
    );
}

macro_rules! crash_tests {
    ($($(#[$meta:meta])* $name:ident: $point:literal, $at_least:literal;)*) => {$(
        $(#[$meta])*
        #[test]
        fn $name() {
            every_time($point, $at_least);
        }
    )*};
}

crash_tests! {
    k0_config_parsed: "K0", 1;
    k1_control_schema_half_made: "K1", 1;
    k2_run_recorded_and_nothing_claimed: "K2", 1;
    k3_connection_taken_or_lock_held: "K3", 16;
    k4_transaction_begun: "K4", 40;
    k5_statement_done: "K5", 40;
    k6_history_row_written: "K6", 16;
    k7_committed: "K7", 16;
    k8_committed_and_not_in_the_ledger: "K8", 24;
    k9_ledger_written: "K9", 2;
    k10_between_two_migrations: "K10", 24;
    k11_before_the_run_is_closed: "K11", 1;
    n1_step_noted_and_not_sent: "N1", 16;
    n2_step_sent: "N2", 24;
    n3_step_done_and_not_noted: "N3", 16;
    n4_between_two_steps: "N4", 16;
}
