//! The embedded default: a private server that nobody has to set up.

use std::fs;

use crate::support::{Run, Session, TestFleet, wait_until};

#[test]
fn a_command_starts_the_server_and_the_last_one_stops_it() {
    let fleet = embedded(&["acme", "globex"]);
    let run = fleet.json(&["migrate"], 0);
    assert_eq!(run["totals"]["succeeded"], 2);
    assert_eq!(server_pid(&fleet), None, "stopped with its last user");
    let again = fleet.json(&["migrate"], 0);
    assert_eq!(again["totals"]["up_to_date"], 2, "the data were kept");
}

#[test]
fn a_server_that_was_started_by_hand_is_kept_until_it_is_stopped() {
    let fleet = embedded(&["acme"]);
    fleet.fleet(&["embedded", "start"]).assert_code(0);
    fleet.json(&["migrate"], 0);
    let session = Session::connect(&url(&fleet));
    let tables: i64 = session.query_one("SELECT count(*) FROM acme.probe");
    assert_eq!(tables, 1);
    drop(session);
    fleet
        .fleet(&["embedded", "stop"])
        .assert_code(0)
        .assert_stdout_has("stopped");
    fleet
        .fleet(&["embedded", "stop"])
        .assert_code(0)
        .assert_stdout_has("was not running");
    fleet
        .fleet(&["embedded", "url"])
        .assert_code(1)
        .assert_stderr_has("embedded start");
}

#[test]
fn commands_at_once_share_one_server() {
    let fleet = embedded(&["acme"]);
    fleet.json(&["migrate"], 0);
    let together: Vec<_> = (0..4)
        .map(|_| fleet.spawn(&["-o", "json", "status"]))
        .collect();
    let codes: Vec<i32> = together.into_iter().map(|c| c.wait().code()).collect();
    assert_eq!(codes, [0; 4]);
    assert_eq!(server_pid(&fleet), None, "the last one stopped it");
}

#[test]
fn a_crash_of_the_server_is_no_obstacle() {
    let fleet = embedded(&["acme"]);
    fleet.fleet(&["embedded", "start"]).assert_code(0);
    let pid = server_pid(&fleet).expect("a running server");
    kill(&pid);
    wait_until("the server is gone", || !is_alive(&pid));
    assert!(pid_file(&fleet).exists(), "a stale pid file");
    assert_eq!(fleet.json(&["migrate"], 0)["totals"]["succeeded"], 1);
    fleet.fleet(&["embedded", "stop"]).assert_code(0);
}

#[test]
fn with_an_environment_variable_the_same_config_means_that_server() {
    let db = crate::support::TestDatabase::create(crate::support::Server::A);
    db.execute("CREATE SCHEMA acme");
    let fleet = listing("${DATABASE_URL:-embedded}", &["acme"]).env("DATABASE_URL", &db.url());
    fleet.json(&["migrate"], 0);
    assert_eq!(db.query_one::<i64>("SELECT count(*) FROM acme.probe"), 1);
    assert!(!fleet.folder().join(".fleet").exists());
    let error = fleet.fleet(&["embedded", "start"]);
    error.assert_code(3).assert_stderr_has("url: embedded");
}

/// Tenants that are created on the embedded server.
fn embedded(tenants: &[&str]) -> TestFleet {
    listing("embedded", tenants)
}

fn listing(url: &str, tenants: &[&str]) -> TestFleet {
    TestFleet::without_database()
        .database_url("main", url)
        .set(
            "databases.0.tenants",
            serde_json::json!({ "list": tenants, "create_missing": true }),
        )
        .probe_migrations(1..=1)
}

fn url(fleet: &TestFleet) -> String {
    let run: Run = fleet.fleet(&["embedded", "url"]);
    run.assert_code(0);
    run.stdout.trim().to_owned()
}

fn pid_file(fleet: &TestFleet) -> std::path::PathBuf {
    fleet.folder().join(".fleet/postgres/data/postmaster.pid")
}

fn server_pid(fleet: &TestFleet) -> Option<String> {
    let text = fs::read_to_string(pid_file(fleet)).ok()?;
    text.lines().next().map(str::to_owned)
}

fn kill(pid: &str) {
    let status = std::process::Command::new("kill")
        .args(["-9", pid])
        .status();
    assert!(status.expect("kill").success());
}

fn is_alive(pid: &str) -> bool {
    fs::read_to_string(format!("/proc/{pid}/stat")).is_ok_and(|stat| !stat.contains(") Z "))
}
