//! A database for one test.

use std::sync::atomic::{AtomicU32, Ordering};

use super::private_server::PrivateServer;
use super::server::Server;
use super::session::{FromText, Session, quote};
use super::wait::wait_until;
use super::witness::{BackendSampler, LockGuard};

static CREATED: AtomicU32 = AtomicU32::new(0);

/// An empty database, dropped at the end unless the test failed.
pub(crate) struct TestDatabase {
    name: String,
    url: String,
    /// The shared server that it is dropped from at the end. One on a private server goes with it.
    server: Option<Server>,
    session: Session,
}

impl TestDatabase {
    /// Makes one that nobody else has.
    pub(crate) fn create(server: Server) -> Self {
        let number = CREATED.fetch_add(1, Ordering::Relaxed);
        let name = format!("fleet_test_{}_{number}", std::process::id());
        Session::connect(&server.url())
            .execute(&format!("CREATE DATABASE {name} TEMPLATE template0"));
        let url = server.database_url(&name);
        Self {
            session: Session::connect(&url),
            name,
            url,
            server: Some(server),
        }
    }

    /// The `postgres` database of a private server.
    pub(crate) fn on(server: &PrivateServer) -> Self {
        let url = server.url("postgres");
        Self {
            session: Session::connect(&url),
            name: "postgres".to_owned(),
            url,
            server: None,
        }
    }

    /// Opens its session again, after a private server has ended the last one: as soon as it is back.
    pub(crate) fn reconnect(&mut self) {
        wait_until("the server is back", || {
            Session::try_connect(&self.url).is_ok_and(|session| {
                let answers = session.try_execute("SELECT 1").is_ok();
                self.session = session;
                answers
            })
        });
    }

    /// What it is called.
    pub(crate) fn name(&self) -> &str {
        &self.name
    }

    /// Where it is.
    pub(crate) fn url(&self) -> String {
        self.url.clone()
    }

    /// Another session, for what has to happen beside the first one.
    pub(crate) fn connect(&self) -> Session {
        Session::connect(&self.url())
    }

    /// Runs statements, several at once if need be.
    #[track_caller]
    pub(crate) fn execute(&self, sql: &str) {
        self.session.execute(sql);
    }

    /// Runs statements that may fail, or whose session may be gone.
    pub(crate) fn try_execute(&self, sql: &str) -> Result<(), tokio_postgres::Error> {
        self.session.try_execute(sql)
    }

    /// The one value of a query.
    #[track_caller]
    pub(crate) fn query_one<T: FromText>(&self, sql: &str) -> T {
        self.session.query_one(sql)
    }

    /// The first column of a query, NULLs left out.
    #[track_caller]
    pub(crate) fn column<T: FromText>(&self, sql: &str) -> Vec<T> {
        self.session.column(sql)
    }

    /// All rows of a query, as text.
    #[track_caller]
    pub(crate) fn rows(&self, sql: &str) -> Vec<Vec<Option<String>>> {
        self.session.rows(sql)
    }

    /// Runs statements in a transaction of another session, which stays open until the guard goes.
    #[track_caller]
    pub(crate) fn hold_lock(&self, sql: &str) -> LockGuard {
        LockGuard::new(self.connect(), sql)
    }

    /// Starts counting fleet's backends in this database.
    pub(crate) fn sample_backends(&self) -> BackendSampler {
        BackendSampler::start(self.connect())
    }

    /// How many backends of fleet are connected to it now.
    pub(crate) fn fleet_backends(&self) -> i64 {
        self.query_one(&format!(
            "SELECT count(*) FROM pg_stat_activity WHERE {}",
            super::witness::IS_FLEET_HERE
        ))
    }

    /// To be called after a kill. PostgreSQL 13 and older look for a dead client only between statements: there
    /// somebody has to end what it has left.
    pub(crate) fn end_what_the_server_cannot_notice(&self) {
        self.rows(&format!(
            "SELECT pg_terminate_backend(pid) FROM pg_stat_activity
             WHERE {} AND current_setting('server_version_num')::int < 140000",
            super::witness::IS_FLEET_HERE
        ));
    }
}

impl Drop for TestDatabase {
    #[expect(
        clippy::print_stderr,
        reason = "whoever looks at the failure needs the name"
    )]
    fn drop(&mut self) {
        if std::thread::panicking() {
            eprintln!("kept for a look, while its server lives: {}", self.url());
            return;
        }
        if let Some(server) = self.server {
            let session = Session::connect(&server.url());
            // WITH (FORCE) came with PostgreSQL 13; without it, too, DROP waits for those that are told to go
            session.execute(&format!(
                "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = '{}'",
                self.name
            ));
            session.execute(&format!("DROP DATABASE {}", self.name));
        }
    }
}

/// Makes the empty schemas `tenant_0001` to `tenant_<n>` and returns their names.
pub(crate) fn tenants(db: &TestDatabase, n: usize) -> Vec<String> {
    let names: Vec<String> = (1..=n).map(|i| format!("tenant_{i:04}")).collect();
    for chunk in names.chunks(500) {
        let statements: Vec<String> = chunk
            .iter()
            .map(|name| format!("CREATE SCHEMA {}", quote(name)))
            .collect();
        db.execute(&statements.join(";"));
    }
    names
}
