//! Signals before there is a run: nothing has to be drained.

use std::net::TcpListener;
use std::time::{Duration, Instant};

use crate::support::{
    Child, Server, TestDatabase, TestFleet, assert_nothing_left, tenants, wait_until,
};

/// A server that accepts connections and then says nothing.
struct SilentServer(TcpListener);

impl SilentServer {
    fn start() -> Self {
        Self(TcpListener::bind("127.0.0.1:0").expect("a free port"))
    }

    fn url(&self) -> String {
        let address = self.0.local_addr().expect("an address");
        format!("postgresql://postgres@{address}/postgres")
    }
}

/// A command that hangs on a silent server is stopped; the time that this took is bounded.
fn stopped_while_connecting(arguments: &[&str], signal: fn(&Child)) -> i32 {
    let server = SilentServer::start();
    let fleet = TestFleet::without_database()
        .database_url("silent", &server.url())
        .probe_migrations(1..=1);
    let child = fleet.spawn(arguments);
    let _connection = server.0.accept().expect("fleet connects");
    let signalled = Instant::now();
    signal(&child);
    let run = child.wait();
    let took = signalled.elapsed();
    assert!(took < Duration::from_secs(3), "took {took:?}\n{run}");
    run.code()
}

#[test]
fn sigint_while_connecting_ends_migrate_at_once() {
    assert_eq!(
        stopped_while_connecting(&["migrate"], Child::interrupt),
        130
    );
}

#[test]
fn sigterm_while_connecting_ends_resume_at_once() {
    assert_eq!(stopped_while_connecting(&["resume"], Child::terminate), 143);
}

#[test]
fn sigint_while_connecting_ends_status_at_once() {
    assert_eq!(stopped_while_connecting(&["status"], Child::interrupt), 130);
}

#[test]
fn sigint_while_planning_leaves_no_run_behind() {
    let db = TestDatabase::create(Server::A);
    tenants(&db, 3);
    let fleet = TestFleet::new(&db)
        .probe_migrations(1..=1)
        .set("execution.lock_timeout", "10m");
    fleet.fleet(&["migrate"]).assert_code(0);
    fleet.write_migration("V2__more", "CREATE TABLE more (id int);\n");
    let lock =
        db.hold_lock("LOCK TABLE tenant_0002.refinery_schema_history IN ACCESS EXCLUSIVE MODE");
    let child = fleet.spawn(&["migrate"]);
    wait_until("planning waits for a history", || lock.waiters() == 1);
    let signalled = Instant::now();
    child.interrupt();

    child.wait().assert_code(130);

    assert!(signalled.elapsed() < Duration::from_secs(3));
    lock.release();
    let runs = fleet.json(&["runs"], 0);
    assert_eq!(runs["runs"].as_array().map(Vec::len), Some(1));
    assert_nothing_left(&db);
}
