//! Rows of the fault matrix that no other test is about. `tests/fault_matrix.rs` watches that none is forgotten.

mod clock;
mod control;
mod files;
mod locks;
mod noise;
mod releases;
mod roles;
mod servers;
mod size;

use crate::support::{
    Golden, Server, TestDatabase, TestFleet, applied, assert_converged, assert_invariants,
    assert_ledger_is_true, assert_reports_truly, each_tenants, tenants,
};

/// F47: one bad tenant of a hundred is failed and clean, the others are done, and a resume takes it alone.
#[test]
fn one_bad_tenant_of_a_hundred_stops_nobody() {
    let db = TestDatabase::create(Server::A);
    let schemas = tenants(&db, 100);
    let fleet = TestFleet::new(&db).probe_migrations(1..=1).migration(
        "V2__unique",
        "INSERT INTO probe VALUES (2);\nCREATE UNIQUE INDEX one_note ON t1 (note);\n",
    );
    let golden = Golden::of(&fleet);
    fleet.json(&["migrate", "--to", "1"], 0);
    db.execute("INSERT INTO tenant_0042.t1 VALUES (1, 'twice'), (2, 'twice')");

    let run = fleet.fleet(&["-o", "json", "migrate"]);

    run.assert_code(4);
    let places = [("main", &db, &schemas[..])];
    assert_reports_truly(&run, &places);
    assert_ledger_is_true(&db, &places);
    assert_invariants(&db, &schemas, &golden);
    assert_eq!(run.json()["totals"]["succeeded"], 99);
    assert_eq!(applied(&db, &schemas)["tenant_0042"].history, [1]);
    db.execute("DELETE FROM tenant_0042.t1 WHERE id = 2");
    let resumed = fleet.json(&["resume"], 0);
    assert_eq!(each_tenants(&resumed, "outcome"), ["tenant_0042 succeeded"]);
    assert_converged(&fleet, &db, &schemas, &golden);
}

/// F58: what a file sets is undone with it, and a session that falls back falls back to nobody's tenant.
#[test]
fn a_file_that_is_rolled_back_leaves_its_session_to_nobody() {
    let db = TestDatabase::create(Server::A);
    let schemas = tenants(&db, 6);
    let fleet = TestFleet::new(&db).unlinted()
        .set("databases.0.max_connections", 1)
        .probe_migrations(1..=1)
        .migration(
            "V2__set",
            "INSERT INTO probe VALUES (2);\n\
             SELECT set_config('search_path', current_setting('search_path'), false);\n\
             SET SESSION work_mem = '123kB';\n\
             DO $$ BEGIN IF current_schema() IN ('tenant_0002', 'tenant_0004') THEN RAISE 'no'; END IF; END $$;\n\
             CREATE TABLE mine AS SELECT current_schema() AS schema, pg_backend_pid() AS pid;\n",
        );
    let golden = Golden::of(&fleet);

    let run = fleet.fleet(&["-o", "json", "migrate"]);

    run.assert_code(4);
    assert_reports_truly(&run, &[("main", &db, &schemas)]);
    assert_invariants(&db, &schemas, &golden);
    let mut pids = Vec::new();
    for schema in ["tenant_0001", "tenant_0003", "tenant_0005", "tenant_0006"] {
        let row = db.rows(&format!("SELECT schema, pid FROM {schema}.mine"));
        assert_eq!(row[0][0].as_deref(), Some(schema));
        pids.push(row[0][1].clone());
    }
    pids.dedup();
    assert_eq!(pids.len(), 1, "one session served all: {pids:?}");
}
