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
