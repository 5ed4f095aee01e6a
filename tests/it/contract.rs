//! What scripts rely on: documents key by key, exit codes, streams, help.

mod codes;
mod documents;
mod help;
mod secrets;
mod streams;

use serde_json::Value;

use crate::support::{Server, TestDatabase, TestFleet, tenants};

/// Two tenants at V1; V2 will fail in the second, which holds a row twice.
fn one_of_two_will_fail() -> (TestDatabase, TestFleet) {
    let db = TestDatabase::create(Server::A);
    tenants(&db, 2);
    let fleet = TestFleet::new(&db).probe_migrations(1..=1);
    fleet.json(&["migrate"], 0);
    db.execute("INSERT INTO tenant_0002.probe VALUES (1)");
    let fleet = fleet.migration(
        "V2__unique",
        "-- a comment\nCREATE UNIQUE INDEX one_each\n  ON probe (version);\n",
    );
    (db, fleet)
}

/// The document with everything that differs from run to run replaced by the name of its type.
fn steady(document: &Value) -> Value {
    const UNSTEADY: [&str; 13] = [
        "run",
        "duration_ms",
        "at",
        "started_at",
        "finished_at",
        "ended_at",
        "set_fingerprint",
        "started_by",
        "fleet_version",
        "retry_in_ms",
        "resumes",
        "eta_ms",
        "expected_ms",
    ];
    match document {
        Value::Object(fields) => fields
            .iter()
            .map(|(key, value)| {
                let value = match value {
                    Value::String(_) if UNSTEADY.contains(&key.as_str()) => "string".into(),
                    Value::Number(_) if UNSTEADY.contains(&key.as_str()) => "number".into(),
                    _ => steady(value),
                };
                (key.clone(), value)
            })
            .collect(),
        Value::Array(items) => items.iter().map(steady).collect(),
        other => other.clone(),
    }
}
