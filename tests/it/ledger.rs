//! What fleet remembers of its runs: it helps, and the tenants' histories stay the truth.

mod control;
mod neighbours;
mod past;
mod reconcile;
mod resume;
mod retries;
mod scopes;

use crate::support::{Server, TestDatabase, TestFleet, assert_says, each_tenants, tenant, tenants};

#[test]
fn attempts_are_appended_and_never_changed() {
    let (db, fleet) = one_of_three_fails();
    fleet.json(&["migrate"], 4);
    let attempts = "SELECT string_agg(a::text || ' ' || a.xmin, E'\\n' ORDER BY ended_at, schema) FROM fleet_control.attempts a";
    let first: String = db.query_one(attempts);
    fleet.json(&["migrate"], 4);
    fleet.json(&["resume"], 4);
    let all: String = db.query_one(attempts);
    assert!(
        all.starts_with(&first),
        "{first}\n--- is not the beginning of\n{all}"
    );
    let failed: i64 = db.query_one(
        "SELECT count(*) FROM fleet_control.attempts WHERE schema = 'tenant_0002' AND outcome = 'failed'",
    );
    assert_eq!(failed, 3);
}

#[test]
fn show_groups_failures_by_cause() {
    let db = TestDatabase::create(Server::A);
    tenants(&db, 5);
    let fleet = TestFleet::new(&db).probe_migrations(1..=2);
    fleet.json(&["migrate", "--to", "1"], 0);
    for schema in ["tenant_0001", "tenant_0002", "tenant_0005"] {
        db.execute(&format!("CREATE TABLE {schema}.t2 ()"));
    }
    db.execute("DROP TABLE tenant_0003.probe");
    let run = fleet.json(&["migrate"], 4);
    assert_eq!(run["totals"]["succeeded"], 1);

    let show = fleet.json(&["show"], 0);

    assert_eq!(show["failures"], run["failures"]);
    assert_eq!(show["failures"][0]["count"], 3);
    assert_eq!(show["failures"][0]["sqlstate"], "42P07");
    assert_eq!(show["failures"][1]["count"], 1);
    assert_eq!(show["failures"][1]["sqlstate"], "42P01");
    let seen = fleet.fleet(&["show"]);
    seen.assert_code(0)
        .assert_stdout_has("42P07")
        .assert_stdout_has("main/tenant_0003");
}

#[test]
fn an_earlier_run_is_shown_by_the_beginning_of_its_name() {
    let (_db, fleet) = one_of_three_fails();
    let first = fleet.json(&["migrate", "--to", "1"], 0);
    fleet.json(&["migrate"], 4);
    let name = first["run"].as_str().expect("a name");
    let show = fleet.json(&["show", &name[..name.len() - 1]], 0);
    assert_eq!(show["run"], first["run"]);
    assert_eq!(show["exit_code"], 0);
    let ambiguous = fleet.json(&["show", &name[..2]], 2);
    assert_says(&ambiguous["error"], &["several runs", name]);
}

#[test]
fn status_says_who_failed_and_who_is_pending() {
    let (_db, fleet) = one_of_three_fails();
    fleet.json(&["migrate", "--tenant", "*1", "--tenant", "*2"], 4);
    let status = fleet.json(&["status"], 0);
    assert_eq!(
        each_tenants(&status, "state"),
        [
            "tenant_0001 up_to_date",
            "tenant_0002 failed",
            "tenant_0003 pending"
        ]
    );
    let last = &tenant(&status, "tenant_0002")["last_failure"];
    assert_eq!(last["sqlstate"], "23505");
    assert_eq!(last["migration"], "V2__unique");
}

#[test]
fn status_forgets_a_failure_once_the_tenant_is_at_head() {
    let (db, fleet) = one_of_three_fails();
    fleet.json(&["migrate"], 4);
    // somebody else brings it to head: the ledger hears nothing of it
    db.execute(
        "DELETE FROM tenant_0002.probe; CREATE UNIQUE INDEX ON tenant_0002.probe (version);
         INSERT INTO tenant_0002.refinery_schema_history
           SELECT * FROM tenant_0001.refinery_schema_history WHERE version = 2",
    );
    let status = fleet.json(&["status"], 0);
    let row = tenant(&status, "tenant_0002");
    assert_eq!(row["state"], "up_to_date");
    assert!(row["last_failure"].is_null(), "{row}");
}

#[test]
fn status_of_one_tenant_tells_its_attempts() {
    let (_db, fleet) = one_of_three_fails();
    fleet.json(&["migrate"], 4);
    let seen = fleet.fleet(&["status", "--tenant", "tenant_0002"]);
    seen.assert_code(0)
        .assert_stdout_has("V2__unique")
        .assert_stdout_has("23505");
}

#[test]
fn a_run_remembers_what_it_was_asked_for() {
    let (db, fleet) = one_of_three_fails();
    fleet.json(
        &[
            "migrate",
            "--to",
            "1",
            "--tenant",
            "*1",
            "--database",
            "main",
        ],
        0,
    );
    let selection: String = db.query_one("SELECT selection FROM fleet_control.runs");
    assert_eq!(selection, "--tenant '*1' --database main");
    assert_eq!(
        db.query_one::<i64>("SELECT target FROM fleet_control.runs"),
        1
    );
}

/// Three tenants at V1; V2 will fail in the second, which holds a row twice.
fn one_of_three_fails() -> (TestDatabase, TestFleet) {
    let db = TestDatabase::create(Server::A);
    tenants(&db, 3);
    let fleet = TestFleet::new(&db)
        .set("execution.concurrency", 1)
        .probe_migrations(1..=1);
    fleet.json(&["migrate"], 0);
    db.execute("INSERT INTO tenant_0002.probe VALUES (1); DROP SCHEMA fleet_control CASCADE");
    let fleet = fleet.migration("V2__unique", "CREATE UNIQUE INDEX ON probe (version);\n");
    (db, fleet)
}

/// Makes V2 of [`one_of_three_fails`] possible.
fn repair(db: &TestDatabase) {
    db.execute(
        "DELETE FROM tenant_0002.probe WHERE ctid <> (SELECT min(ctid) FROM tenant_0002.probe)",
    );
}
