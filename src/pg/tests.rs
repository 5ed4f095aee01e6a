//! Tests of sessions against a real server, and of errors against scripted ones.

use std::time::Duration;

use super::testing::{TcpServer, options, scripted, session, value};
use super::*;
use crate::run::FailureClass;
use crate::tenant::DatabaseName;

const HBA: &str = "\
    host all locked_out 127.0.0.1/32 reject\n\
    host all app 127.0.0.1/32 scram-sha-256\n\
    host all all 127.0.0.1/32 trust\n";

fn server() -> TcpServer {
    TcpServer::start(
        HBA,
        &[
            "CREATE ROLE app LOGIN PASSWORD 'hunter2' CONNECTION LIMIT 1",
            "CREATE ROLE odd LOGIN",
            "ALTER ROLE odd SET search_path = public; ALTER ROLE odd SET statement_timeout = 1",
            "ALTER ROLE odd SET default_transaction_isolation = 'serializable'",
            "ALTER ROLE odd SET default_transaction_read_only = on",
        ],
        &[],
    )
}

#[tokio::test(flavor = "multi_thread")]
async fn a_real_server() {
    let mut server = server();
    let url = format!("postgres://postgres@127.0.0.1:{}/postgres", server.port);
    settings_hold_against_those_of_the_role(server.port).await;
    facts_are_read(&url).await;
    refusals_are_told_apart(server.port).await;
    statements_are_cancelled(&url).await;
    failures_keep_the_servers_words(&url).await;
    lost_connections_are_noticed(&url).await;

    server.stop();
    let error = session(&url).await.unwrap_err();
    assert!(matches!(error, PgError::Unreachable(_)), "{error:?}");
    assert_eq!(
        error.to_string(),
        format!(
            "cannot reach postgresql://postgres@127.0.0.1:{}/postgres: Connection refused (os error 111)",
            server.port
        )
    );
    assert!(error.hint().is_some());
}

async fn settings_hold_against_those_of_the_role(port: u16) {
    let url = format!("postgres://odd@127.0.0.1:{port}/postgres?options=-c%20work_mem%3D1MB");
    let session = session(&url).await.unwrap();
    for (setting, expected) in [
        ("search_path", ""),
        ("lock_timeout", "1s"),
        ("statement_timeout", "30s"),
        ("idle_in_transaction_session_timeout", "0"),
        ("client_min_messages", "warning"),
        ("default_transaction_isolation", "read committed"),
        ("application_name", "fleet test"),
        ("work_mem", "1MB"),
    ] {
        let found = value(&session, &format!("SHOW {setting}")).await;
        assert_eq!(found, expected, "{setting}");
    }
    // no such setting before PostgreSQL 14
    let check = "SELECT coalesce(current_setting('client_connection_check_interval', true), '1s')";
    assert_eq!(value(&session, check).await, "1s");
    let error = session
        .batch_execute("CREATE TABLE lost()")
        .await
        .unwrap_err();
    // an empty path comes before a read-only transaction: nothing lands anywhere by accident
    assert!(["3F000", "25006"].contains(&error.code().unwrap().code()));
    let facts = inspect_server(&session).await.unwrap();
    assert!(facts.refusal().unwrap().contains("read only"));
    session.close().await;
}

async fn facts_are_read(url: &str) {
    let session = session(url).await.unwrap();
    let facts = inspect_server(&session).await.unwrap();
    assert!(facts.version_num >= 120_000, "{facts:?}");
    assert_eq!(facts.database, "postgres");
    assert_eq!(facts.current_user, "postgres");
    assert_eq!((facts.max_connections, facts.superuser_reserved), (100, 3));
    assert_eq!(facts.refusal(), None);
    session.close().await;
}

async fn refusals_are_told_apart(port: u16) {
    let at = |user: &str, rest: &str| format!("postgres://{user}@127.0.0.1:{port}/{rest}");
    let wrong = session(&at("app:hunter3", "postgres")).await.unwrap_err();
    assert!(matches!(wrong, PgError::Authentication(_)), "{wrong:?}");
    assert_eq!(wrong.sqlstate(), Some("28P01"));
    assert_eq!(wrong.class(), FailureClass::Permanent);
    let none = session(&at("app", "postgres?passfile=/nonexistent"))
        .await
        .unwrap_err();
    assert!(matches!(none, PgError::Authentication(_)), "{none:?}");
    assert!(none.hint().unwrap().contains("PGPASSWORD"), "{none}");
    let rejected = session(&at("locked_out", "postgres")).await.unwrap_err();
    assert_eq!(rejected.sqlstate(), Some("28000"), "{rejected}");
    let missing = session(&at("odd", "nowhere")).await.unwrap_err();
    assert!(matches!(missing, PgError::NoSuchDatabase(_)), "{missing:?}");

    let first = session(&at("app:hunter2", "postgres")).await.unwrap();
    let full = session(&at("app:hunter2", "postgres")).await.unwrap_err();
    assert!(matches!(full, PgError::TooManyConnections(_)), "{full:?}");
    assert_eq!(full.class(), FailureClass::Transient);
    first.close().await;
    for error in [wrong, none, rejected, missing, full] {
        let shown = format!("{error} {error:?} {:?} {:?}", error.hint(), error.failure());
        assert!(!shown.contains("hunter"), "{shown}");
        assert!(!error.to_string().contains('\n'), "{shown}");
    }
}

async fn statements_are_cancelled(url: &str) {
    let session = session(url).await.unwrap();
    let cancel = CancelHandle::of(&session, &ConnectionUrl::parse(url).unwrap());
    let (result, ()) = tokio::join!(session.batch_execute("SELECT pg_sleep(20)"), async {
        tokio::time::sleep(Duration::from_millis(200)).await;
        cancel.cancel().await.unwrap();
    });
    let failure = failure_of(&result.unwrap_err());
    assert_eq!(failure.sqlstate.as_deref(), Some("57014"));
    assert_eq!(failure.class, FailureClass::Permanent);
    assert_eq!(
        value(&session, "SELECT 1").await,
        "1",
        "the session lives on"
    );
}

async fn failures_keep_the_servers_words(url: &str) {
    let session = session(url).await.unwrap();
    let raise =
        "DO $$ BEGIN RAISE EXCEPTION USING errcode = '40001', message = repeat('x', 5000000),
        detail = 'the detail', hint = 'the hint'; END $$";
    let failure = failure_of(&session.batch_execute(raise).await.unwrap_err());
    assert_eq!(failure.sqlstate.as_deref(), Some("40001"));
    assert_eq!(failure.class, FailureClass::Transient);
    assert!(failure.message.len() < MAX_MESSAGE_BYTES + 64);
    assert_eq!(failure.detail.as_deref(), Some("the detail"));
    assert_eq!(failure.hint.as_deref(), Some("the hint"));
}

async fn lost_connections_are_noticed(url: &str) {
    let url = ConnectionUrl::parse(url).unwrap();
    let main = DatabaseName::new("main");
    let pool = pool(&url, &options(), 1).unwrap();
    let killer = connect(&url, &options()).await.unwrap();
    let client = checkout(&pool, &main).await.unwrap();
    let pid = value(&client, "SELECT pg_backend_pid()").await;

    // in the middle of a statement the client itself is told
    let (result, _) = tokio::join!(client.batch_execute("SELECT pg_sleep(20)"), async {
        tokio::time::sleep(Duration::from_millis(200)).await;
        value(&killer, &format!("SELECT pg_terminate_backend({pid})")).await
    });
    let error = result.unwrap_err();
    assert!(is_connection_lost(&error), "{error:?}");
    assert_eq!(failure_of(&error).sqlstate.as_deref(), Some("57P01"));
    discard(client);

    // between two statements only the connection hears of it
    let client = checkout(&pool, &main).await.unwrap();
    let pid = value(&client, "SELECT pg_backend_pid()").await;
    value(&killer, &format!("SELECT pg_terminate_backend({pid})")).await;
    tokio::time::sleep(Duration::from_millis(300)).await;
    let error = client.batch_execute("SELECT 1").await.unwrap_err();
    assert!(is_connection_lost(&error), "{error:?}");
    assert_eq!(failure_of(&error).class, FailureClass::Transient);
    let reason = pool.last_disconnect().unwrap();
    assert!(reason.contains("57P01"), "{reason}");
    drop(client);

    let client = checkout(&pool, &main).await.unwrap();
    assert_eq!(
        value(&client, "SELECT 1").await,
        "1",
        "a new one in its place"
    );
    killer.close().await;
}

/// An answer of the protocol: type, length, body.
fn message(kind: u8, body: &[u8]) -> Vec<u8> {
    let length = u32::try_from(body.len() + 4).unwrap();
    let mut message = vec![kind];
    message.extend(length.to_be_bytes());
    message.extend(body);
    message
}

#[tokio::test]
async fn kinds_that_the_driver_hides_are_still_told_apart() {
    let at =
        |port: u16, rest: &str| format!("postgres://u@127.0.0.1:{port}/d?passfile=/none&{rest}");
    let port = scripted(vec![b"N".to_vec()]);
    let error = session(&at(port, "sslmode=require")).await.unwrap_err();
    assert!(matches!(error, PgError::Tls(_)), "{error:?}");
    assert!(
        error.to_string().ends_with("server does not support TLS"),
        "{error}"
    );

    let port = scripted(vec![b"S".to_vec()]);
    let error = session(&at(port, "sslmode=require")).await.unwrap_err();
    assert!(matches!(error, PgError::Unreachable(_)), "{error:?}");

    let port = scripted(vec![message(b'R', &3_u32.to_be_bytes())]);
    let error = session(&at(port, "sslmode=disable")).await.unwrap_err();
    assert!(matches!(error, PgError::Authentication(_)), "{error:?}");

    let starting = b"SFATAL\0VFATAL\0C57P03\0Mthe database system is starting up\0\0";
    let port = scripted(vec![message(b'E', starting)]);
    let error = session(&at(port, "sslmode=disable")).await.unwrap_err();
    assert!(matches!(error, PgError::ServerStarting(_)), "{error:?}");
    assert_eq!(error.class(), FailureClass::Transient);

    let pooler = b"SFATAL\0C08P01\0Munsupported startup parameter in options: search_path\0\0";
    let port = scripted(vec![message(b'E', pooler)]);
    let error = session(&at(port, "sslmode=disable")).await.unwrap_err();
    assert!(error.hint().unwrap().contains("PgBouncer"), "{error}");

    // closed without a word, and not PostgreSQL at all
    for answer in [Vec::new(), b"HTTP/1.1 400 Bad Request\r\n".to_vec()] {
        let port = scripted(vec![answer]);
        let error = session(&at(port, "sslmode=disable&connect_timeout=1"))
            .await
            .unwrap_err();
        assert!(matches!(error, PgError::Unreachable(_)), "{error:?}");
    }
}

#[tokio::test]
async fn a_server_that_accepts_and_says_nothing_is_given_up() {
    let silent = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let port = silent.local_addr().unwrap().port();
    let url = format!("postgres://u@127.0.0.1:{port}/d?sslmode=disable&connect_timeout=1");
    let error = session(&url).await.unwrap_err();
    assert!(error.to_string().contains("no answer within 2s"), "{error}");
    let url = ConnectionUrl::parse(&url).unwrap();
    let pool = pool(&url, &options(), 1).unwrap();
    let error = checkout(&pool, &DatabaseName::new("main"))
        .await
        .unwrap_err();
    assert!(
        error
            .to_string()
            .starts_with("cannot reach main (postgresql://u@"),
        "{error}"
    );
    assert_eq!(error.class(), FailureClass::Transient);
}

#[tokio::test]
async fn an_unknown_host_says_so() {
    let error = session("postgres://u@no-such-host.invalid/d")
        .await
        .unwrap_err();
    assert!(matches!(error, PgError::Unreachable(_)), "{error:?}");
    assert!(
        error.to_string().contains("no-such-host.invalid"),
        "{error}"
    );
}
