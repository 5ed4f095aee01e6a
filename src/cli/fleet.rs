//! The fleet as the config describes it: its databases, open; its tenants, found; its plan, made.

use std::collections::{HashMap, HashSet};
use std::sync::Arc;
use std::sync::atomic::AtomicBool;
use std::time::Duration;

use anyhow::Context;
use futures_util::future::try_join_all;

use super::error::Refusal;
use super::histories::histories_of;
use super::open::{
    check_writable, connection_url, needs_embedded, reach, session_options, start_embedded,
};
use super::options::{Global, Selection};
use super::output::Output;
use super::select::select;
use crate::config::{self, Config, HistoryColumn};
use crate::history;
use crate::inventory::{self, DatabaseIdentity, Finder};
use crate::ledger::Control;
use crate::migration::{MigrationSet, Version};
use crate::migrator::{MigrationSettings, RefineryMigrator, TenantDatabase};
use crate::pg::{self, EmbeddedLease, Pool, SessionOptions};
use crate::plan::{self, HistorySnapshot, Plan, VersionColumn};
use crate::rollout::DatabaseLimits;
use crate::source;
use crate::tenant::{DatabaseName, SchemaName, Tenant, TenantFilter, TenantId, TenantPattern};

/// How long a statement of the ledger's may wait or run.
const LEDGER_TIMEOUT: Duration = Duration::from_mins(1);

/// The config, with its databases open.
pub(super) struct Fleet {
    /// The config.
    pub(super) config: Config,
    databases: Vec<OpenDatabase>,
    /// Keeps the embedded server for as long as the command runs.
    embedded: Option<EmbeddedLease>,
    /// What this process calls its sessions, so that they are known from all others.
    pub(super) sessions: String,
    /// Whether the lint's findings were told.
    pub(super) is_linted: AtomicBool,
}

/// One database of the config.
pub(super) struct OpenDatabase {
    /// Its name there.
    pub(super) name: DatabaseName,
    /// Whether the command is about its tenants. The others are not connected to: a server that is
    /// down must not be in the way of the rest.
    is_needed: bool,
    pub(super) pool: Pool,
}

/// The tenants of the databases that a command is about.
#[derive(Clone)]
pub(super) struct Found {
    /// Those that are meant.
    pub(super) selected: Vec<Tenant>,
    /// The rest: their histories tell whether the set is what was applied elsewhere.
    pub(super) others: Vec<Tenant>,
}

impl Found {
    /// All of them.
    pub(super) fn ids(&self) -> HashSet<TenantId> {
        let all = self.selected.iter().chain(&self.others);
        all.map(|tenant| tenant.id.clone()).collect()
    }
}

/// Which databases a command needs.
#[derive(Clone, Copy)]
pub(super) enum Needed<'a> {
    /// Those whose tenants are selected.
    Tenants(&'a Selection),
    /// The same for a look that many may take at once: one connection each is all it takes.
    Glance(&'a Selection),
    /// None but the control database.
    Control,
    /// All of them, each as far as it answers.
    Whatever,
}

impl Needed<'_> {
    fn connections(self, database: &config::Database) -> usize {
        match self {
            Self::Glance(_) | Self::Whatever => 1,
            Self::Tenants(_) | Self::Control => database.max_connections.get(),
        }
    }

    fn includes(self, database: &DatabaseName) -> bool {
        match self {
            Self::Control => false,
            Self::Whatever => true,
            Self::Tenants(selection) | Self::Glance(selection) => {
                let named = &selection.databases;
                let listed = selection.listed.tenants();
                (named.is_empty() || named.iter().any(|name| name == database.as_str()))
                    && (listed.is_empty() || listed.iter().any(|id| id.database == *database))
            }
        }
    }
}

impl Fleet {
    /// Loads the config and opens the databases that the command is about; a URL that leads nowhere
    /// is found out here.
    pub(super) async fn open(
        global: &Global,
        needed: Needed<'_>,
        output: &Output,
    ) -> anyhow::Result<Self> {
        let config = config::load(&global.config)?;
        let embedded = if needs_embedded(&config) {
            Some(start_embedded(&config, output).await?)
        } else {
            None
        };
        let sessions = format!(
            "fleet {} {:06x}",
            std::process::id(),
            fastrand::u32(..1 << 24)
        );
        let mut databases = Vec::new();
        for database in &config.databases {
            let url = connection_url(&database.url, embedded.as_ref())
                .with_context(|| format!("database {}: its url", database.name))?;
            if !url.ignored().is_empty() {
                output.notice(&format!(
                    "database {}: the url's parameters {} are of no use here and are ignored",
                    database.name,
                    url.ignored().join(", ")
                ));
            }
            let options = session_options(&config, sessions.clone());
            databases.push(OpenDatabase {
                is_needed: needed.includes(&database.name),
                name: database.name.clone(),
                pool: pg::pool(&url, &options, needed.connections(database))
                    .with_context(|| format!("database {}", database.name))?,
            });
        }
        let fleet = Self {
            config,
            databases,
            embedded,
            sessions,
            is_linted: AtomicBool::new(false),
        };
        if let Needed::Tenants(selection) | Needed::Glance(selection) = needed {
            fleet.check_databases(&selection.filter())?;
        }
        let is_awaited = !matches!(needed, Needed::Whatever);
        let patience = fleet.config.execution.reconnect_timeout;
        try_join_all(
            fleet
                .needed()
                .filter(|_| is_awaited)
                .map(|(_, open)| reach(open, patience, output)),
        )
        .await?;
        Ok(fleet)
    }

    /// Ends the command's use of the embedded server, which stops with its last user.
    pub(super) async fn close(self) -> anyhow::Result<()> {
        let Self {
            databases,
            embedded,
            ..
        } = self;
        for database in &databases {
            database.pool.close();
        }
        drop(databases);
        if let Some(lease) = embedded {
            tokio::task::spawn_blocking(move || lease.release())
                .await
                .context("stop the embedded server")??;
        }
        Ok(())
    }

    /// Refuses servers that cannot be migrated: standbys, read-only or too old ones. They may be
    /// looked at.
    pub(super) async fn check_writable(&self) -> anyhow::Result<()> {
        try_join_all(self.needed().map(|(_, open)| check_writable(open))).await?;
        Ok(())
    }

    /// The migration set of the config.
    pub(super) fn read_set(&self) -> anyhow::Result<Arc<MigrationSet>> {
        Ok(Arc::new(source::read(&self.config.migrations.directory)?))
    }

    /// The tenants that the config finds, those apart that the command line selects.
    pub(super) async fn tenants(&self, selection: &Selection) -> anyhow::Result<Found> {
        let finding = self.needed().map(|(config, open)| self.find(config, open));
        let found = try_join_all(finding).await?;
        if found.len() > 1 {
            self.check_overlaps(&found).await?;
        }
        self.check_found(&found)?;
        let all: Vec<Tenant> = found.into_iter().flatten().collect();
        Ok(select(all, selection)?)
    }

    /// The databases that the command is about.
    pub(super) fn needed(&self) -> impl Iterator<Item = (&config::Database, &OpenDatabase)> {
        let all = self.config.databases.iter().zip(&self.databases);
        all.filter(|(_, open)| open.is_needed)
    }

    pub(super) async fn find(
        &self,
        config: &config::Database,
        open: &OpenDatabase,
    ) -> anyhow::Result<Vec<Tenant>> {
        let client = pg::checkout(&open.pool, &open.name).await?;
        let reserved = self.config.reserved_schemas(config);
        inventory::check_search_path(&client, &open.name, &config.search_path).await?;
        let found = inventory::find(&client, &open.name, &config.source, &reserved).await;
        if found.is_err() {
            // a registry query may have left the session in any state
            pg::discard(client);
        }
        Ok(found?)
    }

    fn check_databases(&self, filter: &TenantFilter) -> Result<(), Refusal> {
        let listed = filter.exactly.iter().map(|id| &id.database);
        let unknown = filter
            .databases
            .iter()
            .chain(listed)
            .find(|name| !self.databases.iter().any(|open| open.name == **name));
        unknown.map_or(Ok(()), |name| {
            let known: Vec<&str> = self.databases.iter().map(|d| d.name.as_str()).collect();
            Err(Refusal::UnknownDatabase {
                name: name.to_string(),
                known: known.join(", "),
            })
        })
    }

    /// On which server each database is that the command is about.
    pub(super) async fn identities(
        &self,
    ) -> anyhow::Result<Vec<(&DatabaseName, DatabaseIdentity)>> {
        let mut identities = Vec::new();
        for (_, open) in self.needed() {
            let client = pg::checkout(&open.pool, &open.name).await?;
            let identity = inventory::identify(&client).await.with_context(|| {
                format!("database {}: find out which server it is on", open.name)
            })?;
            identities.push((&open.name, identity));
        }
        Ok(identities)
    }

    /// Two URLs of one database must not lead to the same tenant.
    async fn check_overlaps(&self, found: &[Vec<Tenant>]) -> anyhow::Result<()> {
        let identities = self.identities().await?.into_iter();
        let identified: Vec<_> = identities
            .zip(found)
            .map(|((_, identity), tenants)| (identity, tenants.clone()))
            .collect();
        let overlaps = inventory::overlaps(&identified);
        if overlaps.is_empty() {
            return Ok(());
        }
        let texts: Vec<String> = overlaps.iter().map(ToString::to_string).collect();
        Err(Refusal::Overlap(texts.join("\n")).into())
    }

    /// A typo in a pattern or a registry query must not look like success.
    fn check_found(&self, found: &[Vec<Tenant>]) -> Result<(), Refusal> {
        let empty: Vec<String> = self
            .needed()
            .map(|(database, _)| database)
            .zip(found)
            .filter(|(database, tenants)| tenants.is_empty() && !database.source.allow_empty)
            .map(|(database, _)| match &database.source.finder {
                Finder::Schemas(patterns) => {
                    let patterns: Vec<&str> = patterns.iter().map(TenantPattern::as_str).collect();
                    let patterns = patterns.join(", ");
                    format!("in database {} no schema matches {patterns}", database.name)
                }
                Finder::Query(_) => {
                    format!("database {}: the registry query gave none", database.name)
                }
                Finder::List(_) => format!("database {}: the list names none", database.name),
            })
            .collect();
        if empty.is_empty() {
            Ok(())
        } else {
            Err(Refusal::NoTenants(empty.join("; ")))
        }
    }

    /// Reads the tenants' histories and decides what happens to each that is selected.
    pub(super) async fn plan(
        &self,
        set: &MigrationSet,
        target: Option<Version>,
        found: Found,
    ) -> anyhow::Result<Plan> {
        let all = found.selected.iter().chain(&found.others);
        let mut histories = self.read_histories(all).await?;
        let mut with_history = |tenant: Tenant| {
            let of_database = histories.get_mut(&tenant.id.database);
            let history = of_database.and_then(|histories| histories.remove(&tenant.id.schema));
            (tenant, history.unwrap_or(HistorySnapshot::SchemaAbsent))
        };
        let selected = found.selected.into_iter().map(&mut with_history).collect();
        let others = found.others.into_iter().map(&mut with_history).collect();
        Ok(plan::build(selected, others, set, target))
    }

    /// The histories of these tenants.
    pub(super) async fn read_histories(
        &self,
        tenants: impl Iterator<Item = &Tenant>,
    ) -> anyhow::Result<HashMap<DatabaseName, HashMap<SchemaName, HistorySnapshot>>> {
        let table = &self.config.migrations.history_table;
        let mut schemas: HashMap<DatabaseName, Vec<SchemaName>> = HashMap::new();
        for tenant in tenants {
            let of_database = schemas.entry(tenant.id.database.clone()).or_default();
            of_database.push(tenant.id.schema.clone());
        }
        let read = self
            .databases
            .iter()
            .filter_map(|open| Some((open, schemas.get(&open.name)?)))
            .map(|(open, schemas)| async move {
                let histories =
                    histories_of(open, schemas, table, self.config.execution.retry).await?;
                anyhow::Ok((open.name.clone(), histories))
            });
        Ok(try_join_all(read).await?.into_iter().collect())
    }

    /// Those of the databases that the command is about.
    pub(super) fn pools(&self) -> impl Iterator<Item = (&DatabaseName, &Pool)> {
        self.needed().map(|(_, open)| (&open.name, &open.pool))
    }

    /// What executes a plan.
    pub(super) fn migrator(
        &self,
        set: &Arc<MigrationSet>,
        plan: &Plan,
        dead_sessions: Vec<String>,
    ) -> RefineryMigrator {
        let execution = &self.config.execution;
        let new_history = match self.config.migrations.history_column {
            HistoryColumn::Int4 => VersionColumn::Int4,
            HistoryColumn::Int8 => VersionColumn::Int8,
            HistoryColumn::Auto if !set.fits_int4() => VersionColumn::Int8,
            HistoryColumn::Auto => {
                history::common_column(plan.tenants.iter().map(|tenant| &tenant.history))
                    .unwrap_or(VersionColumn::Int4)
            }
        };
        let databases = self
            .config
            .databases
            .iter()
            .zip(&self.databases)
            .map(|(config, open)| {
                let database = TenantDatabase {
                    pool: open.pool.clone(),
                    search_path: config.search_path.clone(),
                    new_history,
                };
                (open.name.clone(), database)
            })
            .collect();
        let settings = MigrationSettings {
            scope: execution.transaction,
            history_table: self.config.migrations.history_table.clone(),
            roles: self.isolating_roles(),
            lock_timeout: execution.lock_timeout,
            statement_timeout: execution.statement_timeout,
            index_build_timeout: execution.index_build_timeout,
            patience: execution.reconnect_timeout,
            ignored_replicas: self.config.throttle.ignored_replicas.clone(),
            dead_sessions,
        };
        RefineryMigrator::new(databases, Arc::clone(set), settings)
    }

    /// Connects to the control database.
    pub(super) async fn control(&self) -> anyhow::Result<Control> {
        let url = match &self.config.control.url {
            Some(url) => connection_url(url, self.embedded.as_ref()).context("control.url")?,
            None => self.databases[0].pool.url().clone(),
        };
        let options = SessionOptions {
            // the ledger's own statements are short, and not a matter of the tenants' limits; a wait
            // for somebody who locks its tables must end
            lock_timeout: LEDGER_TIMEOUT,
            statement_timeout: LEDGER_TIMEOUT,
            ..session_options(
                &self.config,
                self.sessions.replacen("fleet", "fleet ledger", 1),
            )
        };
        Ok(Control::connect(&url, &options, &self.config.control.schema).await?)
    }

    /// The databases and their ceilings.
    pub(super) fn database_limits(&self) -> HashMap<DatabaseName, DatabaseLimits> {
        let limits = |database: &config::Database| DatabaseLimits {
            tenants: database.max_connections,
            index_builds: database.max_index_builds,
        };
        let databases = self.config.databases.iter();
        databases
            .map(|database| (database.name.clone(), limits(database)))
            .collect()
    }

    /// The pool of a database of the config.
    pub(super) fn pool(&self, name: &DatabaseName) -> Option<&Pool> {
        let open = self.databases.iter().find(|open| open.name == *name)?;
        Some(&open.pool)
    }

    /// Looks once more, later on, for tenants that are not `known`. What cannot be looked at then is
    /// left to the next run.
    pub(super) fn newcomers(
        &self,
        selection: &Selection,
        known: HashSet<TenantId>,
    ) -> impl Future<Output = Vec<TenantId>> + Send + 'static {
        let filter = selection.filter();
        let sources: Vec<_> = self
            .needed()
            .map(|(config, open)| {
                let reserved = self.config.reserved_schemas(config);
                let source = config.source.clone();
                (open.pool.clone(), open.name.clone(), source, reserved)
            })
            .collect();
        async move {
            let mut newcomers = Vec::new();
            for (pool, name, source, reserved) in sources {
                let Ok(client) = pg::checkout(&pool, &name).await else {
                    continue;
                };
                let found = inventory::find(&client, &name, &source, &reserved).await;
                // a registry query may have left the session in any state
                pg::discard(client);
                let found = found.unwrap_or_default().into_iter();
                newcomers.extend(
                    found
                        .filter(|tenant| filter.matches(tenant) && !known.contains(&tenant.id))
                        .map(|tenant| tenant.id),
                );
            }
            newcomers
        }
    }
}
