//! Waves, gates and the failure budget: a bad migration is found on two tenants, an odd tenant stops nobody, and a run
//! that halted goes on where it was.

mod again;
mod doubt;
mod gates;
mod seen;
mod shapes;

use serde_json::{Value, json};

use crate::support::{
    Server, TestDatabase, TestFleet, assert_history_is_truth, assert_says, tenant, tenants,
    wait_until,
};

const BAD_SQL: &str = "CREATE TABLE a (id int);\nCREATE TABEL b (id int);\n";

/// A migration that fails where the tenant's `probe` holds a duplicate.
const UNIQUE: &str = "ALTER TABLE probe ADD CONSTRAINT probe_once UNIQUE (version);\n";

/// Tenants at version 1.
fn fleet_of(count: usize) -> (TestDatabase, Vec<String>, TestFleet) {
    let db = TestDatabase::create(Server::A);
    let schemas = tenants(&db, count);
    let fleet = TestFleet::new(&db).probe_migrations(1..=1);
    fleet.fleet(&["migrate", "--no-canary"]).assert_code(0);
    (db, schemas, fleet)
}

/// The versions that a tenant has.
fn history(db: &TestDatabase, schema: &str) -> Vec<i64> {
    db.column(&format!(
        "SELECT version FROM {schema}.refinery_schema_history ORDER BY version"
    ))
}

/// The names of waves with where they are.
fn waves(document: &Value) -> Vec<String> {
    let waves = document["waves"].as_array().expect("waves").iter();
    waves
        .map(|wave| {
            let word = |key: &str| wave[key].as_str().expect("a word").to_owned();
            format!("{} {}", word("name"), word("state"))
        })
        .collect()
}

fn attempted(document: &Value) -> usize {
    let tenants = document["tenants"].as_array().expect("tenants").iter();
    tenants.filter(|tenant| tenant["attempts"] != 0).count()
}

fn run_of(document: &Value) -> String {
    document["run"].as_str().expect("a run").to_owned()
}

/// F48: without any config a bad migration reaches two tenants of many.
#[test]
fn a_bad_migration_reaches_the_canary_and_nobody_else() {
    let (db, schemas, fleet) = fleet_of(60);
    let fleet = fleet.migration("V2__bad", BAD_SQL);

    let plan = fleet.json(&["plan"], 0);
    assert_eq!(plan["waves"][0]["tenants"], 2);
    assert_eq!(tenant(&plan, &schemas[1])["wave"], 1);
    assert_eq!(tenant(&plan, &schemas[2])["wave"], 2);
    let shown = fleet.fleet(&["plan"]);
    shown.assert_stdout_has("canary");
    let run = fleet.json(&["migrate"], 5);
    assert_eq!(run["outcome"], "halted");
    assert_eq!(attempted(&run), 2);
    assert_eq!(run["totals"]["failed"], 2);
    assert_eq!(run["totals"]["skipped"], 58);
    assert_eq!(run["halted"]["by"], "wave_budget");
    assert_eq!(waves(&run), ["canary halted", "rest pending"]);
    assert_says(
        &tenant(&run, &schemas[2])["reason"],
        &["not attempted", "2 of 2 tenants of wave canary failed"],
    );
    assert_eq!(
        db.query_one::<i64>("SELECT count(*) FROM pg_class WHERE relname = 'a'"),
        0
    );

    // the same files would halt it again
    let again = fleet.fleet(&["resume"]);
    again.assert_code(5);
    again.assert_stderr_has("the migration files are the same since");
    again.assert_stderr_has("fleet resume --what-changed");

    fleet.write_migration("V2__bad", "CREATE TABLE a (id int);\n");
    let resumed = fleet.json(&["resume"], 0);
    assert_eq!(resumed["totals"]["succeeded"], 60);
    assert_eq!(waves(&resumed), ["canary passed", "rest passed"]);
    assert_eq!(history(&db, &schemas[0]), [1, 2]);
}

/// Rows of one tenant are not the file's fault: the others go on, and the exit code says that some failed.
#[test]
fn odd_tenants_do_not_halt_a_run() {
    let (db, schemas, fleet) = fleet_of(60);
    for schema in schemas.iter().step_by(12) {
        db.execute(&format!("INSERT INTO {schema}.probe VALUES (1)"));
    }
    let fleet = fleet.migration("V2__unique", UNIQUE);
    let run = fleet.json(&["migrate"], 4);
    assert_eq!(run["totals"]["failed"], 5);
    assert_eq!(run["totals"]["succeeded"], 55);
    assert_eq!(run["failures"].as_array().expect("causes").len(), 1);
    assert_eq!(
        run["failures"][0]["tenants"]
            .as_array()
            .expect("names")
            .len(),
        5
    );

    for schema in schemas.iter().step_by(12) {
        db.execute(&format!("DELETE FROM {schema}.probe a USING {schema}.probe b WHERE a.ctid > b.ctid AND a.version = b.version"));
    }
    let resumed = fleet.json(&["resume"], 0);
    assert_eq!(resumed["totals"]["succeeded"], 5);
    assert_eq!(history(&db, &schemas[0]), [1, 2]);
}

/// Three tenants that fail in the same way where nobody passes are one bad migration, with no canary at all.
#[test]
fn the_same_failure_everywhere_halts_a_run_without_waves() {
    let (_db, _schemas, fleet) = fleet_of(40);
    let fleet = fleet
        .migration("V2__bad", BAD_SQL)
        .set("execution.concurrency", 4);
    let run = fleet.json(&["migrate", "--no-canary"], 5);
    assert_eq!(run["halted"]["by"], "bad_migration");
    assert_says(
        &run["halted"]["reason"],
        &[
            "V2__bad, statement 2,",
            "42601",
            "the migration seems to be bad",
        ],
    );
    assert!((3..=7).contains(&attempted(&run)), "{}", attempted(&run));
    assert_eq!(run["waves"], json!([]));

    let fleet = fleet.set("rollout.same_failures", 0);
    let run = fleet.json(&["migrate", "--no-canary"], 4);
    assert_eq!(run["totals"]["failed"], 40);
}

#[test]
fn a_small_run_has_no_canary_unless_it_is_asked_for() {
    let (_db, _schemas, fleet) = fleet_of(5);
    let fleet = fleet.probe_migrations(1..=2);
    let run = fleet.json(&["migrate", "--canary", "1"], 0);
    assert_eq!(waves(&run), ["canary passed", "rest passed"]);
    let fleet = fleet.probe_migrations(1..=3);
    let run = fleet.json(&["migrate"], 0);
    assert_eq!(run["waves"], json!([]));
}

#[test]
fn waves_of_the_config_go_one_after_the_other() {
    let (db, schemas, fleet) = fleet_of(6);
    let fleet = fleet.probe_migrations(1..=2).set(
        "rollout.waves",
        json!([
            { "name": "first", "tenants": [schemas[5].clone()], "concurrency": 1, "soak": "10ms" },
            { "name": "some", "count": "40%", "random": 7,
              "check": { "tenant": "SELECT count(*) = 2 AS both_are_there FROM probe" } },
            { "name": "others" }
        ]),
    );
    let run = fleet.fleet(&["-o", "ndjson", "migrate"]);
    run.assert_code(0);
    let lines = run.ndjson();
    let order: Vec<String> = lines
        .iter()
        .filter(|line| line["event"] == "wave_started")
        .map(|line| format!("{} {}", line["name"], line["totals"]["tenants"]))
        .collect();
    assert_eq!(order, ["\"first\" 1", "\"some\" 3", "\"others\" 2"]);
    let soaked = lines.iter().filter(|line| line["event"] == "wave_soaking");
    assert_eq!(soaked.count(), 1);
    let checked = lines.iter().filter(|line| line["event"] == "wave_checking");
    assert_eq!(checked.count(), 1);
    let shown = fleet.json(&["show"], 0);
    assert_eq!(
        waves(&shown),
        ["first passed", "some passed", "others passed"]
    );
    assert_history_is_truth(&db, &schemas);
}

#[test]
fn waves_can_be_typed_and_drawn_by_lot() {
    let (_db, schemas, fleet) = fleet_of(6);
    let fleet = fleet.probe_migrations(1..=2);
    let first = format!("name=first,tenant={}", schemas[3]);
    let run = fleet.json(&["migrate", "--wave", &first, "--wave", "50%", "-q"], 0);
    assert_eq!(
        waves(&run),
        ["first passed", "wave-2 passed", "rest passed"]
    );
    let sizes: Vec<i64> = run["waves"]
        .as_array()
        .expect("waves")
        .iter()
        .map(|wave| wave["totals"]["tenants"].as_i64().expect("a number"))
        .collect();
    assert_eq!(sizes, [1, 3, 2]);
}

/// A check that fails halts with what it has found; the tenants of later waves are not touched.
#[test]
fn a_failed_check_halts_with_what_it_found() {
    let (db, schemas, fleet) = fleet_of(4);
    let fleet = fleet.probe_migrations(1..=2);
    let with_check = |fleet: TestFleet, check: Value| {
        fleet.set(
            "rollout.waves",
            json!([{ "name": "canary", "count": 1, "check": check }]),
        )
    };
    let fleet = with_check(
        fleet,
        json!({ "tenant": "SELECT count(*) > 100 AS many FROM probe" }),
    );
    let run = fleet.json(&["migrate"], 5);
    assert_eq!(run["halted"]["by"], "check");
    assert_says(
        &run["halted"]["reason"],
        &[
            "the check of wave canary failed",
            &schemas[0],
            "many is false",
        ],
    );
    assert_eq!(attempted(&run), 1);
    assert_eq!(history(&db, &schemas[1]), [1]);

    // the wave is checked again before anybody else is touched, also by a run that only carries on
    let resumed = fleet.json(&["resume", "--what-changed", "nothing, to see"], 5);
    assert_eq!(attempted(&resumed), 0);
    let shown = fleet.json(&["show"], 0);
    assert_eq!(shown["what_changed"], "nothing, to see");

    for (check, problem) in [
        (json!({ "database": "SELECT 1" }), "not a boolean"),
        (json!({ "database": "SELECT true WHERE false" }), "no row"),
        (json!({ "database": "SELECT nonsense" }), "nonsense"),
        (
            json!({ "database": "CREATE TABLE public.x (id int)" }),
            "read-only",
        ),
        (
            json!({ "command": "echo not well >&2; exit 3" }),
            "not well",
        ),
        (
            json!({ "command": "exec sleep 600", "timeout": "50ms" }),
            "not ended within 50ms",
        ),
        (
            json!({ "tenant": "SELECT pg_sleep(600) IS NULL", "timeout": "50ms" }),
            "timeout",
        ),
    ] {
        let db = TestDatabase::create(Server::A);
        tenants(&db, 2);
        let fleet = with_check(TestFleet::new(&db).probe_migrations(1..=1), check);
        let run = fleet.json(&["migrate"], 5);
        assert_says(&run["halted"]["reason"], &[problem]);
        assert_eq!(attempted(&run), 1, "{problem}");
    }
}

/// A command finds the tenants of its wave on its standard input.
#[test]
fn a_command_knows_whom_it_is_about() {
    let (_db, schemas, fleet) = fleet_of(3);
    let fleet = fleet.probe_migrations(1..=2).set(
        "rollout.waves",
        json!([{ "name": "two", "count": 2, "check": { "command": "cat > seen; echo $FLEET_WAVE >> seen" } }]),
    );
    fleet.json(&["migrate"], 0);
    let seen = std::fs::read_to_string(fleet.folder().join("seen")).expect("what it saw");
    assert_eq!(
        seen,
        format!("main/{}\nmain/{}\ntwo\n", schemas[0], schemas[1])
    );
}

fn gated(count: usize) -> (TestDatabase, Vec<String>, TestFleet) {
    let (db, schemas, fleet) = fleet_of(count);
    let fleet = fleet.probe_migrations(1..=2).set(
        "rollout.waves",
        json!([{ "name": "canary", "count": 1, "gate": "manual" }]),
    );
    (db, schemas, fleet)
}

/// Without a terminal the run ends at a manual gate; a second process approves, and a third goes on.
#[test]
fn a_manual_gate_is_approved_by_another_process() {
    let (db, schemas, fleet) = gated(4);
    let halted = fleet.fleet(&["migrate"]);
    halted.assert_code(5);
    halted.assert_stdout_has("Waits at a gate");
    halted.assert_stdout_has("fleet approve");
    assert_eq!(history(&db, &schemas[0]), [1, 2]);
    assert_eq!(history(&db, &schemas[1]), [1]);

    let early = fleet.fleet(&["resume"]);
    early.assert_code(5);
    early.assert_stderr_has("waits for an approval");

    let approved = fleet.fleet(&["approve"]);
    approved.assert_code(0);
    approved.assert_stdout_has("wave canary is approved");
    fleet.fleet(&["approve"]).assert_code(2);

    let resumed = fleet.json(&["resume"], 0);
    assert_eq!(resumed["totals"]["succeeded"], 3);
    let shown = fleet.json(&["show"], 0);
    assert!(shown["waves"][0]["approved_by"].is_string());
    assert_eq!(waves(&shown), ["canary passed", "rest passed"]);
    assert_history_is_truth(&db, &schemas);
}

#[test]
fn approve_names_what_it_cannot_do() {
    let (_db, _schemas, fleet) = fleet_of(2);
    let run = fleet.json(&["show"], 0);
    let nobody = fleet.fleet(&["approve", &run_of(&run)]);
    nobody.assert_code(2);
    nobody.assert_stderr_has("waits for no approval");
    fleet
        .fleet(&["approve", "20000101-000000-0000"])
        .assert_code(2);
    let fresh = TestDatabase::create(Server::A);
    let fresh = (TestFleet::new(&fresh), fresh);
    fresh.0.fleet(&["approve"]).assert_code(2);
}

/// Killed while it soaks: the next one soaks again before anybody else is touched.
#[test]
fn a_run_killed_at_a_soak_goes_on_with_it() {
    let (db, schemas, fleet) = fleet_of(4);
    let fleet = fleet.probe_migrations(1..=2).set(
        "rollout.waves",
        json!([{ "name": "canary", "count": 1, "soak": "10m" }]),
    );
    let child = fleet.spawn(&["migrate"]);
    wait_until("the wave soaks", || {
        db.query_one::<i64>("SELECT count(*) FROM fleet_control.run_waves WHERE state = 'soaking'")
            == 1
    });
    child.kill();
    child.wait();
    assert_eq!(history(&db, &schemas[1]), [1]);
    db.execute("UPDATE fleet_control.run_waves SET terms = terms || '{\"soak_ms\": 1}'");
    let resumed = fleet.fleet(&["-o", "ndjson", "resume"]);
    resumed.assert_code(0);
    let soaked = resumed.ndjson();
    let soaked = soaked.iter().filter(|line| line["event"] == "wave_soaking");
    assert_eq!(soaked.count(), 1);
    assert_history_is_truth(&db, &schemas);
}

/// A signal at a soak leaves the run resumable, at once.
#[test]
fn ctrl_c_ends_a_soak() {
    let (db, _schemas, fleet) = fleet_of(4);
    let fleet = fleet.probe_migrations(1..=2).set(
        "rollout.waves",
        json!([{ "name": "canary", "count": 1, "soak": "10m" }]),
    );
    let child = fleet.spawn(&["-o", "json", "migrate"]);
    wait_until("the wave soaks", || {
        db.query_one::<i64>("SELECT count(*) FROM fleet_control.run_waves WHERE state = 'soaking'")
            == 1
    });
    child.interrupt();
    let run = child.wait();
    run.assert_code(130);
    assert_eq!(run.json()["totals"]["skipped"], 3);
}

/// A wave that nobody can ever be in is a typo: nothing is touched.
#[test]
fn a_wave_that_selects_nobody_of_the_fleet_is_refused() {
    let (db, schemas, fleet) = fleet_of(3);
    let fleet = fleet.probe_migrations(1..=2).set(
        "rollout.waves",
        json!([{ "name": "beta", "tenants": ["tenant_typo"] }]),
    );
    let run = fleet.fleet(&["migrate"]);
    run.assert_code(3);
    run.assert_stderr_has("wave beta selects no tenant of the fleet");
    assert_eq!(history(&db, &schemas[0]), [1]);
    let typed = fleet.fleet(&["migrate", "--wave", "label=plan:gold"]);
    typed.assert_code(3);
    typed.assert_stderr_has("wave wave-1 selects no tenant");
}

#[test]
fn waves_that_make_no_sense_are_refused_with_their_place() {
    let (_db, _schemas, mut fleet) = fleet_of(1);
    for (waves, problem) in [
        (
            json!([{ "cuont": 5 }]),
            "unknown key `rollout.waves[0].cuont`",
        ),
        (json!([{ "count": "many" }]), "a percentage such as `5%`"),
        (
            json!([{}, { "count": 1 }]),
            "takes all tenants, and others follow it",
        ),
        (json!([{ "gate": "manual" }]), "no wave follows"),
        (json!([{ "tenants": [] }]), "that is empty"),
        (json!([{ "count": 1, "check": {} }]), "needs exactly one of"),
        (json!([{ "random": 3 }]), "needs `count`"),
        (
            json!([{ "count": 1, "name": "a" }, { "name": "a" }]),
            "two waves called a",
        ),
    ] {
        fleet = fleet.set("rollout.waves", waves);
        let run = fleet.fleet(&["plan"]);
        run.assert_code(3);
        run.assert_stderr_has(problem);
    }
    let fleet = fleet.set("rollout.waves", json!([]));
    let typed = fleet.fleet(&["migrate", "--wave", "cuont=5"]);
    typed.assert_code(2);
    typed.assert_stderr_has("`cuont` is no key of a wave");
}
