//! The two servers that `scripts/test` starts for everybody.

use std::path::PathBuf;

/// One of the shared servers. Never stop them: a test that needs to starts a `PrivateServer`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Server {
    /// The usual one.
    A,
    /// A second one, for fleets over two servers.
    B,
}

impl Server {
    /// The URL of its `postgres` database, as a superuser.
    pub(crate) fn url(self) -> String {
        required(match self {
            Self::A => "FLEET_TEST_SERVER_A",
            Self::B => "FLEET_TEST_SERVER_B",
        })
    }

    /// The URL of a database of this server.
    pub(crate) fn database_url(self, database: &str) -> String {
        let url = self.url();
        let (server, _) = url.rsplit_once('/').expect("a URL with a database");
        format!("{server}/{database}")
    }

    /// Where its data and its log are.
    pub(crate) fn pgdata(self) -> PathBuf {
        PathBuf::from(required(match self {
            Self::A => "FLEET_TEST_PGDATA_A",
            Self::B => "FLEET_TEST_PGDATA_B",
        }))
    }
}

/// The folder of the server's binaries.
pub(crate) fn pg_bindir() -> PathBuf {
    PathBuf::from(required("FLEET_PG_BINDIR"))
}

fn required(variable: &str) -> String {
    std::env::var(variable).unwrap_or_else(|_| {
        panic!("{variable} is not set: run scripts/test, which starts the servers (arguments go to cargo nextest run)")
    })
}
