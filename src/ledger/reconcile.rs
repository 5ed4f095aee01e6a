//! Rebuilding the ledger from the tenants' histories, which are the truth.

use std::collections::{HashMap, HashSet};

use super::queries::tenant_id;
use super::{Lease, LedgerError, lease, rows};
use crate::migration::Version;
use crate::tenant::{MAX_IDENTIFIER_BYTES, TenantId};

/// A tenant whose history is not what the ledger last knew.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Disagreement {
    /// Which tenant.
    pub tenant: TenantId,
    /// What the ledger said.
    pub ledger: LastSeen,
    /// What the history says; None where the tenant is gone.
    pub history: Option<LastSeen>,
}

/// A tenant's version, None for an empty history.
pub type LastSeen = Option<Version>;

impl Lease {
    /// Compares what the ledger last knew of each tenant with the histories, writes the histories
    /// down, and closes runs whose process has died. Answers where they disagreed. What is known of
    /// a tenant whose history is `unreadable` stays as it is.
    ///
    /// # Errors
    /// Where the ledger cannot be read or written.
    pub async fn reconcile(
        &self,
        histories: &HashMap<TenantId, LastSeen>,
        unreadable: &HashSet<&TenantId>,
        whole_fleet: bool,
    ) -> Result<Vec<Disagreement>, LedgerError> {
        let action = "reconcile";
        lease::close_dead_runs(self.control.client())
            .await
            .map_err(LedgerError::query(action))?;
        let rows = self
            .control
            .client()
            .query(
                "SELECT database, schema, version FROM tenants ORDER BY 1, 2",
                &[],
            )
            .await
            .map_err(LedgerError::query(action))?;
        let disagreements: Vec<Disagreement> = rows
            .iter()
            .filter_map(|row| Some((tenant_id(row, 0)?, row.get(2))))
            .filter(|(tenant, _)| !unreadable.contains(tenant))
            .filter_map(|(tenant, ledger): (TenantId, LastSeen)| {
                let history = histories.get(&tenant).copied();
                let disagrees = match history {
                    Some(history) => history != ledger,
                    None => whole_fleet,
                };
                disagrees.then_some(Disagreement {
                    tenant,
                    ledger,
                    history,
                })
            })
            .collect();
        if whole_fleet {
            self.forget_impossible()
                .await
                .map_err(LedgerError::query(action))?;
        }
        self.write_histories(histories, &disagreements)
            .await
            .map_err(LedgerError::query(action))?;
        Ok(disagreements)
    }

    /// Takes away what can be no tenant's: somebody else has written it.
    async fn forget_impossible(&self) -> Result<(), tokio_postgres::Error> {
        self.control
            .client()
            .execute(
                "DELETE FROM tenants WHERE schema = '' OR pg_catalog.octet_length(schema) > $1",
                &[&i32::try_from(MAX_IDENTIFIER_BYTES).unwrap_or(i32::MAX)],
            )
            .await?;
        Ok(())
    }

    async fn write_histories(
        &self,
        histories: &HashMap<TenantId, LastSeen>,
        disagreements: &[Disagreement],
    ) -> Result<(), tokio_postgres::Error> {
        let seen: Vec<(&TenantId, LastSeen)> =
            histories.iter().map(|(id, seen)| (id, *seen)).collect();
        let ids: Vec<&TenantId> = seen.iter().map(|(id, _)| *id).collect();
        let versions: Vec<LastSeen> = seen.iter().map(|(_, version)| *version).collect();
        let (databases, schemas) = rows::columns(&ids);
        self.control
            .client()
            .execute(
                "INSERT INTO tenants AS t (database, schema, version) \
                 SELECT * FROM unnest($1::text[], $2::text[], $3::bigint[]) \
                 ON CONFLICT (database, schema) DO UPDATE SET version = excluded.version, seen_at = excluded.seen_at",
                &[&databases, &schemas, &versions],
            )
            .await?;
        let gone: Vec<&TenantId> = disagreements
            .iter()
            .filter(|d| d.history.is_none())
            .map(|d| &d.tenant)
            .collect();
        let (databases, schemas) = rows::columns(&gone);
        self.control
            .client()
            .execute(
                "DELETE FROM tenants WHERE (database, schema) IN \
                 (SELECT * FROM unnest($1::text[], $2::text[]))",
                &[&databases, &schemas],
            )
            .await?;
        Ok(())
    }
}
