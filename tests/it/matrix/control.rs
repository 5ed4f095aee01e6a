//! Control schemas that are older than this fleet, or that somebody has edited.

use std::path::Path;

use crate::support::{
    Child, Server, TestDatabase, TestFleet, assert_applied_exactly_once, assert_ledger_is_true,
    assert_nothing_left, shape, tenants,
};

/// The control schema's own migrations, in their order.
fn control_migrations() -> Vec<String> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("migrations/control");
    let mut files: Vec<_> = std::fs::read_dir(folder)
        .expect("a folder")
        .map(|entry| entry.expect("a readable entry").path())
        .collect();
    let version = |path: &Path| -> Option<i64> {
        let name = path.file_name()?.to_str()?;
        name.strip_prefix('V')?.split("__").next()?.parse().ok()
    };
    files.sort_by_key(|path| version(path));
    files
        .iter()
        .map(|path| std::fs::read_to_string(path).expect("a migration"))
        .collect()
}

/// F20: whatever an older fleet has left is brought up to date, by one of several that try at once.
#[test]
fn a_control_schema_of_an_older_fleet_is_upgraded() {
    let files = control_migrations();
    for known in 0..files.len() {
        let db = TestDatabase::create(Server::A);
        let schemas = tenants(&db, 2);
        let fleet = TestFleet::new(&db).probe_migrations(1..=1);
        fleet.fleet(&["init"]).assert_code(0);
        let newest = shape(&db, "fleet_control");
        db.execute(&format!(
            "ALTER TABLE fleet_control.fleet_schema_history SET SCHEMA public;
             DROP SCHEMA fleet_control CASCADE; CREATE SCHEMA fleet_control;
             ALTER TABLE public.fleet_schema_history SET SCHEMA fleet_control;
             DELETE FROM fleet_control.fleet_schema_history WHERE version > {known};
             SET search_path = fleet_control; {}; RESET search_path",
            files[..known].join(";\n")
        ));

        let racing: Vec<Child> = (0..4)
            .map(|_| fleet.spawn(&["-o", "json", "init"]))
            .collect();
        for process in racing {
            process.wait().assert_code(0);
        }

        assert_eq!(shape(&db, "fleet_control"), newest, "after version {known}");
        fleet.fleet(&["migrate"]).assert_code(0);
        assert_applied_exactly_once(&db, &schemas, &[1]);
        assert_nothing_left(&db);
    }
}

/// F20: what only looks leaves an older control schema as it is, and reads it.
#[test]
fn a_control_schema_of_an_older_fleet_can_be_read() {
    let db = TestDatabase::create(Server::A);
    tenants(&db, 2);
    let fleet = TestFleet::new(&db).migration("V1__bad", "SELECT 1/0;\n");
    fleet.json(&["migrate"], 4);
    let files = control_migrations();
    db.execute(&format!(
        "ALTER SCHEMA fleet_control RENAME TO newer; CREATE SCHEMA fleet_control;
         SET search_path = fleet_control; {}; RESET search_path;
         CREATE TABLE fleet_control.fleet_schema_history AS
           SELECT * FROM newer.fleet_schema_history WHERE version = 1;
         INSERT INTO fleet_control.runs (id, command, set_fingerprint, started_by, fleet_version, lease_token, lease_backend,
             finished_at, outcome, exit_code)
           SELECT id, command, set_fingerprint, started_by, fleet_version, lease_token, lease_backend,
             finished_at, outcome, exit_code FROM newer.runs;
         INSERT INTO fleet_control.run_tenants
           SELECT run_id, database, schema, state, outcome, attempts, from_version, to_version, duration_ms, reason
           FROM newer.run_tenants;
         INSERT INTO fleet_control.attempts (run_id, database, schema, attempt, duration_ms, outcome, applied, message, class)
           SELECT run_id, database, schema, attempt, duration_ms, outcome, applied, message, class FROM newer.attempts;
         DROP SCHEMA newer CASCADE",
        files[0]
    ));
    for command in [
        &["status"][..],
        &["runs"],
        &["show", "-v"],
        &["status", "--tenant", "tenant_0001"],
    ] {
        fleet.fleet(command).assert_code(0);
    }
    let version: i64 = db.query_one("SELECT max(version) FROM fleet_control.fleet_schema_history");
    assert_eq!(version, 1, "nothing was upgraded by looking");
    fleet.json(&["resume"], 4);
}

/// F20: a control schema that exists and is empty, as after a crash or a careful administrator, is filled.
#[test]
fn an_empty_control_schema_is_filled() {
    let db = TestDatabase::create(Server::A);
    let schemas = tenants(&db, 1);
    db.execute("CREATE SCHEMA fleet_control");
    let fleet = TestFleet::new(&db).probe_migrations(1..=1);
    fleet.fleet(&["migrate"]).assert_code(0);
    assert_applied_exactly_once(&db, &schemas, &[1]);
}

/// F22: nonsense in the ledger neither stops a command nor changes what is true.
#[test]
fn nonsense_in_the_ledger_changes_nothing_about_the_truth() {
    let db = TestDatabase::create(Server::A);
    let schemas = tenants(&db, 3);
    let fleet = TestFleet::new(&db).probe_migrations(1..=2);
    fleet.json(&["migrate", "--to", "1"], 0);
    db.execute("CREATE TABLE tenant_0002.t2 ()");
    fleet.json(&["migrate"], 4);
    db.execute(
        "UPDATE fleet_control.tenants SET version = -1 WHERE schema = 'tenant_0001';
         UPDATE fleet_control.tenants SET version = NULL, seen_at = 'infinity' WHERE schema = 'tenant_0003';
         INSERT INTO fleet_control.tenants VALUES ('', '', 5), ('main', repeat('x', 100), 1), ('gone', 'x', 9);
         UPDATE fleet_control.run_tenants SET to_version = 99, from_version = -7, reason = repeat('x', 1000000);
         INSERT INTO fleet_control.run_tenants (run_id, database, schema, state)
           SELECT id, 'main', '', 'pending' FROM fleet_control.runs;
         UPDATE fleet_control.attempts SET message = E'\\x1b[2Jnonsense', line = -1, statement = -5,
           applied = '{nonsense}', migration = '', sqlstate = 'nonsense', duration_ms = -1;
         UPDATE fleet_control.runs SET target = -7, up_to_date = -3, set_fingerprint = '', started_by = '',
           lease_backend = -1, started_at = '0001-01-01 BC'",
    );
    for format in ["human", "json", "ndjson"] {
        for command in ["plan", "status", "runs", "show", "tenants"] {
            let run = fleet.fleet(&["-v", "-o", format, command]);
            run.assert_code(0);
            let seen = format!("{}{}", run.stdout, run.stderr);
            assert!(
                !seen.contains("panicked") && !seen.contains('\u{1b}'),
                "{run}"
            );
        }
    }
    assert_eq!(fleet.json(&["status"], 0)["totals"]["up_to_date"], 2);
    db.execute("DROP TABLE tenant_0002.t2");
    fleet.fleet(&["migrate"]).assert_code(0);
    fleet.fleet(&["reconcile"]).assert_code(0);
    assert_applied_exactly_once(&db, &schemas, &[1, 2]);
    // rows that can be of no tenant stay where they are, and mean nothing
    db.execute("DELETE FROM fleet_control.tenants WHERE database = '' OR length(schema) > 63");
    assert_ledger_is_true(&db, &[("main", &db, &schemas)]);
}

/// F22: a time that is no time cannot be written into the ledger.
#[test]
fn an_infinite_time_is_kept_out_of_the_ledger() {
    let db = TestDatabase::create(Server::A);
    tenants(&db, 1);
    let fleet = TestFleet::new(&db).probe_migrations(1..=1);
    fleet.json(&["migrate"], 0);
    for column in ["started_at", "heartbeat_at", "finished_at"] {
        db.try_execute(&format!(
            "UPDATE fleet_control.runs SET {column} = '-infinity'"
        ))
        .expect_err("the ledger refuses it");
    }
}

/// F22: reconcile also takes rows away that can be of no tenant.
#[test]
fn reconcile_takes_impossible_rows_away() {
    let db = TestDatabase::create(Server::A);
    let schemas = tenants(&db, 1);
    let fleet = TestFleet::new(&db).probe_migrations(1..=1);
    fleet.json(&["migrate"], 0);
    db.execute(
        "INSERT INTO fleet_control.tenants VALUES ('', '', 5), ('main', repeat('x', 100), 1)",
    );
    fleet.json(&["reconcile"], 0);
    crate::support::assert_ledger_is_true(&db, &[("main", &db, &schemas)]);
}
