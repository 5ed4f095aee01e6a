//! Thousands of tenants: what is said stays short, what is asked stays in batches.

use std::collections::BTreeSet;
use std::time::Duration;

use crate::support::{
    PrivateServer, Server, Session, TestDatabase, TestFleet, quote, tenants, wait_until,
};

/// Migrates the first tenant and gives the others copies of what it has: much quicker than migrating all.
fn up_to_date(session: &Session, schemas: &[String], fleet: &TestFleet) {
    let (first, others) = schemas.split_first().expect("some tenants");
    fleet.fleet(&["migrate", "--tenant", first]).assert_code(0);
    for chunk in others.chunks(250) {
        let copies: Vec<String> = chunk
            .iter()
            .map(|schema| {
                let (to, from) = (quote(schema), quote(first));
                format!("CREATE TABLE {to}.refinery_schema_history AS TABLE {from}.refinery_schema_history")
            })
            .collect();
        session.execute(&copies.join(";"));
    }
}

/// Transactions that the database has committed, once nobody of fleet's is there any more: a backend
/// tells what it did at its end at the latest.
fn commits(db: &TestDatabase) -> i64 {
    wait_until("fleet's backends are gone", || db.fleet_backends() == 0);
    db.query_one("SELECT xact_commit FROM pg_stat_database WHERE datname = current_database()")
}

#[test]
fn status_of_two_thousand_tenants_fits_on_one_screen() {
    let db = TestDatabase::create(Server::A);
    let schemas = tenants(&db, 2000);
    let fleet = TestFleet::new(&db)
        .migration("V1__customers", "SELECT 1;\n")
        .set("execution.concurrency", 2)
        .set("rollout.same_failures", 0);
    up_to_date(&db.connect(), &schemas, &fleet);
    // thirty tenants for which the next migration fails, for two reasons
    let broken: Vec<String> = schemas[100..130]
        .iter()
        .enumerate()
        .map(|(number, schema)| {
            let name = if number % 3 == 0 { "colours" } else { "sizes" };
            format!("CREATE TYPE {}.{name} AS ENUM ()", quote(schema))
        })
        .collect();
    db.execute(&broken.join(";"));
    fleet.write_migration(
        "V2__types",
        "CREATE TYPE colours AS ENUM ();\nCREATE TYPE sizes AS ENUM ();\n",
    );
    fleet
        .fleet(&["migrate", "--tenant", "tenant_01*"])
        .assert_code(4);

    let status = fleet.fleet(&["status"]);

    status.assert_code(0);
    assert!(status.stdout.lines().count() <= 40, "{status}");
    status
        .assert_stdout_has("30 failed")
        .assert_stdout_has("42710")
        .assert_stdout_has("fleet resume");
    let document = fleet.json(&["status"], 0);
    assert_eq!(document["totals"]["tenants"], 2000);
    assert_eq!(document["totals"]["failed"], 30);
    let causes: BTreeSet<String> = document["tenants"]
        .as_array()
        .expect("a list")
        .iter()
        .filter_map(|tenant| Some(tenant["last_failure"].get("statement")?.to_string()))
        .collect();
    assert_eq!(causes.len(), 2);
}

#[test]
fn a_run_with_nothing_to_do_costs_far_less_than_a_transaction_a_tenant() {
    let db = TestDatabase::create(Server::A);
    let schemas = tenants(&db, 1000);
    let fleet = TestFleet::new(&db).probe_migrations(1..=3);
    up_to_date(&db.connect(), &schemas, &fleet);
    let before = commits(&db);

    let run = fleet.json(&["migrate"], 0);

    assert_eq!(run["totals"]["up_to_date"], 1000);
    let cost = commits(&db) - before;
    assert!(cost < 150, "{cost} transactions");
}

#[test]
fn histories_are_read_in_batches_and_never_with_one_statement_over_the_fleet() {
    const TENANTS: usize = 1000;
    let server = PrivateServer::start(&[
        "log_statement = all",
        "logging_collector = off",
        "log_line_prefix = '%a|'",
    ]);
    let session = server.connect();
    let schemas: Vec<String> = (1..=TENANTS).map(|n| format!("tenant_{n:04}")).collect();
    for chunk in schemas.chunks(250) {
        let creations: Vec<String> = chunk
            .iter()
            .map(|name| format!("CREATE SCHEMA {name}"))
            .collect();
        session.execute(&creations.join(";"));
    }
    let fleet = TestFleet::without_database()
        .database_url("main", &server.url("postgres"))
        .probe_migrations(1..=2);
    up_to_date(&session, &schemas, &fleet);

    for command in ["status", "plan", "migrate"] {
        let before = server.log().len();
        fleet.fleet(&[command]).assert_code(0);
        let log = server.log().split_off(before);

        let messages: Vec<&str> = log
            .split("\nfleet ")
            .filter(|entry| entry.contains("LOG:  statement:") || entry.contains("LOG:  execute"))
            .collect();
        assert!(!messages.is_empty(), "the log was not read");
        // copies are sent without waiting for the answer of the one before, many in one transaction
        let (copies, messages): (Vec<&str>, Vec<&str>) = messages
            .into_iter()
            .partition(|message| message.contains(": COPY "));
        assert!(
            copies.len() <= TENANTS,
            "{command}: {} copies",
            copies.len()
        );
        assert!(
            messages.len() <= TENANTS / 10,
            "{command}: {} messages",
            messages.len()
        );
        for message in messages {
            let tables = message.matches("refinery_schema_history").count();
            assert!(tables <= 200, "{command}: a message over {tables} tables");
            assert!(!message.contains("UNION"), "{command}: {message}");
        }
    }
}

/// F52: ten thousand tenants are planned with few transactions, in little memory and in seconds.
#[test]
fn ten_thousand_tenants_are_looked_at_in_seconds() {
    let db = TestDatabase::create(Server::A);
    let schemas = tenants(&db, 10_000);
    let fleet = TestFleet::new(&db).probe_migrations(1..=2);
    up_to_date(&db.connect(), &schemas, &fleet);
    let fleet = fleet.probe_migrations(3..=3);
    let before = commits(&db);

    let (plan, kilobytes) = fleet.spawn(&["-o", "json", "plan"]).wait_with_peak_memory();

    plan.assert_code(0);
    assert_eq!(plan.json()["totals"]["migrate"], 10_000);
    assert!(plan.elapsed < Duration::from_secs(20), "{:?}", plan.elapsed);
    assert!(kilobytes < 100_000, "{kilobytes} kB");
    let cost = commits(&db) - before;
    assert!(cost < 300, "{cost} transactions");
}
