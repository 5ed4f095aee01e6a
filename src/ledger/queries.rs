//! Reading the ledger. Nothing here writes.

use tokio_postgres::Row;

use super::control::Control;
use super::records::{AttemptRecord, HaltRecord, RunDetail, RunRecord, RunState, RunTenantRecord};
use super::{LedgerError, rows};
use crate::plan::{LastFailure, LedgerView};
use crate::run::{Failure, FailureClass, Outcome, RunId, RunOutcome, Totals};
use crate::tenant::{DatabaseName, SchemaName, TenantId};

/// A run with its totals, also from a control schema of an older fleet, which knows of no halt and
/// holds nobody. `$1` is the key of the lease.
pub(super) const RUNS: &str = "SELECT r.id, r.command, r.resumes, r.outcome, r.exit_code, r.target, r.set_fingerprint, \
      r.started_by, r.fleet_version, \
      to_char(r.started_at AT TIME ZONE 'UTC', 'YYYY-MM-DD\"T\"HH24:MI:SS\"Z\"'), \
      to_char(r.finished_at AT TIME ZONE 'UTC', 'YYYY-MM-DD\"T\"HH24:MI:SS\"Z\"'), \
      extract(epoch FROM coalesce(r.finished_at, clock_timestamp()) - r.started_at)::float8, \
      EXISTS (SELECT FROM pg_catalog.pg_locks l WHERE l.locktype = 'advisory' AND l.granted \
        AND l.pid = r.lease_backend AND l.objsubid = 1 \
        AND l.database = (SELECT oid FROM pg_catalog.pg_database WHERE datname = current_database()) \
        AND ((l.classid::int8 << 32) | l.objid::int8) = $1), \
      r.up_to_date, t.tenants, t.succeeded, t.up_to_date, t.failed, t.interrupted, t.skipped, \
      to_jsonb(r) ->> 'halted_by', to_jsonb(r) ->> 'halt_reason', to_jsonb(r) ->> 'what_changed', \
      coalesce((to_jsonb(r) ->> 'held')::int8, 0) AS held \
    FROM runs r CROSS JOIN LATERAL (SELECT count(*) AS tenants, \
      count(*) FILTER (WHERE outcome = 'succeeded') AS succeeded, \
      count(*) FILTER (WHERE outcome = 'up_to_date') AS up_to_date, \
      count(*) FILTER (WHERE outcome = 'failed') AS failed, \
      count(*) FILTER (WHERE outcome = 'interrupted') AS interrupted, \
      count(*) FILTER (WHERE outcome = 'skipped') AS skipped \
      FROM run_tenants WHERE run_id = r.id) t";

/// An attempt, also from a control schema of an older fleet, which has no notes or columns yet.
pub(super) const ATTEMPTS: &str = "a.run_id, a.database, a.schema, a.attempt, \
    to_char(a.ended_at AT TIME ZONE 'UTC', 'YYYY-MM-DD\"T\"HH24:MI:SS\"Z\"'), a.duration_ms, a.outcome, a.applied, \
    a.migration, a.statement, a.line, a.sqlstate, a.class, a.message, a.detail, a.hint, a.context, a.blocked_by, \
    ARRAY(SELECT jsonb_array_elements_text(coalesce(to_jsonb(a) -> 'notes', '[]'))), \
    (to_jsonb(a) ->> 'line_column')::integer AS line_column";

impl Control {
    /// The newest runs, newest first.
    ///
    /// # Errors
    /// Where the ledger cannot be read.
    pub async fn runs(&self, limit: i64) -> Result<Vec<RunRecord>, LedgerError> {
        let rows = self
            .client()
            .query(
                &format!("{RUNS} ORDER BY r.started_at DESC LIMIT $2"),
                &[&self.lease_key(), &limit],
            )
            .await
            .map_err(LedgerError::query("list the runs"))?;
        Ok(rows.iter().map(run_record).collect())
    }

    /// The run with this id, or the only one whose id begins so.
    ///
    /// # Errors
    /// Where no run or several are meant.
    pub async fn find_run(&self, prefix: &str) -> Result<RunRecord, LedgerError> {
        let rows = self
            .client()
            .query(
                &format!("{RUNS} WHERE starts_with(r.id, $2) ORDER BY r.started_at DESC LIMIT 5"),
                &[&self.lease_key(), &prefix],
            )
            .await
            .map_err(LedgerError::query("look the run up"))?;
        let mut found: Vec<RunRecord> = rows.iter().map(run_record).collect();
        if let Some(exact) = found.iter().position(|run| run.id.as_str() == prefix) {
            return Ok(found.swap_remove(exact));
        }
        match found.len() {
            0 => Err(LedgerError::NoSuchRun(prefix.to_owned())),
            1 => Ok(found.swap_remove(0)),
            _ => Err(LedgerError::AmbiguousRun {
                prefix: prefix.to_owned(),
                found: found.iter().map(|run| run.id.to_string()).collect(),
            }),
        }
    }

    /// The newest run that left something to do and that no later run has taken over. An act is not carried
    /// on: whoever wants it types it again.
    ///
    /// # Errors
    /// Where the ledger cannot be read.
    pub async fn last_unfinished_run(&self) -> Result<Option<RunRecord>, LedgerError> {
        let row = self
            .client()
            .query_opt(
                &format!(
                    "{RUNS} WHERE r.superseded_by IS NULL AND r.outcome IS DISTINCT FROM 'succeeded' \
                       AND r.command IN ('migrate', 'resume') ORDER BY r.started_at DESC LIMIT 1"
                ),
                &[&self.lease_key()],
            )
            .await
            .map_err(LedgerError::query("look for an unfinished run"))?;
        Ok(row.as_ref().map(run_record))
    }

    /// The tenants of a run that are not recorded as being at its target.
    ///
    /// # Errors
    /// Where the ledger cannot be read.
    pub async fn unfinished_tenants(&self, run: &RunId) -> Result<Vec<TenantId>, LedgerError> {
        let rows = self
            .client()
            .query(
                "SELECT database, schema FROM run_tenants \
                 WHERE run_id = $1 AND outcome IS DISTINCT FROM 'succeeded' AND outcome IS DISTINCT FROM 'up_to_date'",
                &[&run.as_str()],
            )
            .await
            .map_err(LedgerError::query("read the run's tenants"))?;
        Ok(rows.iter().filter_map(|row| tenant_id(row, 0)).collect())
    }

    /// One run with its tenants and the attempts that did not succeed.
    ///
    /// # Errors
    /// Where the ledger cannot be read.
    pub async fn detail(&self, run: RunRecord) -> Result<RunDetail, LedgerError> {
        let tenants = self
            .client()
            .query(
                "SELECT database, schema, outcome, state, from_version, to_version, attempts, duration_ms, reason \
                 FROM run_tenants WHERE run_id = $1 ORDER BY database, schema",
                &[&run.id.as_str()],
            )
            .await
            .map_err(LedgerError::query("read the run's tenants"))?;
        let attempts = self
            .client()
            .query(
                &format!(
                    "SELECT {ATTEMPTS} FROM attempts a WHERE a.run_id = $1 AND (a.outcome <> 'succeeded' OR to_jsonb(a) -> 'notes' <> '[]') \
                     ORDER BY a.database, a.schema, a.attempt"
                ),
                &[&run.id.as_str()],
            )
            .await
            .map_err(LedgerError::query("read the run's attempts"))?;
        Ok(RunDetail {
            events: self.events(&run.id).await?,
            waves: self.waves(&run.id).await?,
            acts: self.acts(&run.id).await?,
            run,
            tenants: tenants.iter().filter_map(run_tenant).collect(),
            failed_attempts: attempts.iter().filter_map(attempt).collect(),
        })
    }

    /// The newest attempts at one tenant over all runs, newest first.
    ///
    /// # Errors
    /// Where the ledger cannot be read.
    pub async fn attempts_at(
        &self,
        tenant: &TenantId,
        limit: i64,
    ) -> Result<Vec<AttemptRecord>, LedgerError> {
        let rows = self
            .client()
            .query(
                &format!(
                    "SELECT {ATTEMPTS} FROM attempts a WHERE a.database = $1 AND a.schema = $2 \
                     ORDER BY a.ended_at DESC LIMIT $3"
                ),
                &[&tenant.database.as_str(), &tenant.schema.as_str(), &limit],
            )
            .await
            .map_err(LedgerError::query("read the tenant's attempts"))?;
        Ok(rows.iter().filter_map(attempt).collect())
    }

    /// What the ledger has to say about these tenants.
    ///
    /// # Errors
    /// Where the ledger cannot be read.
    pub async fn view(&self, tenants: &[&TenantId]) -> Result<LedgerView, LedgerError> {
        let mut view = LedgerView::default();
        if tenants.is_empty() {
            return Ok(view);
        }
        let (databases, schemas) = rows::columns(tenants);
        let last_attempts = self
            .client()
            .query(
                &format!(
                    "SELECT {ATTEMPTS} FROM unnest($1::text[], $2::text[]) AS t(database, schema) \
                     CROSS JOIN LATERAL (SELECT * FROM attempts a WHERE a.database = t.database \
                       AND a.schema = t.schema ORDER BY a.ended_at DESC LIMIT 1) a"
                ),
                &[&databases, &schemas],
            )
            .await
            .map_err(LedgerError::query("read the last attempts"))?;
        for row in &last_attempts {
            let Some(last) = attempt(row) else { continue };
            let run = RunId::new(row.get(0));
            match (last.outcome, last.failure) {
                (Outcome::Interrupted, _) => {
                    view.interrupted.insert(last.tenant, run);
                }
                (Outcome::Failed, Some(failure)) => {
                    let failed = LastFailure {
                        run,
                        at: last.ended_at,
                        failure,
                    };
                    view.failures.insert(last.tenant, failed);
                }
                _ => {}
            }
        }
        self.view_claims(&databases, &schemas, &mut view).await?;
        Ok(view)
    }

    /// Tenants that a run has claimed: worked on now where its process lives, else cut off.
    async fn view_claims(
        &self,
        databases: &[&str],
        schemas: &[&str],
        view: &mut LedgerView,
    ) -> Result<(), LedgerError> {
        let Some(open) = self
            .runs(1)
            .await?
            .into_iter()
            .find(|run| matches!(run.state, RunState::Running | RunState::Abandoned))
        else {
            return Ok(());
        };
        let rows = self
            .client()
            .query(
                "SELECT r.database, r.schema FROM run_tenants r \
                 JOIN unnest($2::text[], $3::text[]) AS t(database, schema) USING (database, schema) \
                 WHERE r.run_id = $1 AND r.state = 'claimed'",
                &[&open.id.as_str(), &databases, &schemas],
            )
            .await
            .map_err(LedgerError::query("read the open run"))?;
        for tenant in rows.iter().filter_map(|row| tenant_id(row, 0)) {
            let claims = if open.state == RunState::Running {
                &mut view.in_progress
            } else {
                &mut view.interrupted
            };
            claims.insert(tenant, open.id.clone());
        }
        Ok(())
    }
}

pub(super) fn run_record(row: &Row) -> RunRecord {
    let outcome: Option<&str> = row.get(3);
    let lease_alive: bool = row.get(12);
    let state = match (outcome.and_then(RunOutcome::parse), lease_alive) {
        (Some(outcome), _) => RunState::Finished(outcome),
        (None, true) => RunState::Running,
        (None, false) => RunState::Abandoned,
    };
    let count = |index: usize| u64::try_from(row.get::<_, i64>(index)).unwrap_or(0);
    let settled = count(13);
    RunRecord {
        id: RunId::new(row.get(0)),
        command: row.get(1),
        resumes: row.get::<_, Option<&str>>(2).map(RunId::new),
        state,
        exit_code: row
            .get::<_, Option<i16>>(4)
            .and_then(|code| u8::try_from(code).ok()),
        target: row.get(5),
        halt: row
            .get::<_, Option<String>>(20)
            .zip(row.get(21))
            .map(|(by, reason)| HaltRecord { by, reason }),
        what_changed: row.get(22),
        set_fingerprint: row.get(6),
        started_by: row.get(7),
        fleet_version: row.get(8),
        started_at: row.get(9),
        finished_at: row.get(10),
        duration_s: row.get(11),
        totals: Totals {
            tenants: settled + count(14),
            succeeded: count(15),
            up_to_date: settled + count(16),
            failed: count(17),
            interrupted: count(18),
            skipped: count(19),
            held: u64::try_from(row.get::<_, i64>("held")).unwrap_or(0),
        },
    }
}

pub(super) fn tenant_id(row: &Row, column: usize) -> Option<TenantId> {
    Some(TenantId {
        database: DatabaseName::new(row.get(column)),
        schema: SchemaName::parse(row.get(column + 1)).ok()?,
    })
}

fn run_tenant(row: &Row) -> Option<RunTenantRecord> {
    let outcome: Option<&str> = row.get(2);
    let state: &str = row.get(3);
    Some(RunTenantRecord {
        tenant: tenant_id(row, 0)?,
        outcome: outcome.and_then(Outcome::parse),
        claimed: state == "claimed",
        from: row.get(4),
        to: row.get(5),
        attempts: u32::try_from(row.get::<_, i32>(6)).unwrap_or(0),
        duration_ms: u64::try_from(row.get::<_, i64>(7)).unwrap_or(0),
        reason: row.get(8),
    })
}

pub(super) fn attempt(row: &Row) -> Option<AttemptRecord> {
    let positive = |index: usize| {
        row.get::<_, Option<i32>>(index)
            .and_then(|n| u32::try_from(n).ok())
    };
    let message: Option<String> = row.get(13);
    let failure = message.map(|message| Failure {
        migration: row.get(8),
        statement: positive(9),
        line: positive(10),
        column: row
            .get::<_, Option<i32>>("line_column")
            .and_then(|n| u32::try_from(n).ok()),
        sqlstate: row.get(11),
        class: match row.get(12) {
            Some("transient") => FailureClass::Transient,
            _ => FailureClass::Permanent,
        },
        message,
        detail: row.get(14),
        hint: row.get(15),
        context: row.get(16),
        blocked_by: row.get(17),
    });
    Some(AttemptRecord {
        tenant: tenant_id(row, 1)?,
        attempt: positive(3).unwrap_or(0),
        ended_at: row.get(4),
        duration_ms: u64::try_from(row.get::<_, i64>(5)).unwrap_or(0),
        outcome: Outcome::parse(row.get(6))?,
        applied: row.get(7),
        failure,
        notes: row.get(18),
    })
}
