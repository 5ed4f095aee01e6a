//! The config file: `fleet.yaml` becomes a [`Config`] whose every value is checked, or all that is
//! wrong with it is said at once. `fleet.example.yaml` holds every key, its default and a comment.
//!
//! ```text
//! text ── read (YAML, known keys) ──► file::File ── check (variables, defaults, rules) ──► Config
//! ```

mod check;
mod databases;
mod error;
mod file;
mod lint;
mod names;
mod probe;
mod read;
mod rehearsal;
mod roles;
mod throttle;
mod values;
mod variables;
mod verify;
mod waves;
mod windows;

use std::env::{self, VarError};
use std::fmt;
use std::io;
use std::num::{NonZeroU32, NonZeroUsize};
use std::path::{Path, PathBuf};
use std::time::Duration;

pub use error::{ConfigError, Problem};
pub use waves::parse_wave;

use crate::inventory::TenantSource;
use crate::lint::Levels;
use crate::migration::Version;
use crate::migrator::{RehearsalLimits, TransactionScope};
use crate::plan::{WaveRule, WindowRule};
use crate::rollout::{RetryPolicy, ThrottleLimits};
use crate::run::FailureBudget;
use crate::tenant::{ApplicationRole, DatabaseName, RoleTemplate, SchemaName, TenantPattern};

/// Everything that `fleet.yaml` says, checked.
#[derive(Clone, Debug)]
pub struct Config {
    /// The file, as it was named.
    pub path: PathBuf,
    /// The file's folder: relative paths of the config start here, and `.fleet/` lies here.
    pub directory: PathBuf,
    /// Where fleet keeps its own records.
    pub control: Control,
    /// The databases that hold tenants, in the file's order. Never empty.
    pub databases: Vec<Database>,
    /// What is applied.
    pub migrations: Migrations,
    /// How one tenant is migrated.
    pub execution: Execution,
    /// Whose the tenants are in PostgreSQL.
    pub roles: Roles,
    /// What the servers may be made to bear.
    pub throttle: Throttle,
    /// How a rehearsal goes about it.
    pub rehearsal: Rehearsal,
    /// How the whole fleet is.
    pub rollout: Rollout,
    /// How migrations are judged before they are run.
    pub lint: Lint,
    /// What makes tenants equal, and when that is looked at.
    pub verify: Verify,
}

/// Where fleet keeps its own records.
#[derive(Clone, Debug)]
pub struct Control {
    /// The schema of fleet's tables.
    pub schema: SchemaName,
    /// Its database; None is the first of [`Config::databases`].
    pub url: Option<Url>,
    /// Silence after which another run is taken for dead.
    pub lease: Duration,
    /// How long to wait for another run to end; zero is not at all.
    pub wait: Duration,
}

/// One PostgreSQL database that holds tenants.
#[derive(Clone, Debug)]
pub struct Database {
    /// Its name in reports and on the command line.
    pub name: DatabaseName,
    /// How to reach it.
    pub url: Url,
    /// The ceiling for fleet's own connections to it.
    pub max_connections: NonZeroUsize,
    /// How many of its tenants at a time with a step that waits for all others in the database.
    pub max_index_builds: NonZeroUsize,
    /// Shared schemas after the tenant's own, bare names.
    pub search_path: Vec<String>,
    /// How its tenants are found.
    pub source: TenantSource,
}

/// How to reach a database.
#[derive(Clone, PartialEq, Eq)]
pub enum Url {
    /// The private local server, started on demand.
    Embedded,
    /// `postgres://…`, `postgresql://…` or `key=value …`, parsed where it is used. Holds a secret.
    Server(String),
}

/// Shows nothing of a server's URL: a password has many places in one (user part, query, key=value).
impl fmt::Debug for Url {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Embedded => f.write_str("Embedded"),
            Self::Server(_) => f.write_str("Server(<not shown>)"),
        }
    }
}

/// What is applied, and where it is recorded in each tenant.
#[derive(Clone, Debug)]
pub struct Migrations {
    /// The folder of the migration files, from the current folder as far as the config's path was.
    pub directory: PathBuf,
    /// refinery's history table in each tenant's schema, a bare name.
    pub history_table: String,
    /// The type of that table's version column where fleet creates it.
    pub history_column: HistoryColumn,
}

/// Which type the version column of a new history table gets.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum HistoryColumn {
    /// As the fleet's other tenants have it; where there is none, int4 if all versions fit.
    Auto,
    /// As a stock refinery makes it.
    Int4,
    /// As a refinery with `int8-versions` makes it.
    Int8,
}

/// How one tenant is migrated.
#[derive(Clone, Debug)]
pub struct Execution {
    /// Tenants at a time over the whole fleet; None: it is found out how many bring most.
    pub concurrency: Option<NonZeroUsize>,
    /// How much goes into one transaction.
    pub transaction: TransactionScope,
    /// What keeps a tenant's migrations inside of their tenant.
    pub isolation: Isolation,
    /// `lock_timeout` of a tenant's session; zero is off.
    pub lock_timeout: Duration,
    /// `statement_timeout` of a tenant's session; zero is off.
    pub statement_timeout: Duration,
    /// The same for a statement that waits for all others in the database; zero is off.
    pub index_build_timeout: Duration,
    /// How long a database may be out of reach before its tenants are given up.
    pub reconnect_timeout: Duration,
    /// When a transient failure is tried again.
    pub retry: RetryPolicy,
}

/// What keeps a tenant's migrations inside of their tenant.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Isolation {
    /// Nothing in the database: they run as fleet's own role.
    None,
    /// A role for each tenant that owns the tenant's schema and nothing else.
    Role,
}

/// Whose the tenants are in PostgreSQL.
#[derive(Clone, Debug)]
pub struct Roles {
    /// The role that owns a tenant's schema and nothing else.
    pub tenant: RoleTemplate,
    /// The roles that the application connects with; none where nothing is said.
    pub applications: Vec<ApplicationRole>,
}

/// What the servers may be made to bear.
#[derive(Clone, Debug)]
pub struct Throttle {
    /// The limits.
    pub limits: ThrottleLimits,
    /// Standbys that lag on purpose, by their `application_name`.
    pub ignored_replicas: Vec<String>,
}

/// How a rehearsal goes about it.
#[derive(Clone, Debug)]
pub struct Rehearsal {
    /// What bounds its statements, within those of [`Execution`].
    pub limits: RehearsalLimits,
    /// Tenants at a time over the whole fleet.
    pub concurrency: NonZeroUsize,
}

/// How the whole fleet is migrated.
#[derive(Clone, Debug)]
pub struct Rollout {
    /// Tenants that go together, in order; none where nothing is said.
    pub waves: Vec<WaveRule>,
    /// How many tenants go first where there are no waves, in a run over more than a few.
    pub canary: Option<NonZeroU32>,
    /// After how many failed tenants no new one is started.
    pub max_failures: FailureBudget,
    /// After how many failures of one kind a migration is taken for bad; 0: never.
    pub same_failures: u32,
    /// When tenants may be touched; one that no rule is about may be touched at any time.
    pub windows: Vec<WindowRule>,
}

/// How migrations are judged before they are run.
#[derive(Clone, Debug)]
pub struct Lint {
    /// Files below this version are taken as they are.
    pub from: Version,
    /// How bad a finding of each rule is.
    pub levels: Levels,
    /// The column by which rows of tables that tenants share belong to them.
    pub tenant_column: Option<String>,
}

/// What makes tenants equal, and when that is looked at.
#[derive(Clone, Debug)]
pub struct Verify {
    /// Whether grants belong to a tenant's shape.
    pub grants: bool,
    /// Whether comments do.
    pub comments: bool,
    /// Tenants that may differ from the others.
    pub exclude: Vec<TenantPattern>,
    /// After which waves of a run tenants are compared.
    pub after: VerifyAfter,
    /// What becomes of a tenant that differed before the run already.
    pub drift: Drift,
}

/// After which waves of a run tenants are compared.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum VerifyAfter {
    /// After the first.
    Canary,
    /// After each, and at the end of a run without waves.
    Every,
}

/// What becomes of a tenant that differed from the others before the run already.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Drift {
    /// It is told.
    Tell,
    /// It fails.
    Fail,
}

impl Config {
    /// The schemas that are behind the tenant's own in every database.
    pub fn shared_schemas(&self) -> Vec<String> {
        let mut databases = self.databases.iter().map(|database| &database.search_path);
        let first = databases.next().cloned().unwrap_or_default();
        let rest: Vec<&Vec<String>> = databases.collect();
        let is_everywhere = |schema: &String| rest.iter().all(|path| path.contains(schema));
        first.into_iter().filter(is_everywhere).collect()
    }

    /// The schemas of a database that are never tenants: fleet's own, which is kept out of every
    /// database because it may move, and the shared ones of the search path.
    pub fn reserved_schemas(&self, database: &Database) -> Vec<SchemaName> {
        let shared = database
            .search_path
            .iter()
            // A name that cannot be a tenant's needs no keeping out.
            .filter_map(|name| SchemaName::parse(name).ok());
        std::iter::once(self.control.schema.clone())
            .chain(shared)
            .collect()
    }
}

/// Reads and checks a config file; variables come from the environment.
///
/// # Errors
/// A file that cannot be read, that is no YAML of the right shape, or every wrong value at once.
pub fn load(path: &Path) -> Result<Config, ConfigError> {
    let text = std::fs::read_to_string(path).map_err(|cause| match cause.kind() {
        io::ErrorKind::NotFound => ConfigError::Missing {
            path: path.to_owned(),
        },
        _ => ConfigError::Unreadable {
            path: path.to_owned(),
            cause,
        },
    })?;
    // some editors put a byte order mark in front, which YAML's parser takes for a document
    let text = text.strip_prefix('\u{feff}').unwrap_or(&text);
    from_text(path, text, &|name| env::var(name))
}

/// Where `${…}` gets its values.
type Variables<'a> = dyn Fn(&str) -> Result<String, VarError> + 'a;

fn from_text(path: &Path, text: &str, variables: &Variables<'_>) -> Result<Config, ConfigError> {
    let file = read::read(path, text)?;
    check::check(path, file, variables).map_err(|mut problems| {
        for problem in problems.iter_mut().take(error::SHOWN) {
            problem.line = probe::line_of(text, &problem.key);
        }
        ConfigError::Invalid {
            path: path.to_owned(),
            problems,
        }
    })
}

#[cfg(test)]
mod tests;
