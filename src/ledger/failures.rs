//! What `fleet failures` asks beyond a run's detail.

use std::collections::BTreeMap;

use super::control::Control;
use super::queries::{RUNS, run_record, tenant_id};
use super::{LedgerError, RunRecord, rows};
use crate::migration::Version;
use crate::tenant::TenantId;

impl Control {
    /// The newest run in which a tenant has failed, or was given up while it waited for another attempt.
    ///
    /// # Errors
    /// Where the ledger cannot be read.
    pub async fn last_run_with_failures(&self) -> Result<Option<RunRecord>, LedgerError> {
        let row = self
            .client()
            .query_opt(
                &format!(
                    "{RUNS} WHERE r.id = (SELECT f.id FROM runs f WHERE EXISTS (SELECT FROM run_tenants t \
                       WHERE t.run_id = f.id AND (t.outcome = 'failed' \
                       OR coalesce(t.outcome, 'interrupted') = 'interrupted' AND EXISTS (SELECT FROM attempts a \
                         WHERE a.run_id = t.run_id AND a.database = t.database AND a.schema = t.schema \
                           AND a.outcome = 'failed'))) \
                       ORDER BY f.started_at DESC LIMIT 1)"
                ),
                &[&self.lease_key()],
            )
            .await
            .map_err(LedgerError::query("look for a run with failures"))?;
        Ok(row.as_ref().map(run_record))
    }

    /// The versions of these tenants as far as the ledger has heard of them.
    ///
    /// # Errors
    /// Where the ledger cannot be read.
    pub async fn known_versions(
        &self,
        tenants: &[&TenantId],
    ) -> Result<BTreeMap<TenantId, Version>, LedgerError> {
        let (databases, schemas) = rows::columns(tenants);
        let rows = self
            .client()
            .query(
                "SELECT database, schema, version FROM tenants \
                 JOIN unnest($1::text[], $2::text[]) AS t(database, schema) USING (database, schema) \
                 WHERE version IS NOT NULL",
                &[&databases, &schemas],
            )
            .await
            .map_err(LedgerError::query("read the tenants' versions"))?;
        Ok(rows
            .iter()
            .filter_map(|row| Some((tenant_id(row, 0)?, row.get(2))))
            .collect())
    }
}
