//! `fleet hold`, `pin` and `release`: who is left as it is because somebody asked for it.

mod terms;

use serde_json::{Value, json};

use crate::support::{
    Server, TestDatabase, TestFleet, applied, assert_applied_exactly_once, assert_nothing_left,
    assert_says, assert_untouched, each_tenants, tenant, tenants, wait_until,
};

/// Three tenants at V1, and a V2 and a V3 that are pending.
fn three_at_v1() -> (TestDatabase, Vec<String>, TestFleet) {
    let db = TestDatabase::create(Server::A);
    let schemas = tenants(&db, 3);
    let fleet = TestFleet::new(&db).probe_migrations(1..=3);
    fleet.json(&["migrate", "--to", "1"], 0);
    (db, schemas, fleet)
}

/// The versions that a tenant has.
fn versions(db: &TestDatabase, schema: &str) -> Vec<i64> {
    let schemas = [schema.to_owned()];
    applied(db, &schemas)[schema].history.clone()
}

fn totals(document: &Value, keys: &[&str]) -> Vec<u64> {
    let totals = &document["totals"];
    keys.iter()
        .map(|key| totals[key].as_u64().expect("a number"))
        .collect()
}

#[test]
fn a_held_tenant_is_left_as_it_is_and_the_run_is_a_success() {
    let (db, schemas, fleet) = three_at_v1();
    let held = fleet.json(&["hold", "tenant_0002", "--reason", "big import"], 0);
    assert_eq!(held["holds"][0]["schema"], "tenant_0002");
    assert_eq!(held["holds"][0]["kind"], "hold");
    assert_eq!(held["holds"][0]["until"], Value::Null);

    let plan = fleet.json(&["plan"], 0);
    assert_eq!(
        each_tenants(&plan, "action"),
        [
            "tenant_0001 migrate",
            "tenant_0002 hold",
            "tenant_0003 migrate"
        ]
    );
    assert_eq!(totals(&plan, &["migrate", "hold", "refuse"]), [2, 1, 0]);
    let row = tenant(&plan, "tenant_0002");
    assert_eq!(row["reason"], "held until released: big import");
    assert_eq!(row["pending"], json!(["V2__probe_2", "V3__probe_3"]));

    let run = fleet.json(&["migrate"], 0);

    assert_eq!(run["outcome"], "succeeded");
    assert_eq!(
        totals(&run, &["tenants", "succeeded", "skipped", "held"]),
        [3, 2, 1, 1]
    );
    let row = tenant(&run, "tenant_0002");
    assert_eq!(row["outcome"], "skipped");
    assert_eq!(row["reason"], "held until released: big import");
    assert_eq!((&row["from"], &row["to"]), (&json!(1), &json!(1)));
    assert_applied_exactly_once(&db, &schemas[1..2], &[1]);
    for schema in ["tenant_0001", "tenant_0003"] {
        assert_eq!(versions(&db, schema), [1, 2, 3]);
    }
    assert_nothing_left(&db);
}

#[test]
fn a_released_tenant_goes_on_with_the_next_run() {
    let (db, schemas, fleet) = three_at_v1();
    fleet.json(&["hold", "tenant_0002", "--reason", "big import"], 0);
    fleet.json(&["migrate"], 0);
    let released = fleet.json(&["release", "tenant_0002"], 0);
    assert_eq!(released["released"][0]["reason"], "big import");
    let run = fleet.json(&["migrate"], 0);
    assert_eq!(
        totals(&run, &["succeeded", "up_to_date", "held"]),
        [1, 2, 0]
    );
    assert_applied_exactly_once(&db, &schemas, &[1, 2, 3]);
}

#[test]
fn a_resume_leaves_who_is_held_and_takes_who_was_released() {
    let (db, schemas, fleet) = three_at_v1();
    db.execute("CREATE TABLE tenant_0001.t2 ()");
    fleet.json(
        &["hold", "tenant_0002", "tenant_0003", "--reason", "import"],
        0,
    );
    let run = fleet.json(&["migrate"], 4);
    assert_eq!(totals(&run, &["failed", "skipped", "held"]), [1, 2, 2]);
    db.execute("DROP TABLE tenant_0001.t2");
    fleet.json(&["release", "tenant_0003"], 0);

    let resumed = fleet.json(&["resume"], 0);

    assert_eq!(
        each_tenants(&resumed, "outcome"),
        [
            "tenant_0001 succeeded",
            "tenant_0002 skipped",
            "tenant_0003 succeeded"
        ]
    );
    assert_eq!(totals(&resumed, &["held"]), [1]);
    assert_applied_exactly_once(&db, &schemas[1..2], &[1]);
    let shown = fleet.json(&["show"], 0);
    assert_eq!(totals(&shown, &["succeeded", "skipped", "held"]), [2, 1, 1]);
    assert_eq!(shown["exit_code"], 0);
    assert_eq!(tenant(&shown, "tenant_0002")["outcome"], "skipped");
    fleet
        .fleet(&["show"])
        .assert_code(0)
        .assert_stdout_has("1 held");
    // nothing that was asked for is left
    assert_eq!(fleet.json(&["resume"], 0)["run"], Value::Null);
}

#[test]
fn a_pinned_tenant_goes_as_far_as_its_pin() {
    let (db, schemas, fleet) = three_at_v1();
    let pinned = fleet.json(&["pin", "tenant_0002", "--to", "2"], 0);
    assert_eq!(pinned["holds"][0]["kind"], "pin");
    assert_eq!(pinned["holds"][0]["to"], 2);
    assert_eq!(pinned["holds"][0]["reason"], Value::Null);
    let plan = fleet.json(&["plan"], 0);
    assert_eq!(
        tenant(&plan, "tenant_0002")["pending"],
        json!(["V2__probe_2"])
    );
    assert_eq!(tenant(&plan, "tenant_0002")["holds"][0]["to"], 2);
    fleet
        .fleet(&["plan"])
        .assert_code(0)
        .assert_stdout_has("pinned to V2 until released");

    let run = fleet.fleet(&["-o", "json", "migrate"]);

    run.assert_code(0)
        .assert_stderr_has("2 tenants at V3, 1 at its pin");
    let row = run.json();
    let row = tenant(&row, "tenant_0002");
    assert_eq!(
        (&row["outcome"], &row["to"]),
        (&json!("succeeded"), &json!(2))
    );
    assert_eq!(row["reason"], "pinned to V2 until released");
    assert_eq!(versions(&db, "tenant_0002"), [1, 2]);

    let again = fleet.json(&["migrate"], 0);
    assert_eq!(
        totals(&again, &["up_to_date", "skipped", "held"]),
        [2, 1, 1]
    );
    let status = fleet.json(&["status"], 0);
    let row = tenant(&status, "tenant_0002");
    assert_eq!(
        (&row["state"], &row["pending"]),
        (&json!("held"), &json!(1))
    );
    assert_eq!(row["reason"], "pinned to V2 until released");

    fleet.json(&["release", "tenant_0002"], 0);
    fleet.json(&["migrate"], 0);
    assert_applied_exactly_once(&db, &schemas, &[1, 2, 3]);
}

/// A further attempt reads the tenant's history again, and must not forget the pin.
#[test]
fn a_pin_holds_for_further_attempts_too() {
    let (db, schemas, fleet) = three_at_v1();
    fleet.write_migration(
        "V2__probe_2",
        "ALTER TABLE t1 ADD more text;\nCREATE TABLE t2 (id bigint PRIMARY KEY, note text);\nINSERT INTO probe VALUES (2);\n",
    );
    let fleet = fleet.set("execution.lock_timeout", "50ms").config(|yaml| {
        yaml["execution"]["retry"] =
            json!({ "attempts": 1000, "backoff": "10ms", "max_backoff": "20ms" });
    });
    fleet.json(&["pin", "tenant_0002", "--to", "2"], 0);
    let lock = db.hold_lock("LOCK TABLE tenant_0002.t1");
    let run = fleet.spawn(&["-o", "json", "migrate", "--tenant", "tenant_0002"]);
    wait_until("it has been tried more than once", || {
        run.stderr_so_far().contains("attempt 2")
            || db.query_one::<i64>("SELECT count(*) FROM fleet_control.attempts WHERE schema = 'tenant_0002' AND outcome = 'failed'") > 0
    });
    lock.release();
    let run = run.wait();
    run.assert_code(0);
    assert!(
        run.json()["tenants"][0]["attempts"].as_u64() > Some(1),
        "{run}"
    );
    assert_applied_exactly_once(&db, &schemas[1..2], &[1, 2]);
}

#[test]
fn a_pin_below_the_tenant_rolls_nothing_back_and_says_so() {
    let (db, _, fleet) = three_at_v1();
    fleet.json(&["migrate", "--to", "2"], 0);
    fleet
        .fleet(&["pin", "tenant_0001", "--to", "1", "--reason", "as it was"])
        .assert_code(0)
        .assert_stdout_has("main/tenant_0001: pinned to V1 until released: as it was")
        .assert_stdout_has("is at V2 already: nothing is rolled back");
    let run = fleet.json(&["migrate"], 0);
    assert_eq!(tenant(&run, "tenant_0001")["outcome"], "skipped");
    assert_eq!(versions(&db, "tenant_0001"), [1, 2]);
}

#[test]
fn status_has_who_is_held_until_when_and_why() {
    let (_db, _, fleet) = three_at_v1();
    fleet.json(
        &[
            "hold",
            "tenant_0001",
            "--reason",
            "big import",
            "--until",
            "2100-01-02",
        ],
        0,
    );
    fleet.json(&["migrate"], 0);
    fleet.json(&["hold", "tenant_0003", "--reason", "they migrate data"], 0);

    let status = fleet.json(&["status"], 0);

    assert_eq!(
        each_tenants(&status, "state"),
        [
            "tenant_0001 held",
            "tenant_0002 up_to_date",
            "tenant_0003 up_to_date"
        ]
    );
    assert_eq!(
        totals(&status, &["held", "pending", "up_to_date"]),
        [1, 0, 2]
    );
    let row = tenant(&status, "tenant_0001");
    assert_eq!(row["pending"], 2);
    assert_eq!(row["reason"], "held until 2100-01-02T00:00:00Z: big import");
    assert_eq!(row["holds"][0]["until"], "2100-01-02T00:00:00Z");
    assert_says(&row["holds"][0]["set_by"], &["@", "pid"]);
    // a hold of a tenant that has nothing pending is there as well
    assert_eq!(
        tenant(&status, "tenant_0003")["holds"][0]["reason"],
        "they migrate data"
    );
    let seen = fleet.fleet(&["status"]);
    seen.assert_code(0)
        .assert_stdout_has("2 up to date, 1 held")
        .assert_stdout_has("1 tenant held until 2100-01-02T00:00:00Z: big import")
        .assert_stdout_has("held until released: they migrate data (nothing is pending)");
}

#[test]
fn what_has_ended_is_still_told_of_the_tenant() {
    let (_db, _, fleet) = three_at_v1();
    fleet.json(&["hold", "tenant_0001", "--reason", "first"], 0);
    let second = fleet.fleet(&["hold", "tenant_0001", "--reason", "second", "--until", "3d"]);
    second
        .assert_code(0)
        .assert_stdout_has("replaces")
        .assert_stdout_has("held until released: first (by ");
    let replaced = fleet.json(&["hold", "tenant_0001", "--reason", "third"], 0);
    assert_eq!(replaced["holds"][0]["replaces"]["reason"], "second");
    fleet.json(&["release", "tenant_0001"], 0);
    fleet.json(&["pin", "tenant_0001", "--to", "2"], 0);

    let seen = fleet.fleet(&["status", "--tenant", "tenant_0001"]);

    seen.assert_code(0)
        .assert_stdout_has("Holds and pins:")
        .assert_stdout_has("pinned to V2 until released (by ")
        .assert_stdout_has("held until released: first (by ")
        .assert_stdout_has("held until released: third (by ");
    assert_eq!(seen.stdout.matches("    ended ").count(), 3, "{seen}");
}

#[test]
fn a_hold_ends_by_itself() {
    let (db, schemas, fleet) = three_at_v1();
    fleet.json(
        &[
            "hold",
            "tenant_0002",
            "--reason",
            "big import",
            "--until",
            "1h",
        ],
        0,
    );
    assert_eq!(fleet.json(&["plan"], 0)["totals"]["hold"], 1);
    // an hour passes
    db.execute("UPDATE fleet_control.holds SET until = until - interval '2h', set_at = set_at - interval '2h'");
    assert_eq!(fleet.json(&["plan"], 0)["totals"]["hold"], 0);
    let status = fleet.json(&["status"], 0);
    assert_eq!(tenant(&status, "tenant_0002")["holds"], json!([]));
    fleet
        .fleet(&["status", "--tenant", "tenant_0002"])
        .assert_code(0)
        .assert_stdout_has("by expiry");
    fleet.fleet(&["release", "tenant_0002"]).assert_code(2);
    // another one does not replace what was over
    let again = fleet.json(&["hold", "tenant_0002", "--reason", "once more"], 0);
    assert_eq!(again["holds"][0]["replaces"], Value::Null);
    fleet.json(&["release", "tenant_0002"], 0);
    fleet.json(&["migrate"], 0);
    assert_applied_exactly_once(&db, &schemas, &[1, 2, 3]);
}

/// Whoever holds a tenant knows that something is the matter with it.
#[test]
fn a_held_tenant_that_would_be_refused_is_held() {
    let (db, _, fleet) = three_at_v1();
    db.execute("UPDATE tenant_0002.refinery_schema_history SET checksum = '1'");
    assert_eq!(fleet.json(&["plan"], 7)["totals"]["refuse"], 1);
    fleet.json(
        &["hold", "tenant_0002", "--reason", "repaired on Monday"],
        0,
    );
    let run = fleet.json(&["migrate"], 0);
    assert_says(
        &tenant(&run, "tenant_0002")["reason"],
        &[
            "held until released: repaired on Monday",
            "besides: edited after being applied",
        ],
    );
}

#[test]
fn two_pins_at_once_leave_one_in_force() {
    let (db, _, fleet) = three_at_v1();
    fleet.json(&["init"], 0);
    let both: Vec<_> = (0..4)
        .map(|_| fleet.spawn(&["-o", "json", "pin", "tenant_000*", "--to", "2"]))
        .collect();
    for pin in both {
        pin.wait().assert_code(0);
    }
    let in_force: i64 =
        db.query_one("SELECT count(*) FROM fleet_control.holds WHERE ended_at IS NULL");
    assert_eq!(in_force, 3);
    let all: i64 = db.query_one("SELECT count(*) FROM fleet_control.holds");
    assert_eq!(all, 12);
}

#[test]
fn holding_needs_no_run_and_touches_no_tenant() {
    let db = TestDatabase::create(Server::A);
    let schemas = tenants(&db, 1);
    let fleet = TestFleet::new(&db).probe_migrations(1..=1);
    // refused before anything is made
    fleet.fleet(&["release", "tenant_0001"]).assert_code(2);
    assert_untouched(&db);
    fleet.json(&["hold", "tenant_0001", "--reason", "not yet"], 0);
    let run = fleet.fleet(&["migrate"]);
    run.assert_code(0)
        .assert_stdout_has("0 tenants at V1, 1 held");
    assert_applied_exactly_once(&db, &schemas, &[]);
}

/// An older fleet's control schema holds nobody, and looking does not upgrade it.
#[test]
fn an_older_control_schema_holds_nobody() {
    let (db, _, fleet) = three_at_v1();
    db.execute(
        "DROP TABLE fleet_control.holds; ALTER TABLE fleet_control.runs DROP COLUMN held;
         DELETE FROM fleet_control.fleet_schema_history WHERE version >= 6",
    );
    for command in ["plan", "status", "runs", "show"] {
        fleet.fleet(&[command]).assert_code(0);
    }
    fleet
        .fleet(&["status", "--tenant", "tenant_0001"])
        .assert_code(0);
    assert_eq!(fleet.json(&["plan"], 0)["totals"]["migrate"], 3);
}

/// Who is held is in no wave: the canary is of those that are migrated.
#[test]
fn a_held_tenant_is_nobody_s_canary() {
    let db = TestDatabase::create(Server::A);
    let schemas = tenants(&db, 22);
    let fleet = TestFleet::new(&db).probe_migrations(1..=1);
    fleet.json(&["hold", "tenant_0001", "--reason", "import"], 0);
    let run = fleet.json(&["migrate"], 0);
    assert_eq!(totals(&run, &["succeeded", "skipped", "held"]), [21, 1, 1]);
    let waves = run["waves"].as_array().expect("waves");
    let sizes: Vec<String> = waves
        .iter()
        .map(|wave| format!("{} {}", wave["name"], wave["totals"]["succeeded"]))
        .collect();
    assert_eq!(sizes, [r#""canary" 2"#, r#""rest" 19"#]);
    assert_applied_exactly_once(&db, &schemas[..1], &[]);
    assert_applied_exactly_once(&db, &schemas[1..], &[1]);
}

/// Whoever follows the run from elsewhere sees the same end.
#[test]
fn a_run_that_left_who_is_held_is_a_success_to_whoever_watches() {
    let (_db, _, fleet) = three_at_v1();
    fleet.json(&["hold", "tenant_0001", "--reason", "import"], 0);
    let run = fleet.json(&["migrate"], 0);
    let name = run["run"].as_str().expect("a name");
    fleet.fleet(&["watch", name]).assert_code(0);
    fleet.fleet(&["failures", name]).assert_code(0);
}

/// Who names a tenant to mend it does not wait for its hold; what follows ends at the pin.
#[test]
fn a_repair_does_not_wait_for_a_hold_and_ends_at_a_pin() {
    let (db, schemas, fleet) = three_at_v1();
    fleet.write_file("fix.sql", "UPDATE t1 SET note = 'mended';\n");
    fleet.json(&["hold", "tenant_0001", "--reason", "being mended"], 0);
    fleet.json(&["pin", "tenant_0001", "tenant_0002", "--to", "2"], 0);
    let repair = ["repair", "--sql", "fix.sql", "--reason", "bad rows"];
    for schema in ["tenant_0001", "tenant_0002"] {
        fleet.json(&[&repair[..], &[schema]].concat(), 0);
    }
    assert_applied_exactly_once(&db, &schemas[..2], &[1, 2]);
    // at its pin it is mended, and goes no further
    let again = [&repair[..], &["--again", "tenant_0002"]].concat();
    let mended = fleet.json(&again, 0);
    assert_eq!(tenant(&mended, "tenant_0002")["to"], 2);
    assert_applied_exactly_once(&db, &schemas[..2], &[1, 2]);
}
