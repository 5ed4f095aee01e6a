//! The control schema: its connection, its creation and its upgrades.

use std::time::Duration;

use tokio_postgres::Client;
use tokio_postgres::types::Type;

use super::LedgerError;
use crate::crash;
use crate::migration::Version;
use crate::pg::{self, ConnectionUrl, SessionOptions};
use crate::tenant::{SchemaName, quote_identifier};

refinery::embed_migrations!("migrations/control");

/// Upgrades of the control schema are recorded under a name of their own: the schema may be one in
/// which an application keeps refinery's usual table.
const HISTORY_TABLE: &str = "fleet_schema_history";

/// Serialises creation and upgrades, whatever the schema is called. PostgreSQL keeps advisory locks
/// by database.
const UPGRADE_LOCK: i64 = 0x666c_6565_745f_7570;

/// How often a process asks again whether another one has finished the upgrade.
const UPGRADE_POLL: Duration = Duration::from_millis(25);

/// Whether the control schema is there and of which version.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ControlState {
    /// Nobody has created it.
    Missing,
    /// An older fleet wrote it; the next `migrate` or `init` upgrades it.
    Older(Version),
    /// As this binary writes it.
    Current,
}

/// The connection to the control database. It holds the lease of a run.
pub struct Control {
    session: pg::Session,
    url: ConnectionUrl,
    options: SessionOptions,
    schema: SchemaName,
}

impl Control {
    /// Connects; writes nothing.
    ///
    /// # Errors
    /// Where no connection can be had.
    pub async fn connect(
        url: &ConnectionUrl,
        options: &SessionOptions,
        schema: &SchemaName,
    ) -> Result<Self, LedgerError> {
        Ok(Self {
            session: open(url, options, schema).await?,
            url: url.clone(),
            options: options.clone(),
            schema: schema.clone(),
        })
    }

    /// Replaces a connection that was lost. Tries once.
    pub(super) async fn reconnect(&mut self) -> Result<(), LedgerError> {
        self.session = open(&self.url, &self.options, &self.schema).await?;
        Ok(())
    }

    /// The schema's name.
    pub fn schema(&self) -> &SchemaName {
        &self.schema
    }

    pub(super) fn client(&self) -> &Client {
        &self.session
    }

    pub(super) fn client_mut(&mut self) -> &mut Client {
        &mut self.session
    }

    /// Looks at the control schema; writes nothing.
    ///
    /// # Errors
    /// Where it cannot be read, or was written by a later fleet.
    pub async fn state(&self) -> Result<ControlState, LedgerError> {
        let action = "look at the control schema";
        let table = format!(
            "{}.{}",
            self.schema.quoted(),
            quote_identifier(HISTORY_TABLE)
        );
        let exists = self
            .client()
            .query_typed_one(
                "SELECT pg_catalog.to_regclass($1) IS NOT NULL",
                &[(&table, Type::TEXT)],
            )
            .await
            .map_err(LedgerError::query(action))?;
        if !exists.get::<_, bool>(0) {
            return Ok(ControlState::Missing);
        }
        let found: Option<Version> = self
            .client()
            .query_typed_one(&format!("SELECT max(version)::int8 FROM {table}"), &[])
            .await
            .map_err(LedgerError::query(action))?
            .get(0);
        let known = known_version();
        match found {
            None => Ok(ControlState::Missing),
            Some(found) if found > known => Err(LedgerError::Newer {
                schema: self.schema.to_string(),
                found,
                known,
            }),
            Some(found) if found < known => Ok(ControlState::Older(found)),
            Some(_) => Ok(ControlState::Current),
        }
    }

    /// Creates or upgrades the control schema. Any number of processes may do so at once.
    /// Says what was found before.
    ///
    /// # Errors
    /// Where that fails, or the schema was written by a later fleet.
    pub async fn ensure(&mut self) -> Result<ControlState, LedgerError> {
        if self.state().await? == ControlState::Current {
            return Ok(ControlState::Current);
        }
        self.lock_upgrade().await?;
        let before = self.upgrade().await;
        // the lock would go with the session; freeing it early lets others go on
        let _ = self
            .client()
            .query_one("SELECT pg_catalog.pg_advisory_unlock($1)", &[&UPGRADE_LOCK])
            .await;
        before
    }

    async fn lock_upgrade(&self) -> Result<(), LedgerError> {
        loop {
            let locked = self
                .client()
                .query_one(
                    "SELECT pg_catalog.pg_try_advisory_lock($1)",
                    &[&UPGRADE_LOCK],
                )
                .await
                .map_err(LedgerError::query("lock the control schema"))?;
            if locked.get(0) {
                return Ok(());
            }
            tokio::time::sleep(UPGRADE_POLL).await;
        }
    }

    async fn upgrade(&mut self) -> Result<ControlState, LedgerError> {
        // another process may have done it while this one waited for the lock
        let before = self.state().await?;
        if before == ControlState::Current {
            return Ok(before);
        }
        let create = format!("CREATE SCHEMA IF NOT EXISTS {}", self.schema.quoted());
        self.client()
            .batch_execute(&create)
            .await
            .map_err(LedgerError::query("create the control schema"))?;
        crash::point("K1");
        let schema = self.schema.to_string();
        migrations::runner()
            .set_migration_table_name(HISTORY_TABLE)
            .run_async(self.client_mut())
            .await
            .map_err(|source| LedgerError::Upgrade {
                schema,
                source: Box::new(source),
            })?;
        Ok(before)
    }
}

async fn open(
    url: &ConnectionUrl,
    options: &SessionOptions,
    schema: &SchemaName,
) -> Result<pg::Session, LedgerError> {
    let session = pg::connect(url, options).await?;
    // this connection belongs to the ledger alone, so a session setting cannot leak to a tenant
    session
        .batch_execute(&format!("SET search_path = {}", schema.quoted()))
        .await
        .map_err(LedgerError::query("connect"))?;
    Ok(session)
}

fn known_version() -> Version {
    migrations::runner()
        .get_migrations()
        .iter()
        .map(refinery::Migration::version)
        .max()
        .unwrap_or_default()
}
