//! Tenants that were done and are unlike the others: failed all the same. And what is known of how tenants were unlike
//! the others before their run.

use std::collections::HashMap;
use std::time::Duration;

use serde_json::Value;
use tokio_postgres::types::Type;
use tokio_postgres::{Row, Transaction};

use super::control::{Control, ControlState};
use super::queries::{ATTEMPTS, attempt, tenant_id};
use super::rows::{END_COLUMNS, Parameter, append_attempts, end_row, expect, json};
use super::{AfterAttempt, AttemptEnd, LedgerError};
use crate::migration::Version;
use crate::plan::LastFailure;
use crate::run::{AttemptNumber, Failure, Outcome, RunId};
use crate::tenant::TenantId;

/// A tenant that was done and has failed all the same.
#[derive(Clone, Debug)]
pub struct Reversal {
    /// Which tenant.
    pub tenant: TenantId,
    /// How many attempts the run has made at it.
    pub attempts: AttemptNumber,
    /// Its version.
    pub version: Option<Version>,
    /// Why.
    pub failure: Failure,
}

/// What an earlier run, and those that it carried on, have left of a tenant's shape.
#[derive(Clone, Debug)]
pub struct LeftShape {
    /// Which tenant.
    pub tenant: TenantId,
    /// Whether it was at its target and unlike the others.
    pub differs: bool,
    /// Whether it was brought to its target, or was there before.
    pub is_done: bool,
    /// How it differed from the others before it was migrated.
    pub odd: Option<Value>,
}

/// The reversal as an attempt of its own, behind those that were made: they are never changed.
fn finding(reversal: &Reversal) -> AttemptEnd {
    AttemptEnd {
        tenant: reversal.tenant.clone(),
        attempt: reversal.attempts + 1,
        outcome: Outcome::Failed,
        then: AfterAttempt::Done,
        applied: Vec::new(),
        version: reversal.version,
        duration: Duration::ZERO,
        took: None,
        reason: Some(reversal.failure.message.clone()),
        failure: Some(reversal.failure.clone()),
        notes: Vec::new(),
    }
}

pub(super) async fn record_reversals(
    tx: &Transaction<'_>,
    run: &RunId,
    reversals: &[Reversal],
) -> Result<(), LedgerError> {
    if reversals.is_empty() {
        return Ok(());
    }
    let action = "record tenants that differ";
    let findings: Vec<AttemptEnd> = reversals.iter().map(finding).collect();
    let rows = json(&findings.iter().map(end_row).collect::<Vec<_>>());
    let parameters: [Parameter; 2] = [(&run.as_str(), Type::TEXT), (&rows, Type::TEXT)];
    let run_tenants = format!(
        "UPDATE run_tenants t SET outcome = r.outcome, reason = r.reason, differs = true \
         FROM jsonb_to_recordset($2::text::jsonb) AS r({END_COLUMNS}) \
         WHERE t.run_id = $1 AND t.database = r.database AND t.schema = r.schema \
           AND t.state = 'finished' AND t.outcome IN ('succeeded', 'up_to_date') AND t.attempts = r.attempt - 1"
    );
    let attempts = append_attempts();
    let client = tx.client();
    let (appended, updated) = tokio::join!(
        client.execute_typed(&attempts, &parameters),
        client.execute_typed(&run_tenants, &parameters)
    );
    let updated = appended.and(updated).map_err(LedgerError::query(action))?;
    expect(
        updated,
        reversals.len(),
        run,
        "recording tenants that differ",
    )
}

/// Tenants, in their latest run, that were found to be unlike the others; a later run that has compared them, or has
/// taken their shapes for what they are, has not found that again. With `t` and `r` for the tenant's row and the run.
const UNLIKE: &str = "run_tenants t JOIN runs r ON r.id = t.run_id \
    WHERE t.differs AND NOT EXISTS (SELECT FROM run_tenants n JOIN runs later ON later.id = n.run_id \
      WHERE n.database = t.database AND n.schema = t.schema AND later.started_at > r.started_at \
        AND (n.differs OR n.outcome IN ('succeeded', 'up_to_date') AND CASE WHEN n.wave IS NULL \
          THEN later.outcome IN ('succeeded', 'failed') \
          ELSE EXISTS (SELECT FROM run_waves w WHERE w.run_id = n.run_id AND w.wave = n.wave \
            AND w.state NOT IN ('pending', 'running', 'halted')) END))";

impl Control {
    /// Tenants that were found to be unlike the others, and have not been found to be like them since.
    ///
    /// # Errors
    /// Where the ledger cannot be read.
    pub async fn unlike(
        &self,
        state: ControlState,
    ) -> Result<HashMap<TenantId, LastFailure>, LedgerError> {
        if state != ControlState::Current {
            return Ok(HashMap::new());
        }
        let rows = self
            .client()
            .query(
                &format!(
                    "SELECT {ATTEMPTS} FROM attempts a JOIN \
                       (SELECT t.run_id, t.database, t.schema, t.attempts FROM {UNLIKE}) u \
                     ON a.run_id = u.run_id AND a.database = u.database AND a.schema = u.schema \
                       AND a.attempt = u.attempts + 1"
                ),
                &[],
            )
            .await
            .map_err(LedgerError::query("read which tenants differ"))?;
        let unlike = rows.iter().filter_map(|row| {
            let found = attempt(row)?;
            let last = LastFailure {
                run: RunId::new(row.get(0)),
                at: found.ended_at,
                failure: found.failure?,
            };
            Some((found.tenant, last))
        });
        Ok(unlike.collect())
    }

    /// The same, as a run has left them.
    ///
    /// # Errors
    /// Where the ledger cannot be read.
    pub async fn left_unlike(&self) -> Result<Vec<LeftShape>, LedgerError> {
        let query = format!("SELECT t.database, t.schema, true, true, t.odd::text FROM {UNLIKE}");
        let rows = self.client().query(&query, &[]).await;
        let rows = rows.map_err(LedgerError::query("read which tenants differ"))?;
        Ok(rows.iter().filter_map(left_shape).collect())
    }

    /// What a run, and those that it carried on, have left of their tenants' shapes: of each the latest.
    ///
    /// # Errors
    /// Where the ledger cannot be read.
    pub async fn left_shapes(&self, run: &RunId) -> Result<Vec<LeftShape>, LedgerError> {
        let rows = self
            .client()
            .query(
                "WITH RECURSIVE chain(id, before) AS ( \
                   SELECT id, coalesce(resumes, waves_of) FROM runs WHERE id = $1 \
                   UNION SELECT r.id, coalesce(r.resumes, r.waves_of) FROM runs r JOIN chain c ON r.id = c.before) \
                 SELECT DISTINCT ON (t.database, t.schema) t.database, t.schema, t.differs, \
                   coalesce(t.outcome IN ('succeeded', 'up_to_date'), false), t.odd::text \
                 FROM run_tenants t JOIN chain c ON t.run_id = c.id JOIN runs r ON r.id = c.id \
                 ORDER BY t.database, t.schema, r.started_at DESC",
                &[&run.as_str()],
            )
            .await
            .map_err(LedgerError::query("read how tenants were left"))?;
        Ok(rows.iter().filter_map(left_shape).collect())
    }
}

fn left_shape(row: &Row) -> Option<LeftShape> {
    let odd: Option<&str> = row.get(4);
    Some(LeftShape {
        tenant: tenant_id(row, 0)?,
        differs: row.get(2),
        is_done: row.get(3),
        odd: odd.and_then(|odd| serde_json::from_str(odd).ok()),
    })
}
