//! `rollout.windows`: tenants that are left alone outside of their hours. What the hours are is tested where they are
//! read; here they are surely open, or surely closed, whenever the test runs.

use serde_json::{Value, json};

use crate::support::{
    Child, Server, TestDatabase, TestFleet, assert_applied_exactly_once, assert_says, each_tenants,
    tenant, tenants,
};

const OPEN: &str = "daily 00:00-24:00 Europe/Zurich";

/// A window of some other day, by the server's clock: it opens in two days at the earliest.
fn closed(db: &TestDatabase) -> String {
    let day: String =
        db.query_one("SELECT to_char(now() AT TIME ZONE 'UTC' + interval '3 days', 'Dy')");
    format!("{day} 02:00-05:00 Europe/Zurich")
}

/// Four tenants, two of them `enterprise`, and these windows.
fn four(windows: impl FnOnce(&TestDatabase) -> Value) -> (TestDatabase, Vec<String>, TestFleet) {
    let db = TestDatabase::create(Server::A);
    let schemas = tenants(&db, 4);
    let windows = windows(&db);
    let fleet = TestFleet::new(&db).probe_migrations(1..=2).config(|yaml| {
        yaml["databases"][0]["tenants"] = json!({
            "query": "SELECT nspname AS schema, CASE WHEN nspname < 'tenant_0003' THEN 'enterprise' ELSE 'free' END AS plan
                      FROM pg_namespace WHERE nspname LIKE 'tenant%'"
        });
        yaml["rollout"] = json!({ "windows": windows });
    });
    (db, schemas, fleet)
}

fn enterprise(window: &str) -> Value {
    json!({ "labels": { "plan": "enterprise" }, "window": window })
}

#[test]
fn tenants_outside_of_their_window_are_left_and_that_is_no_failure() {
    let (db, schemas, fleet) = four(|db| json!([enterprise(&closed(db))]));

    let plan = fleet.json(&["plan"], 0);
    let run = fleet.json(&["migrate"], 0);

    assert_eq!(
        each_tenants(&plan, "action"),
        [
            "tenant_0001 hold",
            "tenant_0002 hold",
            "tenant_0003 migrate",
            "tenant_0004 migrate"
        ]
    );
    assert_eq!(run["totals"]["succeeded"], 2);
    assert_eq!(run["totals"]["held"], 2);
    let window = closed(&db);
    for document in [&plan, &run] {
        assert_says(
            &tenant(document, "tenant_0001")["reason"],
            &[
                &format!("outside the window {window}, which opens "),
                " 02:00 +0",
            ],
        );
    }
    assert_applied_exactly_once(&db, &schemas[..2], &[]);
    assert_applied_exactly_once(&db, &schemas[2..], &[1, 2]);
    let status = fleet.json(&["status"], 0);
    assert_eq!(status["totals"]["held"], 2);
    assert_eq!(tenant(&status, "tenant_0001")["pending"], 2);
    fleet
        .fleet(&["status"])
        .assert_stdout_has("2 up to date, 2 held")
        .assert_stdout_has("2 tenants outside the window ");
}

#[test]
fn any_open_window_will_do() {
    let (db, schemas, fleet) = four(|db| json!([enterprise(&closed(db)), enterprise(OPEN)]));
    fleet.json(&["migrate"], 0);
    assert_applied_exactly_once(&db, &schemas, &[1, 2]);
}

#[test]
fn windows_are_by_name_and_for_the_whole_fleet_too() {
    let (db, schemas, fleet) = four(
        |db| json!([{ "window": closed(db) }, { "tenants": ["tenant_*1", "main/tenant_*2"], "window": OPEN }]),
    );
    let run = fleet.json(&["migrate"], 0);
    assert_eq!(run["totals"]["succeeded"], 2);
    assert_applied_exactly_once(&db, &schemas[..2], &[1, 2]);
    assert_applied_exactly_once(&db, &schemas[2..], &[]);
}

#[test]
fn an_emergency_does_not_wait_for_windows() {
    let (db, schemas, fleet) = four(|db| json!([enterprise(&closed(db))]));
    fleet.json(&["hold", "tenant_0002", "--reason", "import"], 0);
    for command in ["plan", "migrate"] {
        fleet
            .fleet(&[command, "--ignore-windows"])
            .assert_code(0)
            .assert_stderr_has("windows are ignored: 1 tenant is outside of theirs");
    }
    // a hold is no window
    assert_applied_exactly_once(&db, &schemas[1..2], &[]);
    assert_applied_exactly_once(&db, &schemas[..1], &[1, 2]);
}

#[test]
fn a_resume_keeps_to_windows_as_well() {
    let (db, schemas, fleet) = four(|_| json!([]));
    fleet.json(&["migrate", "--to", "1"], 0);
    db.execute("CREATE TABLE tenant_0001.t2 ()");
    fleet.json(&["migrate"], 4);
    db.execute("DROP TABLE tenant_0001.t2");
    let fleet = fleet.set("rollout.windows", json!([enterprise(&closed(&db))]));
    let resumed = fleet.json(&["resume"], 0);
    assert_eq!(resumed["totals"]["held"], 1);
    assert_applied_exactly_once(&db, &schemas[..1], &[1]);
    let fleet = fleet.set("rollout.windows", json!([enterprise(OPEN)]));
    fleet.json(&["migrate"], 0);
    assert_applied_exactly_once(&db, &schemas, &[1, 2]);
}

/// A typo must not look like success.
#[test]
fn a_window_about_nobody_is_told() {
    let (_db, _, fleet) = four(
        |_| json!([enterprise(OPEN), { "labels": { "plan": "enterprize" }, "window": "Sun 02:00-05:00 Europe/Zurich" }]),
    );
    let notice =
        "rollout.windows[1] (Sun 02:00-05:00 Europe/Zurich) is about no tenant of the fleet";
    for command in ["plan", "status", "migrate"] {
        let run = fleet.fleet(&[command]);
        run.assert_code(0).assert_stderr_has(notice);
        assert!(!run.stderr.contains("rollout.windows[0]"), "{run}");
    }
    // a part of the fleet does not tell
    let run = fleet.fleet(&["plan", "--database", "main"]);
    assert!(!run.stderr.contains("rollout.windows"), "{run}");
    let run = fleet.fleet(&["plan", "--tenant", "tenant_0004"]);
    run.assert_code(0).assert_stderr_has(notice);
}

#[test]
fn a_window_that_is_none_is_refused_with_its_line() {
    for (window, says) in [
        ("Sun 02:00-05:00", "must be days, times and a time zone"),
        ("Someday 02:00-05:00 UTC", "has no days that are known"),
        ("Sun 2-5 UTC", "has no times that are known"),
        ("Sun 02:00-02:00 UTC", "opens and closes at 02:00"),
        (
            "Sun 02:00-05:00 Europe/Zuerich",
            "did you mean `Europe/Zurich`?",
        ),
    ] {
        let (_db, _, fleet) = four(|_| json!([enterprise(window)]));
        let run = fleet.fleet(&["migrate"]);
        run.assert_code(3)
            .assert_stderr_has("fleet.yaml:")
            .assert_stderr_has("`rollout.windows[0].window`")
            .assert_stderr_has(says);
    }
    let (_db, _, fleet) = four(|_| json!([{ "label": { "plan": "free" }, "window": OPEN }]));
    fleet
        .fleet(&["migrate"])
        .assert_code(3)
        .assert_stderr_has("did you mean `labels`?");
}

/// A bare container has no zones, or a few: fleet brings its own.
#[test]
fn zones_are_known_where_the_system_has_none() {
    let (_db, _, fleet) = four(|_| json!([enterprise(OPEN)]));
    let folder = fleet.folder().to_str().expect("a path").to_owned();
    for zones in [folder.as_str(), "/nonexistent"] {
        let mut command = fleet.command(&["plan"]);
        command.env("TZDIR", zones);
        Child::spawn(command).wait().assert_code(0);
    }
}
