//! What can be said to `hold`, `pin` and `release`, and what is refused.

use serde_json::json;

use super::three_at_v1;
use crate::support::{Server, TestDatabase, TestFleet, tenants, wait_until};

#[test]
fn tenants_are_named_by_pattern_by_flag_and_by_label() {
    let (_db, _, fleet) = three_at_v1();
    let fleet = fleet.config(|yaml| {
        yaml["databases"][0]["tenants"] = json!({
            "query": "SELECT nspname AS schema, right(nspname, 1) AS last FROM pg_namespace WHERE nspname LIKE 'tenant%'"
        });
    });
    let count = |command: &[&str], key: &str| fleet.json(command, 0)[key].as_array().map(Vec::len);
    let reason = ["--reason", "import"];
    for chosen in [
        &["tenant_000[12]"][..],
        &["main/tenant_0001", "tenant_0002"],
        &["--tenant", "tenant_0001", "tenant_0002"],
    ] {
        let hold = [&["hold"], chosen, &reason[..]].concat();
        assert_eq!(count(&hold, "holds"), Some(2), "{chosen:?}");
    }
    assert_eq!(
        count(
            &["hold", "--label", "last=3", "--reason", "import"],
            "holds"
        ),
        Some(1)
    );
    assert_eq!(
        count(&["release", "--label", "last=3"], "released"),
        Some(1)
    );
    assert_eq!(
        count(&["release", "--database", "main"], "released"),
        Some(2)
    );
}

#[test]
fn a_hold_and_a_pin_of_one_tenant_are_released_together() {
    let (_db, _, fleet) = three_at_v1();
    fleet.json(&["pin", "tenant_0001", "--to", "2"], 0);
    fleet.json(&["hold", "tenant_0001", "--reason", "import"], 0);
    let seen = fleet.fleet(&["release", "tenant_0001"]);
    seen.assert_code(0)
        .assert_stdout_has("main/tenant_0001: released (it was held until released: import)")
        .assert_stdout_has("main/tenant_0001: released (it was pinned to V2 until released)");
}

/// What is typed, and what is said to it.
const NONSENSE: &[(&[&str], &str)] = &[
    (
        &["hold", "--reason", "import"],
        "name the tenants to hold: TENANT",
    ),
    (&["release"], "name the tenants to release: TENANT"),
    (&["pin", "--to", "2"], "name the tenants to pin: TENANT"),
    (&["hold", "tenant_0001"], "--reason"),
    (
        &["hold", "tenant_0001", "--reason", " "],
        "a reason that says something",
    ),
    (
        &["hold", "tenant_9", "--reason", "import"],
        "matches no tenant: --tenant tenant_9",
    ),
    (
        &["hold", "tenant_0001", "tenant_9", "--reason", "import"],
        "matches no tenant: --tenant tenant_9",
    ),
    (
        &[
            "hold",
            "tenant_0001",
            "--reason",
            "import",
            "--until",
            "soon",
        ],
        "write a time with its zone",
    ),
    (
        &[
            "hold",
            "tenant_0001",
            "--reason",
            "import",
            "--until",
            "2026-12-01T06:00",
        ],
        "write a time with its zone",
    ),
    (
        &[
            "hold",
            "tenant_0001",
            "--reason",
            "import",
            "--until",
            "2020-01-01",
        ],
        "is past: it is 20",
    ),
    (
        &[
            "hold",
            "tenant_0001",
            "--reason",
            "import",
            "--until",
            "9000000h 9000000000h",
        ],
        "too far away",
    ),
    (&["pin", "tenant_0001"], "--to"),
    (
        &["pin", "tenant_0001", "--to", "7"],
        "no migration has version 7; the set goes from 1 to 3",
    ),
    (&["release", "tenant_0001"], "no tenant is held or pinned"),
    (
        &[
            "hold",
            "tenant_0001",
            "--database",
            "other",
            "--reason",
            "import",
        ],
        "no database of the config is called other",
    ),
];

#[test]
fn what_makes_no_sense_is_refused_and_holds_nobody() {
    let (db, _, fleet) = three_at_v1();
    for (command, says) in NONSENSE {
        let run = fleet.fleet(command);
        run.assert_code(2).assert_stderr_has(says);
    }
    let holds: i64 = db.query_one("SELECT count(*) FROM fleet_control.holds");
    assert_eq!(holds, 0);
}

/// One typo among several patterns is one too many.
#[test]
fn a_release_of_what_is_not_held_releases_nobody() {
    let (_db, _, fleet) = three_at_v1();
    fleet.json(&["hold", "tenant_0001", "--reason", "import"], 0);
    let run = fleet.fleet(&["release", "tenant_0001", "tenant_0002"]);
    run.assert_code(2).assert_stderr_has("--tenant tenant_0002");
    assert_eq!(fleet.json(&["plan"], 0)["totals"]["hold"], 1);
}

#[test]
fn a_tenant_that_is_gone_can_be_released() {
    let (db, _, fleet) = three_at_v1();
    fleet.json(&["hold", "tenant_0001", "--reason", "import"], 0);
    db.execute("DROP SCHEMA tenant_0001 CASCADE");
    let released = fleet.json(&["release", "tenant_0001"], 0);
    assert_eq!(released["released"][0]["schema"], "tenant_0001");
}

#[test]
fn holds_are_of_one_database() {
    let (a, b) = (
        TestDatabase::create(Server::A),
        TestDatabase::create(Server::B),
    );
    tenants(&a, 1);
    tenants(&b, 1);
    let fleet = TestFleet::new(&a)
        .database("second", &b)
        .probe_migrations(1..=1);
    fleet.json(&["hold", "second/tenant_0001", "--reason", "import"], 0);
    let run = fleet.json(&["migrate"], 0);
    let outcomes: Vec<String> = run["tenants"]
        .as_array()
        .expect("tenants")
        .iter()
        .map(|row| format!("{} {}", row["database"], row["outcome"]))
        .collect();
    assert_eq!(outcomes, [r#""main" "succeeded""#, r#""second" "skipped""#]);
}

#[test]
fn a_hostile_reason_and_name_move_no_cursor() {
    let db = TestDatabase::create(Server::A);
    db.execute("CREATE SCHEMA \"tenant_\u{1b}[2J\"");
    let fleet = TestFleet::new(&db).probe_migrations(1..=1);
    let reason = "\u{1b}[2J\u{202e}evil'; DROP TABLE x";
    for command in [
        &["hold", "tenant_*", "--reason", reason][..],
        &["pin", "tenant_*", "--to", "1", "--reason", reason],
        &["plan"],
        &["plan", "-v"],
        &["status"],
        &["status", "-v"],
        &["status", "--tenant", "tenant_*"],
        &["migrate"],
        &["show"],
        &["release", "tenant_*"],
    ] {
        let run = fleet.fleet(command);
        run.assert_code(0);
        assert!(
            !format!("{}{}", run.stdout, run.stderr).contains(['\u{1b}', '\u{202e}']),
            "{run}"
        );
    }
}

#[test]
fn a_hold_in_the_middle_of_a_run_counts_from_the_next_plan_on() {
    let (db, _, fleet) = three_at_v1();
    fleet.write_migration(
        "V2__probe_2",
        "ALTER TABLE t1 ADD more text;\nCREATE TABLE t2 (id bigint PRIMARY KEY, note text);\nINSERT INTO probe VALUES (2);\n",
    );
    let fleet = fleet.set("execution.lock_timeout", "60s");
    let lock = db.hold_lock("LOCK TABLE tenant_0001.t1");
    let run = fleet.spawn(&["migrate", "--concurrency", "1"]);
    wait_until("the run waits for the lock", || lock.waiters() == 1);
    fleet
        .fleet(&["hold", "tenant_0003", "--reason", "import"])
        .assert_code(0)
        .assert_stderr_has("is at work and goes on as it was planned");
    lock.release();
    run.wait().assert_code(0);
    let status = fleet.json(&["status"], 0);
    assert_eq!(status["totals"]["up_to_date"], 3);
}
