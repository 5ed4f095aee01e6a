//! Rehearsals: who would fail and why, what it locks, and no trace of it.

mod limits;
mod order;
mod trace;

use serde_json::{Value, json};

use crate::support::{
    Server, TestDatabase, TestFleet, assert_applied_exactly_once, assert_nothing_left,
    assert_untouched, each_tenants, tenant, tenants,
};

/// Tenants at V1, of which some hold two rows that V2 does not bear.
fn some_hold_bad_rows(number: usize, bad: &[usize]) -> (TestDatabase, Vec<String>, TestFleet) {
    let db = TestDatabase::create(Server::A);
    let schemas = tenants(&db, number);
    let fleet = TestFleet::new(&db).migration(
        "V1__customers",
        "CREATE TABLE probe (version bigint NOT NULL);\nINSERT INTO probe VALUES (1);\nCREATE TABLE customers (id bigint PRIMARY KEY, email text);\n",
    );
    fleet.json(&["migrate"], 0);
    for place in bad {
        let schema = &schemas[*place];
        db.execute(&format!(
            "INSERT INTO {schema}.customers VALUES (1, 'ann@example.com'), (2, 'ann@example.com')"
        ));
    }
    let fleet = fleet.migration(
        "V2__unique_email",
        "-- two customers with one address are one too many\nCREATE UNIQUE INDEX customers_email ON customers (email);\nINSERT INTO probe VALUES (2);\n",
    );
    (db, schemas, fleet)
}

/// The proof: those that hold bad rows are found beforehand, by name and with one cause.
#[test]
fn tenants_with_bad_rows_are_found_before_a_run() {
    let (db, schemas, fleet) = some_hold_bad_rows(500, &[41, 116, 179, 300, 476]);
    let names: Vec<Value> = [41, 116, 179, 300, 476]
        .iter()
        .map(|place: &usize| json!(format!("main/{}", schemas[*place])))
        .collect();

    let told = fleet.json(&["rehearse"], 4);

    assert_eq!(told["exit_code"], 4);
    assert_eq!(
        told["totals"],
        json!({ "tenants": 500, "would_succeed": 495, "would_fail": 5, "busy": 0, "not_rehearsed": 0,
                "up_to_date": 0, "held": 0, "refused": 0 })
    );
    assert_eq!(
        told["failures"],
        json!([{ "count": 5, "sqlstate": "23505", "migration": "V2__unique_email",
                 "message": "could not create unique index \"customers_email\"", "tenants": names }])
    );
    let failure = &tenant(&told, &schemas[41])["failure"];
    assert_eq!(
        (&failure["statement"], &failure["line"]),
        (&json!(1), &json!(2))
    );
    assert_eq!(failure["class"], "permanent");
    assert_applied_exactly_once(&db, &schemas, &[1]);
    assert_nothing_left(&db);

    // a run says the same
    let run = fleet.json(&["migrate"], 4);
    assert_eq!(run["failures"], told["failures"]);
}

#[test]
fn the_summary_names_the_cause_the_locks_and_the_time() {
    let (_db, schemas, fleet) = some_hold_bad_rows(4, &[2]);
    let run = fleet.fleet(&["rehearse"]);
    run.assert_code(4)
        .assert_stdout_has(
            "✗ 1 of 4 tenants would fail with one cause (3 would succeed); rehearsed in",
        )
        .assert_stdout_has(
            "✗ 1 tenant at V2__unique_email.sql:2: 23505 could not create unique index",
        )
        .assert_stdout_has("3 tenants got past V2__unique_email: look at the data of this one")
        .assert_stdout_has(&format!("main/{}", schemas[2]))
        .assert_stdout_has("V2__unique_email  customers  SHARE  writes  3 ")
        .assert_stdout_has("A run would take about ")
        .assert_stdout_has("with 8 tenants at a time")
        .assert_stdout_has("Everything was rolled back.")
        .assert_stdout_has("fleet rehearse  again, when the cause is mended")
        .assert_stderr_has("rehearsing 4 tenants, 2 at a time")
        .assert_stderr_has(&format!(
            "✗ main/{} would fail at V2__unique_email line 2",
            schemas[2]
        ));
}

#[test]
fn each_tenant_is_an_event_as_it_is_known() {
    let (_db, schemas, fleet) = some_hold_bad_rows(3, &[1]);
    let run = fleet.fleet(&["-o", "ndjson", "rehearse", "--concurrency", "1"]);
    run.assert_code(4);
    let lines = run.ndjson();
    assert_eq!(
        lines[0],
        json!({ "event": "rehearsal_started", "tenants": 3, "concurrency": 1 })
    );
    let told: Vec<String> = lines[1..4]
        .iter()
        .map(|line| format!("{} {} {}", line["event"], line["schema"], line["outcome"]))
        .collect();
    assert_eq!(
        told,
        [
            format!("\"tenant_rehearsed\" \"{}\" \"would_succeed\"", schemas[0]),
            format!("\"tenant_rehearsed\" \"{}\" \"would_fail\"", schemas[1]),
            format!("\"tenant_rehearsed\" \"{}\" \"would_succeed\"", schemas[2]),
        ]
    );
    assert_eq!(lines[4]["totals"]["would_fail"], 1);
    assert_eq!(lines.len(), 5);
}

/// The locks of each migration with how long they are held; those on tables that are new are nobody's matter.
#[test]
fn the_document_of_rehearse() {
    let db = TestDatabase::create(Server::A);
    tenants(&db, 1);
    let fleet = TestFleet::new(&db).migration(
        "V1__tasks",
        "CREATE TABLE tasks (id bigint PRIMARY KEY, title text);\nCREATE TABLE notes (id bigint);\n",
    );
    fleet.json(&["migrate"], 0);
    let fleet = fleet
        .migration(
            "V2__done",
            "UPDATE tasks SET title = '';\nALTER TABLE tasks ADD COLUMN done boolean;\nCREATE TABLE fresh (id int);\n",
        )
        .migration("V3__index", "CREATE INDEX ON notes (id);\nCREATE INDEX ON fresh (id);\n");
    let mut told = fleet.json(&["rehearse"], 0);
    steady(&mut told);
    let lock = |table: &str, mode: &str, blocks: &str| json!({ "table": table, "mode": mode, "blocks": blocks, "held_ms": "number" });
    let summed_up = |migration: &str, table: &str, mode: &str, blocks: &str| {
        json!({ "migration": migration, "table": table, "mode": mode, "blocks": blocks, "tenants": 1,
                "median_ms": "number", "worst_ms": "number", "worst_tenant": "main/tenant_0001" })
    };
    assert_eq!(
        told,
        json!({
            "exit_code": 0, "target": 3,
            "totals": { "tenants": 1, "would_succeed": 1, "would_fail": 0, "busy": 0, "not_rehearsed": 0,
                        "up_to_date": 0, "held": 0, "refused": 0 },
            "tenants": [{
                "database": "main", "schema": "tenant_0001", "outcome": "would_succeed", "from": 1,
                "duration_ms": "number",
                "migrations": [
                    { "migration": "V2__done", "duration_ms": "number",
                      "locks": [lock("tasks", "ACCESS EXCLUSIVE", "reads_and_writes")] },
                    { "migration": "V3__index", "duration_ms": "number",
                      "locks": [lock("notes", "SHARE", "writes")] },
                ],
                "not_rehearsed": [], "reason": null, "failure": null,
            }],
            "failures": [],
            "locks": [
                summed_up("V2__done", "tasks", "ACCESS EXCLUSIVE", "reads_and_writes"),
                summed_up("V3__index", "notes", "SHARE", "writes"),
            ],
            "not_rehearsed": [], "sample": null,
            "forecast": { "wall_ms": "number", "at_most_ms": "number", "concurrency": 8, "measured": 1, "supposed": 0, "waves": [] },
            "duration_ms": "number",
        })
    );
}

/// Takes the times out, which are whole numbers.
fn steady(value: &mut Value) {
    match value {
        Value::Array(items) => items.iter_mut().for_each(steady),
        Value::Object(keys) => {
            for (key, value) in keys {
                if key.ends_with("_ms") {
                    assert!(value.is_u64(), "{key}: {value}");
                    *value = json!("number");
                }
                steady(value);
            }
        }
        _ => {}
    }
}

#[test]
fn a_lock_counts_from_the_statement_that_took_it() {
    let db = TestDatabase::create(Server::A);
    tenants(&db, 1);
    let fleet = TestFleet::new(&db).migration(
        "V1__two",
        "CREATE TABLE early (id int); CREATE TABLE late (id int);",
    );
    fleet.json(&["migrate"], 0);
    let fleet = fleet.migration(
        "V2__slow",
        "ALTER TABLE early ADD COLUMN a int;\nSELECT pg_sleep(0.2);\nALTER TABLE late ADD COLUMN a int;\n",
    );
    let told = fleet.json(&["rehearse"], 0);
    let held = |place: usize, table: &str| {
        let lock = &told["locks"][place];
        assert_eq!(lock["table"], table);
        lock["worst_ms"].as_u64().expect("a number")
    };
    // the server's own clock: the sleep lies between the two
    assert!(held(0, "early") >= held(1, "late") + 200, "{told:#}");
}

#[test]
fn steps_and_what_comes_after_them_are_not_rehearsed() {
    let db = TestDatabase::create(Server::A);
    let schemas = tenants(&db, 2);
    let fleet = TestFleet::new(&db)
        .probe_migrations(1..=1)
        .migration("V2__index", "CREATE INDEX CONCURRENTLY ON probe (version);")
        .migration("V3__after", "CREATE TABLE after (id int);");
    let told = fleet.json(&["rehearse"], 0);
    assert_eq!(told["totals"]["would_succeed"], 2);
    assert_eq!(
        told["not_rehearsed"],
        json!([
            { "migration": "V2__index", "reason": "it runs without a transaction", "tenants": 2 },
            { "migration": "V3__after", "reason": "it comes after V2__index", "tenants": 2 },
        ])
    );
    assert_untouched(&db);

    fleet.json(&["migrate", "--to", "1"], 0);
    let told = fleet.json(&["rehearse"], 0);
    assert_eq!(told["totals"]["not_rehearsed"], 2);
    assert_eq!(told["forecast"], Value::Null);
    let run = fleet.fleet(&["rehearse"]);
    run.assert_code(0)
        .assert_stdout_has("! None of 2 tenants could be rehearsed")
        .assert_stdout_has("V2__index in 2 tenants: it runs without a transaction");
    assert_applied_exactly_once(&db, &schemas, &[1]);
}

#[test]
fn what_the_plan_refuses_is_refused() {
    let db = TestDatabase::create(Server::A);
    tenants(&db, 2);
    db.execute("CREATE TABLE tenant_0002.old (id int)");
    let fleet = TestFleet::new(&db).probe_migrations(1..=1);
    let told = fleet.json(&["rehearse"], 7);
    assert_eq!(
        each_tenants(&told, "outcome"),
        ["tenant_0001 would_succeed", "tenant_0002 refused"]
    );
    let refused = fleet.fleet(&["rehearse"]);
    refused
        .assert_code(7)
        .assert_stdout_has("✗ 1 tenant refused")
        .assert_stdout_has("main/tenant_0002  1 relation but no history");
}

#[test]
fn a_schema_that_is_to_be_created_is_rehearsed_and_not_there() {
    let db = TestDatabase::create(Server::A);
    let fleet = TestFleet::new(&db)
        .set(
            "databases.0.tenants",
            json!({ "list": ["acme", "globex"], "create_missing": true }),
        )
        .probe_migrations(1..=3);
    let told = fleet.json(&["rehearse"], 0);
    assert_eq!(told["totals"]["would_succeed"], 2);
    let schemas: i64 =
        db.query_one("SELECT count(*) FROM pg_namespace WHERE nspname IN ('acme', 'globex')");
    assert_eq!(schemas, 0);
    assert_untouched(&db);
}

#[test]
fn a_sample_is_the_same_for_the_same_seed() {
    let db = TestDatabase::create(Server::A);
    tenants(&db, 20);
    let fleet = TestFleet::new(&db).probe_migrations(1..=1);
    let sample = |seed: &str| fleet.json(&["rehearse", "--sample", "3", "--seed", seed], 0);
    let first = sample("7");
    assert_eq!(first["totals"]["tenants"], 3);
    assert_eq!(first["sample"], json!({ "seed": 7, "left_out": 17 }));
    assert_eq!(first["forecast"]["supposed"], 17);
    assert_eq!(
        each_tenants(&first, "outcome"),
        each_tenants(&sample("7"), "outcome")
    );
    assert_ne!(
        each_tenants(&first, "outcome"),
        each_tenants(&sample("8"), "outcome")
    );
    let whole = fleet.json(&["rehearse", "--sample", "99"], 0);
    assert_eq!(whole["totals"]["would_succeed"], 20);
    fleet
        .fleet(&["rehearse", "--seed", "7"])
        .assert_code(2)
        .assert_stderr_has("--sample");
}

#[test]
fn a_typo_is_no_success() {
    let db = TestDatabase::create(Server::A);
    tenants(&db, 1);
    let fleet = TestFleet::new(&db).probe_migrations(1..=1);
    fleet.json(&["rehearse", "--tenant", "nobody"], 2);
    fleet.json(&["rehearse", "--to", "9"], 2);
    let done = fleet.json(&["migrate"], 0);
    assert_eq!(done["exit_code"], 0);
    let told = fleet.json(&["rehearse"], 0);
    assert_eq!(told["totals"]["up_to_date"], 1);
    fleet
        .fleet(&["rehearse"])
        .assert_stdout_has("✓ Nothing to rehearse (1 up to date)");
}

/// Nobody would fail: the run goes on, and its document is the only one.
#[test]
fn a_run_goes_on_behind_a_rehearsal_that_went_through() {
    let (db, schemas, fleet) = some_hold_bad_rows(3, &[]);
    let run = fleet.fleet(&["-o", "json", "migrate", "--rehearse"]);
    run.assert_code(0)
        .assert_stderr_has("note: ✓ 3 tenants would reach V2; rehearsed in");
    assert_eq!(run.json()["totals"]["succeeded"], 3);
    assert_applied_exactly_once(&db, &schemas, &[1, 2]);
}

#[test]
fn a_run_does_not_begin_where_somebody_would_fail() {
    let (db, schemas, fleet) = some_hold_bad_rows(3, &[2]);
    let runs_before = fleet.json(&["runs"], 0);

    let refused = fleet.json(&["migrate", "--rehearse"], 4);

    assert_eq!(refused["run"], Value::Null);
    assert_eq!(refused["outcome"], "refused");
    assert_eq!(refused["exit_code"], 4);
    assert_eq!(refused["tenants"], json!([]));
    assert_eq!(
        refused["failures"][0]["tenants"],
        json!([format!("main/{}", schemas[2])])
    );
    assert_eq!(refused["rehearsal"]["totals"]["would_succeed"], 2);
    assert_applied_exactly_once(&db, &schemas, &[1]);
    assert_eq!(fleet.json(&["runs"], 0), runs_before);
    let run = fleet.fleet(&["migrate", "--rehearse"]);
    run.assert_code(4)
        .assert_stdout_has("✗ 1 of 3 tenants would fail with one cause")
        .assert_stderr_has(
            "error: 1 of 3 tenants would fail, says the rehearsal: no tenant was migrated",
        );
    fleet
        .fleet(&["migrate", "--rehearse", "--dry-run"])
        .assert_code(2);
    assert_nothing_left(&db);
}

/// A run over many begins with a canary, and the forecast says what each wave takes.
#[test]
fn each_wave_has_its_forecast() {
    let db = TestDatabase::create(Server::A);
    tenants(&db, 25);
    let fleet = TestFleet::new(&db).probe_migrations(1..=1);
    let rehearsal = fleet.json(&["rehearse"], 0);
    let waves = &rehearsal["forecast"]["waves"];
    assert_eq!(waves[0]["name"], "canary");
    assert_eq!(waves[0]["tenants"], 2);
    assert_eq!(waves[1]["tenants"], 23);
    assert!(waves[1]["wall_ms"].is_u64());
    let shown = fleet.fleet(&["rehearse"]);
    shown.assert_stdout_has("By wave: canary ");
}

/// Who is held is not migrated, and therefore not rehearsed either.
#[test]
fn a_held_tenant_is_left_alone() {
    let db = TestDatabase::create(Server::A);
    let schemas = tenants(&db, 2);
    let fleet = TestFleet::new(&db).migration("V1__bad", "SELECT 1/0;\n");
    for schema in &schemas {
        let hold = ["hold", schema, "--reason", "not now"];
        fleet.fleet(&hold).assert_code(0);
    }
    let rehearsal = fleet.json(&["rehearse"], 0);
    assert_eq!(rehearsal["totals"]["held"], 2);
    fleet.json(&["migrate", "--rehearse"], 0);
}
