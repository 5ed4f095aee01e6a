//! The proxy on trial, between plain sessions and a server.

use std::io::{Read as _, Write as _};
use std::time::{Duration, Instant};

use crate::support::*;

/// A database with a table that counts, and a proxy in front of it.
fn counted() -> (TestDatabase, Proxy) {
    let db = TestDatabase::create(Server::A);
    db.execute("CREATE TABLE counted (n int)");
    let proxy = Proxy::start(&db.url());
    (db, proxy)
}

fn through(proxy: &Proxy, db: &TestDatabase) -> Session {
    Session::connect(&proxy.url(db.name()))
}

fn count(db: &TestDatabase) -> i64 {
    db.query_one("SELECT count(*) FROM counted")
}

/// Sessions that came through the proxy and have not ended on the server.
fn backends(db: &TestDatabase, pid: i32) -> i64 {
    db.query_one(&format!(
        "SELECT count(*) FROM pg_stat_activity WHERE pid = {pid}"
    ))
}

#[test]
fn a_proxy_passes_everything_on_and_counts_it() {
    let (db, proxy) = counted();
    let first = through(&proxy, &db);
    let second = through(&proxy, &db);
    let long = "x".repeat(300_000);
    assert_eq!(first.query_one::<String>(&format!("SELECT '{long}'")), long);
    second.execute("INSERT INTO counted VALUES (1)");

    assert_eq!(count(&db), 1);
    assert_eq!(proxy.connections(), 2);
    assert_eq!(proxy.open_connections(), 2);
    assert_eq!(proxy.frontend_messages(), 4);
    assert_eq!(proxy.round_trips(), 4);
    let messages = proxy.messages();
    assert_eq!(messages[0].kind, Kind::Startup);
    assert!(messages[0].text().contains("test harness"));
    let last = &messages[3];
    assert_eq!((last.connection, last.number), (2, 2));
    assert_eq!(last.kind, Kind::Tagged('Q'));
    assert_eq!(last.text(), "INSERT INTO counted VALUES (1)\0");
    drop(first);
    wait_until("the connection's end is passed on", || {
        proxy.open_connections() == 1
    });
    assert_eq!(proxy.cuts(), 0);
}

#[test]
fn what_is_cut_before_never_reaches_the_server() {
    let (db, proxy) = counted();
    let session = through(&proxy, &db);
    let pid = session.pid();
    proxy.cut_before(query_with("INSERT"));
    session.execute("SELECT 1");

    let error = session
        .try_execute("INSERT INTO counted VALUES (1)")
        .expect_err("it is cut");

    assert!(error.as_db_error().is_none(), "{error}");
    assert_eq!(proxy.cuts(), 1);
    wait_until("the server has noticed", || backends(&db, pid) == 0);
    assert_eq!(count(&db), 0);
    // the rule was for one message
    through(&proxy, &db).execute("INSERT INTO counted VALUES (1)");
    assert_eq!(count(&db), 1);
}

#[test]
fn a_cut_is_a_reset_and_no_polite_end() {
    let (db, proxy) = counted();
    proxy.cut_before(|message| message.kind == Kind::Startup);
    let error = Session::try_connect(&proxy.url(db.name()))
        .err()
        .expect("it is cut");
    let error = std::error::Error::source(&error)
        .and_then(|source| source.downcast_ref::<std::io::Error>())
        .map(std::io::Error::kind);
    assert_eq!(error, Some(std::io::ErrorKind::ConnectionReset));
}

#[test]
fn what_is_cut_after_is_done_and_never_confirmed() {
    let (db, proxy) = counted();
    // from PostgreSQL 14 on such a backend would stop if its client were seen to hang up
    let session = through(&proxy, &db);
    session.execute(
        "SELECT set_config(name, '10ms', false) FROM pg_settings WHERE name = 'client_connection_check_interval'",
    );
    proxy.cut_after(query_with("INSERT"));
    let lock = db.hold_lock("LOCK TABLE counted");

    std::thread::scope(|scope| {
        let told = scope.spawn(|| session.try_execute("INSERT INTO counted VALUES (1)"));
        let error = told.join().expect("no panic").expect_err("it is cut");
        assert!(error.as_db_error().is_none(), "{error}");
    });

    assert_eq!(proxy.cuts(), 1);
    wait_until("the server is at work on it", || lock.waiters() == 1);
    lock.release();
    wait_until("the statement is done", || count(&db) == 1);
    wait_until("the server's side is closed", || {
        proxy.open_connections() == 0
    });
}

#[test]
fn an_extended_query_that_is_cut_after_is_done_too() {
    let (db, proxy) = counted();
    let session = through(&proxy, &db);
    proxy.cut_after(|message| message.kind == Kind::Tagged('E'));
    let error = session.try_prepared("INSERT INTO counted VALUES (1)");
    assert!(error.is_err());
    wait_until("the statement is done", || count(&db) == 1);
    wait_until("the server's side is closed", || {
        proxy.open_connections() == 0
    });
}

#[test]
fn the_nth_message_is_found() {
    let (db, proxy) = counted();
    let session = through(&proxy, &db);
    proxy.cut_before(nth(3));
    session.execute("INSERT INTO counted VALUES (1)");
    session.execute("INSERT INTO counted VALUES (2)");
    assert!(
        session
            .try_execute("INSERT INTO counted VALUES (3)")
            .is_err()
    );
    assert_eq!(count(&db), 2);

    proxy.cut_before(nth_that(2, query_with("INSERT")));
    let session = through(&proxy, &db);
    session.execute("INSERT INTO counted VALUES (4); SELECT 1");
    session.execute("SELECT 1");
    assert!(
        session
            .try_execute("INSERT INTO counted VALUES (5)")
            .is_err()
    );
    assert_eq!(count(&db), 3);
}

#[test]
fn a_frozen_message_waits_for_the_thaw_and_others_do_not() {
    let (db, proxy) = counted();
    let (frozen, other) = (through(&proxy, &db), through(&proxy, &db));
    proxy.freeze(query_with("INSERT"));
    std::thread::scope(|scope| {
        let told = scope.spawn(|| frozen.try_execute("INSERT INTO counted VALUES (1)"));
        wait_until("it is frozen", || proxy.frozen() == 1);
        other.execute("SELECT 1");
        assert_eq!(count(&db), 0);
        assert!(!told.is_finished());
        proxy.thaw();
        told.join().expect("no panic").expect("it is done");
    });
    assert_eq!(count(&db), 1);
}

#[test]
fn an_answer_can_be_frozen() {
    let (db, proxy) = counted();
    let session = through(&proxy, &db);
    proxy.freeze_after(query_with("INSERT"));
    std::thread::scope(|scope| {
        let told = scope.spawn(|| session.try_execute("INSERT INTO counted VALUES (1)"));
        wait_until("the server has done it", || count(&db) == 1);
        wait_until("and said so", || proxy.round_trips() == 2);
        assert!(!told.is_finished());
        proxy.thaw();
        told.join().expect("no panic").expect("it is done");
    });
}

#[test]
fn everything_can_be_frozen_and_a_proxy_can_go_while_it_is() {
    let (db, proxy) = counted();
    let session = through(&proxy, &db);
    proxy.freeze_all();
    std::thread::scope(|scope| {
        let old = scope.spawn(|| session.try_execute("INSERT INTO counted VALUES (1)"));
        let new = scope.spawn(|| Session::try_connect(&proxy.url(db.name())));
        wait_until("one waits and one connects", || {
            proxy.connections() == 2 && proxy.frontend_messages() == 3
        });
        assert!(!old.is_finished() && !new.is_finished());
        proxy.thaw();
        old.join().expect("no panic").expect("it is done");
        assert!(new.join().expect("no panic").is_ok());
    });

    proxy.freeze_all();
    std::thread::scope(|scope| {
        let told = scope.spawn(|| session.try_execute("INSERT INTO counted VALUES (2)"));
        wait_until("it is on its way", || {
            proxy
                .messages()
                .iter()
                .any(|message| message.text().contains("(2)"))
        });
        drop(proxy);
        told.join()
            .expect("no panic")
            .expect_err("the proxy is gone");
    });
    assert_eq!(count(&db), 1);
}

#[test]
fn a_delay_is_paid_each_way() {
    let (db, proxy) = counted();
    let session = through(&proxy, &db);
    let each_way = Duration::from_millis(40);
    proxy.delay(each_way);
    let began = Instant::now();
    session.execute("SELECT 1");
    assert!(began.elapsed() >= 2 * each_way);
    proxy.delay(Duration::ZERO);
    session.execute("SELECT 1");
}

#[test]
fn a_proxy_can_refuse_and_reset_and_lead_elsewhere() {
    let (db, proxy) = counted();
    let other = TestDatabase::create(Server::B);
    let identity = "SELECT system_identifier FROM pg_control_system()";
    let session = through(&proxy, &db);
    let first: u64 = session.query_one(identity);

    proxy.refuse(true);
    assert!(Session::try_connect(&proxy.url(db.name())).is_err());
    session.execute("SELECT 1");
    proxy.refuse(false);
    proxy.switch_to(&other.url());
    let elsewhere = Session::connect(&proxy.url(other.name()));
    assert_ne!(elsewhere.query_one::<u64>(identity), first);
    assert_eq!(session.query_one::<u64>(identity), first);

    proxy.cut_all();
    assert_eq!(proxy.cuts(), 2);
    for cut in [session, elsewhere] {
        assert!(cut.try_execute("SELECT 1").is_err());
    }
}

#[test]
fn encryption_is_declined_and_no_message() {
    let (db, proxy) = counted();
    let url = proxy.url(db.name());
    let address = url.split(['@', '/']).nth(3).expect("a host");
    let mut client = std::net::TcpStream::connect(address).expect("it listens");
    client
        .write_all(&[0, 0, 0, 8, 4, 210, 22, 47])
        .expect("it takes the request for TLS");
    let mut answer = [0];
    client.read_exact(&mut answer).expect("it answers");
    assert_eq!(answer, *b"N");
    assert_eq!(proxy.frontend_messages(), 0);
}

#[test]
fn startup_options_can_get_lost() {
    let (db, proxy) = counted();
    let url = format!("{}?options=-c%20work_mem%3D123kB", proxy.url(db.name()));
    assert_eq!(
        Session::connect(&url).query_one::<String>("SHOW work_mem"),
        "123kB"
    );
    proxy.strip_startup_options(true);
    let session = Session::connect(&url);
    assert_ne!(session.query_one::<String>("SHOW work_mem"), "123kB");
    assert_eq!(
        session.query_one::<String>("SHOW application_name"),
        "test harness"
    );
}
