//! A step in doubt, settled by a person who has looked at what it did.

use tokio_postgres::error::SqlState;
use tokio_postgres::{Client, Row};

use super::{index, lock};
use crate::history::STEPS_TABLE;
use crate::migration::{Settlement, Version};
use crate::pg::{self, PgError, Pool};
use crate::sql;
use crate::tenant::TenantId;

/// What a person has found out.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// The statement is done: the migration goes on behind it.
    Done,
    /// It is not, or may be run once more: the migration goes on with it.
    Again,
}

/// A step that was in doubt.
#[derive(Clone, Debug)]
pub struct Settled {
    /// Of which tenant.
    pub tenant: TenantId,
    /// Of which migration.
    pub version: Version,
    /// Which statement of its file, from 1.
    pub step: u32,
    /// Its text.
    pub statement: String,
    /// When it was begun, by the database's clock.
    pub begun_at: String,
}

/// Why nothing was settled.
#[derive(Debug, thiserror::Error)]
pub enum SettleError {
    /// No connection, or a refused statement.
    #[error(transparent)]
    Pg(#[from] PgError),
    /// The catalogue says something else.
    #[error("{tenant}: statement {step} is not done, whatever else it did: {why}")]
    Contradicted {
        /// Which tenant.
        tenant: TenantId,
        /// Which statement.
        step: u32,
        /// What the catalogue says.
        why: String,
    },
    /// Somebody is at the tenant.
    #[error("{tenant}: another session is migrating this tenant: {holder}")]
    Busy {
        /// Which tenant.
        tenant: TenantId,
        /// Who.
        holder: String,
    },
}

/// Notes what a person says about the step that a tenant is in doubt about. None where it is in no doubt.
///
/// # Errors
/// Where somebody is at the tenant, or the server refuses.
pub async fn settle_by_hand(
    pool: &Pool,
    tenant: &TenantId,
    verdict: Verdict,
) -> Result<Option<Settled>, SettleError> {
    let mut client = pg::checkout(pool, &tenant.database).await?;
    let failed = |error| PgError::query(format!("settling {tenant}"), error);
    let tx = client.transaction().await.map_err(failed)?;
    let locked = tx
        .query_one(
            "SELECT pg_catalog.pg_try_advisory_xact_lock($1)",
            &[&lock::key(&tenant.schema)],
        )
        .await
        .map_err(failed)?;
    if !locked.get::<_, bool>(0) {
        let holder = lock::holder(tx.client(), &tenant.schema)
            .await
            .map_err(failed)?;
        return Err(SettleError::Busy {
            tenant: tenant.clone(),
            holder: holder.map_or_else(|| "it has just ended".to_owned(), |holder| holder.words),
        });
    }
    let table = format!("{}.{STEPS_TABLE}", tenant.schema.quoted());
    let change = match verdict {
        Verdict::Done => format!(
            "UPDATE {table} SET finished_at = pg_catalog.clock_timestamp(), how = 'settled by hand' \
             WHERE finished_at IS NULL"
        ),
        Verdict::Again => format!("DELETE FROM {table} WHERE finished_at IS NULL"),
    };
    let changed = tx
        .query(
            &format!(
                "{change} RETURNING version, step, statement, \
                 pg_catalog.to_char(begun_at AT TIME ZONE 'UTC', 'YYYY-MM-DD\"T\"HH24:MI:SS\"Z\"')"
            ),
            &[],
        )
        .await;
    let rows = match changed {
        // no migration is under way
        Err(error) if error.code() == Some(&SqlState::UNDEFINED_TABLE) => return Ok(None),
        rows => rows.map_err(failed)?,
    };
    if verdict == Verdict::Done {
        for row in &rows {
            contradicts(tx.client(), tenant, row).await?;
        }
    }
    tx.commit().await.map_err(failed)?;
    Ok(rows.first().map(|row| Settled {
        tenant: tenant.clone(),
        version: row.get(0),
        step: u32::try_from(row.get::<_, i32>(1)).unwrap_or_default(),
        statement: row.get(2),
        begun_at: row.get(3),
    }))
}

/// Of an index the catalogue tells whether it was built: a person cannot know better.
async fn contradicts(client: &Client, tenant: &TenantId, row: &Row) -> Result<(), SettleError> {
    let Settlement::IndexBuilt(build) = sql::settlement(row.get(2)) else {
        return Ok(());
    };
    let found = index::find(client, &tenant.schema, &build).await;
    let why = match found {
        Ok(Some(index)) if index.is_valid => return Ok(()),
        Ok(Some(index)) => format!("the index {} is invalid", index.name),
        Ok(None) => "no such index is there".to_owned(),
        Err(error) => error.into_failure().0.message,
    };
    Err(SettleError::Contradicted {
        tenant: tenant.clone(),
        step: u32::try_from(row.get::<_, i32>(1)).unwrap_or_default(),
        why,
    })
}
