//! Random faults while many tenants migrate, each with a printed seed. `scripts/soak` runs the same for hours:
//! `FLEET_SOAK_ROUNDS` says how many rounds of each fault, `FLEET_SOAK_SEED` where the seeds begin.

use std::process::Command;
use std::time::{Duration, Instant};

use super::impatient;
use crate::support::{
    Child, Golden, PrivateServer, Server, TestDatabase, TestFleet, assert_converged, tenants,
    wait_until,
};

const TENANTS: u16 = 100;

/// How many rounds of each fault, and the first seed.
fn rounds(short: u64) -> std::ops::Range<u64> {
    let variable = |name: &str| std::env::var(name).ok()?.parse::<u64>().ok();
    let first = variable("FLEET_SOAK_SEED").unwrap_or(1);
    first..first + variable("FLEET_SOAK_ROUNDS").unwrap_or(short)
}

/// A fleet whose set holds both kinds of migrations.
struct Fleet {
    db: TestDatabase,
    schemas: Vec<String>,
    folder: TestFleet,
    golden: Golden,
}

impl Fleet {
    fn new(db: TestDatabase) -> Self {
        let schemas = tenants(&db, TENANTS.into());
        let folder = impatient(TestFleet::new(&db))
            .set("execution.concurrency", 4)
            .set("execution.retry.attempts", 50)
            .probe_migrations(1..=2)
            .migration(
                "V3__index",
                "-- fleet: no-transaction\nCREATE INDEX CONCURRENTLY IF NOT EXISTS t2_note ON t2 (note);\n\
                 INSERT INTO probe (version) VALUES (3);\nVACUUM t2;\n",
            )
            .probe_migrations(4..=4);
        let golden = Golden::of(&folder);
        Self {
            db,
            schemas,
            folder,
            golden,
        }
    }

    /// How many migrations are recorded, over all tenants.
    fn recorded(&self) -> i64 {
        self.db.query_one(
            "SELECT coalesce(sum((xpath('/row/n/text()', query_to_xml(format('SELECT count(*) AS n FROM %I.refinery_schema_history', schemaname), false, true, '')))[1]::text::bigint), 0)::bigint
             FROM pg_tables WHERE tablename = 'refinery_schema_history' AND schemaname LIKE 'tenant%'",
        )
    }

    /// Strikes when a share of the work is done that the dice have chosen, and a moment later.
    fn strike(&self, dice: &mut fastrand::Rng, run: &mut Child, blow: impl FnOnce(&Self)) -> bool {
        let at = self.recorded() + dice.i64(0..TENANTS.into());
        let pause = Duration::from_millis(dice.u64(0..30));
        let deadline = Instant::now() + Duration::from_mins(1);
        while self.recorded() < at && run.is_running() && Instant::now() < deadline {}
        // a moment within a transaction is not an event that one could wait for
        std::thread::sleep(pause);
        let struck = run.is_running();
        blow(self);
        struck
    }
}

/// F1: SIGKILL at any moment, again and again, then once to the end.
#[test]
fn kills_at_random_moments_lose_and_double_nothing() {
    for seed in rounds(2) {
        println!("seed {seed}: SIGKILL");
        let mut dice = fastrand::Rng::with_seed(seed);
        let fleet = Fleet::new(TestDatabase::create(Server::A));
        let mut crashes = 0;
        for round in 0..4 {
            let command = if round % 2 == 0 { "migrate" } else { "resume" };
            let mut run = fleet.folder.spawn(&[command]);
            let struck = fleet.strike(&mut dice, &mut run, |_| {});
            run.kill();
            run.wait();
            crashes += u32::from(struck);
        }
        let last = fleet.folder.fleet(&["resume"]);
        last.assert_code(0);
        println!("seed {seed}: {crashes} crashes, converged");
        assert_converged(&fleet.folder, &fleet.db, &fleet.schemas, &fleet.golden);
    }
}

/// F4, F5: backends and servers that die at any moment while tenants migrate: the run goes on by itself.
#[test]
fn servers_that_die_at_random_moments_are_one_event() {
    for seed in rounds(2) {
        let mut dice = fastrand::Rng::with_seed(seed);
        let server = PrivateServer::start(&["max_connections = 50"]);
        let mut fleet = Fleet::new(TestDatabase::on(&server));
        let mut run = fleet.folder.spawn(&["-o", "json", "migrate"]);
        let mut crashes = 0;
        for _ in 0..3 {
            let kills_backend = dice.bool();
            println!(
                "seed {seed}: {}",
                if kills_backend {
                    "kill -9 of a backend"
                } else {
                    "restart -m immediate"
                }
            );
            let mut backends: Vec<i32> = Vec::new();
            let struck = fleet.strike(&mut dice, &mut run, |fleet| {
                backends = fleet.db.column(
                    "SELECT pid FROM pg_stat_activity WHERE application_name LIKE 'fleet%'",
                );
            });
            if !struck {
                break;
            }
            match backends.first() {
                Some(victim) if kills_backend => {
                    let _ = Command::new("kill")
                        .args(["-9", &victim.to_string()])
                        .status();
                    wait_until("the server has noticed", || {
                        fleet.db.try_execute("SELECT 1").is_err()
                    });
                }
                _ => server.restart("immediate"),
            }
            crashes += 1;
            fleet.db.reconnect();
            assert_history_is_truth_of_transactions(&fleet);
        }
        let run = run.wait();
        run.assert_code(0);
        fleet.db.reconnect();
        println!("seed {seed}: {crashes} crashes, converged");
        assert_converged(&fleet.folder, &fleet.db, &fleet.schemas, &fleet.golden);
    }
}

/// While a run goes on only what a transaction records can be compared with what ran.
fn assert_history_is_truth_of_transactions(fleet: &Fleet) {
    let wrong: i64 = fleet
        .db
        .query_one("SELECT count(*) FROM pg_index WHERE NOT indisvalid AND indisunique");
    assert_eq!(wrong, 0, "an invalid unique index would refuse writes");
}

/// F1, F5: the network breaks at the n-th message, for every n, until a run goes through without a break.
#[test]
fn a_network_that_breaks_at_every_message_in_turn_loses_nothing() {
    use crate::support::{Proxy, nth};
    let db = TestDatabase::create(Server::A);
    let schemas = tenants(&db, 3);
    let proxy = Proxy::start(&Server::A.url());
    let folder = impatient(TestFleet::without_database().database_url("main", &proxy.url(db.name())))
        .set("control", serde_json::json!({ "url": db.url() }))
        .set("execution.concurrency", 1)
        .probe_migrations(1..=1)
        .migration(
            "V2__index",
            "-- fleet: no-transaction\nCREATE INDEX CONCURRENTLY t1_note ON t1 (note);\nINSERT INTO probe (version) VALUES (2);\n",
        )
        .probe_migrations(3..=3);
    let golden = Golden::of(&folder);
    let mut cuts = 0;
    for n in 1.. {
        let before = proxy.cuts();
        if n % 2 == 0 {
            proxy.cut_after(nth(n));
        } else {
            proxy.cut_before(nth(n));
        }
        let run = folder.fleet(&["-o", "json", "migrate"]);
        proxy.forget_rules();
        // a break before the run has begun may refuse it; what has begun ends well by itself
        assert!([0, 1].contains(&run.code()), "message {n}\n{run}");
        if run.code() == 1 {
            folder.fleet(&["migrate"]).assert_code(0);
        }
        assert_converged(&folder, &db, &schemas, &golden);
        if proxy.cuts() == before {
            break;
        }
        cuts += 1;
        for schema in &schemas {
            db.execute(&format!(
                "DROP SCHEMA {schema} CASCADE; CREATE SCHEMA {schema}"
            ));
        }
        db.execute("DELETE FROM fleet_control.tenants");
    }
    println!("{cuts} cuts, nothing lost and nothing doubled");
    assert!(cuts > 20, "only {cuts} cuts");
}
