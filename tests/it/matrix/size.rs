//! Lists of a hundred thousand tenants.

use serde_json::json;

use crate::support::{Server, TestDatabase, TestFleet, tenants};

/// F42: a registry of a hundred thousand rows, of which few have a schema, is read and told in few lines.
#[test]
fn a_registry_of_a_hundred_thousand_rows_is_read() {
    let db = TestDatabase::create(Server::A);
    tenants(&db, 5);
    let fleet = TestFleet::new(&db)
        .set(
            "databases.0.tenants",
            json!({ "query": "SELECT 'tenant_' || to_char(n, 'FM9990000') AS schema FROM generate_series(1, 100000) n" }),
        )
        .probe_migrations(1..=1);

    let plan = fleet.fleet(&["plan"]);

    plan.assert_code(7)
        .assert_stdout_has("99995 tenants refused: schema missing");
    assert!(plan.stdout.lines().count() < 40, "{plan}");
}

/// F52: a worker's session is made new before its server process has grown with every tenant that it saw.
#[test]
fn sessions_are_made_new_after_many_tenants() {
    let db = TestDatabase::create(Server::A);
    tenants(&db, 1500);
    let fleet = TestFleet::new(&db)
        .set("databases.0.max_connections", 1)
        .probe_migrations(1..=2);
    let sampler = db.sample_backends();
    fleet.json(&["migrate"], 0);
    let peak = sampler.stop();
    assert!(peak.sessions > 2, "one session served all: {peak:?}");
}
