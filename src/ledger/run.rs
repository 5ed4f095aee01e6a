//! Writing one run: opened under the lease, written in groups, closed at the end. Every write is a
//! compare-and-set on (run, lease token) and on the tenant's state and attempt.

use serde::Serialize;
use tokio_postgres::Transaction;

use super::lease::{self, Lease};
use super::{AfterAttempt, AttemptEnd, Claim, Closing, Entries, Ledger, LedgerError};
use crate::migration::Version;
use crate::run::{Outcome, RunId};
use crate::tenant::TenantId;

/// A run to be opened.
#[derive(Clone, Debug)]
pub struct NewRun {
    /// `migrate` or `resume`.
    pub command: &'static str,
    /// The run that it carries on.
    pub resumes: Option<RunId>,
    /// Of which runs nothing is left to resume once this one is open.
    pub takes_over: TakeOver,
    /// The version to reach.
    pub target: Option<Version>,
    /// The migration set's fingerprint.
    pub set_fingerprint: String,
    /// The selection as it was typed, None for the whole fleet.
    pub selection: Option<String>,
    /// User, host, process id.
    pub started_by: String,
    /// Tenants that have nothing to do.
    pub up_to_date: u64,
    /// The others.
    pub tenants: Vec<NewRunTenant>,
}

/// Of which earlier runs a new one does all that they left.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum TakeOver {
    /// Of every one: it is about the whole fleet.
    Every,
    /// Of the one that it carries on: all that was left is in it.
    Resumed,
    /// Of none: some of what was left is not in it.
    None,
}

/// A tenant of a run to be opened.
#[derive(Clone, Debug)]
pub struct NewRunTenant {
    /// Which tenant.
    pub tenant: TenantId,
    /// Its version.
    pub from: Option<Version>,
    /// Its outcome and why, where planning has settled it already.
    pub settled: Option<(Outcome, String)>,
}

/// The ledger of one open run in PostgreSQL.
pub struct PgLedger {
    lease: Lease,
    run: RunId,
    token: String,
}

#[derive(Serialize)]
struct TenantRow<'a> {
    database: &'a str,
    schema: &'a str,
    state: &'a str,
    outcome: Option<&'a str>,
    from_version: Option<Version>,
    reason: Option<&'a str>,
}

#[derive(Serialize)]
struct ClaimRow<'a> {
    database: &'a str,
    schema: &'a str,
    attempt: u32,
}

#[derive(Serialize)]
struct EndRow<'a> {
    database: &'a str,
    schema: &'a str,
    attempt: u32,
    state: &'a str,
    outcome: &'a str,
    run_outcome: Option<&'a str>,
    version: Option<Version>,
    duration_ms: u64,
    reason: Option<&'a str>,
    applied: &'a [String],
    migration: Option<&'a str>,
    statement: Option<u32>,
    line: Option<u32>,
    sqlstate: Option<&'a str>,
    class: Option<&'a str>,
    message: Option<&'a str>,
    detail: Option<&'a str>,
    hint: Option<&'a str>,
    context: Option<&'a str>,
    blocked_by: Option<&'a str>,
}

const END_COLUMNS: &str = "database text, schema text, attempt int, state text, outcome text, \
    run_outcome text, version bigint, duration_ms bigint, reason text, applied text[], migration text, \
    statement int, line int, sqlstate text, class text, message text, detail text, hint text, context text, blocked_by text";

impl Lease {
    /// Opens a run. Runs that died open are closed as interrupted.
    ///
    /// # Errors
    /// Where the ledger cannot be written.
    pub async fn open(mut self, new: &NewRun) -> Result<(RunId, PgLedger), LedgerError> {
        let action = "open the run";
        let tx = self
            .control
            .client_mut()
            .transaction()
            .await
            .map_err(LedgerError::query(action))?;
        let (run, token) = open_in(&tx, new)
            .await
            .map_err(LedgerError::query(action))?;
        tx.commit().await.map_err(LedgerError::query(action))?;
        let ledger = PgLedger {
            lease: self,
            run: run.clone(),
            token,
        };
        Ok((run, ledger))
    }
}

async fn open_in(
    tx: &Transaction<'_>,
    new: &NewRun,
) -> Result<(RunId, String), tokio_postgres::Error> {
    lease::close_dead_runs(tx.client()).await?;
    let resumes = new.resumes.as_ref().map(RunId::as_str);
    let opened = tx
        .query_one(
            "INSERT INTO runs (id, command, resumes, target, set_fingerprint, selection, started_by, \
               fleet_version, lease_token, lease_backend, up_to_date) \
             SELECT to_char(clock_timestamp() AT TIME ZONE 'UTC', 'YYYYMMDD-HH24MISS-') || substr(md5(random()::text || clock_timestamp()), 1, 4), \
               $1, $2, $3, $4, $5, $6, $7, md5(random()::text || clock_timestamp() || $6), pg_backend_pid(), $8 \
             RETURNING id, lease_token",
            &[
                &new.command,
                &resumes,
                &new.target,
                &new.set_fingerprint,
                &new.selection,
                &new.started_by,
                &env!("CARGO_PKG_VERSION"),
                &i64::try_from(new.up_to_date).unwrap_or(i64::MAX),
            ],
        )
        .await?;
    let (id, token): (String, String) = (opened.get(0), opened.get(1));
    let rows: Vec<TenantRow> = new.tenants.iter().map(tenant_row).collect();
    tx.execute(
        "INSERT INTO run_tenants (run_id, database, schema, state, outcome, from_version, to_version, reason) \
         SELECT $1, database, schema, state, outcome, from_version, from_version, reason \
         FROM jsonb_to_recordset($2::text::jsonb) \
           AS r(database text, schema text, state text, outcome text, from_version bigint, reason text)",
        &[&id, &json(&rows)],
    )
    .await?;
    let superseded = match new.takes_over {
        TakeOver::Every => Some("outcome <> 'succeeded' AND id <> $1 AND $2::text IS NULL"),
        TakeOver::Resumed => Some("id = $2"),
        TakeOver::None => None,
    };
    if let Some(superseded) = superseded {
        tx.execute(
            &format!(
                "UPDATE runs SET superseded_by = $1 WHERE superseded_by IS NULL AND {superseded}"
            ),
            &[&id, &resumes],
        )
        .await?;
    }
    Ok((RunId::new(&id), token))
}

fn tenant_row(new: &NewRunTenant) -> TenantRow<'_> {
    let (state, outcome, reason) = match &new.settled {
        Some((outcome, reason)) => ("finished", Some(outcome.as_str()), Some(reason.as_str())),
        None => ("pending", None, None),
    };
    TenantRow {
        database: new.tenant.database.as_str(),
        schema: new.tenant.schema.as_str(),
        state,
        outcome,
        from_version: new.from,
        reason,
    }
}

impl PgLedger {
    /// A transaction that begins with the heartbeat and the proof that the run is still ours.
    async fn begin(&mut self, action: &'static str) -> Result<Transaction<'_>, LedgerError> {
        let tx = self
            .lease
            .control
            .client_mut()
            .transaction()
            .await
            .map_err(LedgerError::query(action))?;
        fence(&tx, &self.run, &self.token).await?;
        Ok(tx)
    }
}

impl Ledger for PgLedger {
    async fn record(&mut self, entries: &Entries) -> Result<(), LedgerError> {
        let action = "record attempts";
        let run = self.run.clone();
        let tx = self.begin(action).await?;
        record_ended(&tx, &run, &entries.ended).await?;
        record_claims(&tx, &run, &entries.claims).await?;
        tx.commit().await.map_err(LedgerError::query(action))
    }

    async fn close(&mut self, closing: &Closing) -> Result<(), LedgerError> {
        let action = "close the run";
        let run = self.run.clone();
        let tx = self.begin(action).await?;
        let left: Vec<TenantRow> = closing
            .left
            .iter()
            .map(|(tenant, outcome, reason)| TenantRow {
                database: tenant.database.as_str(),
                schema: tenant.schema.as_str(),
                state: "finished",
                outcome: Some(outcome.as_str()),
                from_version: None,
                reason: Some(reason),
            })
            .collect();
        tx.execute(
            "UPDATE run_tenants t SET state = r.state, outcome = r.outcome, reason = r.reason \
             FROM jsonb_to_recordset($2::text::jsonb) \
               AS r(database text, schema text, state text, outcome text, reason text) \
             WHERE t.run_id = $1 AND t.database = r.database AND t.schema = r.schema AND t.state <> 'finished'",
            &[&run.as_str(), &json(&left)],
        )
        .await
        .map_err(LedgerError::query(action))?;
        tx.execute(
            "UPDATE runs SET finished_at = clock_timestamp(), outcome = $2, exit_code = $3 WHERE id = $1",
            &[
                &run.as_str(),
                &closing.outcome.as_str(),
                &i16::from(closing.exit_code),
            ],
        )
        .await
        .map_err(LedgerError::query(action))?;
        tx.commit().await.map_err(LedgerError::query(action))
    }
}

/// The heartbeat, and the proof that the run is still ours.
async fn fence(tx: &Transaction<'_>, run: &RunId, token: &str) -> Result<(), LedgerError> {
    let ours = tx
        .execute(
            "UPDATE runs SET heartbeat_at = clock_timestamp() \
             WHERE id = $1 AND lease_token = $2 AND finished_at IS NULL",
            &[&run.as_str(), &token],
        )
        .await
        .map_err(LedgerError::query("renew the lease"))?;
    if ours == 1 {
        Ok(())
    } else {
        Err(LedgerError::LeaseLost(run.to_string()))
    }
}

async fn record_ended(
    tx: &Transaction<'_>,
    run: &RunId,
    ended: &[AttemptEnd],
) -> Result<(), LedgerError> {
    if ended.is_empty() {
        return Ok(());
    }
    let action = "record attempts";
    let rows = json(&ended.iter().map(end_row).collect::<Vec<_>>());
    tx.execute(
        &format!(
            "INSERT INTO attempts (run_id, database, schema, attempt, duration_ms, outcome, applied, migration, \
               statement, line, sqlstate, class, message, detail, hint, context, blocked_by) \
             SELECT $1, database, schema, attempt, duration_ms, outcome, applied, migration, \
               statement, line, sqlstate, class, message, detail, hint, context, blocked_by \
             FROM jsonb_to_recordset($2::text::jsonb) AS r({END_COLUMNS})"
        ),
        &[&run.as_str(), &rows],
    )
    .await
    .map_err(LedgerError::query(action))?;
    let updated = tx
        .execute(
            &format!(
                "UPDATE run_tenants t SET state = r.state, outcome = r.run_outcome, \
                   to_version = coalesce(r.version, t.to_version), \
                   duration_ms = t.duration_ms + r.duration_ms, reason = r.reason \
                 FROM jsonb_to_recordset($2::text::jsonb) AS r({END_COLUMNS}) \
                 WHERE t.run_id = $1 AND t.database = r.database AND t.schema = r.schema \
                   AND t.state = 'claimed' AND t.attempts = r.attempt"
            ),
            &[&run.as_str(), &rows],
        )
        .await
        .map_err(LedgerError::query(action))?;
    expect(updated, ended.len(), run, "recording attempts")?;
    tx.execute(
        &format!(
            "INSERT INTO tenants AS t (database, schema, version) \
             SELECT database, schema, version FROM jsonb_to_recordset($1::text::jsonb) AS r({END_COLUMNS}) \
             WHERE version IS NOT NULL \
             ON CONFLICT (database, schema) DO UPDATE SET version = excluded.version, seen_at = excluded.seen_at"
        ),
        &[&rows],
    )
    .await
    .map_err(LedgerError::query(action))?;
    Ok(())
}

async fn record_claims(
    tx: &Transaction<'_>,
    run: &RunId,
    claims: &[Claim],
) -> Result<(), LedgerError> {
    if claims.is_empty() {
        return Ok(());
    }
    let rows: Vec<ClaimRow> = claims
        .iter()
        .map(|claim| ClaimRow {
            database: claim.tenant.database.as_str(),
            schema: claim.tenant.schema.as_str(),
            attempt: claim.attempt,
        })
        .collect();
    let claimed = tx
        .execute(
            "UPDATE run_tenants t SET state = 'claimed', attempts = r.attempt \
             FROM jsonb_to_recordset($2::text::jsonb) AS r(database text, schema text, attempt int) \
             WHERE t.run_id = $1 AND t.database = r.database AND t.schema = r.schema \
               AND t.state IN ('pending', 'waiting') AND t.attempts = r.attempt - 1",
            &[&run.as_str(), &json(&rows)],
        )
        .await
        .map_err(LedgerError::query("claim tenants"))?;
    expect(claimed, claims.len(), run, "claiming tenants")
}

fn expect(
    written: u64,
    wanted: usize,
    run: &RunId,
    action: &'static str,
) -> Result<(), LedgerError> {
    if usize::try_from(written) == Ok(wanted) {
        Ok(())
    } else {
        Err(LedgerError::Conflict {
            run: run.to_string(),
            action,
        })
    }
}

fn end_row(end: &AttemptEnd) -> EndRow<'_> {
    let failure = end.failure.as_ref();
    let (state, run_outcome) = match end.then {
        AfterAttempt::Done => ("finished", Some(end.outcome.as_str())),
        AfterAttempt::Retry => ("waiting", None),
    };
    EndRow {
        database: end.tenant.database.as_str(),
        schema: end.tenant.schema.as_str(),
        attempt: end.attempt,
        state,
        outcome: end.outcome.as_str(),
        run_outcome,
        version: end.version,
        duration_ms: u64::try_from(end.duration.as_millis()).unwrap_or(u64::MAX),
        reason: end.reason.as_deref(),
        applied: &end.applied,
        migration: failure.and_then(|f| f.migration.as_deref()),
        statement: failure.and_then(|f| f.statement),
        line: failure.and_then(|f| f.line),
        sqlstate: failure.and_then(|f| f.sqlstate.as_deref()),
        class: failure.map(|f| f.class.as_str()),
        message: failure.map(|f| f.message.as_str()),
        detail: failure.and_then(|f| f.detail.as_deref()),
        hint: failure.and_then(|f| f.hint.as_deref()),
        context: failure.and_then(|f| f.context.as_deref()),
        blocked_by: failure.and_then(|f| f.blocked_by.as_deref()),
    }
}

/// Rows as one parameter. NUL, which `jsonb` cannot hold, never comes from PostgreSQL's own texts.
fn json<T: Serialize>(rows: &[T]) -> String {
    serde_json::to_string(rows).unwrap_or_else(|_| "[]".to_owned())
}

/// Tenants as two array parameters.
pub(super) fn columns<'a>(tenants: &[&'a TenantId]) -> (Vec<&'a str>, Vec<&'a str>) {
    tenants
        .iter()
        .map(|id| (id.database.as_str(), id.schema.as_str()))
        .unzip()
}
