//! Tests of TLS against a real server, with certificates that openssl makes for them.

use std::process::Command;

use super::super::testing::{TcpServer, options, session, value};
use super::super::{CancelHandle, ConnectionUrl, PgError, checkout, pool};
use super::*;
use crate::tenant::DatabaseName;

const HBA: &str = "\
    hostssl all certified 127.0.0.1/32 cert\n\
    hostssl all app 127.0.0.1/32 scram-sha-256\n\
    hostnossl all plain 127.0.0.1/32 trust\n";

/// Certificates in a folder: a root, a server's and a client's that it signed, one that signed
/// itself as in PostgreSQL's manual, and one of version 1.
const CERTIFICATES: &str = r#"
set -e
new() { openssl req -new -nodes -newkey rsa:2048 -keyout "$1.key" -out "$1.csr" -subj "/CN=$2"; }
self() { openssl req -x509 -nodes -newkey rsa:2048 -days 2 -keyout "$1.key" -out "$1.crt" -subj "/CN=$2" $3 $4; }
sign() { openssl x509 -req -days 2 -in "$1.csr" -CA root.crt -CAkey root.key -CAcreateserial -out "$1.crt" $2 $3; }
self root "fleet test root"
self other "another root"
self self localhost -addext subjectAltName=DNS:localhost
echo "subjectAltName=DNS:localhost" > san
new leaf localhost; sign leaf -extfile san
new old localhost; sign old
echo "basicConstraints=CA:FALSE" > plain
new client certified; sign client -extfile plain
"#;

fn settings(server: &TcpServer, name: &str) -> Vec<String> {
    let file = |name: String| server.folder().join(name).display().to_string();
    vec![
        "ssl=on".to_owned(),
        format!("ssl_cert_file={}", file(format!("{name}.crt"))),
        format!("ssl_key_file={}", file(format!("{name}.key"))),
        format!("ssl_ca_file={}", file("root.crt".to_owned())),
    ]
}

struct Case<'a> {
    server: &'a TcpServer,
    host: &'a str,
}

impl Case<'_> {
    /// Opens a session as `app` and says whether it is encrypted. `@` stands for the folder.
    async fn is_encrypted(&self, parameters: &str) -> Result<bool, PgError> {
        let session = session(&self.url(parameters)).await?;
        let sql = "SELECT ssl FROM pg_stat_ssl WHERE pid = pg_backend_pid()";
        Ok(value(&session, sql).await == "t")
    }

    async fn hint(&self, parameters: &str) -> String {
        match self.is_encrypted(parameters).await.unwrap_err() {
            error @ PgError::Tls(_) => error.hint().unwrap_or_default().to_owned(),
            other => panic!("{other:?}"),
        }
    }

    fn url(&self, parameters: &str) -> String {
        let user = if parameters.contains("user=") {
            ""
        } else {
            "user=app password=hunter2"
        };
        format!(
            "{user} host={} hostaddr=127.0.0.1 port={} dbname=postgres {}",
            self.host,
            self.server.port,
            parameters.replace('@', &self.server.folder().display().to_string())
        )
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_real_server() {
    let roles = [
        "CREATE ROLE app LOGIN PASSWORD 'hunter2'",
        "CREATE ROLE plain LOGIN",
        "CREATE ROLE certified LOGIN",
    ];
    let mut server = TcpServer::start(HBA, &roles, &[]);
    let made = Command::new("sh")
        .args(["-c", CERTIFICATES])
        .current_dir(server.folder())
        .output()
        .unwrap();
    assert!(
        made.status.success(),
        "{}",
        String::from_utf8_lossy(&made.stderr)
    );
    for key in ["leaf.key", "self.key", "old.key"] {
        server.hand_over(&server.folder().join(key));
    }
    without_tls(&server).await;
    server.restart(&settings(&server, "leaf"));
    signed_by_a_root(&server).await;
    through_the_pool(&server).await;
    server.restart(&settings(&server, "self"));
    signed_by_itself(&server).await;
    server.restart(&settings(&server, "old"));
    of_version_one(&server).await;
}

async fn without_tls(server: &TcpServer) {
    let at = Case {
        server,
        host: "localhost",
    };
    for mode in ["prefer", "allow", "disable"] {
        let encrypted = at.is_encrypted(&format!("sslmode={mode} user=plain")).await;
        assert!(!encrypted.unwrap(), "{mode}");
    }
    assert!(
        at.hint("sslmode=require user=plain")
            .await
            .contains("sslmode=disable")
    );
}

async fn signed_by_a_root(server: &TcpServer) {
    let named = Case {
        server,
        host: "localhost",
    };
    let unnamed = Case {
        server,
        host: "127.0.0.1",
    };
    for parameters in [
        "",
        "sslmode=prefer",
        "sslmode=require",
        "sslmode=require channel_binding=require",
        "sslmode=verify-ca sslrootcert=@/root.crt",
        "sslmode=require sslrootcert=@/root.crt",
    ] {
        assert!(
            unnamed.is_encrypted(parameters).await.unwrap(),
            "{parameters}"
        );
    }
    assert!(
        named
            .is_encrypted("sslmode=verify-full sslrootcert=@/root.crt")
            .await
            .unwrap()
    );

    let hint = unnamed
        .hint("sslmode=verify-full sslrootcert=@/root.crt")
        .await;
    assert!(hint.contains("subjectAltName"), "{hint}");
    // a root that is given counts also for `require`
    for mode in ["require", "verify-ca", "verify-full"] {
        let hint = named
            .hint(&format!("sslmode={mode} sslrootcert=@/other.crt"))
            .await;
        assert!(hint.contains("sslrootcert"), "{hint}");
    }
    named
        .hint("sslmode=verify-full sslrootcert=@/missing.crt")
        .await;
    named.hint("sslmode=verify-full sslrootcert=@/san").await;
    named.hint("sslrootcert=system").await;

    let refused = named.is_encrypted("sslmode=disable").await.unwrap_err();
    assert!(matches!(refused, PgError::Authentication(_)), "{refused:?}");
    let certified = "user=certified sslmode=require sslcert=@/client.crt sslkey=@/client.key";
    assert!(named.is_encrypted(certified).await.unwrap());
    let uncertified = named.is_encrypted("user=certified sslmode=require").await;
    assert!(matches!(uncertified, Err(PgError::Authentication(_))));
}

async fn through_the_pool(server: &TcpServer) {
    let at = Case {
        server,
        host: "localhost",
    };
    let url = at.url("sslmode=verify-full sslrootcert=@/root.crt");
    let url = ConnectionUrl::parse(&url).unwrap();
    let pool = pool(&url, &options(), 1).unwrap();
    let client = checkout(&pool, &DatabaseName::new("main")).await.unwrap();
    let cancel = CancelHandle::of(&client, pool.url());
    let (result, ()) = tokio::join!(client.batch_execute("SELECT pg_sleep(20)"), async {
        tokio::time::sleep(std::time::Duration::from_millis(200)).await;
        cancel.cancel().await.unwrap();
    });
    assert_eq!(result.unwrap_err().code().unwrap().code(), "57014");
}

async fn signed_by_itself(server: &TcpServer) {
    let named = Case {
        server,
        host: "localhost",
    };
    let unnamed = Case {
        server,
        host: "127.0.0.1",
    };
    let pinned = "sslrootcert=@/self.crt";
    assert!(
        named
            .is_encrypted(&format!("sslmode=verify-full {pinned}"))
            .await
            .unwrap()
    );
    assert!(
        unnamed
            .is_encrypted(&format!("sslmode=verify-ca {pinned}"))
            .await
            .unwrap()
    );
    let hint = unnamed.hint(&format!("sslmode=verify-full {pinned}")).await;
    assert!(hint.contains("subjectAltName"), "{hint}");
    named.hint("sslmode=verify-ca sslrootcert=@/root.crt").await;
}

async fn of_version_one(server: &TcpServer) {
    let at = Case {
        server,
        host: "localhost",
    };
    assert!(at.is_encrypted("sslmode=require").await.unwrap());
}

#[test]
fn a_check_without_anything_to_check_against_is_refused() {
    let parameters = [("sslmode".to_owned(), "verify-full".to_owned())].into();
    let settings = TlsSettings::read(&parameters, None, true).unwrap();
    assert!(matches!(settings.connector(), Err(TlsError::NoRoots)));
}

#[test]
fn weaker_modes_do_not_go_with_the_systems_roots() {
    let read = |mode: &str| {
        let parameters = [
            ("sslrootcert".to_owned(), "system".to_owned()),
            ("sslmode".to_owned(), mode.to_owned()),
        ];
        TlsSettings::read(&parameters.into(), None, true)
    };
    assert!(read("require").is_err());
    assert_eq!(read("verify-full").unwrap().mode, TlsMode::VerifyFull);
}

#[test]
fn a_certificate_without_its_key_is_explained() {
    let parameters = [("sslcert".to_owned(), "x".to_owned())].into();
    let error = TlsSettings::read(&parameters, None, true)
        .unwrap_err()
        .to_string();
    assert!(error.contains("sslrootcert"), "{error}");
}
