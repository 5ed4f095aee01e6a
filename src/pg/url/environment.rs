//! What surrounds a URL: libpq's variables, the home directory, the user of the operating system.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use crate::pg::account::Account;

/// The surroundings, read once, so that tests can make up their own.
#[derive(Clone, Debug, Default)]
pub(super) struct Environment {
    /// Variables whose names begin with `PG`.
    pub(super) variables: BTreeMap<String, String>,
    /// The home directory.
    pub(super) home: Option<PathBuf>,
    /// The user of the operating system.
    pub(super) os_user: Option<String>,
    /// The socket directory of an installed server, where there is one.
    pub(super) socket: Option<PathBuf>,
}

impl Environment {
    /// Of this process.
    pub(super) fn of_process() -> Self {
        let variables = std::env::vars_os()
            .filter_map(|(name, value)| Some((name.into_string().ok()?, value.into_string().ok()?)))
            .filter(|(name, value)| name.starts_with("PG") && !value.is_empty())
            .collect();
        let account = Account::current();
        let home = std::env::var_os("HOME")
            .filter(|home| !home.is_empty())
            .map(PathBuf::from)
            .or_else(|| account.as_ref().map(|account| account.home.clone()));
        let os_user = account
            .map(|account| account.name)
            .or_else(|| std::env::var("USER").ok());
        let socket = Path::new("/var/run/postgresql");
        Self {
            variables,
            home,
            os_user,
            socket: socket.is_dir().then(|| socket.to_owned()),
        }
    }

    pub(super) fn variable(&self, name: &str) -> Option<&str> {
        self.variables.get(name).map(String::as_str)
    }
}
