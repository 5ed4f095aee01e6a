//! Tests of the URL as a whole, in made-up surroundings.

use std::os::unix::fs::PermissionsExt;

use super::*;

fn surroundings(variables: &[(&str, &str)]) -> Environment {
    Environment {
        variables: variables
            .iter()
            .map(|(name, value)| ((*name).to_owned(), (*value).to_owned()))
            .collect(),
        home: None,
        os_user: Some("me".to_owned()),
        socket: None,
    }
}

fn parse(text: &str) -> Result<ConnectionUrl, UrlError> {
    ConnectionUrl::parse_in(text, &surroundings(&[]))
}

fn password(url: &ConnectionUrl) -> Option<&str> {
    url.config()
        .get_password()
        .map(|password| std::str::from_utf8(password).unwrap())
}

#[test]
fn nothing_printed_shows_the_password() {
    for text in [
        "postgres://app:hunter2@db.example/shop",
        "host=db.example user=app password=hunter2 dbname=shop",
    ] {
        let url = parse(text).unwrap();
        assert_eq!(url.redacted(), "postgresql://app@db.example:5432/shop");
        assert_eq!(password(&url), Some("hunter2"));
        for shown in [
            url.to_string(),
            format!("{url:?}"),
            format!("{:?}", url.config()),
        ] {
            assert!(!shown.contains("hunter2"), "{shown}");
        }
    }
}

#[test]
fn what_a_prisma_project_writes_is_taken() {
    let url = parse(
        "postgresql://app:x@db:6543/shop?schema=public&connection_limit=1&pool_timeout=0&pgbouncer=true&statement_cache_size=0&socket_timeout=5&sslaccept=strict&sslidentity=a&sslpassword=b&sslmode=require",
    )
    .unwrap();
    assert_eq!(url.redacted(), "postgresql://app@db:6543/shop");
    assert_eq!(url.ignored().len(), 9, "{:?}", url.ignored());
    assert!(url.ignored().contains(&"connection_limit".to_owned()));
    assert_eq!(url.0.tls.mode, super::super::tls::TlsMode::Require);
}

#[test]
fn an_unknown_parameter_is_named_with_its_neighbour() {
    let error = parse("postgres://h/d?sslmoed=require").unwrap_err();
    assert_eq!(
        error.to_string(),
        "connection URL: unknown parameter sslmoed; did you mean sslmode?"
    );
}

#[test]
fn a_check_that_cannot_be_made_is_refused_and_not_dropped() {
    for parameter in [
        "sslcrl=x",
        "requirepeer=root",
        "require_auth=scram-sha-256",
        "service=x",
    ] {
        let error = parse(&format!("postgres://h/d?{parameter}")).unwrap_err();
        assert!(matches!(error, UrlError::Unsupported { .. }), "{error}");
    }
}

#[test]
fn what_is_missing_comes_from_the_surroundings() {
    let environment = surroundings(&[
        ("PGHOST", "db.env"),
        ("PGPORT", "7000"),
        ("PGUSER", "env_user"),
        ("PGPASSWORD", "env_password"),
        ("PGDATABASE", "env_db"),
    ]);
    let url = ConnectionUrl::parse_in("postgres://", &environment).unwrap();
    assert_eq!(url.redacted(), "postgresql://env_user@db.env:7000/env_db");
    assert_eq!(password(&url), Some("env_password"));

    // a port of the surroundings does not follow a host of the URL
    let url = ConnectionUrl::parse_in("postgres://app:own@db/shop", &environment).unwrap();
    assert_eq!(url.redacted(), "postgresql://app@db:5432/shop");
    assert_eq!(password(&url), Some("own"));
}

#[test]
fn the_user_falls_back_to_the_operating_system_and_the_database_to_the_user() {
    let url = parse("postgres://db").unwrap();
    assert_eq!(url.redacted(), "postgresql://me@db:5432/me");
}

#[test]
fn a_socket_never_speaks_tls() {
    for text in [
        "postgres://app@%2Frun%2Fpg/shop?sslmode=require",
        "postgres:///shop?host=/run/pg&user=app&sslmode=verify-full",
    ] {
        let url = parse(text).unwrap();
        assert_eq!(url.redacted(), "postgresql://app@/shop?host=/run/pg");
        assert_eq!(url.0.tls.mode, super::super::tls::TlsMode::Disable);
    }
}

#[test]
fn several_hosts_and_ports_stay_in_order() {
    let url = parse("postgres://app@a:1,b,[::1]:3/shop").unwrap();
    assert_eq!(url.redacted(), "postgresql://app@a:1,b:5432,[::1]:3/shop");
    assert_eq!(url.config().get_ports(), [1, 5432, 3]);
    let url = parse("host=a,b port=7000 user=app dbname=shop").unwrap();
    assert_eq!(url.redacted(), "postgresql://app@a:7000,b:7000/shop");
}

#[test]
fn an_address_spares_the_look_up_and_keeps_the_name_for_the_certificate() {
    let url = parse("host=db hostaddr=10.0.0.1 user=app dbname=shop").unwrap();
    assert_eq!(url.config().get_hostaddrs().len(), 1);
    assert_eq!(url.redacted(), "postgresql://app@db:5432/shop");
}

#[test]
fn a_password_file_is_asked_last() {
    let home = tempfile::tempdir().unwrap();
    let file = home.path().join(".pgpass");
    std::fs::write(&file, "db:*:shop:app:from_file\n").unwrap();
    std::fs::set_permissions(&file, std::fs::Permissions::from_mode(0o600)).unwrap();
    let mut environment = surroundings(&[]);
    environment.home = Some(home.path().to_owned());
    let url = ConnectionUrl::parse_in("postgres://app@db/shop", &environment).unwrap();
    assert_eq!(password(&url), Some("from_file"));

    std::fs::set_permissions(&file, std::fs::Permissions::from_mode(0o644)).unwrap();
    let url = ConnectionUrl::parse_in("postgres://app@db/shop", &environment).unwrap();
    assert_eq!(password(&url), None);
    assert!(
        url.ignored()[0].contains("chmod 0600"),
        "{:?}",
        url.ignored()
    );
}

#[test]
fn values_are_checked_when_parsing() {
    for text in [
        "postgres://h/d?sslmode=sometimes",
        "postgres://h/d?client_encoding=latin1",
        "postgres://h/d?gssencmode=require",
        "postgres://h/d?target_session_attrs=standby",
        "postgres://h/d?connect_timeout=soon",
        "postgres://h:0/d",
        "host=h port=99999",
    ] {
        assert!(parse(text).is_err(), "{text}");
    }
    assert!(parse("postgres://h/d?client_encoding=UTF-8&gssencmode=disable").is_ok());
}
