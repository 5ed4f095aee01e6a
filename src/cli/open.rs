//! What it takes to open a fleet: sessions and their settings, servers that are not ready yet, the
//! embedded one.

use std::collections::HashMap;
use std::num::NonZeroUsize;
use std::path::PathBuf;
use std::time::{Duration, Instant};

use anyhow::Context;
use futures_util::future::join_all;

use super::error::{self, Refusal};
use super::fleet::{Fleet, Found, OpenDatabase};
use super::options::Selection;
use super::output::Output;
use crate::config::{Config, Url};
use crate::pg::{self, ConnectionUrl, EmbeddedLease, EmbeddedServer, PgError, SessionOptions};
use crate::plan::{Action, Plan};
use crate::report;
use crate::rollout::Concurrency;
use crate::tenant::DatabaseName;

/// How long one host may take to accept a connection.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(10);

/// How soon a server that is starting is asked again.
const REACH_AGAIN: Duration = Duration::from_millis(200);

/// Does something that only looks, again where something was in the way that passes.
pub(super) async fn looking<T>(
    patience: Duration,
    output: &Output,
    mut look: impl AsyncFnMut() -> anyhow::Result<T>,
) -> anyhow::Result<T> {
    let deadline = Instant::now() + patience;
    let mut is_told = false;
    loop {
        let error = match look().await {
            Err(error) if error::is_transient(&error) && Instant::now() < deadline => error,
            result => return result,
        };
        if !is_told {
            let patience = report::duration(patience);
            output.notice(&format!(
                "{}; trying again for {patience}",
                error::message(&error)
            ));
            is_told = true;
        }
        tokio::time::sleep(REACH_AGAIN.mul_f64(0.5 + fastrand::f64())).await;
    }
}

/// The tenants of servers that can be written, all of them guarded as the config asks.
pub(super) async fn find_writable(
    fleet: &Fleet,
    selection: &Selection,
    output: &Output,
) -> anyhow::Result<Found> {
    let patience = fleet.config.execution.reconnect_timeout;
    let finding = looking(patience, output, async || {
        fleet.check_writable().await?;
        let found = fleet.tenants(selection).await?;
        fleet.check_guarded(&found).await?;
        Ok(found)
    });
    Box::pin(finding).await
}

/// A server that is down or refuses us is told before anything else.
/// One that is starting, or full, is waited for.
pub(super) async fn reach(
    open: &OpenDatabase,
    patience: Duration,
    output: &Output,
) -> anyhow::Result<()> {
    let deadline = Instant::now() + patience;
    let mut is_told = false;
    loop {
        let error = match pg::checkout(&open.pool, &open.name).await {
            Ok(_) => return Ok(()),
            Err(error @ (PgError::ServerStarting(_) | PgError::TooManyConnections(_)))
                if Instant::now() < deadline =>
            {
                error
            }
            // it was there a moment ago
            Err(error @ PgError::Unreachable(_)) if is_told && Instant::now() < deadline => error,
            Err(error) => return Err(error.into()),
        };
        if !is_told {
            let patience = report::duration(patience);
            output.notice(&format!("{error}; asking again for {patience}"));
            is_told = true;
        }
        tokio::time::sleep(REACH_AGAIN.mul_f64(0.5 + fastrand::f64())).await;
    }
}

impl Fleet {
    /// Opens the connections that a plan needs at first, while the run is being recorded. Nobody waits for that:
    /// who needs one finds it open, or on its way.
    pub(super) fn warm_up(&self, plan: &Plan, concurrency: &Concurrency) {
        let mut to_migrate: HashMap<&DatabaseName, usize> = HashMap::new();
        for tenant in &plan.tenants {
            if matches!(tenant.action, Action::Migrate(_)) {
                *to_migrate.entry(&tenant.tenant.id.database).or_default() += 1;
            }
        }
        let Some(sharing) = NonZeroUsize::new(to_migrate.len()) else {
            return;
        };
        for (name, tenants) in to_migrate {
            let Some(pool) = self.pool(name).cloned() else {
                continue;
            };
            let needed = concurrency.at_first(name, sharing).min(tenants);
            let name = name.clone();
            tokio::spawn(async move {
                // what is in the way will be told by those who need a connection
                let opening = (0..needed).map(async |_| drop(pg::checkout(&pool, &name).await));
                join_all(opening).await;
            });
        }
    }
}

pub(super) async fn check_writable(open: &OpenDatabase) -> anyhow::Result<()> {
    let client = pg::checkout(&open.pool, &open.name).await?;
    let facts = pg::inspect_server(&client)
        .await
        .with_context(|| format!("database {}", open.name))?;
    match facts.refusal() {
        Some(reason) => Err(Refusal::Server {
            database: open.name.to_string(),
            reason,
        }
        .into()),
        None => Ok(()),
    }
}

pub(super) fn session_options(config: &Config, application_name: String) -> SessionOptions {
    SessionOptions {
        application_name,
        connect_timeout: CONNECT_TIMEOUT,
        lock_timeout: config.execution.lock_timeout,
        statement_timeout: config.execution.statement_timeout,
    }
}

pub(super) fn connection_url(
    url: &Url,
    embedded: Option<&EmbeddedLease>,
) -> anyhow::Result<ConnectionUrl> {
    match (url, embedded) {
        (Url::Server(text), _) => Ok(ConnectionUrl::parse(text)?),
        (Url::Embedded, Some(lease)) => Ok(ConnectionUrl::parse(lease.url())?),
        (Url::Embedded, None) => anyhow::bail!("the embedded server was not started"),
    }
}

pub(super) fn needs_embedded(config: &Config) -> bool {
    let databases = config.databases.iter().map(|database| &database.url);
    databases
        .chain(config.control.url.as_ref())
        .any(|url| *url == Url::Embedded)
}

/// Where the embedded server keeps its data.
pub(super) fn embedded_directory(config: &Config) -> PathBuf {
    config.directory.join(".fleet")
}

pub(super) async fn start_embedded(
    config: &Config,
    output: &Output,
) -> anyhow::Result<EmbeddedLease> {
    let directory = embedded_directory(config);
    if !directory.exists() {
        output.notice(&format!(
            "creating a private PostgreSQL server under {} (url: embedded)",
            directory.display()
        ));
    }
    let lease = tokio::task::spawn_blocking(move || EmbeddedServer::new(&directory).acquire())
        .await
        .context("start the embedded server")??;
    Ok(lease)
}
