//! A password never leaves the config.

use crate::support::{Server, TestDatabase, TestFleet, assert_nothing_left, tenants};

const SECRET: &str = "s3cr3tW0rd";

/// F63: passwords in outputs and in the ledger.
#[test]
fn a_password_is_in_no_output_and_not_in_the_ledger() {
    let db = TestDatabase::create(Server::A);
    tenants(&db, 2);
    let url = db
        .url()
        .replace("postgres@", &format!("postgres:{SECRET}@"));
    let fleet = TestFleet::without_database()
        .database_url("main", &url)
        .probe_migrations(1..=1)
        .migration("V2__bad", "SELECT 1/0;\n");
    for format in ["human", "json", "ndjson"] {
        for command in [
            "plan",
            "migrate",
            "status",
            "resume",
            "runs",
            "show",
            "tenants",
            "reconcile",
            "init",
        ] {
            let run = fleet.fleet(&["-v", "-o", format, command]);
            let seen = format!("{}{}", run.stdout, run.stderr);
            assert!(!seen.contains(SECRET), "{run}");
        }
    }
    let tables: Vec<String> =
        db.column("SELECT tablename FROM pg_tables WHERE schemaname = 'fleet_control'");
    assert!(tables.len() >= 4, "{tables:?}");
    for table in tables {
        let leaks: i64 = db.query_one(&format!(
            "SELECT count(*) FROM fleet_control.{table} t WHERE t::text LIKE '%{SECRET}%'"
        ));
        assert_eq!(leaks, 0, "{table}");
    }
    assert_nothing_left(&db);
}

/// F63: passwords in errors.
#[test]
fn a_password_is_in_no_error_about_a_url_or_a_connection() {
    for url in [
        format!("postgresql://app:{SECRET}@127.0.0.1:1/nowhere"),
        format!("postgresql://app:{SECRET}@127.0.0.1:port/nowhere"),
        format!("postgresql://app:{SECRET}@127.0.0.1:5432/x?sslmode=sometimes"),
        format!("postgresql://app:{SECRET}@[::1/nowhere"),
        format!("postgresql:/app:{SECRET}@127.0.0.1/nowhere"),
        format!("postgresql://app:{SECRET}%zz@127.0.0.1/nowhere"),
        format!("mysql://app:{SECRET}@127.0.0.1/nowhere"),
        format!("host=127.0.0.1 port=1 user=app password={SECRET}"),
        format!("host=127.0.0.1 port=one user=app password='{SECRET}'"),
        format!("host=127.0.0.1 password='{SECRET}"),
        format!("password={SECRET} nonsense"),
        format!("postgresql://127.0.0.1:1/x?password={SECRET}"),
        format!("app:{SECRET}@127.0.0.1/nowhere"),
    ] {
        for arguments in [&["plan"][..], &["-v", "-o", "json", "migrate"]] {
            let run = TestFleet::without_database()
                .database_url("main", &url)
                .probe_migrations(1..=1)
                .fleet(arguments);
            assert!(run.code() == 1 || run.code() == 3, "{run}");
            let seen = format!("{}{}", run.stdout, run.stderr);
            assert!(!seen.contains(SECRET), "{url}\n{run}");
            assert!(!seen.contains("panicked"), "{run}");
        }
    }
}

#[test]
fn a_password_of_a_variable_is_not_shown_either() {
    let run = TestFleet::without_database()
        .env(
            "DATABASE_URL",
            &format!("postgresql://app:{SECRET}@127.0.0.1:1/x"),
        )
        .database_url("main", "${DATABASE_URL}")
        .probe_migrations(1..=1)
        .fleet(&["plan"]);
    run.assert_code(1).assert_stderr_has("127.0.0.1:1");
    assert!(!run.stderr.contains(SECRET), "{run}");
}
