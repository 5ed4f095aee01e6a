//! Servers that cannot be migrated, or not with this password, and what hangs on their databases.

use crate::support::{
    PrivateServer, Proxy, Server, TestDatabase, TestFleet, assert_applied_exactly_once,
    assert_public_is_empty, assert_says, assert_untouched, query_with, tenant, tenants, wait_until,
};

/// F9: a standby is read by what looks and refused by what writes; that locks work there proves nothing.
#[test]
fn a_standby_is_read_and_never_written() {
    let server = PrivateServer::start(&[]);
    server
        .connect()
        .execute("CREATE SCHEMA tenant_0001; CREATE SCHEMA tenant_0002");
    let fleet = TestFleet::without_database()
        .database_url("main", &server.url("postgres"))
        .probe_migrations(1..=1);
    fleet.fleet(&["migrate"]).assert_code(0);
    let fleet = fleet.probe_migrations(2..=2);
    let signal = server.pgdata().join("standby.signal");
    std::fs::write(&signal, "").expect("a server's folder");
    server.restart("fast");

    for command in ["migrate", "resume"] {
        let run = fleet.fleet(&[command]);
        run.assert_code(3)
            .assert_stderr_has("standby")
            .assert_stderr_has("primary");
    }
    let plan = fleet.json(&["plan"], 0);
    assert_eq!(plan["totals"]["migrate"], 2);
    for command in ["status", "runs", "show", "tenants", "init"] {
        fleet.fleet(&[command]).assert_code(0);
    }
    std::fs::remove_file(&signal).expect("our own file");
    server.restart("fast");
    let runs = fleet.json(&["runs"], 0);
    assert_eq!(runs["runs"].as_array().map(Vec::len), Some(1));
    assert_eq!(fleet.json(&["migrate"], 0)["totals"]["succeeded"], 2);
}

/// F17: without its control database fleet touches no tenant.
#[test]
fn without_the_control_database_no_tenant_is_touched() {
    let db = TestDatabase::create(Server::A);
    tenants(&db, 2);
    let fleet = TestFleet::new(&db)
        .set(
            "control",
            serde_json::json!({ "url": "postgresql://postgres@127.0.0.1:1/control" }),
        )
        .probe_migrations(1..=1);
    for command in ["migrate", "resume", "reconcile", "init"] {
        let refused = fleet.json(&[command], 1);
        assert_says(&refused["error"], &["control", "127.0.0.1:1"]);
    }
    assert_untouched(&db);
}

/// F56: a server that turns fleet away is asked once, for whatever reason, and no tenant is touched.
#[test]
fn a_server_that_turns_fleet_away_is_asked_once() {
    let server = PrivateServer::start(&["password_encryption = 'scram-sha-256'"]);
    let session = server.connect();
    session.execute("CREATE ROLE app LOGIN PASSWORD 'right'");
    session.execute("CREATE ROLE outlaw LOGIN");
    session.execute(
        "CREATE SCHEMA tenant_0001 AUTHORIZATION app; GRANT CREATE ON DATABASE postgres TO app",
    );
    std::fs::write(
        server.pgdata().join("pg_hba.conf"),
        "host all app 127.0.0.1/32 scram-sha-256\nhost all outlaw 127.0.0.1/32 reject\nhost all all 127.0.0.1/32 trust\n",
    )
    .expect("a server's file");
    session.execute("SELECT pg_reload_conf()");
    let proxy = Proxy::start(&server.url("postgres"));
    let as_role = |role: &str, parameters: &str| {
        let url = proxy
            .url("postgres")
            .replace("postgres@", &format!("{role}@"));
        TestFleet::without_database()
            .database_url("main", &format!("{url}{parameters}"))
            .set("execution.concurrency", 8)
            .probe_migrations(1..=1)
    };

    for (role, parameters, says) in [
        ("app:wrong", "", "password"),
        ("app", "", "password"),
        ("outlaw", "", "pg_hba.conf"),
        ("app:right", "?sslmode=require", "TLS"),
    ] {
        let before = proxy.connections();
        let run = as_role(role, parameters).fleet(&["migrate"]);
        run.assert_code(3).assert_stderr_has(says);
        assert_eq!(proxy.connections() - before, 1, "one try\n{run}");
    }
    let tables: i64 =
        session.query_one("SELECT count(*) FROM pg_tables WHERE schemaname LIKE 'tenant%'");
    assert_eq!(tables, 0);
    as_role("app:right", "").fleet(&["migrate"]).assert_code(0);
}

/// F65: an event trigger that watches is no obstacle, and one that refuses fails its tenants with its own words.
#[test]
fn event_triggers_of_the_database_are_obeyed() {
    let db = TestDatabase::create(Server::A);
    let schemas = tenants(&db, 2);
    db.execute(
        "CREATE SCHEMA audit;
         CREATE TABLE audit.seen (tag text, schema text);
         CREATE FUNCTION audit.watch() RETURNS event_trigger LANGUAGE plpgsql AS $$
           BEGIN INSERT INTO audit.seen VALUES (tg_tag, current_schema()); END $$;
         CREATE EVENT TRIGGER watch ON ddl_command_end EXECUTE FUNCTION audit.watch()",
    );
    let fleet = TestFleet::new(&db).probe_migrations(1..=1);
    fleet.json(&["migrate"], 0);
    let seen: i64 = db.query_one("SELECT count(*) FROM audit.seen WHERE schema = 'tenant_0002'");
    assert!(seen >= 2, "{seen}");

    db.execute(
        "CREATE FUNCTION audit.refuse() RETURNS event_trigger LANGUAGE plpgsql AS $$
           BEGIN IF current_schema() = 'tenant_0002' THEN RAISE EXCEPTION 'not on a friday'; END IF; END $$;
         CREATE EVENT TRIGGER refuse ON ddl_command_start WHEN TAG IN ('CREATE TABLE') EXECUTE FUNCTION audit.refuse()",
    );
    let fleet = fleet.probe_migrations(2..=2);
    let run = fleet.json(&["migrate"], 4);
    let failed = tenant(&run, "tenant_0002");
    assert_eq!(failed["failure"]["message"], "not on a friday");
    assert_eq!(failed["attempts"], 1);
    assert_applied_exactly_once(&db, &schemas[..1], &[1, 2]);
    assert_applied_exactly_once(&db, &schemas[1..], &[1]);
    assert_public_is_empty(&db);
}

/// F9: reconcile writes, so a standby is refused in words and with 3.
#[test]
fn reconcile_on_a_standby_is_refused() {
    let server = PrivateServer::start(&[]);
    server.connect().execute("CREATE SCHEMA tenant_0001");
    let fleet = TestFleet::without_database()
        .database_url("main", &server.url("postgres"))
        .probe_migrations(1..=1);
    fleet.fleet(&["migrate"]).assert_code(0);
    std::fs::write(server.pgdata().join("standby.signal"), "").expect("a server's folder");
    server.restart("fast");
    fleet
        .fleet(&["reconcile"])
        .assert_code(3)
        .assert_stderr_has("standby");
}

/// F56: a password that is rotated in mid-run costs no more logins than there are workers.
#[test]
fn a_password_that_is_rotated_in_mid_run_locks_nobody_out() {
    let server = PrivateServer::start(&["password_encryption = 'scram-sha-256'"]);
    let session = server.connect();
    session.execute(
        "CREATE ROLE app LOGIN PASSWORD 'right'; GRANT CREATE ON DATABASE postgres TO app",
    );
    for n in 1..=40 {
        session.execute(&format!("CREATE SCHEMA tenant_{n:04} AUTHORIZATION app"));
    }
    std::fs::write(
        server.pgdata().join("pg_hba.conf"),
        "host all app 127.0.0.1/32 scram-sha-256\nhost all all 127.0.0.1/32 trust\n",
    )
    .expect("a server's file");
    session.execute("SELECT pg_reload_conf()");
    let proxy = Proxy::start(&server.url("postgres"));
    let url = proxy.url("postgres").replace("postgres@", "app:right@");
    let fleet = TestFleet::without_database()
        .database_url("main", &url)
        .set("execution.concurrency", 2)
        .probe_migrations(1..=1);
    proxy.freeze(query_with("INSERT INTO fleet_schema_history"));
    let run = fleet.spawn(&["-o", "json", "migrate", "--no-canary"]);
    wait_until("the run is about to begin", || proxy.frozen() == 1);
    session.execute("ALTER ROLE app PASSWORD 'left'");
    let before = proxy.connections();
    proxy.thaw();
    let run = run.wait();
    let logins = proxy.connections() - before;
    assert!(logins <= 2, "{logins} wrong logins\n{run}");
    assert_eq!(
        run.json()["totals"]["failed"],
        0,
        "no tenant is to blame\n{run}"
    );
}
