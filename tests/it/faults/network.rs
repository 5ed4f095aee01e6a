//! Connections that break at the worst moment, seen through a proxy.

use super::impatient;
use crate::support::{
    Golden, PrivateServer, Proxy, Server, TestDatabase, TestFleet, assert_applied_exactly_once,
    assert_converged, assert_nothing_left, assert_reports_truly, assert_says, probe_sql,
    query_with, tenant, tenants, wait_until,
};

/// Tenants behind a proxy.
struct Behind {
    db: TestDatabase,
    schemas: Vec<String>,
    proxy: Proxy,
    fleet: TestFleet,
    golden: Golden,
}

fn behind_a_proxy(tenant_count: usize) -> Behind {
    let db = TestDatabase::create(Server::A);
    let schemas = tenants(&db, tenant_count);
    let proxy = Proxy::start(&Server::A.url());
    let fleet =
        impatient(TestFleet::without_database().database_url("main", &proxy.url(db.name())))
            .set("control", serde_json::json!({ "url": db.url() }))
            .set("execution.concurrency", 2)
            .probe_migrations(1..=3);
    Behind {
        golden: Golden::of(&fleet),
        db,
        schemas,
        proxy,
        fleet,
    }
}

/// The message that migrates a tenant to a version.
fn migration_of(schema: &str, version: i64) -> String {
    format!(
        "INSERT INTO \"{schema}\".\"refinery_schema_history\"(version,name,applied_on,checksum) VALUES ((CASE*ELSE '{version}'"
    )
}

fn message_of(
    schema: &str,
    version: i64,
) -> impl FnMut(&crate::support::Message) -> bool + Send + 'static {
    let pattern = migration_of(schema, version);
    let (head, tail) = pattern.split_once('*').expect("two parts");
    let (head, tail) = (head.to_owned(), tail.to_owned());
    move |message| {
        let text = message.text();
        text.contains(&head) && text.contains(&tail)
    }
}

/// F10: what does not reach the server is rolled back there, and tried again.
#[test]
fn a_cut_before_the_message_arrives_costs_an_attempt() {
    let b = behind_a_proxy(4);
    b.proxy.cut_before(message_of("tenant_0002", 2));
    let run = b.fleet.fleet(&["-o", "json", "migrate"]);
    run.assert_code(0);
    assert_eq!(b.proxy.cuts(), 1);
    assert_eq!(tenant(&run.json(), "tenant_0002")["attempts"], 2);
    assert_reports_truly(&run, &[("main", &b.db, &b.schemas)]);
    assert_converged(&b.fleet, &b.db, &b.schemas, &b.golden);
}

/// F12: a commit whose answer is lost is found in the history, never reported as failed and never run twice.
#[test]
fn a_cut_after_the_commit_is_settled_by_the_history() {
    let b = behind_a_proxy(4);
    b.proxy.cut_after(message_of("tenant_0002", 3));
    let run = b.fleet.fleet(&["-o", "json", "migrate"]);
    run.assert_code(0);
    assert_eq!(b.proxy.cuts(), 1);
    let document = run.json();
    let row = tenant(&document, "tenant_0002");
    assert_eq!(row["outcome"], "succeeded");
    assert_eq!(
        row["applied"],
        serde_json::json!(["V1__probe_1", "V2__probe_2", "V3__probe_3"])
    );
    assert_converged(&b.fleet, &b.db, &b.schemas, &b.golden);
}

/// F12: also where no attempt is left, and where the run is being stopped.
#[test]
fn a_commit_in_doubt_is_settled_though_no_attempt_is_left() {
    let b = behind_a_proxy(3);
    let fleet = b.fleet.set("execution.retry.attempts", 1);
    // without a proof it is done before its session, which nobody hears from, is ended
    let quick = format!("-- fleet: allow leak it is to be quick\n{}", probe_sql(3));
    fleet.write_migration("V3__probe_3", &quick);
    b.proxy.cut_after(message_of("tenant_0001", 3));
    b.proxy.cut_before(message_of("tenant_0003", 2));
    let run = fleet.fleet(&["-o", "json", "migrate"]);
    run.assert_code(4);
    let document = run.json();
    assert_eq!(tenant(&document, "tenant_0001")["outcome"], "succeeded");
    assert_eq!(tenant(&document, "tenant_0001")["attempts"], 1);
    let failed = tenant(&document, "tenant_0003");
    assert_eq!(failed["outcome"], "failed");
    assert_eq!(failed["to"], 1);
    assert_eq!(failed["failure"]["class"], "transient");
    assert_reports_truly(&run, &[("main", &b.db, &b.schemas)]);
    fleet.json(&["resume"], 0);
    assert_applied_exactly_once(&b.db, &b.schemas, &[1, 2, 3]);
}

/// F12: the old session may still be at work; nothing is run beside it.
#[test]
fn a_statement_that_goes_on_behind_a_cut_is_waited_for_or_ended() {
    let b = behind_a_proxy(2);
    b.fleet.json(&["migrate", "--to", "2"], 0);
    b.fleet.write_migration(
        "V3__probe_3",
        "SELECT pg_advisory_xact_lock_shared(4711);\nCREATE TABLE t3 (id bigint PRIMARY KEY, note text);\nINSERT INTO probe (version) VALUES (3);\n",
    );
    let gate = b.db.hold_lock("SELECT pg_advisory_xact_lock(4711)");
    let run = b
        .fleet
        .spawn(&["-o", "json", "migrate", "--concurrency", "1"]);
    wait_until("a migration stands at the gate", || gate.waiters() == 1);
    b.proxy.cut_all();
    // the lost session is ended by the run itself, so that the gate sees another one
    wait_until("the lost session is gone or has a successor", || {
        run.stderr_so_far().contains("attempt 1 failed")
    });
    gate.release();
    run.wait().assert_code(0);
    assert_applied_exactly_once(&b.db, &b.schemas, &[1, 2, 3]);
    assert_nothing_left(&b.db);
}

/// F11: a network that swallows everything frees the slot, and the tenant is settled afterwards.
#[test]
fn an_answer_that_never_comes_is_given_up_when_the_server_is_done() {
    let b = behind_a_proxy(3);
    b.proxy.freeze_after(message_of("tenant_0001", 3));
    let run = b.fleet.fleet(&["-o", "json", "migrate"]);
    run.assert_code(0);
    assert_eq!(b.proxy.frozen(), 1);
    let row = tenant(&run.json(), "tenant_0001").clone();
    assert_eq!(row["outcome"], "succeeded");
    assert_applied_exactly_once(&b.db, &b.schemas, &[1, 2, 3]);
    b.proxy.thaw();
    assert_nothing_left(&b.db);
}

/// F8: a new connection that leads to another server is refused, and nothing is written there.
#[test]
fn another_server_behind_the_same_address_is_never_written() {
    let other = PrivateServer::start(&[]);
    let b = behind_a_proxy(3);
    other
        .connect()
        .execute(&format!("CREATE DATABASE {}", b.db.name()));
    let there = crate::support::Session::connect(&other.url(b.db.name()));
    there
        .execute("CREATE SCHEMA tenant_0001; CREATE SCHEMA tenant_0002; CREATE SCHEMA tenant_0003");
    let fleet = b
        .fleet
        .set("execution.concurrency", 1)
        .set("execution.lock_timeout", "60s");
    let gate = b.db.hold_lock("CREATE TABLE tenant_0002.t2 (id int)");
    let run = fleet.spawn(&["-o", "json", "migrate"]);
    wait_until("the second tenant waits", || gate.waiters() == 1);
    b.proxy.switch_to(&other.url("postgres"));
    b.proxy.cut_all();
    let run = run.wait();
    run.assert_code(4);
    gate.release();
    let document = run.json();
    assert_eq!(tenant(&document, "tenant_0001")["outcome"], "succeeded");
    assert_says(
        &tenant(&document, "tenant_0003")["reason"],
        &["not attempted", "not the server of the first connection"],
    );
    let tables: i64 =
        there.query_one("SELECT count(*) FROM pg_tables WHERE schemaname LIKE 'tenant%'");
    assert_eq!(tables, 0);
}

/// F57: a pooler that keeps the session's settings to itself is noticed before anything is written.
#[test]
fn a_pooler_that_swallows_settings_is_refused() {
    let b = behind_a_proxy(1);
    b.proxy.strip_startup_options(true);
    let refused = b.fleet.json(&["migrate"], 1);
    assert_says(&refused["error"], &["search_path", "pooler"]);
    assert_says(&refused["hint"], &["direct URL"]);
    crate::support::assert_untouched(&b.db);
}

#[test]
fn a_query_that_matches_nothing_cuts_nothing() {
    let b = behind_a_proxy(1);
    b.proxy.cut_before(query_with("no such text"));
    b.fleet.json(&["migrate"], 0);
    assert_eq!(b.proxy.cuts(), 0);
}
