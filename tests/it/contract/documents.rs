//! Every key of every document, with its type and its value.

use serde_json::{Value, json};

use super::{one_of_two_will_fail, steady};
use crate::support::{Server, TestDatabase, TestFleet, tenants};

#[test]
fn the_document_of_migrate() {
    let (_db, fleet) = one_of_two_will_fail();
    let run = fleet.json(&["migrate"], 4);
    assert_eq!(steady(&run), expected_run());
}

#[test]
fn the_document_of_resume_is_that_of_migrate() {
    let (_db, fleet) = one_of_two_will_fail();
    fleet.json(&["migrate"], 4);
    let run = steady(&fleet.json(&["resume"], 4));
    assert_eq!(run["tenants"], json!([failed_tenant()]));
    assert_eq!(run["failures"], expected_run()["failures"]);
    assert_eq!(run["totals"], totals(1, 0, 0, 1));
}

#[test]
fn the_document_of_a_run_without_anything_to_do() {
    let db = TestDatabase::create(Server::A);
    tenants(&db, 1);
    let fleet = TestFleet::new(&db).probe_migrations(1..=1);
    fleet.json(&["migrate"], 0);
    let run = fleet.json(&["migrate"], 0);
    assert_eq!(
        steady(&run),
        json!({
            "run": "string", "outcome": "succeeded", "exit_code": 0, "target": 1,
            "totals": totals(1, 0, 1, 0),
            "tenants": [{
                "database": "main", "schema": "tenant_0001", "outcome": "up_to_date", "from": 1, "to": 1,
                "applied": [], "attempts": 0, "duration_ms": "number", "reason": null, "failure": null, "notes": [],
            }],
            "failures": [],
            "new": [],
            "waves": [],
            "halted": null,
            "throttled": [],
        })
    );
}

#[test]
fn the_lines_of_migrate_as_ndjson() {
    let (_db, fleet) = one_of_two_will_fail();
    let run = fleet.fleet(&["-o", "ndjson", "migrate", "--concurrency", "1"]);
    run.assert_code(4);
    let lines: Vec<Value> = run.ndjson().iter().map(steady).collect();
    let events: Vec<&str> = lines
        .iter()
        .map(|line| line["event"].as_str().unwrap_or("document"))
        .collect();
    assert_eq!(
        events,
        [
            "run_started",
            "attempt_started",
            "migration_started",
            "tenant_finished",
            "attempt_started",
            "migration_started",
            "tenant_finished",
            "document"
        ]
    );
    assert_eq!(
        lines[0],
        json!({
            "event": "run_started", "run": "string", "resumes": null, "target": 2, "to_migrate": 2,
            "concurrency": 1, "auto": false, "totals": totals(2, 0, 0, 0), "eta_ms": "number",
            "deadline_ms": null,
        })
    );
    let tenant = json!({ "database": "main", "schema": "tenant_0001" });
    let with = |event: &str, more: Value| merged(&json!({ "event": event }), &[&tenant, &more]);
    assert_eq!(
        lines[1],
        with(
            "attempt_started",
            json!({ "attempt": 1, "pending": 1, "expected_ms": "number" })
        )
    );
    assert_eq!(
        lines[2],
        with("migration_started", json!({ "migration": "V2__unique" }))
    );
    assert_eq!(
        lines[6],
        merged(
            &json!({ "event": "tenant_finished", "totals": totals(2, 1, 0, 1) }),
            &[&failed_tenant()]
        )
    );
    assert_eq!(lines[7], expected_run());
}

#[test]
fn the_document_of_plan() {
    let (db, fleet) = one_of_two_will_fail();
    db.execute("UPDATE tenant_0002.refinery_schema_history SET checksum = NULL");
    let plan = fleet.json(&["plan"], 7);
    let hint = plan["tenants"][1]["hint"].clone();
    assert!(hint.is_string());
    assert_eq!(
        plan,
        json!({
            "target": 2, "head": 2,
            "totals": { "tenants": 2, "migrate": 1, "up_to_date": 0, "refuse": 1, "hold": 0 },
            "goes_on_with": null, "waves": [],
            "tenants": [
                { "database": "main", "schema": "tenant_0001", "from": 1, "pending": ["V2__unique"],
                  "action": "migrate", "reason": null, "hint": null, "wave": null, "create": false, "halfway": null, "holds": [] },
                { "database": "main", "schema": "tenant_0002", "from": null, "pending": [], "action": "refuse",
                  "reason": "corrupt history row (version 1): the checksum is NULL", "hint": hint, "wave": null, "create": false, "halfway": null, "holds": [] },
            ],
        })
    );
}

#[test]
fn the_document_of_status() {
    let (_db, fleet) = one_of_two_will_fail();
    fleet.json(&["migrate"], 4);
    let status = fleet.json(&["status"], 0);
    assert_eq!(
        steady(&status),
        json!({
            "head": 2,
            "totals": { "tenants": 2, "up_to_date": 1, "pending": 0, "failed": 1, "interrupted": 0,
                        "refused": 0, "in_progress": 0, "held": 0 },
            "versions": [{ "version": 1, "tenants": 1 }, { "version": 2, "tenants": 1 }],
            "tenants": [
                { "database": "main", "schema": "tenant_0001", "version": 2, "pending": 0, "state": "up_to_date", "halfway": null,
                  "reason": null, "holds": [], "last_failure": null },
                { "database": "main", "schema": "tenant_0002", "version": 1, "pending": 1, "state": "failed", "halfway": null,
                  "reason": null, "holds": [],
                  "last_failure": merged(&json!({ "run": "string", "at": "string" }), &[&failure()]) },
            ],
        })
    );
}

#[test]
fn the_document_of_runs() {
    let (_db, fleet) = one_of_two_will_fail();
    fleet.json(&["migrate"], 4);
    let runs = fleet.json(&["runs"], 0);
    assert_eq!(
        steady(&runs),
        json!({ "runs": [
            run_row("failed", 4, 2, &totals(2, 1, 0, 1)),
            run_row("succeeded", 0, 1, &totals(2, 2, 0, 0)),
        ] })
    );
    let newest = &runs["runs"][0];
    for key in ["started_at", "finished_at"] {
        let time = newest[key].as_str().expect("a time");
        assert!(
            time.len() == 20 && time.ends_with('Z'),
            "RFC 3339 in UTC: {time}"
        );
    }
    assert_eq!(
        fleet.json(&["runs", "--limit", "1"], 0)["runs"],
        json!([newest])
    );
}

#[test]
fn the_document_of_show() {
    let (_db, fleet) = one_of_two_will_fail();
    fleet.json(&["migrate"], 4);
    let show = fleet.json(&["show"], 0);
    let tenant = |schema: &str, outcome: &str, to: i32| {
        json!({ "database": "main", "schema": schema, "outcome": outcome, "claimed": false, "from": 1,
                "to": to, "attempts": 1, "duration_ms": "number", "reason": null })
    };
    assert_eq!(
        steady(&show),
        merged(
            &run_row("failed", 4, 2, &totals(2, 1, 0, 1)),
            &[&json!({
                "tenants": [
                    tenant("tenant_0001", "succeeded", 2),
                    tenant("tenant_0002", "failed", 1),
                ],
                "failed_attempts": [{
                    "database": "main", "schema": "tenant_0002", "attempt": 1, "ended_at": "string",
                    "duration_ms": "number", "outcome": "failed", "applied": [], "failure": failure(), "notes": [],
                }],
                "failures": expected_run()["failures"],
                "events": [],
                "waves": [],
            })]
        )
    );
}

#[test]
fn the_document_of_tenants() {
    let (_db, fleet) = one_of_two_will_fail();
    assert_eq!(
        fleet.json(&["tenants", "--tenant", "*1"], 0),
        json!({ "tenants": [
            { "database": "main", "schema": "tenant_0001", "labels": {}, "exists": true },
        ] })
    );
}

#[test]
fn the_document_of_a_refusal() {
    let (_db, fleet) = one_of_two_will_fail();
    let refused = fleet.json(&["migrate", "--database", "nowhere"], 2);
    assert_eq!(refused["outcome"], "refused");
    assert_eq!(refused["exit_code"], 2);
    assert!(
        refused["error"]
            .as_str()
            .is_some_and(|text| text.contains("nowhere"))
    );
}

/// `migrate` of [`one_of_two_will_fail`].
fn expected_run() -> Value {
    json!({
        "run": "string", "outcome": "failed", "exit_code": 4, "target": 2,
        "totals": totals(2, 1, 0, 1),
        "tenants": [
            { "database": "main", "schema": "tenant_0001", "outcome": "succeeded", "from": 1, "to": 2,
              "applied": ["V2__unique"], "attempts": 1, "duration_ms": "number", "reason": null, "failure": null, "notes": [] },
            failed_tenant(),
        ],
        "failures": [{
            "count": 1, "sqlstate": "23505", "migration": "V2__unique",
            "message": "could not create unique index \"one_each\"", "tenants": ["main/tenant_0002"],
        }],
        "new": [],
        "waves": [],
        "halted": null,
        "throttled": [],
    })
}

fn failed_tenant() -> Value {
    json!({
        "database": "main", "schema": "tenant_0002", "outcome": "failed", "from": 1, "to": 1, "applied": [],
        "attempts": 1, "duration_ms": "number", "reason": null, "failure": failure(), "notes": [],
    })
}

fn failure() -> Value {
    json!({
        "migration": "V2__unique", "statement": 1, "line": 2, "column": null, "sqlstate": "23505", "class": "permanent",
        "message": "could not create unique index \"one_each\"", "detail": "Key (version)=(1) is duplicated.",
        "hint": null, "context": null, "blocked_by": null,
    })
}

fn totals(tenants: u32, succeeded: u32, up_to_date: u32, failed: u32) -> Value {
    json!({ "tenants": tenants, "succeeded": succeeded, "up_to_date": up_to_date, "failed": failed,
            "interrupted": 0, "skipped": 0, "held": 0 })
}

fn run_row(state: &str, code: i32, target: i32, totals: &Value) -> Value {
    json!({
        "run": "string", "command": "migrate", "resumes": null, "state": state, "started_at": "string",
        "finished_at": "string", "duration_ms": "number", "target": target, "set_fingerprint": "string",
        "started_by": "string", "fleet_version": "string", "exit_code": code,
        "halted": null, "what_changed": null, "totals": totals,
    })
}

fn merged(first: &Value, others: &[&Value]) -> Value {
    let mut merged = first.as_object().expect("an object").clone();
    for other in others {
        merged.extend(other.as_object().expect("an object").clone());
    }
    Value::Object(merged)
}
