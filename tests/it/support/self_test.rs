//! The tool box on trial. Only the checkers of invariants need a command of fleet for that.

mod checks;
mod proxy;

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::process::Command;
use std::time::Duration;

use super::*;

#[test]
fn a_database_is_empty_and_dropped_at_the_end() {
    let db = TestDatabase::create(Server::A);
    let name = db.name().to_owned();
    db.execute("CREATE TABLE a (b int); INSERT INTO a VALUES (1), (NULL)");
    assert_eq!(
        db.rows("SELECT b FROM a ORDER BY b"),
        [[Some("1".to_owned())], [None]]
    );
    assert_eq!(db.query_one::<String>("SELECT current_database()"), name);
    assert!(db.query_one::<bool>("SELECT count(b) = 1 FROM a"));
    drop(db);
    let server = Session::connect(&Server::A.url());
    let left: i64 = server.query_one(&format!(
        "SELECT count(*) FROM pg_database WHERE datname = '{name}'"
    ));
    assert_eq!(left, 0);
}

#[test]
fn the_two_servers_are_two() {
    let identity = "SELECT system_identifier FROM pg_control_system()";
    let [a, b] = [Server::A, Server::B].map(|server| {
        assert!(server.pgdata().is_dir());
        Session::connect(&server.url()).query_one::<u64>(identity)
    });
    assert_ne!(a, b);
}

#[test]
#[should_panic(expected = "42P01 relation \"nowhere\" does not exist\nin: SELECT 1 FROM nowhere")]
fn a_wrong_statement_says_which() {
    let server = Session::connect(&Server::A.url());
    server.rows("SELECT 1 FROM nowhere");
}

#[test]
fn tenants_are_numbered_schemas() {
    let db = TestDatabase::create(Server::A);
    let names = tenants(&db, 600);
    assert_eq!(names[0], "tenant_0001");
    let schemas: Vec<String> =
        db.column("SELECT nspname FROM pg_namespace WHERE nspname LIKE 'tenant%' ORDER BY 1");
    assert_eq!(schemas, names);
}

#[test]
fn a_held_lock_blocks_until_it_is_released() {
    let db = TestDatabase::create(Server::A);
    db.execute("CREATE TABLE busy (id int)");
    let guard = db.hold_lock("LOCK TABLE busy IN ACCESS EXCLUSIVE MODE");
    let error = db
        .connect()
        .try_execute("SET lock_timeout = '20ms'; SELECT * FROM busy")
        .expect_err("the table is locked");
    assert_eq!(
        error.code().map(tokio_postgres::error::SqlState::code),
        Some("55P03")
    );

    let waiting = db.connect();
    std::thread::scope(|scope| {
        let reader = scope.spawn(|| waiting.rows("SELECT * FROM busy"));
        wait_until("somebody waits for the lock", || guard.waiters() == 1);
        guard.release();
        assert!(reader.join().expect("the reader gets its turn").is_empty());
    });
}

#[test]
fn the_sampler_sees_fleets_backends_and_no_others() {
    let db = TestDatabase::create(Server::A);
    let sampler = db.sample_backends();
    let sessions = [db.connect(), db.connect(), db.connect()];
    for session in &sessions[..2] {
        session.execute("SET application_name = 'fleet worker'");
    }
    assert_eq!(db.fleet_backends(), 2);
    let peak = sampler.stop();
    assert_eq!((peak.backends, peak.sessions), (2, 2));
    assert!(peak.samples > 0);
    drop(sessions);
    assert_nothing_left(&db);
}

#[test]
fn probes_tell_what_ran_from_what_is_recorded() {
    let db = TestDatabase::create(Server::A);
    let schemas = tenants(&db, 3);
    let apply = |schema: &str, version: i64| {
        let history = if version == 1 {
            "CREATE TABLE refinery_schema_history (version int8 PRIMARY KEY);"
        } else {
            ""
        };
        db.execute(&format!(
            "SET search_path TO {schema}; {} {history} INSERT INTO refinery_schema_history VALUES ({version})",
            fleet::probe_sql(version)
        ));
    };
    for schema in &schemas {
        apply(schema, 1);
        apply(schema, 2);
    }
    assert_applied_exactly_once(&db, &schemas, &[1, 2]);

    db.execute("INSERT INTO tenant_0002.probe VALUES (2)");
    let told = catch_unwind(AssertUnwindSafe(|| assert_history_is_truth(&db, &schemas)))
        .expect_err("a migration ran twice");
    let told = told.downcast_ref::<String>().expect("a message");
    assert!(
        told.contains("tenant_0002: ran [1, 2, 2], history [1, 2]"),
        "{told}"
    );
}

#[test]
fn a_fleet_is_a_folder_with_config_and_migrations() {
    let db = TestDatabase::create(Server::A);
    let other = TestDatabase::create(Server::B);
    let fleet = TestFleet::new(&db)
        .database("second", &other)
        .probe_migrations(1..=2)
        .migration("V3__c", "SELECT 3;\n")
        .set("execution.concurrency", 2)
        .set("databases.1.max_connections", 3)
        .config(|yaml| yaml["databases"][0]["search_path"] = serde_json::json!(["shared"]));
    let text = std::fs::read_to_string(fleet.folder().join("fleet.yaml")).expect("a config");
    let yaml: serde_json::Value = serde_yaml::from_str(&text).expect("YAML");
    assert_eq!(
        yaml,
        serde_json::json!({
            "databases": [
                { "name": "main", "url": db.url(), "search_path": ["shared"],
                  "tenants": { "schemas": ["tenant_*"] } },
                { "name": "second", "url": other.url(), "max_connections": 3,
                  "tenants": { "schemas": ["tenant_*"] } },
            ],
            "migrations": { "path": "migrations" },
            "execution": { "concurrency": 2 },
        })
    );
    assert!(fleet.migration_path("V2__probe_2").is_file());
    fleet.remove_migration("V3__c");
    assert!(!fleet.migration_path("V3__c").exists());
}

#[test]
fn commands_run_in_the_folder_with_a_clean_environment() {
    let fleet = TestFleet::without_database().env("GREETING", "hello");
    let command = fleet.command(&["migrate", "--to", "3"]);
    assert_eq!(command.get_current_dir(), Some(fleet.folder()));
    assert!(command.get_args().eq(["migrate", "--to", "3"]));
    let mut shell = Command::new("env");
    shell.env_clear().envs(
        command
            .get_envs()
            .filter_map(|(name, value)| Some((name, value?))),
    );
    let run = Child::spawn(shell).wait();
    run.assert_code(0).assert_stdout_has("GREETING=hello");
    for line in run.stdout.lines() {
        assert!(!line.starts_with("FLEET_TEST"), "{line}");
        assert!(!line.starts_with("CARGO"), "{line}");
    }
}

#[test]
fn a_run_keeps_output_and_code() {
    let run = shell(r#"echo '{"a": 1}'; echo two >&2; exit 4"#).wait();
    run.assert_code(4).assert_stderr_has("two");
    assert_eq!(run.json(), serde_json::json!({ "a": 1 }));
    assert_eq!(run.ndjson().len(), 1);
}

#[test]
#[should_panic(expected = "exit code 1 instead of 0\n$ sh -c echo why >&2; exit 1")]
fn a_wrong_code_shows_everything() {
    shell("echo why >&2; exit 1").wait().assert_code(0);
}

#[test]
fn signals_reach_a_child() {
    let script = "trap 'echo int; exit 130' INT; trap 'echo term; exit 143' TERM; echo ready; while :; do sleep 0.01; done";
    for (signal, code) in [
        (Child::interrupt as fn(&Child), 130),
        (Child::terminate, 143),
        (Child::kill, 137),
    ] {
        let mut child = shell(script);
        wait_until("the child is ready", || child.stdout_so_far() == "ready\n");
        assert!(child.is_running());
        signal(&child);
        child.wait().assert_code(code);
    }
}

#[test]
#[should_panic(expected = "still running after 30ms: $ sleep 60")]
fn a_child_that_takes_too_long_fails_the_test() {
    let mut sleep = Command::new("sleep");
    sleep.arg("60");
    Child::spawn(sleep).wait_at_most(Duration::from_millis(30));
}

#[test]
fn a_private_server_can_crash_and_come_back() {
    let server = PrivateServer::start(&["max_connections = 7"]);
    let session = server.connect();
    assert_eq!(session.query_one::<i32>("SHOW max_connections"), 7);
    server.restart("immediate");
    assert!(session.try_execute("SELECT 1").is_err());
    assert_eq!(server.connect().query_one::<i32>("SELECT 1"), 1);
    server.stop("fast");
    assert!(Session::try_connect(&server.url("postgres")).is_err());
    server.start_again();
    assert_eq!(server.connect().query_one::<i32>("SELECT 1"), 1);
}

fn shell(script: &str) -> Child {
    let mut sh = Command::new("sh");
    sh.args(["-c", script]);
    Child::spawn(sh)
}
