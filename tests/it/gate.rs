//! `fleet gate`: a program that must not start before every tenant is at its version.

use serde_json::{Value, json};

use crate::support::{
    PrivateServer, Proxy, Server, TestDatabase, TestFleet, assert_says, tenants, wait_until,
};

/// So many tenants at V2, of three migrations.
fn at_version_two(n: usize) -> (TestDatabase, TestFleet) {
    let db = TestDatabase::create(Server::A);
    tenants(&db, n);
    let fleet = TestFleet::new(&db).probe_migrations(1..=3);
    fleet.json(&["migrate", "--to", "2"], 0);
    (db, fleet)
}

#[test]
fn it_opens_where_every_tenant_is_at_the_version_or_a_later_one() {
    let (_db, fleet) = at_version_two(3);
    let expected = json!({
        "exit_code": 0, "min_version": 2, "lowest": 2, "totals": { "tenants": 3, "there": 3, "behind": 0 }, "behind": [],
    });
    assert_eq!(fleet.json(&["gate", "--min-version", "2"], 0), expected);
    fleet
        .fleet(&["gate", "--min-version", "1"])
        .assert_code(0)
        .assert_stdout_has("✓ 3 of 3 tenants are at V1 or later, the lowest at V2\n");
    let quiet = fleet.fleet(&["-q", "gate", "--min-version", "1"]);
    quiet.assert_code(0);
    assert_eq!((quiet.stdout.as_str(), quiet.stderr.as_str()), ("", ""));
}

#[test]
fn it_stays_shut_and_says_who_is_behind_and_why() {
    let (db, fleet) = at_version_two(4);
    fleet.json(&["migrate", "--tenant", "tenant_0001"], 0);
    db.execute(
        "DROP SCHEMA tenant_0004 CASCADE; CREATE SCHEMA tenant_0004;
         UPDATE tenant_0003.refinery_schema_history SET checksum = NULL WHERE version = 1",
    );
    let fleet = fleet.config(|yaml| {
        yaml["databases"][0]["tenants"] =
            json!({ "list": ["tenant_0001", "tenant_0002", "tenant_0003", "tenant_0004", "gone"] });
    });

    let gate = fleet.json(&["gate", "--min-version", "3"], 7);

    assert_eq!(gate["exit_code"], 7);
    assert_eq!(
        gate["totals"],
        json!({ "tenants": 5, "there": 1, "behind": 4 })
    );
    assert_eq!(gate["lowest"], Value::Null);
    let behind = |schema: &str| {
        let rows = gate["behind"].as_array().expect("a list");
        rows.iter()
            .find(|row| row["schema"] == schema)
            .expect("it is behind")
            .clone()
    };
    assert_eq!(
        behind("tenant_0002"),
        json!({ "database": "main", "schema": "tenant_0002", "version": 2, "reason": null })
    );
    assert_says(
        &behind("tenant_0003")["reason"],
        &["corrupt", "the checksum is NULL"],
    );
    assert_says(&behind("tenant_0004")["reason"], &["no history"]);
    assert_says(&behind("gone")["reason"], &["no such schema"]);
    fleet
        .fleet(&["gate", "--min-version", "3"])
        .assert_code(7)
        .assert_stdout_has("✗ 1 of 5 tenants is at V3 or later\n")
        .assert_stdout_has("- 1 tenant: at V2\n  tenants    main/tenant_0002\n");
}

#[test]
fn only_selected_tenants_count_and_a_typo_is_no_success() {
    let (_db, fleet) = at_version_two(3);
    fleet.json(&["migrate", "--tenant", "tenant_0001"], 0);
    let gate = fleet.json(
        &["gate", "--min-version", "3", "--only", "main/tenant_0001"],
        0,
    );
    assert_eq!(gate["totals"]["tenants"], 1);
    fleet.json(
        &["gate", "--min-version", "3", "--tenant", "tenant_000[12]"],
        7,
    );
    let refused = fleet.json(&["gate", "--min-version", "3", "--tenant", "tennant"], 2);
    assert_says(&refused["error"], &["matches no tenant"]);
    fleet
        .fleet(&["gate"])
        .assert_code(2)
        .assert_stderr_has("--min-version");
}

/// It asks with one connection, however many tenants there are, and leaves nothing.
#[test]
fn it_needs_one_connection_and_no_control_schema() {
    let (db, fleet) = at_version_two(450);
    db.execute("DROP SCHEMA fleet_control CASCADE");
    let tables = "SELECT count(*) FROM pg_class";
    let before: i64 = db.query_one(tables);
    let proxy = Proxy::start(&db.url());
    let fleet = fleet.set("databases.0.url", proxy.url(db.name()));

    let gate = fleet.json(&["gate", "--min-version", "2"], 0);

    assert_eq!(gate["totals"]["there"], 450);
    assert_eq!(proxy.connections(), 1);
    assert_eq!(db.query_one::<i64>(tables), before, "it has made something");
}

#[test]
fn a_role_that_may_only_read_is_enough() {
    let (db, fleet) = at_version_two(2);
    let role = format!("{}_reader", db.name());
    db.execute(&format!(
        "CREATE ROLE {role} LOGIN; GRANT USAGE ON SCHEMA tenant_0001, tenant_0002 TO {role};
         GRANT SELECT ON ALL TABLES IN SCHEMA tenant_0001 TO {role}"
    ));
    let url = db.url().replace("//postgres@", &format!("//{role}@"));
    let fleet = fleet.set("databases.0.url", url);

    let gate = fleet.json(&["gate", "--min-version", "2"], 7);

    assert_eq!(gate["totals"]["there"], 1);
    assert_says(&gate["behind"][0]["reason"], &["cannot be read", "SELECT"]);
    db.execute(&format!(
        "GRANT SELECT ON tenant_0002.refinery_schema_history TO {role}"
    ));
    fleet.json(&["gate", "--min-version", "2"], 0);
    db.execute(&format!("DROP OWNED BY {role}; DROP ROLE {role}"));
}

#[test]
fn a_standby_answers() {
    let server = PrivateServer::start(&[]);
    server
        .connect()
        .execute("CREATE SCHEMA tenant_0001; CREATE SCHEMA tenant_0002");
    let fleet = TestFleet::without_database()
        .database_url("main", &server.url("postgres"))
        .probe_migrations(1..=1);
    fleet.json(&["migrate"], 0);
    let signal = server.pgdata().join("standby.signal");
    std::fs::write(signal, "").expect("a server's folder");
    server.restart("fast");

    fleet.json(&["gate", "--min-version", "1"], 0);
    fleet.json(&["gate", "--min-version", "2"], 7);
}

#[test]
fn it_waits_for_a_migration_that_is_under_way() {
    let (db, fleet) = at_version_two(3);
    let child = fleet.spawn(&[
        "-o",
        "ndjson",
        "gate",
        "--min-version",
        "3",
        "--wait",
        "10m",
    ]);
    wait_until("it waits", || {
        child
            .stderr_so_far()
            .contains("0 of 3 tenants are at V3 or later; waiting for")
    });
    wait_until("it holds no connection while it waits", || {
        db.fleet_backends() == 0
    });
    fleet.json(&["migrate", "--tenant", "tenant_0001"], 0);
    wait_until("it has seen the first", || {
        child
            .stderr_so_far()
            .contains("1 of 3 tenants is at V3 or later; waiting for")
    });
    fleet.json(&["migrate"], 0);

    let run = child.wait();

    run.assert_code(0);
    let lines = run.ndjson();
    assert_eq!(lines[0]["event"], "waiting");
    assert_eq!(
        lines[0]["totals"],
        json!({ "tenants": 3, "there": 0, "behind": 3 })
    );
    assert_eq!(lines.last().expect("a document")["totals"]["there"], 3);
}

#[test]
fn when_the_time_is_over_it_is_shut() {
    let (_db, fleet) = at_version_two(1);
    let gate = fleet.json(&["gate", "--min-version", "3", "--wait", "1s"], 7);
    assert_eq!(gate["totals"]["behind"], 1);
}

#[test]
fn a_server_that_is_away_is_waited_for_and_without_wait_it_is_an_error() {
    let (db, fleet) = at_version_two(1);
    let proxy = Proxy::start(&db.url());
    let fleet = fleet.set("databases.0.url", proxy.url(db.name()));
    proxy.refuse(true);
    let refused = fleet.json(&["gate", "--min-version", "2"], 1);
    assert!(refused["error"].is_string());
    let child = fleet.spawn(&["gate", "--min-version", "2", "--wait", "10m"]);
    wait_until("it tries again", || {
        child.stderr_so_far().contains("trying again for")
    });

    proxy.refuse(false);

    child.wait().assert_code(0);
}

#[test]
fn ctrl_c_ends_the_waiting() {
    let (_db, fleet) = at_version_two(1);
    let child = fleet.spawn(&["gate", "--min-version", "3", "--wait", "10m"]);
    wait_until("it waits", || child.stderr_so_far().contains("waiting for"));
    child.interrupt();
    child.wait().assert_code(130);
}

#[test]
fn a_server_that_says_nothing_does_not_hold_it_for_ever() {
    let (db, fleet) = at_version_two(1);
    let proxy = Proxy::start(&db.url());
    let fleet = fleet.set("databases.0.url", proxy.url(db.name()));
    proxy.freeze_all();
    let shut = fleet.json(&["gate", "--min-version", "2", "--wait", "500ms"], 1);
    assert_says(&shut["error"], &["has not answered within 500 ms"]);
}

/// Each database is asked over one connection, and one of them that is behind is enough.
#[test]
fn all_databases_count() {
    let (_a, fleet) = at_version_two(2);
    let b = TestDatabase::create(Server::B);
    tenants(&b, 2);
    let fleet = fleet.database("second", &b);
    fleet.json(&["migrate", "--database", "second", "--to", "1"], 0);
    let gate = fleet.json(&["gate", "--min-version", "2"], 7);
    assert_eq!(gate["lowest"], 1);
    assert_eq!(gate["behind"][0]["database"], "second");
    fleet.json(&["gate", "--min-version", "2", "--database", "main"], 0);
}
